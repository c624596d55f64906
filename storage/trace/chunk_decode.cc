#include <array>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/trace/chunk_codec.h"
#include "storage/trace/chunk_prediction.h"
#include "storage/trace/varint.h"

namespace perfvec::trace {
namespace {

absl::Status Damaged(absl::string_view section, size_t offset,
                     absl::string_view what) {
  return absl::DataLossError(absl::StrCat("section '", section, "' at byte ",
                                          offset, " of it: ", what));
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

absl::Status DecodeLatency(absl::string_view bytes, uint32_t instructions,
                           std::vector<uint32_t>* latency_tenth_ns) {
  latency_tenth_ns->resize(instructions);
  if (bytes.size() < size_t{2} * instructions) {
    return Damaged("latency", bytes.size(), "ends before the last instruction");
  }
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  uint32_t* const out = latency_tenth_ns->data();
  size_t escapes = 0;
  for (uint32_t i = 0; i < instructions; ++i) {
    const uint32_t value = in[2 * i] | in[2 * i + 1] << 8;
    out[i] = value;
    escapes += value == kLatencyEscape;
  }
  const uint8_t* escaped = in + size_t{2} * instructions;
  const size_t left = bytes.size() - size_t{2} * instructions;
  if (left != 4 * escapes) {
    return Damaged("latency", size_t{2} * instructions,
                   absl::StrCat("holds ", left, " bytes of large values, but ",
                                escapes, " values of 4 bytes are needed"));
  }
  for (uint32_t i = 0; escapes > 0; ++i) {
    if (out[i] != kLatencyEscape) continue;
    out[i] = escaped[0] | escaped[1] << 8 | escaped[2] << 16 |
             uint32_t{escaped[3]} << 24;
    escaped += 4;
    --escapes;
  }
  return absl::OkStatus();
}

}  // namespace perfvec::trace
