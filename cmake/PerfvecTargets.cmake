# The two ways a target is made here, so that warnings, sanitizers and include
# paths are decided once.
#
#   perfvec_library(NAME SOURCES a.cc ... [LINK lib ...])
#   perfvec_test(NAME SOURCES a_test.cc ... [LINK lib ...] [LABELS l ...])
#
# Every target includes from the top of the source tree:
# #include "storage/trace/reader.h".

set(PERFVEC_WARNING_FLAGS -Wall -Wextra -Wno-sign-compare)
if(PERFVEC_WARNINGS_AS_ERRORS)
  list(APPEND PERFVEC_WARNING_FLAGS -Werror)
endif()
if(PERFVEC_SANITIZE)
  # GCC 12 takes members of std::optional and std::function for uninitialised
  # once a sanitizer has instrumented them; other builds keep the warning.
  list(APPEND PERFVEC_WARNING_FLAGS -Wno-maybe-uninitialized)
endif()
# The preset names a list with ';' or ','; the compiler wants commas.
string(REPLACE ";" "," PERFVEC_SANITIZE_LIST "${PERFVEC_SANITIZE}")

if(PERFVEC_SANITIZE STREQUAL "thread")
  include(PerfvecTsan)
endif()

function(perfvec_configure_target target)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_compile_options(${target} PRIVATE ${PERFVEC_WARNING_FLAGS})
  if(PERFVEC_SANITIZE_LIST)
    target_compile_options(${target} PUBLIC
      -fsanitize=${PERFVEC_SANITIZE_LIST} -fno-omit-frame-pointer -g1)
    target_link_options(${target} PUBLIC
      -fsanitize=${PERFVEC_SANITIZE_LIST})
  endif()
  if(PERFVEC_SANITIZE STREQUAL "thread")
    target_link_libraries(${target} PUBLIC
      $<BUILD_INTERFACE:perfvec_tsan_abseil>)
  endif()
endfunction()

function(perfvec_library target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${target} STATIC ${ARG_SOURCES})
  perfvec_configure_target(${target})
  target_link_libraries(${target} PUBLIC ${ARG_LINK})
endfunction()

function(perfvec_test target)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;LABELS" ${ARGN})
  if(NOT PERFVEC_BUILD_TESTS)
    return()
  endif()
  add_executable(${target} ${ARG_SOURCES})
  perfvec_configure_target(${target})
  target_compile_definitions(${target} PRIVATE
    PERFVEC_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${ARG_LINK} GTest::gmock
    GTest::gtest_main)
  add_test(NAME ${target} COMMAND ${target})
  set_tests_properties(${target} PROPERTIES TIMEOUT 300
    LABELS "${ARG_LABELS}"
    ENVIRONMENT
      "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp;LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp")
endfunction()
