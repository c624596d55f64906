#include "storage/trace/check.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "storage/trace/indexed_trace.h"
#include "storage/trace/reader.h"

namespace perfvec::trace {
namespace {

void Count(const InstructionBlock& block, TraceContents* contents) {
  std::vector<uint32_t> executed(block.statics.size());
  for (size_t i = 0; i < block.size(); ++i) {
    ++executed[block.static_index[i]];
    contents->taken_branches += block.taken[i];
  }
  for (size_t i = 0; i < executed.size(); ++i) {
    const StaticInstruction& s = block.statics[i];
    const auto with = [&](uint32_t flags) {
      return (s.flags & flags) != 0 ? executed[i] : 0;
    };
    contents->loads += s.op_class == kLoadOpClass ? executed[i] : 0;
    contents->stores += s.op_class == kStoreOpClass ? executed[i] : 0;
    contents->with_address += with(kHasAddress);
    contents->branches += with(kConditionalBranch | kUnconditionalBranch);
    contents->conditional_branches += with(kConditionalBranch);
    contents->micro_operations += with(kMicroOp);
    contents->faults += with(kFault);
    contents->placeholders += with(kPlaceholder);
  }
  contents->most_statics_in_a_chunk = std::max<uint32_t>(
      contents->most_statics_in_a_chunk, block.statics.size());
}

}  // namespace

absl::StatusOr<TraceContents> CheckTrace(std::unique_ptr<ByteSource> source,
                                         const TraceProgress& progress) {
  auto reader = TraceReader::Open(std::move(source));
  if (!reader.ok()) return reader.status();
  TraceContents contents;
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    Count(chunk.block, &contents);
    if (progress) {
      progress((*reader)->position_bytes(), (*reader)->source().total_bytes());
    }
  }
  contents.info.header = (*reader)->header();
  contents.info.index = (*reader)->index();
  contents.info.file_bytes = (*reader)->position_bytes();
  return contents;
}

absl::StatusOr<TraceInfo> ReadTraceInfo(const std::string& path) {
  struct stat st {};
  if (path != "-" && ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
    auto trace = IndexedTrace::Open(path);
    if (!trace.ok()) return trace.status();
    return TraceInfo{(*trace)->header(), (*trace)->index(),
                     (*trace)->file_bytes()};
  }
  auto source = OpenFileSource(path);
  if (!source.ok()) return source.status();
  absl::StatusOr<TraceContents> contents = CheckTrace(*std::move(source));
  if (!contents.ok()) return contents.status();
  return contents->info;
}

}  // namespace perfvec::trace
