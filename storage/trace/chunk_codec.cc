#include "storage/trace/chunk_codec.h"

#include <limits>
#include <unordered_map>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/trace/trace_chunk.h"
#include "storage/trace/varint.h"

namespace perfvec::trace {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kKnownFlags = (kPlaceholder << 1) - 1;
constexpr uint32_t kBranchFlags = kConditionalBranch | kUnconditionalBranch;
// What an AArch64 instruction takes: where execution goes on unless a branch
// is taken.
constexpr uint64_t kInstructionBytes = 4;

// Flow corrections, address codes.
constexpr uint64_t kSecondSuccessor = 0;
constexpr uint64_t kNextNewStatic = 1;
constexpr uint64_t kFirstStatic = 2;
constexpr uint8_t kStrideRight = 0;
constexpr uint8_t kOffsetRight = 1;
constexpr uint8_t kMaxAddressCode = 9;  // 1 + bytes of the residual
constexpr uint16_t kLatencyEscape = 65535;

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

absl::Status BadBlock(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write a trace chunk: ", what));
}

absl::Status Damaged(absl::string_view section, size_t offset,
                     absl::string_view what) {
  return absl::DataLossError(absl::StrCat("section '", section, "' at byte ",
                                          offset, " of it: ", what));
}

absl::Status CheckStatic(const StaticInstruction& s) {
  if ((s.flags & ~kKnownFlags) != 0) return BadBlock("unknown flags");
  if (s.op_class < -1) return BadBlock("an op_class below -1");
  if (s.source_count > kMaxSourceRegisters ||
      s.destination_count > kMaxDestinationRegisters) {
    return BadBlock("too many registers");
  }
  for (int i = 0; i < s.source_count; ++i) {
    if (s.sources[i].register_class > kMaxRegisterClass) {
      return BadBlock("a register class above 6");
    }
  }
  for (int i = 0; i < s.destination_count; ++i) {
    if (s.destinations[i].register_class > kMaxRegisterClass) {
      return BadBlock("a register class above 6");
    }
  }
  return absl::OkStatus();
}

std::string Shape(const StaticInstruction& s) {
  std::string shape;
  PutVarint(s.flags, &shape);
  PutVarint(s.access_size, &shape);
  PutVarint(s.op_class + 1, &shape);
  shape.push_back(s.source_count | s.destination_count << 4);
  for (int i = 0; i < s.source_count; ++i) {
    shape.push_back(s.sources[i].register_class);
  }
  for (int i = 0; i < s.destination_count; ++i) {
    shape.push_back(s.destinations[i].register_class);
  }
  return shape;
}

void EncodeStatics(const std::vector<const StaticInstruction*>& statics,
                   SectionBytes* out) {
  absl::flat_hash_map<std::string, uint32_t> ids;
  uint64_t last_pc = 0;
  for (const StaticInstruction* s : statics) {
    const std::string shape = Shape(*s);
    const auto [entry, is_new] = ids.emplace(shape, ids.size());
    if (is_new) (*out)[kShapes] += shape;
    PutVarint(entry->second, &(*out)[kShapeIds]);
    PutVarint(ZigZag(s->pc - last_pc), &(*out)[kProgramCounters]);
    last_pc = s->pc;
    std::string* const registers = &(*out)[kRegisterIndices];
    for (int i = 0; i < s->source_count; ++i) {
      PutVarint(s->sources[i].index, registers);
    }
    for (int i = 0; i < s->destination_count; ++i) {
      PutVarint(s->destinations[i].index, registers);
    }
  }
}

// Writes the flow of `order`: static numbers in the order of first use.
void EncodeFlow(const std::vector<uint32_t>& order, uint32_t statics,
                SectionBytes* out) {
  std::vector<Successors> successors(statics);
  uint32_t seen = 1;
  uint64_t run = 0;
  for (size_t i = 1; i < order.size(); ++i) {
    Successors& s = successors[order[i - 1]];
    const uint32_t next = order[i];
    if (next == (s.last == kNone ? seen : s.last)) {
      ++run;
      if (s.last == kNone) {
        s.last = next;
        ++seen;
      }
      continue;
    }
    PutVarint(run, &(*out)[kFlowRuns]);
    run = 0;
    uint64_t correction = kFirstStatic + next;
    if (next == s.second) {
      correction = kSecondSuccessor;
    } else if (next == seen) {
      correction = kNextNewStatic;
      ++seen;
    }
    PutVarint(correction, &(*out)[kFlowCorrections]);
    s.second = s.last;
    s.last = next;
  }
  PutVarint(run, &(*out)[kFlowRuns]);
}

void EncodeAddress(uint64_t address, uint64_t previous, AccessState* state,
                   SectionBytes* out) {
  state->Begin(previous);
  const uint64_t expected = state->last + state->stride;
  if (address == expected) {
    (*out)[kAddressCodes].push_back(kStrideRight);
  } else if (address == previous + state->offset) {
    (*out)[kAddressCodes].push_back(kOffsetRight);
  } else {
    uint64_t residual = ZigZag(address - expected);
    int bytes = 0;
    for (; residual != 0; residual >>= 8) {
      (*out)[kAddressBytes + bytes++].push_back(residual);
    }
    (*out)[kAddressCodes].push_back(kOffsetRight + bytes);
  }
  state->Update(address, previous);
}

absl::Status DecodeStatics(const SectionViews& in, uint32_t instructions,
                           std::vector<StaticInstruction>* statics) {
  std::vector<StaticInstruction> shapes;
  VarintReader shape_reader(in[kShapes]);
  while (!shape_reader.at_end()) {
    const auto bad = [&] {
      return Damaged("shapes", shape_reader.offset(), "no valid shape");
    };
    StaticInstruction s;
    uint64_t flags, size, op_class, counts;
    if (shapes.size() >= instructions ||
        !shape_reader.Next(kKnownFlags, &flags) ||
        !shape_reader.Next(std::numeric_limits<uint32_t>::max(), &size) ||
        !shape_reader.Next(std::numeric_limits<int16_t>::max() + 1,
                           &op_class) ||
        !shape_reader.Next(127, &counts)) {
      return bad();
    }
    s.flags = flags;
    s.access_size = size;
    s.op_class = static_cast<int>(op_class) - 1;
    s.source_count = counts & 15;
    s.destination_count = counts >> 4;
    if (s.source_count > kMaxSourceRegisters ||
        s.destination_count > kMaxDestinationRegisters) {
      return bad();
    }
    uint64_t register_class;
    for (int i = 0; i < s.source_count; ++i) {
      if (!shape_reader.Next(kMaxRegisterClass, &register_class)) return bad();
      s.sources[i].register_class = register_class;
    }
    for (int i = 0; i < s.destination_count; ++i) {
      if (!shape_reader.Next(kMaxRegisterClass, &register_class)) return bad();
      s.destinations[i].register_class = register_class;
    }
    shapes.push_back(s);
  }

  VarintReader ids(in[kShapeIds]);
  VarintReader pcs(in[kProgramCounters]);
  VarintReader registers(in[kRegisterIndices]);
  uint64_t pc = 0;
  while (!ids.at_end()) {
    uint64_t id, step, index;
    if (statics->size() >= instructions || shapes.empty() ||
        !ids.Next(shapes.size() - 1, &id)) {
      return Damaged("shape ids", ids.offset(), "no such shape");
    }
    statics->push_back(shapes[id]);
    StaticInstruction& s = statics->back();
    if (!pcs.Next(&step)) {
      return Damaged("program counters", pcs.offset(), "no valid number");
    }
    pc += UnZigZag(step);
    s.pc = pc;
    for (int i = 0; i < s.source_count + s.destination_count; ++i) {
      if (!registers.Next(std::numeric_limits<uint16_t>::max(), &index)) {
        return Damaged("register indices", registers.offset(),
                       "no valid number");
      }
      (i < s.source_count ? s.sources[i] : s.destinations[i - s.source_count])
          .index = index;
    }
  }
  if (!pcs.at_end()) {
    return Damaged("program counters", pcs.offset(), "more than statics");
  }
  if (!registers.at_end()) {
    return Damaged("register indices", registers.offset(),
                   "more than the statics have");
  }
  if (statics->empty()) return Damaged("shape ids", 0, "no statics");
  return absl::OkStatus();
}

absl::Status DecodeFlow(const SectionViews& in, uint32_t statics,
                        std::vector<uint32_t>* order) {
  std::vector<Successors> successors(statics);
  VarintReader runs(in[kFlowRuns]);
  VarintReader corrections(in[kFlowCorrections]);
  const size_t count = order->size();
  uint32_t* const out = order->data();
  uint32_t seen = 1;
  uint32_t current = 0;
  out[0] = 0;
  size_t i = 1;
  for (;;) {
    uint64_t run;
    if (!runs.Next(count - i, &run)) {
      return Damaged("flow runs", runs.offset(), "longer than the chunk");
    }
    for (const size_t end = i + run; i < end; ++i) {
      uint32_t next = successors[current].last;
      if (next == kNone) {
        if (seen == statics) {
          return Damaged("flow runs", runs.offset(), "no static is left");
        }
        next = seen++;
        successors[current].last = next;
      }
      out[i] = current = next;
    }
    if (i == count) break;
    uint64_t correction;
    if (!corrections.Next(&correction)) {
      return Damaged("flow corrections", corrections.offset(),
                     "no valid number");
    }
    Successors& s = successors[current];
    uint32_t next;
    if (correction == kSecondSuccessor) {
      next = s.second;
    } else if (correction == kNextNewStatic) {
      next = seen < statics ? seen++ : kNone;
    } else {
      next =
          correction - kFirstStatic < seen ? correction - kFirstStatic : kNone;
    }
    if (next == kNone) {
      return Damaged("flow corrections", corrections.offset(),
                     "no such static");
    }
    s.second = s.last;
    s.last = next;
    out[i++] = current = next;
  }
  if (!runs.at_end() || !corrections.at_end()) {
    return Damaged("flow runs", runs.offset(), "more than the chunk needs");
  }
  if (seen != statics) {
    return Damaged("shape ids", seen, "statics that are never executed");
  }
  return absl::OkStatus();
}

absl::Status DecodeTaken(absl::string_view corrections, InstructionBlock* b) {
  const size_t count = b->size();
  const uint32_t* const order = b->static_index.data();
  const StaticInstruction* const statics = b->statics.data();
  uint8_t* const taken = b->taken.data();
  for (size_t i = 0; i + 1 < count; ++i) {
    const StaticInstruction& s = statics[order[i]];
    taken[i] = ((s.flags & kBranchFlags) != 0) &
               (statics[order[i + 1]].pc != s.pc + kInstructionBytes);
  }
  taken[count - 1] = 0;
  VarintReader gaps(corrections);
  size_t i = 0;
  while (!gaps.at_end()) {
    uint64_t gap;
    if (!gaps.Next(count - 1 - i, &gap)) {
      return Damaged("taken corrections", gaps.offset(), "behind the chunk");
    }
    i += gap;
    taken[i] ^= 1;
  }
  return absl::OkStatus();
}

absl::Status DecodeAddresses(const SectionViews& in, InstructionBlock* b) {
  const absl::string_view codes = in[kAddressCodes];
  // How far each of the eight byte columns must reach is known from the codes;
  // checked once, they are read below without looking.
  std::array<size_t, kMaxAddressCode + 1> histogram{};
  for (const uint8_t code : codes) {
    if (code > kMaxAddressCode) {
      return Damaged("address codes", 0, absl::StrCat("a code ", code));
    }
    ++histogram[code];
  }
  std::array<const uint8_t*, 8> bytes;
  size_t needed = 0;
  for (int k = 7; k >= 0; --k) {
    needed += histogram[kOffsetRight + 1 + k];
    const absl::string_view column = in[kAddressBytes + k];
    if (column.size() != needed) {
      return Damaged(absl::StrCat("address bytes ", k), column.size(),
                     absl::StrCat("holds ", column.size(),
                                  " bytes, but the codes need ", needed));
    }
    bytes[k] = reinterpret_cast<const uint8_t*>(column.data());
  }

  std::vector<AccessState> states(b->statics.size());
  std::vector<uint8_t> has_address(b->statics.size());
  for (size_t i = 0; i < has_address.size(); ++i) {
    has_address[i] = (b->statics[i].flags & kHasAddress) != 0;
  }
  const auto* code = reinterpret_cast<const uint8_t*>(codes.data());
  const uint8_t* const end = code + codes.size();
  const uint32_t* const order = b->static_index.data();
  uint64_t* const out = b->address.data();
  uint64_t previous = 0;
  for (size_t i = 0, count = b->size(); i < count; ++i) {
    if (!has_address[order[i]]) {
      out[i] = 0;
      continue;
    }
    if (code == end) {
      return Damaged("address codes", codes.size(),
                     "ends before the last access");
    }
    AccessState& state = states[order[i]];
    state.Begin(previous);
    uint64_t address = state.last + state.stride;
    if (*code == kOffsetRight) {
      address = previous + state.offset;
    } else if (*code > kOffsetRight) {
      uint64_t residual = 0;
      for (int k = 0; k < *code - kOffsetRight; ++k) {
        residual |= uint64_t{*bytes[k]++} << (8 * k);
      }
      address += UnZigZag(residual);
    }
    ++code;
    state.Update(address, previous);
    out[i] = previous = address;
  }
  if (code != end) {
    return Damaged("address codes", codes.size() - (end - code),
                   "more than the chunk's accesses");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status EncodeInstructions(const InstructionBlock& block,
                                SectionBytes* sections) {
  const size_t count = block.size();
  if (count == 0 || count > kMaxChunkInstructions ||
      block.address.size() != count || block.taken.size() != count) {
    return BadBlock(
        absl::StrCat("its columns hold ", count, ", ", block.address.size(),
                     " and ", block.taken.size(),
                     " instructions, which should be the same number "
                     "from 1 to ",
                     kMaxChunkInstructions));
  }
  for (std::string& section : *sections) section.clear();

  std::vector<uint32_t> number(block.statics.size(), kNone);
  std::vector<const StaticInstruction*> statics;  // in order of first use
  std::vector<AccessState> states(block.statics.size());
  std::vector<uint32_t> order(count);
  uint64_t previous = 0;
  size_t last_correction = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = block.static_index[i];
    if (index >= block.statics.size()) return BadBlock("a static is missing");
    const StaticInstruction& s = block.statics[index];
    if (number[index] == kNone) {
      if (absl::Status status = CheckStatic(s); !status.ok()) return status;
      number[index] = statics.size();
      statics.push_back(&s);
    }
    order[i] = number[index];
    if ((s.flags & kHasAddress) != 0) {
      EncodeAddress(block.address[i], previous, &states[index], sections);
      previous = block.address[i];
    } else if (block.address[i] != 0) {
      return BadBlock("an address of an instruction without one");
    }
    bool expected = false;
    if (i + 1 < count && (s.flags & kBranchFlags) != 0 &&
        block.static_index[i + 1] < block.statics.size()) {
      expected = block.statics[block.static_index[i + 1]].pc !=
                 s.pc + kInstructionBytes;
    }
    if (block.taken[i] > 1) return BadBlock("a taken other than 0 and 1");
    if (expected != (block.taken[i] != 0)) {
      PutVarint(i - last_correction, &(*sections)[kTakenCorrections]);
      last_correction = i;
    }
  }
  EncodeStatics(statics, sections);
  EncodeFlow(order, statics.size(), sections);
  return absl::OkStatus();
}

absl::Status DecodeInstructions(const SectionViews& sections,
                                uint32_t instructions,
                                InstructionBlock* block) {
  block->statics.clear();
  block->static_index.resize(instructions);
  block->address.resize(instructions);
  block->taken.resize(instructions);
  absl::Status status = DecodeStatics(sections, instructions, &block->statics);
  if (status.ok()) {
    status = DecodeFlow(sections, block->statics.size(), &block->static_index);
  }
  if (status.ok()) status = DecodeTaken(sections[kTakenCorrections], block);
  if (status.ok()) status = DecodeAddresses(sections, block);
  return status;
}

std::string EncodeLatency(const std::vector<uint32_t>& latency_tenth_ns) {
  std::string out;
  std::string escaped;
  for (const uint32_t latency : latency_tenth_ns) {
    const bool escape = latency >= kLatencyEscape;
    const uint32_t value = escape ? kLatencyEscape : latency;
    out.push_back(value);
    out.push_back(value >> 8);
    for (int i = 0; escape && i < 4; ++i) {
      escaped.push_back(latency >> (8 * i));
    }
  }
  return out + escaped;
}

absl::Status DecodeLatency(absl::string_view bytes, uint32_t instructions,
                           std::vector<uint32_t>* latency_tenth_ns) {
  latency_tenth_ns->resize(instructions);
  if (bytes.size() < size_t{2} * instructions) {
    return Damaged("latency", bytes.size(), "ends before the last instruction");
  }
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  const uint8_t* escaped = in + size_t{2} * instructions;
  const uint8_t* const end = in + bytes.size();
  for (uint32_t i = 0; i < instructions; ++i) {
    uint32_t value = in[2 * i] | in[2 * i + 1] << 8;
    if (value == kLatencyEscape) {
      if (end - escaped < 4) {
        return Damaged("latency", bytes.size(), "ends before its last escape");
      }
      value = escaped[0] | escaped[1] << 8 | escaped[2] << 16 |
              uint32_t{escaped[3]} << 24;
      escaped += 4;
    }
    (*latency_tenth_ns)[i] = value;
  }
  if (escaped != end) {
    return Damaged("latency", escaped - in, "more escapes than it says");
  }
  return absl::OkStatus();
}

}  // namespace perfvec::trace
