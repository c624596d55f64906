// The loop that turns a block into features, for feature_extractor.cc.
//
// A template over the stack distance structure, because tests/bench runs the
// same loop over its rivals: Stacks has the interface of StackDistances. The
// caller has checked the block. Single-threaded; the caller owns everything.
//
//   FeatureKernel<StackDistances> kernel;
//   kernel.Prepare(block, /*write=*/true);
//   kernel.Run<true>(block, features);
#ifndef PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_
#define PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "storage/trace/instruction.h"
#include "worker/features/branch_history.h"
#include "worker/features/feature_schema.h"
#include "worker/features/reuse_window.h"

namespace perfvec::compute {

// All of a row that does not depend on the execution. Written as fixed-length
// loops over the flag bits and registers, which compilers turn into vectors: a
// block of varied code has a static instruction for every ten executed.
inline void FillRow(const trace::StaticInstruction& s, float* row) {
  auto flag = [&s](uint32_t bit) {
    return static_cast<float>((s.flags & bit) != 0);
  };
  row[kFeatureFault] = flag(trace::kFault);
  row[kFeatureOperation] = static_cast<float>(s.op_class + 1);
  row[kFeatureStore] = static_cast<float>(
      (s.flags & (trace::kHasStoreQueueIndex | trace::kStoreConditional |
                  trace::kAtomic)) == trace::kHasStoreQueueIndex);
  row[kFeatureLoad] = static_cast<float>(s.op_class == trace::kLoadOpClass);
  // Features 4 to 10 are seven flags in their order.
  static_assert(trace::kMicroOp == 1u << 2 &&
                trace::kSerializeBefore == 1u << 8 &&
                kFeatureSerializeBefore - kFeatureMicroOp == 6);
  for (int i = 0; i < 7; ++i) {
    row[kFeatureMicroOp + i] = static_cast<float>((s.flags >> (2 + i)) & 1);
  }
  row[kFeatureExclusive] =
      flag(trace::kStoreConditional) + 2 * flag(trace::kAtomic);
  row[kFeatureReadBarrier] = flag(trace::kReadBarrier);
  row[kFeatureWriteBarrier] = flag(trace::kWriteBarrier);
  row[kFeatureNonSpeculative] = flag(trace::kNonSpeculative);
  for (int i = kFeatureTaken; i < kFeatureSources; ++i) row[i] = 0;
  row[kFeatureFetchDistance] = 1;  // most follow another of their line
  row[kFeatureHasAddress] = flag(trace::kHasAddress);
  for (int i = 0; i < trace::kMaxSourceRegisters; ++i) {
    const int present = i < s.source_count;
    const trace::Register r = s.sources[i];
    row[kFeatureSources + 2 * i] =
        static_cast<float>(present * (r.register_class + 1));
    row[kFeatureSources + 2 * i + 1] =
        static_cast<float>(present * (r.index + 1));
  }
  for (int i = 0; i < trace::kMaxDestinationRegisters; ++i) {
    const int present = i < s.destination_count;
    const trace::Register r = s.destinations[i];
    row[kFeatureDestinations + 2 * i] =
        static_cast<float>(present * (r.register_class + 1));
    row[kFeatureDestinations + 2 * i + 1] =
        static_cast<float>(present * (r.index + 1));
  }
}

template <typename Stacks>
class FeatureKernel {
 public:
  // Learns the block's static instructions; `write`: their rows too.
  void Prepare(const trace::InstructionBlock& block, bool write);

  // The features of a prepared block; without kWrite only the state advances.
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Run(const trace::InstructionBlock& block,
                                        float* features) {
    const size_t n = block.size();
    for (size_t begin = 0; begin < n; begin += kSlice) {
      const size_t end = std::min(n, begin + kSlice);
      if (data_.large()) {
        RunSlice<kWrite, true>(block, begin, end, features);
      } else {
        RunSlice<kWrite, false>(block, begin, end, features);
      }
    }
    position_ += n;
  }

  uint64_t position() const { return position_; }
  size_t memory_bytes() const {
    // Hash nodes of the branch map: key, value, link, bucket.
    return sizeof(*this) + fetch_.memory_bytes() + data_.memory_bytes() +
           branches_.capacity() * sizeof(BranchHistory) +
           branch_of_pc_.size() * 40;
  }

 private:
  using Entry = typename Stacks::Entry;

  static constexpr int kLoadStack = 0;
  static constexpr int kStoreStack = 1;
  static constexpr uint32_t kNoBranch = ~uint32_t{0};
  // Instructions whose data lines are asked for ahead of their use: few
  // enough for the first cache to hold what they ask for.
  static constexpr size_t kSlice = 512;

