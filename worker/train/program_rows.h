// One program's training data in compact form: for each instruction its
// features and its latency on every architecture; in memory or in a file that
// is mapped, so that a data set may be larger than memory.
//
// Made once, from front to back:
//
//   ProgramRowsWriter writer(std::move(sink), features, architectures, key);
//   status = writer.Append(features, latency, n);   // any number of times
//   status = writer.Finish();
//   auto rows = ProgramRows::Open(path, key);
//   (*rows)->Features(begin, n, out);               // [n][features]
//
// The writer belongs to one thread; rows are immutable, any thread.
//
// A file is blocks of kBlockRows instructions, an index and a trailer. In a
// block a feature is a column of its own, of the narrowest of four kinds that
// holds it exactly: all the same value, u8, u16, float. Latencies follow by
// rows, u16. The trailer has a checksum over all before it.
#ifndef PERFVEC_WORKER_TRAIN_PROGRAM_ROWS_H_
#define PERFVEC_WORKER_TRAIN_PROGRAM_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/trace/byte_stream.h"

struct XXH3_state_s;

namespace perfvec::train {

class ProgramRowsWriter {
 public:
  // `key` names what the rows were made from; Open asks for it.
  ProgramRowsWriter(std::unique_ptr<trace::ByteSink> sink, int features,
                    int architectures, uint64_t key);
  ~ProgramRowsWriter();
  ProgramRowsWriter(const ProgramRowsWriter&) = delete;
  ProgramRowsWriter& operator=(const ProgramRowsWriter&) = delete;

  // features: [n][features]; latency: [n][architectures] in 0.1 ns.
  absl::Status Append(const float* features, const uint16_t* latency, size_t n);
  // Writes the rest and closes the sink; to be called once, last.
  absl::Status Finish();

 private:
  absl::Status Write(absl::string_view bytes);
  absl::Status WriteBlock();

  const std::unique_ptr<trace::ByteSink> sink_;
  const size_t features_, architectures_;
  const uint64_t key_;
  std::vector<float> block_features_;
  std::vector<uint16_t> block_latency_;
  std::string index_;
  uint64_t instructions_ = 0, position_ = 0;
  XXH3_state_s* const checksum_;
};

class ProgramRows {
 public:
  // Maps the file and checks all of it. NOT_FOUND; DATA_LOSS if it is cut or
  // damaged; FAILED_PRECONDITION if it was made from something else.
  static absl::StatusOr<std::shared_ptr<const ProgramRows>> Open(
      const std::string& path, uint64_t key);
  static absl::StatusOr<std::shared_ptr<const ProgramRows>> FromBytes(
      std::string bytes);
  // From arrays as in Append.
  static absl::StatusOr<std::shared_ptr<const ProgramRows>> FromArrays(
      const std::vector<float>& features, const std::vector<uint16_t>& latency,
      size_t instructions);

  ~ProgramRows();
  ProgramRows(const ProgramRows&) = delete;
  ProgramRows& operator=(const ProgramRows&) = delete;

  size_t instructions() const { return instructions_; }
  size_t features() const { return features_; }
  size_t architectures() const { return architectures_; }

  // Rows begin..begin+n, all of which are there. out: [n][features()].
  void Features(size_t begin, size_t n, float* out) const;
  // out: [n][architectures()].
  void Latency(size_t begin, size_t n, uint16_t* out) const;
  // Σ latency of each architecture over begin..end, 0.1 ns; mostly read from
  // the index.
  std::vector<double> LatencySums(size_t begin, size_t end) const;

 private:
  struct Block {
    uint64_t offset = 0;            // of the block in the file
    std::vector<uint32_t> columns;  // offsets in the block, [features]
    uint32_t latency = 0;           // offset in the block
    std::vector<uint64_t> sums;     // [architectures]
  };

  ProgramRows() = default;
  absl::Status Parse(const std::string& name);
  size_t BlockRows(size_t block) const;
  const uint16_t* LatencyRow(size_t instruction) const;

  std::string bytes_;  // if not mapped
  const char* data_ = nullptr;
  size_t size_ = 0;
  bool mapped_ = false;
  uint64_t key_ = 0;
  size_t instructions_ = 0, features_ = 0, architectures_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_PROGRAM_ROWS_H_
