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
  # The program writes its own manual and completions, from the options that it takes.
  set(manuals ${PROJECT_BINARY_DIR}/manual)
  file(MAKE_DIRECTORY ${manuals})
  foreach(form man bash zsh fish)
    add_custom_command(OUTPUT ${manuals}/${form} COMMAND resnet_cli manual ${form} > ${manuals}/${form}
                       DEPENDS resnet_cli COMMENT "Writing the manual: ${form}" VERBATIM)
  endforeach()
  add_custom_target(resnet_manual ALL DEPENDS ${manuals}/man ${manuals}/bash ${manuals}/zsh ${manuals}/fish)
  install(FILES ${manuals}/man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME resnet.1)
  install(FILES ${manuals}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME resnet)
  install(FILES ${manuals}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _resnet)
  install(FILES ${manuals}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME resnet.fish)
endif()
