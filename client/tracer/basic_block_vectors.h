// Basic-block vectors: how often each block ran in each interval of an
// execution, by which intervals that are alike are found. Written and read in
// SimPoint's format: a line for each interval,
//
//   T:1:45 :7:1200 :12:90
//
// block number (from 1) and executions times instructions of the block.
//
//   auto vectors = BlockVectorWriter::Create("sort.bbv", 1000000);
//   (*vectors)->Add(block, 5, 6);     // whenever the block runs
//   status = (*vectors)->Finish();
//
// One thread.
#ifndef PERFVEC_CLIENT_TRACER_BASIC_BLOCK_VECTORS_H_
#define PERFVEC_CLIENT_TRACER_BASIC_BLOCK_VECTORS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::tracer {

class BlockVectorWriter {
 public:
  // Intervals are of `interval` micro-operations; a block belongs to that in
  // which it begins.
  static absl::StatusOr<std::unique_ptr<BlockVectorWriter>> Create(
      const std::string& path, uint64_t interval);

  // Block number `block` (from 0) runs.
  void Add(uint32_t block, uint32_t instructions, uint32_t operations) {
    if (position_ >= end_) NextInterval();
    if (block >= counts_.size()) counts_.resize(block + 1);
    if (counts_[block] == 0) touched_.push_back(block);
    counts_[block] += instructions;
    position_ += operations;
  }

  // The last interval, however short, and the end of the file.
  absl::Status Finish();
  uint64_t intervals() const { return intervals_; }

 private:
  BlockVectorWriter(std::unique_ptr<trace::ByteSink> sink, uint64_t interval)
      : sink_(std::move(sink)), interval_(interval), end_(interval) {}
  void NextInterval();
  void WriteLine();

  const std::unique_ptr<trace::ByteSink> sink_;
  const uint64_t interval_;
  uint64_t end_;
  uint64_t position_ = 0;
  uint64_t intervals_ = 0;
  std::vector<uint64_t> counts_;   // of the interval
  std::vector<uint32_t> touched_;  // blocks with a count
  absl::Status status_;
};

// One interval: block number and count, in no order.
using BlockVector = std::vector<std::pair<uint64_t, double>>;

// Reads such a file, also SimPoint's own tools'. InvalidArgument names the
// line; lines that do not begin with T are passed over.
absl::StatusOr<std::vector<BlockVector>> ReadBlockVectors(
    const std::string& path);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_BASIC_BLOCK_VECTORS_H_
