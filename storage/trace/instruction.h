// The executed instruction, as every part of the product sees it.
//
// A trace is a sequence of executed (micro-)instructions. What repeats each
// time an instruction executes (operation, flags, registers) is held once in a
// StaticInstruction; what differs (data address, branch outcome) stands in
// columns. Header only, standard library only: worker/compute includes it
// without the trace reader.
//
//   InstructionBlock block;                      // filled by a reader
//   for (size_t i = 0; i < block.size(); ++i) {
//     const StaticInstruction& s = block.statics[block.static_index[i]];
//     Use(s.pc, block.address[i], block.taken[i]);
//   }
//
// Plain data: no thread owns it; share it read-only or not at all.
#ifndef PERFVEC_STORAGE_TRACE_INSTRUCTION_H_
#define PERFVEC_STORAGE_TRACE_INSTRUCTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace perfvec::trace {

inline constexpr int kMaxSourceRegisters = 8;
inline constexpr int kMaxDestinationRegisters = 6;
inline constexpr int kMaxRegisterClass = 6;
inline constexpr int kLoadOpClass = 47;
inline constexpr int kStoreOpClass = 48;

// Bits of StaticInstruction::flags, in the order of gem5's trace line.
enum InstructionFlag : uint32_t {
  kFault = 1u << 0,
  kHasStoreQueueIndex = 1u << 1,  // gem5 printed an index other than -1
  kMicroOp = 1u << 2,
  kConditionalBranch = 1u << 3,
  kUnconditionalBranch = 1u << 4,
  kDirectBranch = 1u << 5,
  kSquashAfter = 1u << 6,
  kSerializeAfter = 1u << 7,
  kSerializeBefore = 1u << 8,
  kAtomic = 1u << 9,
  kStoreConditional = 1u << 10,
  kReadBarrier = 1u << 11,
  kWriteBarrier = 1u << 12,
  kQuiesce = 1u << 13,
  kNonSpeculative = 1u << 14,
  kHasAddress = 1u << 15,
  // The operation is unknown: stands for a store-exclusive that the simulator
  // left out of its store trace. Inserted only when the importer was told to.
  kPlaceholder = 1u << 16,
};

struct Register {
  uint8_t register_class = 0;  // 0..kMaxRegisterClass
  uint16_t index = 0;
  bool operator==(const Register& o) const {
    return register_class == o.register_class && index == o.index;
  }
};

struct StaticInstruction {
  uint64_t pc = 0;
  uint32_t flags = 0;        // InstructionFlag bits
  uint32_t access_size = 0;  // bytes; 0 without an address
  int16_t op_class = 0;      // gem5's OpClass number; -1 in a placeholder
  uint8_t source_count = 0;
  uint8_t destination_count = 0;
  std::array<Register, kMaxSourceRegisters> sources{};
  std::array<Register, kMaxDestinationRegisters> destinations{};

  bool operator==(const StaticInstruction& o) const {
    return pc == o.pc && flags == o.flags && access_size == o.access_size &&
           op_class == o.op_class && source_count == o.source_count &&
           destination_count == o.destination_count && sources == o.sources &&
           destinations == o.destinations;
  }
};

// Consecutive instructions of one trace. Columns all have size() elements.
struct InstructionBlock {
  uint64_t first_instruction = 0;          // position in the trace
  std::vector<StaticInstruction> statics;  // those that occur in this block
  std::vector<uint32_t> static_index;      // into statics
  std::vector<uint64_t> address;           // byte address; 0 without one
  std::vector<uint8_t> taken;              // 1: branch taken

  size_t size() const { return static_index.size(); }
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_INSTRUCTION_H_
