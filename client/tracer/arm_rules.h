// gem5 21.2's rules for AArch64 instructions, as read from arm_rules.inc.
//
//   const ArmRules& rules = ArmRules::Get();
//   MicroOp operation;
//   const char* name = rules.Match(0x8b020020, &operation);  // "add"
//
// Immutable; any thread. Knows what does not touch memory; ArmDecoder adds
// the rest.
#ifndef PERFVEC_CLIENT_TRACER_ARM_RULES_H_
#define PERFVEC_CLIENT_TRACER_ARM_RULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/trace/instruction.h"

namespace perfvec::tracer {

// Bits `high` to `low` of an instruction; `high` - `low` below 31. SignedBits:
// in two's complement.
inline uint32_t Bits(uint32_t word, int high, int low) {
  return word >> low & ((2u << (high - low)) - 1);
}
inline int64_t SignedBits(uint32_t word, int high, int low) {
  const int64_t value = Bits(word, high, low);
  const int64_t sign = int64_t{1} << (high - low);
  return (value ^ sign) - sign;
}

// gem5's classes of registers and, in them, the indices that rules name.
enum RegisterClass : uint8_t {
  kIntegerRegister = 0,
  kVectorRegister = 2,
  kPredicateRegister = 4,
  kConditionRegister = 5,
  kMiscRegister = 6,
};
inline constexpr uint16_t kZeroRegister = 31;
inline constexpr uint16_t kDummyRegister = 34;      // a zero destination
inline constexpr uint16_t kTemporaryRegister = 35;  // of micro-operations
inline constexpr uint16_t kStackPointer = 42;
inline constexpr uint16_t kVectorTemporary = 32;
inline constexpr uint16_t kCpsr = 0;
inline constexpr uint16_t kCpacr = 509;

// gem5's OpClass number of e.g. "IntAlu"; -1 for a name it does not have.
int OpClassNumber(absl::string_view name);
const char* OpClassName(int number);

// Adds a register; more than a trace can hold is a bug of a rule.
void AddSource(uint8_t register_class, uint16_t index,
               trace::StaticInstruction* operation);
void AddDestination(uint8_t register_class, uint16_t index,
                    trace::StaticInstruction* operation);

class ArmRules {
 public:
  // The rules of arm_rules.inc and arm_sve_rules.inc; a test parses them, so
  // that this cannot fail.
  static const ArmRules& Get();

  // InvalidArgument names the line.
  static absl::StatusOr<ArmRules> Parse(absl::string_view text);

  // Fills `operation` but for its pc, and gives the rule's name; nullptr if
  // no rule knows the instruction.
  const char* Match(uint32_t word, trace::StaticInstruction* operation) const;

  size_t size() const { return rules_.size(); }

 private:
  // A register's number: so many bits from that one up; kElement is four bits
  // wide if the size is 01, else five.
  struct BitRange {
    uint8_t first = 0, count = 0;
  };
  enum class Field : uint8_t { kFixed, kBits, kElement };
  enum class Thirtyone : uint8_t { kPlain, kStackPointer, kDummy };
  struct Operand {
    Field field = Field::kFixed;
    BitRange bits;
    Thirtyone thirtyone = Thirtyone::kPlain;
    uint8_t register_class = 0;
    uint16_t index = 0;  // kFixed: the index; else what is added to it
  };
  struct Rule {
    std::string name;
    uint32_t mask = 0;
    uint32_t value = 0;
    int16_t op_class = 0;
    uint32_t flags = 0;
    std::vector<Operand> sources, destinations;
  };

  static absl::Status ParseLine(absl::string_view line, Rule* rule);
  static absl::Status ParseOperands(absl::string_view text,
                                    std::vector<Operand>* operands);
  static trace::Register Resolve(const Operand& operand, uint32_t word);

  std::vector<Rule> rules_;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_ARM_RULES_H_
