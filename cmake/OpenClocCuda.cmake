# What of CUDA there is to build with. None of it is needed: a binary without runs on a GPU as well, by libtorch alone.
#   OPENCLOC_CUDA   our kernels (opencloc/kernels/cuda), compiled by nvcc into libopencloc_cuda.so
#   OPENCLOC_NCCL   exchanges between GPUs; only headers are used, the libraries are loaded when a GPU is there
set(OPENCLOC_CUDA AUTO CACHE STRING "CUDA kernels of our own: ON, OFF, or AUTO = where nvcc is")
set(OPENCLOC_NCCL AUTO CACHE STRING "Groups over NCCL: ON, OFF, or AUTO = where nccl.h and CUDA's headers are")
set(OPENCLOC_CUDA_ARCHITECTURES "80;90a" CACHE STRING "GPUs that the kernels are compiled for; of the first also as PTX")

set(opencloc_cuda_roots $ENV{CUDA_HOME} /usr/local/cuda)
if(OPENCLOC_TORCH)  # a wheel brings headers along
  cmake_path(GET OPENCLOC_TORCH_HEADERS PARENT_PATH opencloc_packages)
  cmake_path(GET opencloc_packages PARENT_PATH opencloc_packages)
  file(GLOB opencloc_wheel_roots ${opencloc_packages}/nvidia/cu* ${opencloc_packages}/nvidia/nccl
       ${opencloc_packages}/nvidia/cuda_runtime)
  list(APPEND opencloc_cuda_roots ${opencloc_wheel_roots})
endif()
list(TRANSFORM opencloc_cuda_roots APPEND /include OUTPUT_VARIABLE opencloc_cuda_includes)
list(TRANSFORM opencloc_cuda_roots APPEND /bin OUTPUT_VARIABLE opencloc_cuda_programs)

set(OPENCLOC_NVCC "")
if(OPENCLOC_CUDA)
  find_program(opencloc_nvcc nvcc PATHS ${opencloc_cuda_programs} NO_CACHE)
  if(opencloc_nvcc)
    set(OPENCLOC_NVCC ${opencloc_nvcc})
    message(STATUS "CUDA kernels: by ${OPENCLOC_NVCC}")
  elseif(OPENCLOC_CUDA STREQUAL "AUTO")
    message(STATUS "CUDA kernels: none (no nvcc); libtorch computes all on a GPU")
  else()
    message(FATAL_ERROR " OPENCLOC_CUDA is ON and there is no nvcc: install CUDA, or set CUDA_HOME to where it is")
  endif()
endif()

set(OPENCLOC_NCCL_INCLUDES "")
if(OPENCLOC_NCCL)
  find_path(opencloc_nccl_h nccl.h PATHS ${opencloc_cuda_includes} NO_CACHE)
  find_path(opencloc_cudart_h cuda_runtime_api.h PATHS ${opencloc_cuda_includes} NO_CACHE)
  if(opencloc_nccl_h AND opencloc_cudart_h)
    set(OPENCLOC_NCCL_INCLUDES ${opencloc_nccl_h} ${opencloc_cudart_h})
    message(STATUS "NCCL: ${opencloc_nccl_h}/nccl.h")
  elseif(OPENCLOC_NCCL STREQUAL "AUTO")
    message(STATUS "NCCL: none (no nccl.h); GPUs exchange by way of main memory")
  else()
    message(FATAL_ERROR " OPENCLOC_NCCL is ON and nccl.h or CUDA's headers are missing: install NCCL (libnccl-dev)")
  endif()
endif()

# opencloc_cuda_library(): the target opencloc_cuda, libopencloc_cuda.so beside the program. Not CMake's CUDA language,
# which tries nvcc out at every configuration. What ptxas says of registers is in *.ptxas.txt beside the objects.
function(opencloc_cuda_library)
  if(NOT OPENCLOC_NVCC)
    return()
  endif()
  set(flags -std=c++20 -O3 -I${PROJECT_SOURCE_DIR} -Xcompiler=-fPIC,-Wall,-Wextra,-Werror --Werror all-warnings -Xptxas=-v)
  foreach(architecture IN LISTS OPENCLOC_CUDA_ARCHITECTURES)
    list(APPEND flags -gencode arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  list(GET OPENCLOC_CUDA_ARCHITECTURES 0 first)
  list(APPEND flags -gencode arch=compute_${first},code=compute_${first})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/opencloc/kernels/cuda/*.cu)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/opencloc/kernels/cuda/*.h
       ${PROJECT_SOURCE_DIR}/opencloc/kernels/cuda/*.cuh)
  set(objects "")
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda_${name}.o)
    add_custom_command(OUTPUT ${object}
      COMMAND sh -c "\"$0\" \"$@\" > '${object}.ptxas.txt' 2>&1 || { cat '${object}.ptxas.txt'; exit 1; }"
              ${OPENCLOC_NVCC} ${flags} -c ${source} -o ${object}
      DEPENDS ${source} ${headers} COMMENT "CUDA kernels: ${name}.cu" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(library ${PROJECT_BINARY_DIR}/libopencloc_cuda.so)
  add_custom_command(OUTPUT ${library}
    COMMAND ${OPENCLOC_NVCC} -shared -cudart static ${objects} -o ${library} DEPENDS ${objects} VERBATIM)
  add_custom_target(opencloc_cuda ALL DEPENDS ${library})
  install(FILES ${library} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library OPTIONAL)
endfunction()
