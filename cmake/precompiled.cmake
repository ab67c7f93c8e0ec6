# What nearly every file includes, read once: half of the time of a compilation is spent there. The
# rooms and their tests borrow it (REUSE_FROM), so that it is made once and not for each of them.
option(OLIO_PRECOMPILE "Precompile the headers of the standard library, fmt and GoogleTest" ON)

if(OLIO_PRECOMPILE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options(-Xclang -fno-pch-timestamp)  # else ccache never finds anything again
  endif()
  set(standard <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <deque> <expected> <functional>
      <map> <memory> <optional> <span> <string> <string_view> <unordered_map> <utility> <vector>
      <fmt/core.h>)
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled/nothing.cc "")
  add_library(olio_precompiled STATIC ${CMAKE_BINARY_DIR}/precompiled/nothing.cc)
  target_link_libraries(olio_precompiled PRIVATE fmt::fmt Threads::Threads)
  target_precompile_headers(olio_precompiled PRIVATE ${standard})
  if(OLIO_TESTS)
    add_library(olio_precompiled_tests STATIC ${CMAKE_BINARY_DIR}/precompiled/nothing.cc)
    target_link_libraries(olio_precompiled_tests PRIVATE fmt::fmt GTest::gmock Threads::Threads)
    target_precompile_headers(olio_precompiled_tests PRIVATE ${standard} <gtest/gtest.h> <gmock/gmock.h>)
  endif()
endif()

# olio_precompile(TARGET tests|standard)
function(olio_precompile target kind)
  if(NOT OLIO_PRECOMPILE)
    return()
  endif()
  if(kind STREQUAL "tests")
    target_precompile_headers(${target} REUSE_FROM olio_precompiled_tests)
  else()
    target_precompile_headers(${target} REUSE_FROM olio_precompiled)
  endif()
endfunction()
