#include "client/tracer/basic_block_vectors.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::tracer {
namespace {

constexpr size_t kMostIntervals = 1 << 22;

}  // namespace

absl::StatusOr<std::unique_ptr<BlockVectorWriter>> BlockVectorWriter::Create(
    const std::string& path, uint64_t interval) {
  if (interval == 0) {
    return absl::InvalidArgumentError("an interval of no instructions");
  }
  auto sink = trace::CreateFileSink(path);
  if (!sink.ok()) return sink.status();
  return std::unique_ptr<BlockVectorWriter>(
      new BlockVectorWriter(*std::move(sink), interval));
}

void BlockVectorWriter::NextInterval() {
  WriteLine();
  // A block may be longer than an interval: that one has no line of its own
  // blocks, but it has a line, so that the lines' numbers stay positions.
  for (end_ += interval_; position_ >= end_; end_ += interval_) WriteLine();
}

void BlockVectorWriter::WriteLine() {
  std::sort(touched_.begin(), touched_.end());
  std::string line = "T";
  for (const uint32_t block : touched_) {
    absl::StrAppend(&line, ":", block + 1, ":", counts_[block], " ");
    counts_[block] = 0;
  }
  touched_.clear();
  line += "\n";
  if (status_.ok()) status_ = sink_->Write(line);
  ++intervals_;
}

absl::Status BlockVectorWriter::Finish() {
  if (!touched_.empty()) WriteLine();
  if (status_.ok()) status_ = sink_->Close();
  return status_;
}

absl::StatusOr<std::vector<BlockVector>> ReadBlockVectors(
    const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  std::vector<BlockVector> vectors;
  std::string line;
  for (uint64_t number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] != 'T') continue;
    BlockVector vector;
    const absl::string_view entries = absl::string_view(line).substr(1);
    for (const absl::string_view entry :
         absl::StrSplit(entries, absl::ByAnyChar(" \t\r"), absl::SkipEmpty())) {
      const std::vector<absl::string_view> parts = absl::StrSplit(entry, ':');
      uint64_t block;
      double count;
      if (parts.size() != 3 || !parts[0].empty() ||
          !absl::SimpleAtoi(parts[1], &block) ||
          !absl::SimpleAtod(parts[2], &count) || !std::isfinite(count) ||
          count < 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ", line ", number,
                         ": expected T:BLOCK:COUNT :BLOCK:COUNT ..., found '",
                         entry.substr(0, 40), "'"));
      }
      vector.emplace_back(block, count);
    }
    if (vectors.size() == kMostIntervals) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": more than ", kMostIntervals,
                       " intervals; make them longer"));
    }
    vectors.push_back(std::move(vector));
  }
  if (vectors.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no basic-block vector (T:...) is in it"));
  }
  return vectors;
}

}  // namespace perfvec::tracer
