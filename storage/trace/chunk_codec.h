// The instructions of a chunk as byte columns, and back. Compression, framing
// and checksums are chunk_frame's.
//
// A chunk decodes alone, and what can be predicted is not stored:
// - statics in the order of their first use, as a shape (everything but pc and
//   register indices) and the rest;
// - the flow: each static is expected to be followed by what followed it last;
//   stored are lengths of right guesses and corrections;
// - an address is expected at the static's last address plus its last stride,
//   or at the distance from the access before it that it had last time;
// - a branch is taken if what follows it does not stand behind it.
//
// Functions without state; any thread.
#ifndef PERFVEC_STORAGE_TRACE_CHUNK_CODEC_H_
#define PERFVEC_STORAGE_TRACE_CHUNK_CODEC_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/trace/instruction.h"

namespace perfvec::trace {

enum Section {
  kShapes,
  kShapeIds,
  kProgramCounters,
  kRegisterIndices,
  kFlowRuns,
  kFlowCorrections,
  kTakenCorrections,
  kAddressCodes,
  kAddressBytes,  // the first of eight: the residuals' lowest bytes
  kInstructionSections = kAddressBytes + 8,
};

// A section of a chunk has at most so many bytes an instruction, which bounds
// what a reader allocates for it.
inline constexpr std::array<uint32_t, kInstructionSections>
    kMaxSectionBytesPerInstruction = {26, 3, 10, 42, 3, 3, 3, 1,
                                      1,  1, 1,  1,  1, 1, 1, 1};
inline constexpr uint32_t kMaxLatencyBytesPerInstruction = 6;

using SectionBytes = std::array<std::string, kInstructionSections>;
using SectionViews = std::array<absl::string_view, kInstructionSections>;

// An error means that the block contradicts itself, or holds what no trace
// may (a register class above kMaxRegisterClass, ...).
absl::Status EncodeInstructions(const InstructionBlock& block,
                                SectionBytes* sections);

// Fills all of `block` but first_instruction. Any bytes whatever give a block
// or a DataLoss error that names the section and the place in it.
absl::Status DecodeInstructions(const SectionViews& sections,
                                uint32_t instructions, InstructionBlock* block);

// A latency column: 16 bits a value, 65535 for one that follows in 32 bits.
std::string EncodeLatency(const std::vector<uint32_t>& latency_tenth_ns);
absl::Status DecodeLatency(absl::string_view bytes, uint32_t instructions,
                           std::vector<uint32_t>* latency_tenth_ns);

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_CHUNK_CODEC_H_
