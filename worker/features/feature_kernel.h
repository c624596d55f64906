// The loop that turns a block into features, for feature_extractor.cc.
//
// A template over the stack distance structure, because tests/bench runs the
// same loop over its rivals: Stacks has the interface of StackDistances. The
// caller has checked the block. Single-threaded; the caller owns everything.
//
//   FeatureKernel<StackDistances> kernel;
//   kernel.Run<true>(block, features);
#ifndef PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_
#define PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/attributes.h"
#include "storage/trace/instruction.h"
#include "worker/features/branch_history.h"
#include "worker/features/feature_schema.h"
#include "worker/features/line_table.h"
#include "worker/features/reuse_window.h"

namespace perfvec::compute {

// (class + 1, index + 1) of each register, 0 where absent. A Register is read
// as one word, for compilers to make vectors of it.
template <size_t kCount>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void FillRegisters(
    const std::array<trace::Register, kCount>& registers, int count,
    float* row) {
  static_assert(sizeof(trace::Register) == 4 &&
                offsetof(trace::Register, register_class) == 0 &&
                offsetof(trace::Register, index) == 2 &&
                __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  std::array<int32_t, kCount> words;
  std::memcpy(words.data(), registers.data(), sizeof(words));
  for (int i = 0; i < static_cast<int>(kCount); ++i) {
    const int32_t present = i < count ? -1 : 0;
    const int32_t word = words[i];
    row[2 * i] = static_cast<float>(((word & 0xff) + 1) & present);
    row[2 * i + 1] = static_cast<float>(((word >> 16 & 0xffff) + 1) & present);
  }
}

// All of a row that does not depend on the execution. Fixed-length loops over
// flag bits and registers, because a block of varied code has a static
// instruction for every few executed.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void FillRow(
    const trace::StaticInstruction& s, float* row) {
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
  FillRegisters(s.sources, s.source_count, row + kFeatureSources);
  FillRegisters(s.destinations, s.destination_count,
                row + kFeatureDestinations);
}

template <typename Stacks>
class FeatureKernel {
 public:
  // The features of a block; without kWrite only the state advances.
  template <bool kWrite>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Run(const trace::InstructionBlock& block,
                                        float* features) {
    Run<kWrite, kFeatureCount>(block, features, [](size_t, size_t) {});
  }

  // In rows of kStride floats; after_slice(begin, end) is called while those
  // rows are in the cache.
  template <bool kWrite, size_t kStride, typename Function>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Run(const trace::InstructionBlock& block,
                                        float* features, Function after_slice) {
    const size_t n = block.size();
    // Rows are laid out once for each static instruction and copied, unless
    // most would be copied once or twice.
    const bool copy = kWrite && block.statics.size() < n / 4;
    Prepare(block, copy);
    for (size_t begin = 0; begin < n; begin += kSlice) {
      const size_t end = std::min(n, begin + kSlice);
      if (data_.large()) {
        RunSlice<kWrite, true, kStride>(block, begin, end, copy, features);
      } else {
        RunSlice<kWrite, false, kStride>(block, begin, end, copy, features);
      }
      after_slice(begin, end);
    }
    position_ += n;
  }

  uint64_t position() const { return position_; }
  size_t memory_bytes() const {
    return sizeof(*this) + fetch_.memory_bytes() + data_.memory_bytes() +
           branch_of_pc_.memory_bytes() +
           branches_.capacity() * sizeof(BranchHistory);
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

  // Learns the block's static instructions; `rows`: their rows too.
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Prepare(
      const trace::InstructionBlock& block, bool rows) {
    const size_t count = block.statics.size();
    fetch_.Reserve(count);
    statics_.resize(count);
    if (rows) rows_.resize(count * kFeatureCount);
    uint64_t line = ~uint64_t{0};
    Entry* entry = nullptr;
    for (size_t i = 0; i < count; ++i) {
      const trace::StaticInstruction& s = block.statics[i];
      StaticState& state = statics_[i];
      if (s.pc >> kLineBytesLog2 != line) {  // most stand beside the last one
        line = s.pc >> kLineBytesLog2;
        entry = fetch_.Find(line);
      }
      state.fetch_entry = entry;
      state.branch = kNoBranch;
      if ((s.flags & trace::kConditionalBranch) != 0) {
        uint32_t& number = branch_of_pc_.Find(s.pc)->slot[0];
        if (number == 0) {
          branches_.emplace_back();
          number = static_cast<uint32_t>(branches_.size());
        }
        state.branch = number - 1;
      }
      state.has_address = (s.flags & trace::kHasAddress) != 0;
      state.recorded =
          s.op_class == trace::kLoadOpClass ? kLoadStack : kStoreStack;
      if (rows) FillRow(s, &rows_[i * kFeatureCount]);
    }
  }

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

  template <bool kWrite, bool kAhead, size_t kStride>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void RunSlice(
      const trace::InstructionBlock& block, size_t begin, size_t end, bool copy,
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
      float* row = features + i * kStride;
      if (kWrite) {
        if (copy) {
          std::memcpy(row, &rows_[index * kFeatureCount],
                      kFeatureCount * sizeof(float));
        } else {
          FillRow(block.statics[index], row);
        }
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
  LineTable branch_of_pc_;  // slot[0]: 1 + the position in branches_
  std::vector<BranchHistory> branches_;

  // Of the block at hand.
  std::vector<StaticState> statics_;
  std::vector<float> rows_;  // [statics][51]
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_FEATURE_KERNEL_H_
