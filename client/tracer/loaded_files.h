// The files that a running program's code came from: itself, its loader, its
// shared libraries, with where each lies in memory.
//
//   LoadedFiles files;
//   files.AddAtStart(pid, {"/bin/sort", "/lib/ld-linux-aarch64.so.1"});
//   files.AddMapped({0x7f00000000, 0x20000, 0, "/lib/libc.so.6"});
//   absl::StatusOr<uint64_t> pc = files.Symbol("qsort");
//   files.Describe(block_addresses, &extras);
//
// One thread. Holds the files' bytes; what cannot be read is left out.
#ifndef PERFVEC_CLIENT_TRACER_LOADED_FILES_H_
#define PERFVEC_CLIENT_TRACER_LOADED_FILES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/tracer/elf_file.h"
#include "storage/trace/extras.h"

namespace perfvec::tracer {

// Part of a file that the program mapped to run code from.
struct MappedFile {
  uint64_t address = 0;
  uint64_t bytes = 0;
  uint64_t offset = 0;  // in the file
  std::string path;
};

class LoadedFiles {
 public:
  // Those of `paths` that the process has mapped when it begins to run.
  void AddAtStart(pid_t pid, const std::vector<std::string>& paths);
  void AddMapped(const MappedFile& mapped);

  // Where a function lies, in the file loaded first that has it; NotFound.
  absl::StatusOr<uint64_t> Symbol(const std::string& name) const;

  // Sets the files, and the functions that hold one of the addresses in
  // `code`, which is in order.
  void Describe(const std::vector<uint64_t>& code,
                trace::TraceExtras* extras) const;

 private:
  struct File {
    ElfFile elf;
    trace::LoadedFile place;
  };
  std::vector<File> files_;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_LOADED_FILES_H_
