# A build for a wheel (pyproject.toml): which libtorch, and where in the environment things are installed. To be included
# before GNUInstallDirs and OpenClocDeps. scikit-build-core names the interpreter and the wheel's folders.
if(NOT SKBUILD)
  return()
endif()
# -I: not what PYTHONPATH names, which with pip's build isolation hides the environment's own packages. torch is not
# imported, which takes seconds.
execute_process(
  COMMAND ${Python3_EXECUTABLE} -I -c "import importlib.util as u, os, sys, sysconfig
found = u.find_spec('torch')
lib = os.path.join(found.submodule_search_locations[0], 'lib') if found else ''
system = lib and not os.path.realpath(os.path.join(lib, 'libtorch_cpu.so')).startswith(os.path.realpath(lib) + os.sep)
path = sysconfig.get_path
print(';'.join([lib, '' if system else sys.prefix] + [os.path.relpath(lib or '.', os.path.join(path('data'), below))
                                                      for below in ('bin', 'libexec/opencloc')]))"
  OUTPUT_VARIABLE opencloc_wheel_torch OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(POP_FRONT opencloc_wheel_torch opencloc_wheel_lib opencloc_wheel_prefix opencloc_wheel_from_bin
     opencloc_wheel_from_libexec)
if(NOT opencloc_wheel_lib)
  message(FATAL_ERROR " ${Python3_EXECUTABLE} has no torch to build against: first ${Python3_EXECUTABLE} -m pip install torch "
                      "(or Debian's: apt install python3-torch, and an environment made with --system-site-packages)")
endif()
if(opencloc_wheel_prefix)  # not Debian's, which the compiler finds by itself
  set(OPENCLOC_TORCH ${opencloc_wheel_prefix} CACHE PATH "" FORCE)
  set(OPENCLOC_PROGRAM_RPATH $ORIGIN/${opencloc_wheel_from_bin})
  set(OPENCLOC_TENSORS_RPATH $ORIGIN/${opencloc_wheel_from_libexec})
  set(OPENCLOC_PYTHON_RPATH $ORIGIN/../torch/lib)
endif()
set(CMAKE_INSTALL_BINDIR ${SKBUILD_SCRIPTS_DIR})
set(CMAKE_INSTALL_LIBEXECDIR ${SKBUILD_DATA_DIR}/libexec)
set(OPENCLOC_PYTHON_INSTALL_DIR . CACHE STRING "" FORCE)
