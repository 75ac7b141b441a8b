# What `cmake --install` puts where, and which of Debian's packages `cpack` makes of it:
#   library      the shared library                          libresnet<soversion>
#   development  headers, static library, CMake, pkg-config  libresnet-dev
#   program      the program, its manual and completions     resnet
include(CMakePackageConfigHelpers)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/resnet)
install(TARGETS resnet EXPORT resnetTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
        FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT resnetTargets NAMESPACE resnet:: DESTINATION ${package} COMPONENT development)
if(TARGET resnet_shared)
  install(TARGETS resnet_shared EXPORT resnetSharedTargets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development)
  install(EXPORT resnetSharedTargets NAMESPACE resnet:: DESTINATION ${package} COMPONENT development)
endif()

set(RESNET_DEBIAN_PACKAGES "libfmt-dev, zlib1g-dev, libmd-dev, libjpeg-dev, libpng-dev, libwebp-dev, libminizip-dev, libprotobuf-dev")
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/resnetConfig.cmake.in resnetConfig.cmake
                              INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
else()
  set(compatibility SameMajorVersion) # a minor version's source interface only grows (docs/versioning.md)
endif()
write_basic_package_version_file(resnetConfigVersion.cmake COMPATIBILITY ${compatibility})
install(FILES ${PROJECT_BINARY_DIR}/resnetConfig.cmake ${PROJECT_BINARY_DIR}/resnetConfigVersion.cmake
        DESTINATION ${package} COMPONENT development)

# For pkg-config, with places relative to the files, so that the folder may be moved.
set(pkgconfig ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RESNET_PC_PREFIX /${pkgconfig} /)
list(JOIN RESNET_MODULES " " RESNET_PC_MODULES)
foreach(pc resnet resnet-static)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${pc}.pc.in ${PROJECT_BINARY_DIR}/${pc}.pc @ONLY)
endforeach()
install(FILES ${PROJECT_BINARY_DIR}/resnet-static.pc DESTINATION ${pkgconfig} COMPONENT development)
if(TARGET resnet_shared)
  install(FILES ${PROJECT_BINARY_DIR}/resnet.pc DESTINATION ${pkgconfig} COMPONENT development)
endif()

# What is compiled in asks for its notices to go along.
set(copyright ${PROJECT_BINARY_DIR}/copyright)
execute_process(COMMAND ${PROJECT_SOURCE_DIR}/tools/notices.sh OUTPUT_FILE ${copyright} ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  message(STATUS "Packages have no notices of libraries: tools/notices.sh does not find them here")
  configure_file(${PROJECT_SOURCE_DIR}/LICENSE ${copyright} COPYONLY)
endif()
install(FILES ${copyright} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libresnet-dev
        COMPONENT development)
if(TARGET resnet_shared)
  install(FILES ${copyright} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libresnet${RESNET_SOVERSION} COMPONENT library)
endif()

if(TARGET resnet_cli)
  install(TARGETS resnet_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
  install(FILES ${copyright} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/resnet COMPONENT program)
  # The program writes its own manual and completions, from the options that it takes.
  set(manuals ${PROJECT_BINARY_DIR}/manual)
  file(MAKE_DIRECTORY ${manuals})
  foreach(form man bash zsh fish)
    add_custom_command(OUTPUT ${manuals}/${form} COMMAND resnet_cli manual ${form} > ${manuals}/${form}
                       DEPENDS resnet_cli COMMENT "Writing the manual: ${form}" VERBATIM)
  endforeach()
  add_custom_target(resnet_manual ALL DEPENDS ${manuals}/man ${manuals}/bash ${manuals}/zsh ${manuals}/fish)
  install(FILES ${manuals}/man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME resnet.1 COMPONENT program)
  install(FILES ${manuals}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME resnet
          COMPONENT program)
  install(FILES ${manuals}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _resnet COMPONENT program)
  install(FILES ${manuals}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME resnet.fish
          COMPONENT program)
endif()

# Debian's packages: `cpack --config build/release/CPackConfig.cmake`. What the binaries need dpkg-shlibdeps reads
# from them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "resnet.cpp")
set(CPACK_PACKAGE_CONTACT "the maintainers of resnet.cpp <maintainers@resnet.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)  # by which the packages of products find that they need ours
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_COMPONENTS_ALL development)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libresnet-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Residual networks, trained on CPUs and NVIDIA GPUs (development files)")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${RESNET_DEBIAN_PACKAGES}, pkg-config")
if(TARGET resnet_shared)
  list(APPEND CPACK_COMPONENTS_ALL library)
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libresnet${RESNET_SOVERSION})
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
  set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "Residual networks, trained on CPUs and NVIDIA GPUs (library)")
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
         ", libresnet${RESNET_SOVERSION} (= ${PROJECT_VERSION})")
endif()
if(TARGET resnet_cli)
  list(APPEND CPACK_COMPONENTS_ALL program)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME resnet)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
  set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "Residual networks, trained on CPUs and NVIDIA GPUs (program)")
endif()
set(CPACK_PROJECT_CONFIG_FILE "${CMAKE_CURRENT_LIST_DIR}/packages.cmake")
include(CPack)
