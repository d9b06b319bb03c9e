# `cmake --install`: octet, liboctet.so, the public headers, presets and the package behind find_package(octet 0.1).
# liboctet.so remembers where the libtorch it was built with lies; nothing of libtorch is copied.
include(GNUInstallDirs)
file(RELATIVE_PATH octet_libraries ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})  # ../lib, ../lib64, ...
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/app/launch.cpp ${CMAKE_SOURCE_DIR}/src/app/program_test.cpp PROPERTIES
                            COMPILE_DEFINITIONS "OCTET_LIBRARY_FOLDER=\"${octet_libraries}\"")
if(NOT TARGET liboctet OR NOT TARGET octet)
  return()
endif()
include(CMakePackageConfigHelpers)
set(octet_package ${CMAKE_INSTALL_LIBDIR}/cmake/octet)

target_include_directories(liboctet INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(liboctet INTERFACE cxx_std_20)
set_target_properties(liboctet PROPERTIES EXPORT_NAME octet INSTALL_RPATH "$ORIGIN;${Libtorch_LIB_DIR}")
install(TARGETS octet)  # not exported: octet::octet is the library
install(TARGETS liboctet EXPORT octetTargets)
install(EXPORT octetTargets NAMESPACE octet:: DESTINATION ${octet_package})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/octet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(DIRECTORY ${CMAKE_SOURCE_DIR}/configs/presets DESTINATION ${CMAKE_INSTALL_DATADIR}/octet)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/octetConfig.cmake.in ${CMAKE_BINARY_DIR}/octetConfig.cmake
                              INSTALL_DESTINATION ${octet_package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/octetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/octetConfig.cmake ${CMAKE_BINARY_DIR}/octetConfigVersion.cmake
        DESTINATION ${octet_package})
