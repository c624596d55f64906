# Debian packages (docs/packages.md): what goes into which, and what each needs.
#
#   cmake --build --preset release --target packages   # build/release/packages/
#
# perfvec-server, perfvec-worker, perfvec-client and libperfvec-dev from the
# install components server, worker, cli and client. Dependencies on libraries
# come from dpkg-shlibdeps: a worker built with a LibTorch that no Debian package
# owns cannot be packaged, and dpkg-shlibdeps says so.

set(sources ${PROJECT_SOURCE_DIR}/deploy/packages)
set(made ${PROJECT_BINARY_DIR}/package_files)
set(share ${CMAKE_INSTALL_DATADIR})
add_custom_target(packages
  COMMAND ${CMAKE_CPACK_COMMAND} -G DEB --config
    ${PROJECT_BINARY_DIR}/CPackConfig.cmake -B ${PROJECT_BINARY_DIR}/packages
  DEPENDS perfvec perfvec_man perfvec-server perfvec-worker perfvec_client
  WORKING_DIRECTORY ${PROJECT_BINARY_DIR} VERBATIM USES_TERMINAL)
if(TARGET perfvec_qemu)
  add_dependencies(packages perfvec_qemu)
endif()

# --- Units, accounts, configuration, manual pages --------------------------
# Below the prefix, so that an installation by hand writes nothing elsewhere;
# the configuration in /etc comes with the package alone (PackageFiles.cmake).
find_program(PERFVEC_HELP2MAN help2man)
foreach(part server worker)
  set(name perfvec-${part})
  install(FILES ${sources}/${name}.service
    DESTINATION lib/systemd/system COMPONENT ${part})
  install(FILES ${sources}/${part}.toml
    DESTINATION ${share}/perfvec COMPONENT ${part})
  set(data "/var/cache/private/${name} /var/cache/${name}")
  if(part STREQUAL server)
    set(data /var/lib/perfvec)
  endif()
  foreach(script postinst prerm postrm)
    configure_file(${sources}/${script}.in ${made}/${part}/${script} @ONLY
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
                       GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endforeach()
  file(WRITE ${made}/${part}/conffiles "/etc/perfvec/${part}.toml\n")
  string(TOUPPER ${part} upper)
  set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
    ${made}/${part}/postinst ${made}/${part}/prerm ${made}/${part}/postrm
    ${made}/${part}/conffiles)
  if(PERFVEC_HELP2MAN)
    set(page ${made}/${name}.8)
    add_custom_command(OUTPUT ${page}
      COMMAND ${PERFVEC_HELP2MAN} --no-info --section=8
        "--source=PerfVec Serve" "--manual=PerfVec Serve"
        --version-string=${PROJECT_VERSION} --include=${sources}/${name}.h2m
        --output=${page} $<TARGET_FILE:${name}>
      DEPENDS ${name} ${sources}/${name}.h2m VERBATIM)
    add_custom_target(${name}_man ALL DEPENDS ${page})
    add_dependencies(packages ${name}_man)
    install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man8
      COMPONENT ${part} OPTIONAL)
  endif()
endforeach()
install(FILES ${sources}/sysusers.conf RENAME perfvec-server.conf
  DESTINATION lib/sysusers.d COMPONENT server)
install(FILES ${sources}/tmpfiles.conf RENAME perfvec-server.conf
  DESTINATION lib/tmpfiles.d COMPONENT server)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/models/default
  DESTINATION ${share}/perfvec/models COMPONENT server)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/prometheus
  DESTINATION ${share}/perfvec COMPONENT server)

# --- The packages -----------------------------------------------------------
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME perfvec)
set(CPACK_PACKAGE_VENDOR "PerfVec Serve")
set(CPACK_PACKAGE_CONTACT "PerfVec Serve <perfvec@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL server worker cli client)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/PackageFiles.cmake)
set(CPACK_PERFVEC_SOURCES ${sources})

set(CPACK_DEBIAN_SERVER_PACKAGE_NAME perfvec-server)
set(CPACK_DEBIAN_SERVER_PACKAGE_SECTION net)
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS
  "init-system-helpers (>= 1.54), systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_SERVER_PACKAGE_SUGGESTS "perfvec-worker, prometheus")
set(CPACK_COMPONENT_SERVER_DESCRIPTION
"predicted times of programs on processors, as a service
Keeps traces of programs, their vectors and those of architectures, and
predicts, ranks and explores by gRPC and by JSON over HTTP.")

set(CPACK_DEBIAN_WORKER_PACKAGE_NAME perfvec-worker)
set(CPACK_DEBIAN_WORKER_PACKAGE_SECTION net)
# Any BLAS satisfies LibTorch; the reference one is ten times slower.
set(CPACK_DEBIAN_WORKER_PACKAGE_DEPENDS
  "init-system-helpers (>= 1.54), libopenblas0-pthread")
set(CPACK_COMPONENT_WORKER_DESCRIPTION
"program vectors for a PerfVec server
Leases parts of traces from a server and computes their representations; also
trains, evaluates and imports foundation models.")

set(CPACK_DEBIAN_CLI_PACKAGE_NAME perfvec-client)
set(CPACK_DEBIAN_CLI_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_CLI_PACKAGE_RECOMMENDS qemu-user)
set(CPACK_COMPONENT_CLI_DESCRIPTION
"command line of PerfVec
Traces programs, uploads traces, and asks a server for predictions, rankings
and analyses.")

set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME libperfvec-dev)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_CLIENT_PACKAGE_DEPENDS
  "libgrpc++-dev, libprotobuf-dev, libabsl-dev, libssl-dev")
set(CPACK_COMPONENT_CLIENT_DESCRIPTION
"C++ client library of PerfVec
Static library, headers, CMake package and the .proto files of the API.")

# Of every package.
foreach(part server worker cli client)
  string(TOUPPER ${part} upper)
  set(doc ${share}/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  install(FILES ${sources}/copyright DESTINATION ${doc} COMPONENT ${part})
endforeach()
include(CPack)
