#include "client/tracer/arm_rules.h"

#include <cassert>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::tracer {
namespace {

const char kText[] =
#include "client/tracer/arm_rules.inc"
    ;
const char kSveText[] =
#include "client/tracer/arm_sve_rules.inc"
    ;

// gem5's OpClass, in its order.
const char* const kOpClasses[] = {"No_OpClass",
                                  "IntAlu",
                                  "IntMult",
                                  "IntDiv",
                                  "FloatAdd",
                                  "FloatCmp",
                                  "FloatCvt",
                                  "FloatMult",
                                  "FloatMultAcc",
                                  "FloatDiv",
                                  "FloatMisc",
                                  "FloatSqrt",
                                  "SimdAdd",
                                  "SimdAddAcc",
                                  "SimdAlu",
                                  "SimdCmp",
                                  "SimdCvt",
                                  "SimdMisc",
                                  "SimdMult",
                                  "SimdMultAcc",
                                  "SimdShift",
                                  "SimdShiftAcc",
                                  "SimdDiv",
                                  "SimdSqrt",
                                  "SimdFloatAdd",
                                  "SimdFloatAlu",
                                  "SimdFloatCmp",
                                  "SimdFloatCvt",
                                  "SimdFloatDiv",
                                  "SimdFloatMisc",
                                  "SimdFloatMult",
                                  "SimdFloatMultAcc",
                                  "SimdFloatSqrt",
                                  "SimdReduceAdd",
                                  "SimdReduceAlu",
                                  "SimdReduceCmp",
                                  "SimdFloatReduceAdd",
                                  "SimdFloatReduceCmp",
                                  "SimdAes",
                                  "SimdAesMix",
                                  "SimdSha1Hash",
                                  "SimdSha1Hash2",
                                  "SimdSha256Hash",
                                  "SimdSha256Hash2",
                                  "SimdShaSigma2",
                                  "SimdShaSigma3",
                                  "SimdPredAlu",
                                  "MemRead",
                                  "MemWrite"};

const std::map<absl::string_view, uint32_t>& Flags() {
  static const auto& flags = *new std::map<absl::string_view, uint32_t>{
      {"fault", trace::kFault},
      {"conditional", trace::kConditionalBranch},
      {"unconditional", trace::kUnconditionalBranch},
      {"direct", trace::kDirectBranch},
      {"squash_after", trace::kSquashAfter},
      {"serialize_after", trace::kSerializeAfter},
      {"serialize_before", trace::kSerializeBefore},
      {"read_barrier", trace::kReadBarrier},
      {"write_barrier", trace::kWriteBarrier},
      {"non_speculative", trace::kNonSpeculative}};
  return flags;
}

// Operands that are always the same registers.
const std::map<absl::string_view, std::vector<trace::Register>>& Fixed() {
  static const auto& fixed =
      *new std::map<absl::string_view, std::vector<trace::Register>>{
          {"nz", {{kConditionRegister, 0}}},
          {"c", {{kConditionRegister, 1}}},
          {"v", {{kConditionRegister, 2}}},
          {"nzcv",
           {{kConditionRegister, 0},
            {kConditionRegister, 1},
            {kConditionRegister, 2}}},
          {"fpcc", {{kConditionRegister, 4}}},
          {"cc0", {{kConditionRegister, 5}}},
          {"fpen", {{kMiscRegister, kCpsr}, {kMiscRegister, kCpacr}}},
          {"sysen",
           {{kMiscRegister, kCpsr},
            {kMiscRegister, 513},
            {kMiscRegister, 520}}},
          {"exc", {{kMiscRegister, 17}}},
          {"qc", {{kMiscRegister, 18}}},
          {"ffr", {{kPredicateRegister, 16}}},
          {"lock", {{kMiscRegister, 20}}},
          {"sev", {{kMiscRegister, 29}}},
          {"sctlr", {{kMiscRegister, 503}}},
          {"fpcr", {{kMiscRegister, 548}}},
          {"fpsr", {{kMiscRegister, 549}}},
          {"tpidr", {{kMiscRegister, 675}}},
          {"tpidrro", {{kMiscRegister, 676}}},
          {"lr", {{kIntegerRegister, 30}}},
          {"sp", {{kIntegerRegister, kStackPointer}}}};
  return fixed;
}

}  // namespace

int OpClassNumber(absl::string_view name) {
  for (size_t i = 0; i < std::size(kOpClasses); ++i) {
    if (name == kOpClasses[i]) return static_cast<int>(i);
  }
  return -1;
}

const char* OpClassName(int number) {
  const bool known = number >= 0 && number < std::size(kOpClasses);
  return known ? kOpClasses[number] : "unknown";
}

void AddSource(uint8_t register_class, uint16_t index,
               trace::StaticInstruction* operation) {
  assert(operation->source_count < trace::kMaxSourceRegisters);
  operation->sources[operation->source_count++] = {register_class, index};
}

void AddDestination(uint8_t register_class, uint16_t index,
                    trace::StaticInstruction* operation) {
  assert(operation->destination_count < trace::kMaxDestinationRegisters);
  operation->destinations[operation->destination_count++] = {register_class,
                                                             index};
}

const ArmRules& ArmRules::Get() {
  static const auto& rules =
      *new ArmRules(*Parse(absl::StrCat(kText, kSveText)));
  return rules;
}

