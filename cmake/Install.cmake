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
install(TARGETS pupitre-worker RUNTIME DESTINATION ${PUPITRE_PREFIX}/libexec/pupitre COMPONENT pupitre)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernelspec/ DESTINATION ${PUPITRE_PREFIX}/share/jupyter/kernels/pupitre
  COMPONENT pupitre)
install(FILES ${PROJECT_SOURCE_DIR}/docs/man/pupitre-kernel.1 DESTINATION ${PUPITRE_PREFIX}/share/man/man1
  COMPONENT pupitre)
