# Stands in for vcpkg, which can't be had everywhere: runs a port with the few functions of vcpkg's that it uses, as
# vcpkg's documentation describes them.
#
#     cmake -DPORT=FOLDER -DCURRENT_PACKAGES_DIR=FOLDER -DVCPKG_TARGET_ARCHITECTURE=x64 [-DVCPKG_TARGET_IS_WINDOWS=ON]
#         -P vcpkg.cmake
cmake_minimum_required(VERSION 3.18)

set(CURRENT_BUILDTREES_DIR "${CURRENT_PACKAGES_DIR}.buildtrees")
get_filename_component(PORT_NAME "${PORT}" NAME)

function(vcpkg_check_linkage)
  cmake_parse_arguments(PARSE_ARGV 0 arg "ONLY_DYNAMIC_LIBRARY" "" "")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "vcpkg_check_linkage does not know ${arg_UNPARSED_ARGUMENTS}")
  endif()
endfunction()

function(vcpkg_download_distfile result)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FILENAME;SHA512" "URLS")
  if(NOT arg_URLS OR NOT arg_FILENAME OR NOT arg_SHA512 MATCHES "^[0-9a-f]+$")
    message(FATAL_ERROR "vcpkg_download_distfile wants URLS, FILENAME and SHA512")
  endif()
  set(file "${CURRENT_BUILDTREES_DIR}/downloads/${arg_FILENAME}")
  file(DOWNLOAD "${arg_URLS}" "${file}" EXPECTED_HASH "SHA512=${arg_SHA512}" STATUS status)
  list(POP_FRONT status code)
  if(code)
    message(FATAL_ERROR "${arg_URLS}: ${status}")
  endif()
  set(${result} "${file}" PARENT_SCOPE)
endfunction()

function(vcpkg_extract_source_archive result)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ARCHIVE" "")
  set(folder "${CURRENT_BUILDTREES_DIR}/src")
  file(ARCHIVE_EXTRACT INPUT "${arg_ARCHIVE}" DESTINATION "${folder}")
  # The one folder at the top is taken away.
  file(GLOB inside "${folder}/*")
  list(LENGTH inside count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "${arg_ARCHIVE} has ${count} folders at its top")
  endif()
  set(${result} "${inside}" PARENT_SCOPE)
endfunction()

function(vcpkg_replace_string file from to)
  file(READ "${file}" text)
  string(REPLACE "${from}" "${to}" changed "${text}")
  if(changed STREQUAL text)
    message(FATAL_ERROR "${file} has nothing to replace: ${from}")
  endif()
  file(WRITE "${file}" "${changed}")
endfunction()

function(vcpkg_fixup_pkgconfig)
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  foreach(file IN LISTS arg_FILE_LIST)
    file(READ "${file}" text)
    file(APPEND "${CURRENT_PACKAGES_DIR}/share/${PORT_NAME}/copyright" "${text}")
  endforeach()
endfunction()

include("${PORT}/portfile.cmake")

# What vcpkg itself looks at after a port has run.
foreach(file IN ITEMS "share/${PORT_NAME}/copyright" "share/${PORT_NAME}/usage" include)
  if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/${file}")
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
if(EXISTS "${CURRENT_PACKAGES_DIR}/debug/include" OR EXISTS "${CURRENT_PACKAGES_DIR}/lib/cmake")
  message(FATAL_ERROR "vcpkg wants no debug/include and no lib/cmake")
endif()
