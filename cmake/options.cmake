# Compiler settings that every room shares. Presets (CMakePresets.json) choose the sanitizers.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Everything ends in a program. One setting for libraries and programs, so that they can share
# precompiled headers.
add_compile_options(-fPIE)
add_link_options(-pie)

option(OLIO_TESTS "Build the unit and whole-system tests" ON)
option(OLIO_BENCH "Build the benchmarks" ON)
option(OLIO_FUZZ "Build the fuzz targets (clang only)" OFF)
option(OLIO_WERROR "Treat warnings as errors" ON)
set(OLIO_SANITIZE "" CACHE STRING "Sanitizers: empty, address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Assertions of our own stay on in every build (base/assert.h), so NDEBUG only silences libraries.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")

add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wcast-align -Woverloaded-virtual
                    -Wnull-dereference -Wdouble-promotion -Wimplicit-fallthrough
                    -fno-strict-aliasing -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees null dereferences, overflows and overreads in inlined library code that are not
  # there.
  add_compile_options(-Wno-null-dereference -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds
                      -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(OLIO_WERROR)
  add_compile_options(-Werror)
endif()
if(OLIO_SANITIZE)
  add_compile_options(-fsanitize=${OLIO_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OLIO_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-D_FORTIFY_SOURCE=2)
endif()
if(OLIO_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
find_program(OLIO_CCACHE ccache)
if(OLIO_CCACHE)
  # Without this it gives up on whatever uses a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_SLOPPINESS=pch_defines,time_macros ${OLIO_CCACHE})
endif()
find_program(OLIO_MOLD mold)
if(OLIO_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(liburing REQUIRED IMPORTED_TARGET liburing>=2.3)
pkg_check_modules(isal REQUIRED IMPORTED_TARGET libisal)
pkg_check_modules(blkid REQUIRED IMPORTED_TARGET blkid)
if(OLIO_TESTS)
  find_package(GTest REQUIRED)
endif()
