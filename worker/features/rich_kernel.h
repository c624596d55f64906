// The loop behind the rich features, for feature_extractor.cc.
//
// Runs after FeatureKernel over the same instructions and fills the rest of
// each row.
// The caller has checked the block. Single-threaded; the caller owns the
// features. Memory is bounded by the footprint (lines, pages, static
// instructions, registers) plus fixed tables of 5.4 MiB.
//
//   RichKernel kernel(/*cores=*/true);
//   kernel.Prepare(block);
//   kernel.Run<true, kCoresFeatureCount>(block, 0, n, features);
#ifndef PERFVEC_WORKER_FEATURES_RICH_KERNEL_H_
#define PERFVEC_WORKER_FEATURES_RICH_KERNEL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/attributes.h"
#include "storage/trace/instruction.h"
#include "worker/features/branch_predictors.h"
#include "worker/features/index_table.h"
#include "worker/features/reference_cores.h"
#include "worker/features/reference_machines.h"
#include "worker/features/rich_schema.h"
#include "worker/features/set_stacks.h"
#include "worker/features/stack_distance.h"
#include "worker/features/store_window.h"

namespace perfvec::compute {

class RichKernel {
 public:
  // With `cores` the rows go on with the reference cores' growth.
  explicit RichKernel(bool cores)
      : cores_(cores ? std::make_unique<ReferenceCores>() : nullptr) {}

  // Learns the block's static instructions, before its first Run().
  void Prepare(const trace::InstructionBlock& block);

  // Instructions [begin, end) of the block; features are the whole block's.
  // Without kWrite only the state advances.
  template <bool kWrite, int kRowSize>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Run(const trace::InstructionBlock& block,
                                        size_t begin, size_t end,
                                        float* features) {
    for (size_t i = begin; i < end; ++i) {
      RunOne<kWrite>(block, i, features + i * kRowSize);
    }
  }

  bool with_cores() const { return cores_ != nullptr; }
  size_t memory_bytes() const;

 private:
  using Levels = ReferenceMachines::Levels;

  // Of one static instruction, for the whole trace.
  struct Site {
    uint64_t executed = 0;  // 1 + the position it last executed at
    uint64_t target = 0;    // 1 + where it last led to when taken
    uint64_t address = 0;   // it last accessed
    uint64_t stride = 0;    // its last, modulo 2^64
    uint8_t accesses = 0;   // 2: that or more
    uint8_t stride_repeats = 0;
    DirectionState direction;
  };

  // Of one static instruction, for the block at hand.
  struct StaticState {
    uint32_t site;
    uint32_t access_bytes;
    uint64_t pc;
    int latency;  // quarter cycles
    uint8_t source_count;
    uint8_t destination_count;
    uint8_t integer_destinations, vector_destinations;
    int op_class;
    bool load, store, conditional, indirect, call, returns;
    bool serialize_before, serialize_after;
    bool non_speculative, exclusive, barrier;
    std::array<uint32_t, trace::kMaxSourceRegisters> sources;
    std::array<uint32_t, trace::kMaxDestinationRegisters> destinations;
  };

  // The last writer of a register.
  struct Writer {
    uint64_t written = 0;  // 1 + its position
    bool load = false;
  };

  StaticState MakeStatic(const trace::StaticInstruction& s);
  // The number of a register that can be waited for, or kNone.
  uint32_t RegisterNumber(trace::Register r);

  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void RunOne(const trace::InstructionBlock& block,
                                           size_t i, float* row);
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Producers(const StaticState& s, float* row);
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE bool Control(const StaticState& s, bool taken,
                                            float* row);
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Fetch(uint64_t pc, float* row,
                                          Levels* levels);
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Data(const StaticState& s, uint64_t address,
                                         float* row, Levels* levels);
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Strides(Site* site, uint64_t address,
                                            float* row);

  uint64_t position_ = 0;
  std::vector<StaticState> statics_;  // of the block at hand

  IndexTable site_of_;  // by a hash of the static instruction
  std::vector<Site> sites_;
  IndexTable register_of_;
  std::vector<Writer> writers_;  // by register
  StoreWindow store_window_;
  ReferenceMachines machines_;
  std::unique_ptr<ReferenceCores> cores_;  // null: not asked for
  ReferenceCores::Step core_step_;         // filled on the way
  BranchPredictors predictors_;

  // Stack 0: data lines (pages); stack 1: data and fetched lines (pages
  // fetched).
  StackDistances lines_;
  StackDistances pages_;
  SetStacks<64> data_64_, fetch_64_;
  SetStacks<256> data_256_;
  SetStacks<1024> unified_1024_;
  // 1 + the position of the last data access to each line, in groups of 8.
  IndexTable group_of_;
  std::vector<std::array<uint64_t, 8>> touched_;

  // Of the instruction before.
  bool after_taken_ = false;
  bool serialize_after_ = false;
  // Of ReferenceCores::Step: what the direction predictors said.
  bool direction_wrong_[ReferenceCores::kPredictors] = {};
  uint64_t pc_ = 0;
  uint32_t site_ = 0;
  bool indirect_ = false, returned_ = false;

  uint64_t fetched_line_ = ~uint64_t{0};
  uint64_t far_load_ = 0;  // 1 + position of the last
  // One bit for each instruction before, the last in bit 0.
  uint64_t loads_ = 0, stores_ = 0, near_misses_ = 0, far_misses_ = 0;
  uint64_t taken_ = 0;
};

}  // namespace perfvec::compute

#include "worker/features/rich_kernel_inl.h"  // IWYU pragma: export

#endif  // PERFVEC_WORKER_FEATURES_RICH_KERNEL_H_
