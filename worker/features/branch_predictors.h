// Reference branch predictors, far larger than any real one, so that what they
// miss is hard to predict rather than out of room.
//
// Directions: two-bit counters, starting weakly not taken, indexed by the
// branch alone (bimodal), by a hash of the branch and the last 8, 16 or 32
// outcomes of all conditional branches (global), or of the branch and its own
// last 10 (local); a tournament picks, by a two-bit counter a branch that
// starts with local, between local 10 and global 16. Targets: a table indexed
// by a hash of the branch and the last four taken targets. Returns: a ring of
// 32 return addresses. Hashed tables have 2^20 (directions) and 2^16 (targets)
// entries without tags: memory is fixed at 4.5 MiB, and only what is touched
// is resident.
//
// A "branch" is the number the caller gives it, stable over the trace.
// Single-threaded.
//
//   BranchPredictors predictors;
//   Mispredictions m = predictors.Direction(pc_hash, &state, taken);
#ifndef PERFVEC_WORKER_FEATURES_BRANCH_PREDICTORS_H_
#define PERFVEC_WORKER_FEATURES_BRANCH_PREDICTORS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "worker/features/index_table.h"
#include "worker/features/large_buffer.h"

namespace perfvec::compute {

// Whether each predictor was wrong.
enum DirectionPredictor {
  kBimodal,
  kGlobal8,
  kGlobal16,
  kGlobal32,
  kLocal10,
  kTournament,
  kDirectionPredictors
};
using Mispredictions = std::array<bool, kDirectionPredictors>;

// Of one conditional branch.
struct DirectionState {
  int8_t bimodal = 0;  // counters run from -1 to 2; above 0: taken
  int8_t chooser = 0;  // above 0: global
  uint16_t history = 0;
};

class BranchPredictors {
 public:
  BranchPredictors()
      : memory_(kTables * kCounters + kTargets * sizeof(uint64_t)),
        counters_(memory_.data<int8_t>()),
        targets_(reinterpret_cast<uint64_t*>(counters_ + kTables * kCounters)) {
  }

  // Predicts a conditional branch, then learns its outcome.
  Mispredictions Direction(uint64_t pc, DirectionState* state, bool taken) {
    Mispredictions wrong;
    wrong[kBimodal] = Step(&state->bimodal, taken);
    wrong[kGlobal8] = Step(Counter(0, pc, history_ & 0xff), taken);
    wrong[kGlobal16] = Step(Counter(1, pc, history_ & 0xffff), taken);
    wrong[kGlobal32] = Step(Counter(2, pc, history_ & 0xffffffff), taken);
    wrong[kLocal10] = Step(Counter(3, pc, state->history & 0x3ff), taken);
    wrong[kTournament] =
        state->chooser > 0 ? wrong[kGlobal16] : wrong[kLocal10];
    if (wrong[kGlobal16] != wrong[kLocal10]) {
      Step(&state->chooser, wrong[kLocal10]);
    }
    history_ = history_ << 1 | (taken ? 1 : 0);
    state->history =
        static_cast<uint16_t>(state->history << 1 | (taken ? 1 : 0));
    return wrong;
  }

  // Whether the target of a taken branch differs from what its path led to
  // before; learns it.
  bool PathMispredicts(uint64_t pc, uint64_t target) {
    uint64_t& known = targets_[Hash(pc, path_) >> (64 - kTargetsLog2)];
    const bool wrong = known != target + 1;
    known = target + 1;
    path_ = path_ << 16 | (target >> 2 & 0xffff);
    return wrong;
  }

  void Call(uint64_t return_address) {
    returns_[top_++ % kReturns] = return_address;
    depth_ = std::min<uint32_t>(depth_ + 1, kReturns);
  }
  // Whether the return address on top is not `target`; takes it off.
  bool ReturnMispredicts(uint64_t target) {
    if (depth_ == 0) return true;
    --depth_;
    return returns_[--top_ % kReturns] != target;
  }

  size_t memory_bytes() const { return memory_.bytes(); }

 private:
  static constexpr int kTables = 4, kCountersLog2 = 20, kTargetsLog2 = 16;
  static constexpr size_t kCounters = size_t{1} << kCountersLog2;
  static constexpr size_t kTargets = size_t{1} << kTargetsLog2;
  static constexpr uint32_t kReturns = 32;

  static uint64_t Hash(uint64_t pc, uint64_t history) {
    return MixBits(MixBits(pc) + history);
  }
  int8_t* Counter(int table, uint64_t pc, uint64_t history) {
    return counters_ + table * kCounters +
           (Hash(pc, history) >> (64 - kCountersLog2));
  }
  // Whether the counter says the other, then moves it.
  static bool Step(int8_t* counter, bool taken) {
    const bool wrong = (*counter > 0) != taken;
    *counter = static_cast<int8_t>(taken ? std::min(*counter + 1, 2)
                                         : std::max(*counter - 1, -1));
    return wrong;
  }

  LargeBuffer memory_;
  int8_t* counters_;   // [kTables][kCounters]
  uint64_t* targets_;  // target + 1; 0: none
  uint64_t history_ = 0;
  uint64_t path_ = 0;
  std::array<uint64_t, kReturns> returns_{};
  uint32_t top_ = 0;
  uint32_t depth_ = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_BRANCH_PREDICTORS_H_
