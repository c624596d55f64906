// What encoder and decoder of a chunk must do alike: the numbers of the format
// and the state that predictions come from. Part of chunk_codec; see
// docs/trace_format.md.
#ifndef PERFVEC_STORAGE_TRACE_CHUNK_PREDICTION_H_
#define PERFVEC_STORAGE_TRACE_CHUNK_PREDICTION_H_

#include <cstdint>
#include <limits>

#include "storage/trace/instruction.h"

namespace perfvec::trace {

inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
inline constexpr uint32_t kKnownFlags = (kPlaceholder << 1) - 1;
inline constexpr uint32_t kBranchFlags =
    kConditionalBranch | kUnconditionalBranch;
// What an AArch64 instruction takes: where execution goes on unless a branch
// is taken.
inline constexpr uint64_t kInstructionBytes = 4;

// Flow corrections, address codes.
inline constexpr uint64_t kSecondSuccessor = 0;
inline constexpr uint64_t kNextNewStatic = 1;
inline constexpr uint64_t kFirstStatic = 2;
inline constexpr uint8_t kStrideRight = 0;
inline constexpr uint8_t kOffsetRight = 1;
inline constexpr uint8_t kMaxAddressCode = 9;  // 1 + bytes of the residual
inline constexpr uint16_t kLatencyEscape = 65535;

// What followed a static last, and what followed it before that.
struct Successors {
  uint32_t last = kNone;
  uint32_t second = kNone;
};

// How the accesses of a static have gone so far. Encoder and decoder keep it
// in the same way.
struct AccessState {
  uint64_t last = 0;
  uint64_t stride = 0;
  uint64_t offset = 0;  // from the access before it, whatever made that
  bool seen = false;

  void Begin(uint64_t previous_access) {
    if (seen) return;
    seen = true;
    last = previous_access;
  }
  void Update(uint64_t address, uint64_t previous_access) {
    stride = address - last;
    offset = address - previous_access;
    last = address;
  }
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_CHUNK_PREDICTION_H_
