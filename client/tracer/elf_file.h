// What a tracer must know of an ELF program: whether it can be traced, where
// its parts lie, what its functions are called.
//
//   auto program = ElfFile::Read("a.out");
//   if (!program.ok()) ...              // names file, expected and found
//   absl::StatusOr<uint64_t> pc = program->Symbol("main");
//
// Plain data once read; every length in the file is checked.
#ifndef PERFVEC_CLIENT_TRACER_ELF_FILE_H_
#define PERFVEC_CLIENT_TRACER_ELF_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/tracer/first_touch.h"
#include "storage/trace/extras.h"

namespace perfvec::tracer {

class ElfFile {
 public:
  // InvalidArgument: no 64-bit little-endian AArch64 program.
  static absl::StatusOr<ElfFile> Read(const std::string& path);

  // Its segments lie where the file says, not where the loader finds room.
  bool fixed_address() const { return fixed_address_; }
  // Its dynamic loader; empty for a static program.
  const std::string& interpreter() const { return interpreter_; }
  // The segments, moved by `bias`.
  void AddMapped(uint64_t bias, FirstTouch* pages) const;
  // The address of a function in the file; NotFound.
  absl::StatusOr<uint64_t> Symbol(const std::string& name) const;
  // All that it defines, in no order, with addresses in the file.
  std::vector<trace::FunctionSymbol> Functions() const;
  // From the first byte of its segments to behind the last.
  void Extent(uint64_t* begin, uint64_t* end) const;
  // Where a byte of the file lies, by its segments.
  std::optional<uint64_t> AddressOfOffset(uint64_t offset) const;
  // The instruction word at an address in the file; 0 where there is none.
  uint32_t WordAt(uint64_t address) const;

 private:
  // Calls use(symbol, name) until it gives false; false if there is no table.
  template <typename Use>
  bool ForEachSymbol(Use use) const;

  struct Segment {
    uint64_t address, memory_bytes, offset, file_bytes;
  };

  std::string path_;
  std::string bytes_;
  bool fixed_address_ = true;
  std::string interpreter_;
  std::vector<Segment> segments_;
};

// The file that `program` names as a shell would find it: itself if it has a
// slash, else in PATH. NotFound.
absl::StatusOr<std::string> FindProgram(const std::string& program);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_ELF_FILE_H_
