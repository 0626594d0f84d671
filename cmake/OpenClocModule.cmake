# opencloc_module(NAME [TORCH] [DEPS module...] [LIBS library...])
#
# Every *.cc of the calling folder becomes the static library opencloc_NAME. It sees the headers of
# the modules in DEPS and links LIBS. TORCH gives it libtorch.
# tests/NAME/*_test.cc become the test binary NAME_test, registered with CTest as NAME.
function(opencloc_module name)
  cmake_parse_arguments(ARG "TORCH" "" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.cc "")
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cc)
  endif()
  set(target opencloc_${name})
  add_library(${target} STATIC ${sources})
  list(TRANSFORM ARG_DEPS PREPEND opencloc_)
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} ${ARG_LIBS} PRIVATE opencloc_options)
  if(ARG_TORCH)
    target_link_libraries(${target} PUBLIC opencloc_torch)
  endif()
  set_property(GLOBAL APPEND PROPERTY OPENCLOC_MODULES ${target})

  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${name}/*_test.cc)
  if(OPENCLOC_BUILD_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${target} opencloc_options GTest::gmock GTest::gtest GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 1200)
  endif()
endfunction()
