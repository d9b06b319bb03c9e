# How tests become cases of ctest. A test program's suites are found when ctest starts (discover.cmake); what `./x test`
# builds besides, the programs of build/asan and build/tsan and the fuzz targets, joins where OCTET_WITH_SANITIZED is set.
#   labels: unit golden property gradient e2e learn | house docs install | asan tsan fuzz
find_program(OCTET_PYTHON python3 REQUIRED)

# octet_cases(FILE LINES...): ctest reads these script lines when it starts.
function(octet_cases file)
  list(JOIN ARGN "\n" lines)
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/cases/${file}.cmake
       CONTENT "include(\"${CMAKE_SOURCE_DIR}/cmake/discover.cmake\")\n${lines}\n")
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_BINARY_DIR}/cases/${file}.cmake)
endfunction()

# octet_test_program(NAME LABEL SOURCES... LINK libraries...): test_NAME of octet_tests, its suites as cases NAME.SUITE.
function(octet_test_program name label)
  cmake_parse_arguments(T "" "" "LINK" ${ARGN})
  add_executable(test_${name} EXCLUDE_FROM_ALL ${T_UNPARSED_ARGUMENTS} ${CMAKE_SOURCE_DIR}/tests/support/main.cpp)
  target_link_libraries(test_${name} PRIVATE ${T_LINK} octet_test_support GTest::gtest GTest::gmock)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(test_${name} PRIVATE -Wno-dangling-else)  # EXPECT_* under a bare if
  add_dependencies(octet_tests test_${name})
  octet_cases(${name} "octet_add_suites(\"${name}\" \"$<TARGET_FILE:test_${name}>\" ${label})")
endfunction()

# octet_room_test(ROOM LIBRARIES...): every x_test.cpp beside the sources of a room; the engine's have their own program.
function(octet_room_test name)
  file(GLOB_RECURSE tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*_test.cpp)
  list(FILTER tests EXCLUDE REGEX "/app/engine[^/]*_test\\.cpp$")
  if(tests)
    octet_test_program(${name} unit ${tests} LINK ${ARGN})
  endif()
endfunction()

# octet_folder_test(NAME LIBRARIES...): tests/NAME/*_test.cpp, for what has no single source file; NAME is the label.
function(octet_folder_test name)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*_test.cpp)
  if(tests)
    octet_test_program(${name} ${name} ${tests} LINK ${ARGN})
  endif()
endfunction()

# octet_sanitized_cases(PRESET ROOM...): the suites of build/PRESET/test_ROOM as cases PRESET.ROOM.SUITE.
function(octet_sanitized_cases preset)
  foreach(name ${ARGN})
    if(TARGET test_${name})
      octet_cases(${preset}_${name} "if(DEFINED ENV{OCTET_WITH_SANITIZED})"
                  "  octet_add_suites(\"${preset}.${name}\" \"${CMAKE_SOURCE_DIR}/build/${preset}/test_${name}\" ${preset})"
                  "endif()")
    endif()
  endforeach()
endfunction()

# octet_fuzz_programs(LIBRARY): tests/fuzz/NAME.cpp and the driver in tests/support/fuzz_*.cpp give fuzz_NAME.
function(octet_fuzz_programs library)
  add_custom_target(octet_fuzz)
  file(GLOB targets CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/*.cpp)
  file(GLOB driver CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/fuzz_*.cpp)
  foreach(source ${targets})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${name})
    add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${source} ${driver})
    target_link_libraries(fuzz_${name} PRIVATE ${library})
    target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
    add_dependencies(octet_fuzz fuzz_${name})
    octet_cases(fuzz_${name} "if(DEFINED ENV{OCTET_WITH_SANITIZED})"
                "  octet_add_fuzz(${name} \"${CMAKE_SOURCE_DIR}/build/asan/fuzz_${name}\")" "endif()")
  endforeach()
endfunction()

# House rules, one case each; the command lines of every page that has some; the installed package from outside.
function(octet_other_cases)
  foreach(rule rooms includes launcher budgets paths text links)
    add_test(NAME house.${rule} COMMAND ${OCTET_PYTHON} ${CMAKE_SOURCE_DIR}/tests/house/check.py ${rule})
    set_tests_properties(house.${rule} PROPERTIES LABELS house)
  endforeach()
  add_test(NAME house.format COMMAND ${OCTET_PYTHON} ${CMAKE_SOURCE_DIR}/tests/house/check.py format --all)
  add_test(NAME house.rules COMMAND ${OCTET_PYTHON} -B ${CMAKE_SOURCE_DIR}/tests/house/check_test.py)
  add_test(NAME house.run_docs COMMAND ${OCTET_PYTHON} -B ${CMAKE_SOURCE_DIR}/tests/house/run_docs_test.py)
  set_tests_properties(house.format house.rules house.run_docs PROPERTIES LABELS house)
  octet_cases(docs "octet_add_pages(\"${CMAKE_SOURCE_DIR}\" \"${CMAKE_BINARY_DIR}\" \"${OCTET_PYTHON}\")")
  if(TARGET octet)
    add_test(NAME docs.reference COMMAND bash -c
      "diff ${CMAKE_SOURCE_DIR}/docs/reference.md <($<TARGET_FILE:octet> docs reference) || { echo 'run ./x docs'; exit 1; }")
    set_tests_properties(docs.reference PROPERTIES LABELS docs)
  endif()
  if(TARGET liboctet)
    add_test(NAME install.embed COMMAND ${CMAKE_SOURCE_DIR}/tests/house/install_test.sh ${CMAKE_BINARY_DIR})
    set_tests_properties(install.embed PROPERTIES LABELS install TIMEOUT 900)
  endif()
endfunction()
