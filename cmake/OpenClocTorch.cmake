# libtorch: Debian's, or the one in -DOPENCLOC_TORCH=DIR, any from 1.13 on. DIR is a Python environment that has torch, or
# an unpacked libtorch. Gives the target opencloc_torch, OPENCLOC_TORCH_VERSION, the folders OPENCLOC_TORCH_LIBRARIES and
# OPENCLOC_TORCH_HEADERS, and the environment's OPENCLOC_TORCH_INTERPRETER.
#
# Not by find_package(Torch): with a libtorch that has CUDA it wants nvcc, tries it out and asks the GPU for its kind. We
# compile none of libtorch's CUDA headers, so its libraries for the CPU are enough.
set(OPENCLOC_TORCH "" CACHE PATH "A Python environment with torch, or an unpacked libtorch; empty = the system's libtorch")

# A leading space keeps CMake from breaking the line, which ./check shows alone.
macro(opencloc_torch_error)
  string(CONCAT text ${ARGN})
  message(FATAL_ERROR " ${text}")
endmacro()

# opencloc_torch_folder(OUT DIR): the folder in DIR that has libtorch's include/ and lib/.
function(opencloc_torch_folder out dir)
  get_filename_component(dir ${dir} ABSOLUTE BASE_DIR ${CMAKE_SOURCE_DIR})
  if(EXISTS ${dir}/bin/python3)
    # Not imported, which takes seconds. -I: not what PYTHONPATH or the current folder names.
    execute_process(
      COMMAND ${dir}/bin/python3 -I -c
        "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
      OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(NOT found)
      opencloc_torch_error("the Python environment ${dir} has no torch: ${dir}/bin/python3 -m pip install torch")
    endif()
    set(OPENCLOC_TORCH_INTERPRETER ${dir}/bin/python3 PARENT_SCOPE)
    set(dir ${found})
  endif()
  foreach(folder IN ITEMS ${dir} ${dir}/libtorch)
    if(EXISTS ${folder}/include/ATen/ATen.h AND EXISTS ${folder}/lib/libtorch_cpu.so)
      set(${out} ${folder} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  opencloc_torch_error("no libtorch in ${dir}: name a Python environment (the folder with bin/python3) or an unpacked "
                       "libtorch (the folder with include/ and lib/)")
endfunction()

set(OPENCLOC_TORCH_INTERPRETER "")
if(OPENCLOC_TORCH)
  opencloc_torch_folder(opencloc_torch_root ${OPENCLOC_TORCH})
  set(OPENCLOC_TORCH_HEADERS ${opencloc_torch_root}/include)
  set(OPENCLOC_TORCH_LIBRARIES ${opencloc_torch_root}/lib)
  # A wheel brings an OpenMP runtime. We link that one, so that it comes before the system's, which oneDNN asks for, and
  # serves all: two runtimes would each have its own threads and its own number of them.
  file(GLOB opencloc_torch_openmp ${OPENCLOC_TORCH_LIBRARIES}/libgomp.so* ${OPENCLOC_TORCH_LIBRARIES}/libgomp-*.so*)
  if(opencloc_torch_openmp AND "gomp" IN_LIST OpenMP_CXX_LIB_NAMES)
    set_target_properties(OpenMP::OpenMP_CXX PROPERTIES
      INTERFACE_LINK_LIBRARIES "${opencloc_torch_openmp};Threads::Threads")
  endif()
else()
  find_path(OPENCLOC_TORCH_HEADERS ATen/ATen.h NO_CACHE)
  find_library(opencloc_torch_cpu torch_cpu NO_CACHE)
  if(NOT OPENCLOC_TORCH_HEADERS OR NOT opencloc_torch_cpu)
    opencloc_torch_error("no libtorch: install libtorch-dev (tools/install_packages), or name one: -DOPENCLOC_TORCH=DIR")
  endif()
  cmake_path(GET opencloc_torch_cpu PARENT_PATH OPENCLOC_TORCH_LIBRARIES)
endif()

set(opencloc_torch_c10 ${OPENCLOC_TORCH_LIBRARIES}/libc10.so)
set(OPENCLOC_TORCH_VERSION "")
foreach(header IN ITEMS headeronly/version.h csrc/api/include/torch/version.h)
  if(EXISTS ${OPENCLOC_TORCH_HEADERS}/torch/${header} AND NOT OPENCLOC_TORCH_VERSION)
    file(STRINGS ${OPENCLOC_TORCH_HEADERS}/torch/${header} lines REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX MATCHALL "[0-9]+" numbers "${lines}")
    list(JOIN numbers "." OPENCLOC_TORCH_VERSION)
  endif()
endforeach()
if(NOT OPENCLOC_TORCH_VERSION)
  opencloc_torch_error("no torch/version.h that tells a version in ${OPENCLOC_TORCH_HEADERS}")
endif()
# A library of the old ABI takes another std::string; linking would end in hundreds of undefined names.
file(STRINGS ${opencloc_torch_c10} opencloc_torch_new_abi REGEX "^_ZN3c10.*St7__cxx1112basic_string" LIMIT_COUNT 1)
if(NOT opencloc_torch_new_abi)
  opencloc_torch_error("libtorch ${OPENCLOC_TORCH_VERSION} in ${OPENCLOC_TORCH_LIBRARIES} has the old C++ ABI "
                       "(_GLIBCXX_USE_CXX11_ABI=0): take torch 2.7 or newer, or a libtorch-cxx11-abi archive")
endif()

set(opencloc_torch_kind "")
if(EXISTS ${OPENCLOC_TORCH_LIBRARIES}/libtorch_cuda.so)
  set(opencloc_torch_kind " with CUDA")  # loaded when a GPU is asked for (opencloc/model/device.cc)
endif()
message(STATUS "libtorch ${OPENCLOC_TORCH_VERSION}${opencloc_torch_kind} in ${OPENCLOC_TORCH_LIBRARIES}")

set(opencloc_torch_include ${OPENCLOC_TORCH_HEADERS})
if(OPENCLOC_TORCH)
  # Copies of other libraries' headers lie beside libtorch's (fmt, oneDNN, protobuf, pybind11) and would hide the
  # system's. So libtorch's own folders are linked into one of ours.
  set(opencloc_torch_include ${PROJECT_BINARY_DIR}/torch_include)
  file(MAKE_DIRECTORY ${opencloc_torch_include})
  foreach(name IN ITEMS ATen c10 caffe2 torch)
    if(EXISTS ${OPENCLOC_TORCH_HEADERS}/${name})
      file(CREATE_LINK ${OPENCLOC_TORCH_HEADERS}/${name} ${opencloc_torch_include}/${name} SYMBOLIC)
    endif()
  endforeach()
endif()

add_library(opencloc_torch INTERFACE)
target_include_directories(opencloc_torch SYSTEM INTERFACE
  ${opencloc_torch_include} ${opencloc_torch_include}/torch/csrc/api/include)
target_link_libraries(opencloc_torch INTERFACE
  ${OPENCLOC_TORCH_LIBRARIES}/libtorch_cpu.so ${opencloc_torch_c10} OpenMP::OpenMP_CXX)
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)  # a libtorch outside the system's is found by what is installed
