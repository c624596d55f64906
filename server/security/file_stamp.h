// What changes when a file does, without reading it: for watching files.
#ifndef PERFVEC_SERVER_SECURITY_FILE_STAMP_H_
#define PERFVEC_SERVER_SECURITY_FILE_STAMP_H_

#include <sys/stat.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace perfvec::server {

// "": there is no such file.
inline std::string FileStamp(const std::string& path) {
  struct stat s;
  if (path.empty() || stat(path.c_str(), &s) != 0) return "";
  return absl::StrCat(s.st_dev, ".", s.st_ino, ".", s.st_size, ".",
                      s.st_mtim.tv_sec, ".", s.st_mtim.tv_nsec);
}

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_FILE_STAMP_H_