  // What the loop needs of a static instruction beside its row.
  struct StaticState {
    Entry* fetch_entry;  // its line's
    uint32_t branch;     // its history, or kNoBranch
    bool has_address;
    uint8_t recorded;  // the stack that its data access is recorded in
  };

  // The entries of the data lines of a slice, in order.
  ABSL_ATTRIBUTE_ALWAYS_INLINE void FindAhead(
      const trace::InstructionBlock& block, size_t begin, size_t end,
      Entry** entries) {
    uint64_t lines[kSlice];
    size_t count = 0;
    for (size_t i = begin; i < end; ++i) {
      lines[count] = block.address[i] >> kLineBytesLog2;
      count += statics_[block.static_index[i]].has_address;
    }
    for (size_t i = 0; i < count; ++i) data_.Prefetch(lines[i]);
    data_.Reserve(count);
    for (size_t i = 0; i < count; ++i) {
      entries[i] = data_.Find(lines[i]);
      data_.PrefetchSlots(*entries[i]);
    }
  }

  template <bool kWrite, bool kAhead>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void RunSlice(
      const trace::InstructionBlock& block, size_t begin, size_t end,
      float* features) {
    Entry* ahead[kSlice];
    Entry** next_entry = ahead;
    if (kAhead) FindAhead(block, begin, end, ahead);
    Entry* last_fetch_entry = nullptr;  // entries move between blocks only
    const std::array<float, 17>& entropies = BranchEntropies();
    for (size_t i = begin; i < end; ++i) {
      const size_t index = block.static_index[i];
      const StaticState& s = statics_[index];
      const bool taken = block.taken[i] != 0;
      float* row = features + i * kFeatureCount;
      if (kWrite) {
        std::memcpy(row, &rows_[index * kFeatureCount],
                    kFeatureCount * sizeof(float));
        row[kFeatureTaken] = static_cast<float>(taken);
      }
      if (s.fetch_entry != last_fetch_entry) {
        last_fetch_entry = s.fetch_entry;
        const uint32_t distance = fetch_.Record(*last_fetch_entry, 0);
        if (kWrite) row[kFeatureFetchDistance] = StackDistanceFeature(distance);
      }
      if (s.branch != kNoBranch) {
        BranchHistory& history = branches_[s.branch];
        if (kWrite) row[kFeatureEntropyBefore] = entropies[history.halves()];
        history.Append(taken);
        if (kWrite) row[kFeatureEntropyAfter] = entropies[history.halves()];
      }
      if (s.has_address) {
        const uint64_t address = block.address[i];
        Entry& entry =
            kAhead ? **next_entry++ : *data_.Find(address >> kLineBytesLog2);
        const int other = 1 - s.recorded;
        if (kWrite) {
          row[kFeatureLoadDistance + other] =
              StackDistanceFeature(data_.Distance(entry, other));
        }
        const uint32_t distance = data_.Record(entry, s.recorded);
        const uint32_t reuse = reuse_.Access(address, position_ + i);
        if (kWrite) {
          row[kFeatureLoadDistance + s.recorded] =
              StackDistanceFeature(distance);
          row[kFeatureReuseInstructions] = static_cast<float>(reuse);
        }
      }
    }
  }

  uint64_t position_ = 0;
  Stacks fetch_;  // stack 0
  Stacks data_;
  ReuseWindow reuse_;
  std::unordered_map<uint64_t, uint32_t> branch_of_pc_;
  std::vector<BranchHistory> branches_;

  // Of the block at hand.
  std::vector<StaticState> statics_;
  std::vector<float> rows_;  // [statics][51]
};

template <typename Stacks>
void FeatureKernel<Stacks>::Prepare(const trace::InstructionBlock& block,
                                    bool write) {
  const size_t count = block.statics.size();
  fetch_.Reserve(count);
  statics_.resize(count);
  if (write) rows_.resize(count * kFeatureCount);
  for (size_t i = 0; i < count; ++i) {
    const trace::StaticInstruction& s = block.statics[i];
    StaticState& state = statics_[i];
    state.fetch_entry = fetch_.Find(s.pc >> kLineBytesLog2);
    state.branch = kNoBranch;
    if ((s.flags & trace::kConditionalBranch) != 0) {
      const auto [it, added] = branch_of_pc_.try_emplace(
          s.pc, static_cast<uint32_t>(branches_.size()));
      if (added) branches_.emplace_back();
      state.branch = it->second;
    }
    state.has_address = (s.flags & trace::kHasAddress) != 0;
    state.recorded =
        s.op_class == trace::kLoadOpClass ? kLoadStack : kStoreStack;
    if (write) FillRow(s, &rows_[i * kFeatureCount]);
  }
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_
