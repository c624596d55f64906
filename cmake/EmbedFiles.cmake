# Writes a C++ file with the bytes of some files, for server/http/web_files.h.
#
#   cmake -DOUTPUT=web_files.cc "-DFILES=a/index.html;a/app.js"
#     -P EmbedFiles.cmake
set(types_html "text/html; charset=utf-8")
set(types_js "text/javascript; charset=utf-8")
set(types_css "text/css; charset=utf-8")
set(types_svg "image/svg+xml")

set(arrays "")
set(rows "")
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME)
  get_filename_component(extension "${file}" LAST_EXT)
  string(SUBSTRING "${extension}" 1 -1 extension)
  if(NOT DEFINED types_${extension})
    message(FATAL_ERROR "${file}: EmbedFiles.cmake knows no type for it")
  endif()
  set(path "/${name}")
  if(name STREQUAL "index.html")
    set(path "/")
  endif()
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(................................................................................)"
    "\\1\n" bytes "${bytes}")
  string(APPEND arrays
    "constexpr unsigned char kFile${number}[] = {\n${bytes}};\n")
  string(APPEND rows
    "    {\"${path}\", \"${types_${extension}}\", View(kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}" "// Made by cmake/EmbedFiles.cmake from server/web/.
#include \"server/http/web_files.h\"

#include <cstddef>

namespace perfvec::server::http {
namespace {

${arrays}
template <size_t N>
absl::string_view View(const unsigned char (&bytes)[N]) {
  return {reinterpret_cast<const char*>(bytes), N};
}

}  // namespace

const WebFile* FindWebFile(absl::string_view path) {
  static const WebFile kFiles[] = {
${rows}  };
  for (const WebFile& file : kFiles) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace perfvec::server::http
")
