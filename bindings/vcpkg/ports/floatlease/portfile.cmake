# The files of the release's archive, built already.
vcpkg_check_linkage(ONLY_DYNAMIC_LIBRARY)

if(VCPKG_TARGET_IS_WINDOWS)
  set(FLOATLEASE_ARCHIVE "@FILE:x86_64-pc-windows-gnu@")
  set(FLOATLEASE_SHA512 @SHA512:x86_64-pc-windows-gnu@)
elseif(VCPKG_TARGET_ARCHITECTURE STREQUAL "arm64")
  set(FLOATLEASE_ARCHIVE "@FILE:aarch64-unknown-linux-gnu@")
  set(FLOATLEASE_SHA512 @SHA512:aarch64-unknown-linux-gnu@)
else()
  set(FLOATLEASE_ARCHIVE "@FILE:x86_64-unknown-linux-gnu@")
  set(FLOATLEASE_SHA512 @SHA512:x86_64-unknown-linux-gnu@)
endif()

vcpkg_download_distfile(ARCHIVE
  URLS "@URL@/${FLOATLEASE_ARCHIVE}"
  FILENAME "${FLOATLEASE_ARCHIVE}"
  SHA512 ${FLOATLEASE_SHA512})
vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")

file(INSTALL "${SOURCE_PATH}/include" DESTINATION "${CURRENT_PACKAGES_DIR}")

# The same for a debug build: what is inside is optimised either way.
if(VCPKG_TARGET_IS_WINDOWS)
  set(FLOATLEASE_LIBRARIES "${SOURCE_PATH}/lib/floatlease.lib" "${SOURCE_PATH}/lib/libfloatlease.dll.a")
  file(INSTALL "${SOURCE_PATH}/bin/floatlease.dll" DESTINATION "${CURRENT_PACKAGES_DIR}/bin")
  file(INSTALL "${SOURCE_PATH}/bin/floatlease.dll" DESTINATION "${CURRENT_PACKAGES_DIR}/debug/bin")
else()
  set(FLOATLEASE_LIBRARIES "${SOURCE_PATH}/lib/libfloatlease.so" "${SOURCE_PATH}/lib/libfloatlease.so.1")
endif()
file(INSTALL ${FLOATLEASE_LIBRARIES} DESTINATION "${CURRENT_PACKAGES_DIR}/lib")
file(INSTALL ${FLOATLEASE_LIBRARIES} DESTINATION "${CURRENT_PACKAGES_DIR}/debug/lib")
file(INSTALL "${SOURCE_PATH}/lib/pkgconfig" DESTINATION "${CURRENT_PACKAGES_DIR}/lib")
file(INSTALL "${SOURCE_PATH}/lib/pkgconfig" DESTINATION "${CURRENT_PACKAGES_DIR}/debug/lib")
vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/debug/lib/pkgconfig/floatlease.pc"
  "includedir=\${prefix}/include" "includedir=\${prefix}/../include")
vcpkg_fixup_pkgconfig()

# vcpkg keeps the files for CMake one folder higher.
file(INSTALL "${SOURCE_PATH}/lib/cmake/floatlease/" DESTINATION "${CURRENT_PACKAGES_DIR}/share/floatlease")
vcpkg_replace_string("${CURRENT_PACKAGES_DIR}/share/floatlease/floatleaseConfig.cmake"
  "\${CMAKE_CURRENT_LIST_DIR}/../../.." "\${CMAKE_CURRENT_LIST_DIR}/../..")

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/floatlease")
file(INSTALL "${SOURCE_PATH}/sbom.cdx.json" DESTINATION "${CURRENT_PACKAGES_DIR}/share/floatlease")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE" "${SOURCE_PATH}/THIRD-PARTY-NOTICES")
