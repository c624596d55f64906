// The entropy of a conditional branch's last eight outcomes.
//
// p = (taken + ½ · missing) / 8, entropy = −p ln p − (1−p) ln(1−p): the
// published tool's definition. With missing history at ½ there are 17 values
// of p. Single-threaded, plain data.
//
//   BranchHistory history;
//   float before = history.Entropy();   // ln 2: nothing known
//   history.Append(true);
#ifndef PERFVEC_WORKER_FEATURES_BRANCH_HISTORY_H_
#define PERFVEC_WORKER_FEATURES_BRANCH_HISTORY_H_

#include <array>
#include <cstdint>

namespace perfvec::compute {

// Entropy for p = halves / 16.
const std::array<float, 17>& BranchEntropies();

class BranchHistory {
 public:
  uint8_t halves() const { return halves_; }
  float Entropy() const { return BranchEntropies()[halves_]; }

  void Append(bool taken) {
    const int oldest = outcomes_ >> 14;
    const int newest = taken ? 2 : 0;
    outcomes_ = static_cast<uint16_t>(outcomes_ << 2 | newest);
    halves_ = static_cast<uint8_t>(halves_ + newest - oldest);
  }

 private:
  uint16_t outcomes_ = 0x5555;  // 2 bits each, in halves; 1: missing
  uint8_t halves_ = 8;          // their sum
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_BRANCH_HISTORY_H_
