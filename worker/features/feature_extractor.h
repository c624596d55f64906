// The features of every instruction of a trace, block by block.
//
// State runs from block to block (stack distances, branch histories, recent
// addresses), so the blocks of one trace go to one extractor in order; how
// the trace is cut into blocks does not change a bit. Memory is bounded by the
// trace's footprint: lines of code and data, static instructions, registers,
// and for the rich schema fixed tables of some MiB.
// The first 51 are byte-identical to the published tool's when printed by
// default stream rules; docs/features.md defines each feature.
//
// Single-threaded; owns its state; the caller owns blocks and features.
//
//   FeatureExtractor extractor(RichFeatureSchema());
//   std::vector<float> features;
//   while (NextBlock(&block)) {
//     features.resize(block.size() * extractor.schema().count());
//     absl::Status status = extractor.Extract(block, features.data());
//     ...
//   }
#ifndef PERFVEC_WORKER_FEATURES_FEATURE_EXTRACTOR_H_
#define PERFVEC_WORKER_FEATURES_FEATURE_EXTRACTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "storage/trace/instruction.h"
#include "worker/features/feature_schema.h"

namespace perfvec::compute {

class FeatureExtractor {
 public:
  explicit FeatureExtractor(
      const FeatureSchema& schema = PublishedFeatureSchema());
  ~FeatureExtractor();
  FeatureExtractor(FeatureExtractor&&) noexcept;
  FeatureExtractor& operator=(FeatureExtractor&&) noexcept;

  const FeatureSchema& schema() const;

  // Writes features[block.size()][schema().count()], row-major, and advances
  // past the block. INVALID_ARGUMENT, state unchanged: the block does not
  // follow the last one (first_instruction), its columns differ in size, a
  // static_index is out of range, or a static instruction has more registers or
  // a higher register class than the features can tell.
  absl::Status Extract(const trace::InstructionBlock& block, float* features);

  // Advances past the block without writing: for a prefix whose features
  // nobody wants. Same errors.
  absl::Status Skip(const trace::InstructionBlock& block);

  // Instructions extracted or skipped so far.
  uint64_t position() const;
  // Bytes of state: grows with the footprint only.
  size_t memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_FEATURE_EXTRACTOR_H_
