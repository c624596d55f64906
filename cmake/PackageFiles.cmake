# Run by cpack between installing a package's files and packing them: what
# Debian wants and an installation by hand does not.
#   <staging>/COMPONENT/etc/perfvec/COMPONENT.toml    configuration
#   .../usr/share/doc/PACKAGE/changelog.gz            version
#   .../usr/share/man                                 compressed
set(names_server perfvec-server)
set(names_worker perfvec-worker)
set(names_cli perfvec-client)
set(names_client libperfvec-dev)
foreach(part server worker cli client)
  set(root ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${part})
  if(NOT EXISTS ${root})
    continue()
  endif()
  if(EXISTS ${CPACK_PERFVEC_SOURCES}/${part}.toml)
    file(COPY ${CPACK_PERFVEC_SOURCES}/${part}.toml
      DESTINATION ${root}/etc/perfvec)
    file(REMOVE ${root}/usr/share/perfvec/${part}.toml)
  endif()
  set(log ${root}/usr/share/doc/${names_${part}}/changelog)
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${log}
"perfvec (${CPACK_PACKAGE_VERSION}) stable; urgency=medium

  * Made from the source tree; its log tells the changes.

 -- ${CPACK_PACKAGE_CONTACT}  ${date}
")
  file(GLOB pages ${root}/usr/share/man/man*/*[0-9])
  execute_process(COMMAND gzip -9nf ${log} ${pages} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
