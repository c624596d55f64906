#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/trace/chunk_codec.h"
#include "storage/trace/chunk_prediction.h"
#include "storage/trace/trace_chunk.h"
#include "storage/trace/varint.h"

namespace perfvec::trace {
namespace {

absl::Status BadBlock(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write a trace chunk: ", what));
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

}  // namespace perfvec::trace