absl::StatusOr<ArmRules> ArmRules::Parse(absl::string_view text) {
  ArmRules rules;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    Rule rule;
    if (absl::Status status = ParseLine(line, &rule); !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rules, line ", number, ": ", status.message()));
    }
    rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

absl::Status ArmRules::ParseLine(absl::string_view line, Rule* rule) {
  const std::vector<absl::string_view> columns = absl::StrSplit(line, '|');
  if (columns.size() != 4) {
    return absl::InvalidArgumentError(
        "expected name | bits | class | operands");
  }
  rule->name = std::string(absl::StripAsciiWhitespace(columns[0]));
  int bits = 0;
  for (const char c : columns[1]) {
    if (c == ' ') continue;
    ++bits;
    rule->mask = rule->mask << 1 | (c != 'x');
    rule->value = rule->value << 1 | (c == '1');
    if (c != '0' && c != '1' && c != 'x') bits = 99;
  }
  if (bits != 32) return absl::InvalidArgumentError("expected 32 of 0, 1, x");
  bool first = true;
  for (absl::string_view word :
       absl::StrSplit(columns[2], ' ', absl::SkipEmpty())) {
    if (first) {
      rule->op_class = OpClassNumber(word);
      if (rule->op_class < 0) {
        return absl::InvalidArgumentError(absl::StrCat(word, ": no OpClass"));
      }
    } else if (const auto flag = Flags().find(word); flag != Flags().end()) {
      rule->flags |= flag->second;
    } else {
      return absl::InvalidArgumentError(absl::StrCat(word, ": no flag"));
    }
    first = false;
  }
  const std::vector<absl::string_view> sides = absl::StrSplit(columns[3], '>');
  if (first || sides.size() != 2) {
    return absl::InvalidArgumentError("expected sources > destinations");
  }
  if (absl::Status status = ParseOperands(sides[0], &rule->sources);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = ParseOperands(sides[1], &rule->destinations);
      !status.ok()) {
    return status;
  }
  if (rule->sources.size() > trace::kMaxSourceRegisters ||
      rule->destinations.size() > trace::kMaxDestinationRegisters) {
    return absl::InvalidArgumentError("more registers than a trace can hold");
  }
  return absl::OkStatus();
}

absl::Status ArmRules::ParseOperands(absl::string_view text,
                                     std::vector<Operand>* operands) {
  static const auto& kFields = *new std::map<char, BitRange>{{'n', {5, 5}},
                                                             {'m', {16, 5}},
                                                             {'a', {10, 5}},
                                                             {'d', {0, 5}},
                                                             {'e', {16, 5}}};
  static const auto& kPredicates =
      *new std::map<absl::string_view, BitRange>{{"pd", {0, 4}},
                                                 {"pn", {5, 4}},
                                                 {"pm", {16, 4}},
                                                 {"pg", {10, 3}},
                                                 {"ph", {10, 4}}};
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (const auto fixed = Fixed().find(word); fixed != Fixed().end()) {
      for (const trace::Register& r : fixed->second) {
        Operand operand;
        operand.register_class = r.register_class;
        operand.index = r.index;
        operands->push_back(operand);
      }
      continue;
    }
    const absl::string_view name = word;
    Operand operand;
    operand.register_class = kIntegerRegister;
    operand.field = Field::kBits;
    if (const auto p = kPredicates.find(word); p != kPredicates.end()) {
      operand.register_class = kPredicateRegister;
      operand.bits = p->second;
      operands->push_back(operand);
      continue;
    }
    if (word == "ve3" || word == "ve4") {
      operand.register_class = kVectorRegister;
      operand.bits = {16, static_cast<uint8_t>(word[2] - '0')};
      operands->push_back(operand);
      continue;
    }
    if (word[0] == 'v') {
      operand.register_class = kVectorRegister;
      word.remove_prefix(1);
    }
    const auto field = word.empty() ? kFields.end() : kFields.find(word[0]);
    if (field == kFields.end() || word.size() > 2) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": no operand"));
    }
    operand.bits = field->second;
    if (word[0] == 'e') operand.field = Field::kElement;
    if (word.size() == 2) {
      if (word[1] == 'S') {
        operand.thirtyone = Thirtyone::kStackPointer;
      } else if (word[1] == 'Z') {
        operand.thirtyone = Thirtyone::kDummy;
      } else if (word[1] >= '1' && word[1] <= '3') {
        operand.index = word[1] - '0';
      } else {
        return absl::InvalidArgumentError(absl::StrCat(name, ": no operand"));
      }
    }
    operands->push_back(operand);
  }
  return absl::OkStatus();
}

trace::Register ArmRules::Resolve(const Operand& operand, uint32_t word) {
  if (operand.field == Field::kFixed) {
    return {operand.register_class, operand.index};
  }
  uint32_t count = operand.bits.count;
  if (operand.field == Field::kElement && (word >> 22 & 3) == 1) count = 4;
  uint16_t index = word >> operand.bits.first & ((1u << count) - 1);
  index = (index + operand.index) & 31;
  if (index == 31) {
    if (operand.thirtyone == Thirtyone::kStackPointer) index = kStackPointer;
    if (operand.thirtyone == Thirtyone::kDummy) index = kDummyRegister;
  }
  return {operand.register_class, index};
}

const char* ArmRules::Match(uint32_t word,
                            trace::StaticInstruction* operation) const {
  for (const Rule& rule : rules_) {
    if ((word & rule.mask) != rule.value) continue;
    *operation = {};
    operation->op_class = rule.op_class;
    operation->flags = rule.flags;
    for (const Operand& operand : rule.sources) {
      const trace::Register r = Resolve(operand, word);
      AddSource(r.register_class, r.index, operation);
    }
    for (const Operand& operand : rule.destinations) {
      const trace::Register r = Resolve(operand, word);
      AddDestination(r.register_class, r.index, operation);
    }
    return rule.name.c_str();
  }
  return nullptr;
}

}  // namespace perfvec::tracer
