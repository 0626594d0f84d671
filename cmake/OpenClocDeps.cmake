# Third-party packages, all from Debian 12 (tools/install_packages lists them).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
if(OPENCLOC_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

# libtorch: Debian's, or the one named by -DCMAKE_PREFIX_PATH / -DTorch_DIR.
find_package(Torch REQUIRED)
add_library(opencloc_torch INTERFACE)
target_include_directories(opencloc_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(opencloc_torch INTERFACE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
separate_arguments(opencloc_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(opencloc_torch INTERFACE ${opencloc_torch_flags})

# oneDNN: its CMake package asks for OpenCL, which we do not use.
find_library(OPENCLOC_DNNL dnnl REQUIRED)
find_path(OPENCLOC_DNNL_INCLUDE dnnl.hpp REQUIRED)
