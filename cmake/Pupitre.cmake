# SPDX-License-Identifier: BSD-3-Clause
# The few verbs that every folder's CMakeLists.txt is written with.

# pupitre_options(TARGET): the language level and warnings of docs/../CONTRIBUTING.md.
function(pupitre_options target)
  target_compile_features(${target} PRIVATE c_std_17)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE PUPITRE_VERSION="${PROJECT_VERSION}")
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wwrite-strings -Wconversion
    $<$<BOOL:${PUPITRE_WERROR}>:-Werror>)
  set_target_properties(${target} PROPERTIES C_EXTENSIONS ON POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/kernel)
endfunction()

# pupitre_library(NAME SOURCES ... [LINK ...]): one static library per folder; linked only to what it may use.
function(pupitre_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(pupitre_${name} STATIC ${ARG_SOURCES})
  pupitre_options(pupitre_${name})
  target_link_libraries(pupitre_${name} PUBLIC ${ARG_LINK})
endfunction()

# pupitre_program(NAME SOURCES ... [LINK ...])
function(pupitre_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  pupitre_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_LINK})
endfunction()

# pupitre_test(NAME SOURCES ... [LINK ...]): a cmocka executable, one a module, run by ctest.
function(pupitre_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  pupitre_options(test_${name})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND test_${name})
endfunction()

# pupitre_fuzzer(NAME SOURCES ... [LINK ...] SEEDS dir): a libFuzzer target (LLVMFuzzerTestOneInput). With clang and PUPITRE_FUZZ it searches;
# with any compiler its seeds and past crashes are replayed by ctest.
function(pupitre_fuzzer name)
  cmake_parse_arguments(ARG "" "SEEDS" "SOURCES;LINK" ${ARGN})
  if(PUPITRE_FUZZ)
    add_executable(fuzz_${name} ${ARG_SOURCES})
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${ARG_SEEDS})
  endif()
  pupitre_options(fuzz_${name})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINK})
endfunction()
