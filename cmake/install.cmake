# What `cmake --install` puts where: the library with its headers and its CMake package, the program
# with its manual and completions.
include(CMakePackageConfigHelpers)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/resnet)
install(TARGETS resnet EXPORT resnetTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT resnetTargets NAMESPACE resnet:: DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/resnetConfig.cmake.in resnetConfig.cmake
                              INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(resnetConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/resnetConfig.cmake ${PROJECT_BINARY_DIR}/resnetConfigVersion.cmake
        DESTINATION ${package})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(TARGET resnet_cli)
  install(TARGETS resnet_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # The manual and the completions, once the program can write them:
  # install(FILES ${PROJECT_BINARY_DIR}/resnet.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  # install(FILES ${PROJECT_BINARY_DIR}/resnet.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME resnet)
  # install(FILES ${PROJECT_BINARY_DIR}/_resnet DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  # install(FILES ${PROJECT_BINARY_DIR}/resnet.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
