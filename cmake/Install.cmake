# SPDX-License-Identifier: BSD-3-Clause
# What an installation holds. Two ways in: `cmake --install` lays everything out under one prefix; scikit-build-core
# (SKBUILD is set) names the folders of the wheel that pip turns into the same layout.

if(SKBUILD)
  set(PUPITRE_BIN ${SKBUILD_SCRIPTS_DIR})
  set(PUPITRE_PREFIX ${SKBUILD_DATA_DIR})
else()
  set(PUPITRE_BIN bin)
  set(PUPITRE_PREFIX .)
endif()

install(TARGETS pupitre-kernel RUNTIME DESTINATION ${PUPITRE_BIN} COMPONENT pupitre)
foreach(program pupitre-worker pupitre-nursery pupitre-scribe pupitre-template)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${PUPITRE_PREFIX}/libexec/pupitre COMPONENT pupitre)
  endif()
endforeach()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernelspec/ DESTINATION ${PUPITRE_PREFIX}/share/jupyter/kernels/pupitre
  COMPONENT pupitre)
file(GLOB man_pages ${PROJECT_SOURCE_DIR}/docs/man/*.1)
install(FILES ${man_pages} DESTINATION ${PUPITRE_PREFIX}/share/man/man1 COMPONENT pupitre)
# Examples for an administrator to copy; nothing reads them here.
file(GLOB units ${PROJECT_SOURCE_DIR}/packaging/systemd/*.service)
install(FILES ${units} DESTINATION ${PUPITRE_PREFIX}/share/pupitre/systemd COMPONENT pupitre)
install(FILES ${PROJECT_SOURCE_DIR}/packaging/nursery.toml DESTINATION ${PUPITRE_PREFIX}/share/pupitre
  COMPONENT pupitre)
