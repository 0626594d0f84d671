# Third-party packages, all from Debian 12 (tools/install_packages lists them).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
if(OPENCLOC_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()

include(OpenClocTorch)

# oneDNN: its CMake package asks for OpenCL, which we do not use.
find_library(OPENCLOC_DNNL dnnl REQUIRED)
find_path(OPENCLOC_DNNL_INCLUDE dnnl.hpp REQUIRED)
