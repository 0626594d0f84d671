# Language level, warnings as errors, sanitizers. Applied to our own targets through
# opencloc_options, never to third-party code.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# A module compiles as one unit, since reading libtorch's headers takes longer than compiling ours: 48 units in place
# of 270 take a sixth of the time. Who edits one file for a while takes the preset "edit", which compiles each alone.
option(CMAKE_UNITY_BUILD "Compile each module as one unit" ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 0)  # no limit
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# -O2: the hot loops live in kernels/ and image/, which set their own flags.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

set(OPENCLOC_SANITIZE OFF CACHE STRING
    "OFF, ON = AddressSanitizer + UndefinedBehaviorSanitizer, or THREAD = ThreadSanitizer")
option(OPENCLOC_BUILD_TESTS "Build the unit tests" ON)

add_library(opencloc_options INTERFACE)
target_include_directories(opencloc_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(opencloc_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees false overlaps and overflows inside inlined std::string code at -O2 and above.
  target_compile_options(opencloc_options INTERFACE -Wno-restrict -Wno-stringop-overflow
    -Wno-array-bounds -Wno-maybe-uninitialized -Wno-stringop-overread)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 16)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ${PROJECT_SOURCE_DIR}/cmake/clang_vector.h>")
endif()
set(OPENCLOC_SANITIZERS "")
if(OPENCLOC_SANITIZE STREQUAL "THREAD")
  # Libraries that are not instrumented synchronise unseen: tools/tsan_suppressions.txt names them.
  set(OPENCLOC_SANITIZERS -fsanitize=thread)
  add_compile_options(${OPENCLOC_SANITIZERS} -fno-omit-frame-pointer -g1)
elseif(OPENCLOC_SANITIZE)
  # vptr needs RTTI of libraries built without it; leaks are suppressed for third-party singletons.
  set(OPENCLOC_SANITIZERS -fsanitize=address,undefined)
  add_compile_options(${OPENCLOC_SANITIZERS} -fno-sanitize=vptr
                      -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1)
endif()
add_link_options(${OPENCLOC_SANITIZERS})

find_program(OPENCLOC_CCACHE ccache)
if(OPENCLOC_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_DEPEND=1 ${OPENCLOC_CCACHE})
endif()
