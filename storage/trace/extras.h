// What a trace of version 2 tells beside its instructions: which files the
// program's code came from and what its functions are called, and how much of
// the whole execution each interval stands for.
//
//   TraceExtras extras;
//   extras.files.push_back({0x400000, 0x4a0000, 0, "/usr/bin/sort"});
//   extras.functions.push_back({0x4006c0, 132, "main"});
//   status = writer->SetExtras(std::move(extras));
//
//   const FunctionSymbol* f = extras.FunctionAt(pc);   // nullptr: not known
//
// Plain data. Kept in the index in sections with a tag and a length, so that
// a reader passes over what it does not know.
#ifndef PERFVEC_STORAGE_TRACE_EXTRAS_H_
#define PERFVEC_STORAGE_TRACE_EXTRAS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace perfvec::trace {

inline constexpr uint32_t kMaxExtras = 64;       // sections
inline constexpr uint32_t kMaxNameBytes = 4096;  // of a path or a function

// A file whose code lay in memory at [begin, end), moved by `bias` from the
// addresses that the file itself gives.
struct LoadedFile {
  uint64_t begin = 0, end = 0;
  uint64_t bias = 0;
  std::string path;
};

struct FunctionSymbol {
  uint64_t address = 0;  // as the program ran
  uint64_t bytes = 0;    // 0: not known
  std::string name;
};

struct TraceExtras {
  std::vector<LoadedFile> files;          // by begin; they do not overlap
  std::vector<FunctionSymbol> functions;  // by address, none twice
  // One for each interval mark, or none: which share of the whole execution
  // the interval stands for (0 to 1, together about 1), and how many
  // instructions that execution has.
  std::vector<double> weights;
  uint64_t whole_instructions = 0;

  bool empty() const {
    return files.empty() && functions.empty() && weights.empty();
  }
  // The function or file that holds `pc`; nullptr: none is known.
  const FunctionSymbol* FunctionAt(uint64_t pc) const;
  const LoadedFile* FileAt(uint64_t pc) const;
};

// InvalidArgument: what does not keep to the orders and bounds above.
absl::Status CheckExtras(const TraceExtras& extras, size_t marks);

// As they stand in the index, behind the marks.
void EncodeExtras(const TraceExtras& extras, std::string* out);
// DataLoss if `bytes`, which holds nothing else, is not what EncodeExtras
// gives, save sections with other tags.
absl::Status ParseExtras(absl::string_view bytes, size_t marks,
                         TraceExtras* extras);

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_EXTRAS_H_
