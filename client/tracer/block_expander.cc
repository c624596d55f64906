#include "client/tracer/block_expander.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/tracer/arm_rules.h"

namespace perfvec::tracer {
namespace {

// More instructions than QEMU puts into a block.
constexpr uint64_t kMaxBlockInstructions = 4096;

uint64_t Kind(uint64_t word) { return word >> PERFVEC_VALUE_BITS; }
uint64_t Value(uint64_t word) { return word & PERFVEC_VALUE_MASK; }

}  // namespace

BlockExpander::BlockExpander(RegionOptions region, Sink sink, MarkSink marks)
    : region_(std::move(region)),
      sink_(std::move(sink)),
      marks_(std::move(marks)) {
  Flush().IgnoreError();  // makes room
}

absl::Status BlockExpander::Run(EventRing* ring) {
  uint64_t word;
  absl::Status status;
  while (ring->Next(&word)) {
    const uint64_t kind = Kind(word);
    if (kind <= PERFVEC_MAX_INSTRUCTION) {
      // The first byte is enough: an instruction's accesses are contiguous.
      if (touches_.empty() || touches_.back().instruction != kind) {
        touches_.push_back({static_cast<uint32_t>(kind), Value(word)});
      }
    } else if (kind == PERFVEC_BLOCK) {
      const uint64_t number = Value(word);
      if (number == 0 || number > blocks_.size()) {
        return absl::InternalError(absl::StrCat("the plugin ran block ", number,
                                                " of ", blocks_.size(),
                                                " that it had told"));
      }
      Block* next = &blocks_[number - 1];
      if (started_ != nullptr) {
        started_();
        started_ = nullptr;
      }
      if (status = Finish(next->pc); !status.ok()) return status;
      running_ = nullptr;
      if (!region_.BlockBegins(next->pc) && !to_the_end_) break;
      running_ = next;
    } else if (kind == PERFVEC_REGISTERS) {
      for (uint64_t& value : registers_) {
        if (!ring->Next(&value)) break;
      }
      have_registers_ = true;
      if (!program_runs_) {  // at the program's first instruction
        program_runs_ = true;
        if (pages_at_start_ != nullptr) {
          first_touch_ = pages_at_start_(registers_[31]);
          has_first_touch_ = true;
        }
        ring->LetRun();
      }
    } else if (kind == PERFVEC_TRANSLATED) {
      if (!ReadBlock(ring)) break;
    } else if (kind == PERFVEC_MAPPED) {
      if (!ReadMapped(ring, Value(word))) break;
    } else if (kind == PERFVEC_END) {
      report_.ended = true;
      break;
    } else {
      return absl::InternalError(
          absl::StrCat("the plugin sent a word of unknown kind ", kind));
    }
  }
  ring->Stop();
  if (status = Finish(0); !status.ok()) return status;
  return Flush();
}

bool BlockExpander::ReadBlock(EventRing* ring) {
  Block block;
  uint64_t count;
  if (!ring->Next(&block.pc) || !ring->Next(&count)) return false;
  if (count > kMaxBlockInstructions) return false;
  for (uint64_t i = 0; i < count; i += 2) {
    uint64_t pair;
    if (!ring->Next(&pair)) return false;
    block.words.push_back(static_cast<uint32_t>(pair));
    if (i + 1 < count) block.words.push_back(static_cast<uint32_t>(pair >> 32));
  }
  for (uint32_t i = 0; i < count; ++i) {
    MacroOp op = DecodeArm(block.words[i]);
    if (!op.known()) ++block.unknown;
    for (MicroOp& micro_op : op.micro_ops) {
      micro_op.instruction.pc = block.pc + 4 * i;
      Operation operation;
      operation.instruction = micro_op.instruction;
      operation.access_offset = micro_op.access_offset;
      operation.number = i;
      operation.access =
          micro_op.access_offset == kNoAccess ? Access::kNone : op.access;
      block.operations.push_back(operation);
    }
    if (RegisterFile::UsesPredicates(block.words[i])) block.tracked = true;
    if (op.access == Access::kHidden) {
      block.tracked = true;
      block.hidden.emplace(i, std::move(op));
    }
  }
  for (uint32_t i = 0; i < block.operations.size(); ++i) {
    const Operation& operation = block.operations[i];
    if (operation.access == Access::kNone) continue;
    if (block.touching.empty() || block.touching.back() != operation.number) {
      block.touching.push_back(operation.number);
    }
    block.plain &= operation.access == Access::kTold;
    block.accesses.push_back(
        {i, static_cast<uint32_t>(block.touching.size() - 1),
         operation.access_offset, operation.instruction.access_size});
  }
  block.plain &= block.unknown == 0 && !block.tracked;
  block.ends_in_branch =
      !block.operations.empty() &&
      (block.operations.back().instruction.flags &
       (trace::kConditionalBranch | trace::kUnconditionalBranch)) != 0;
  block.indices.resize(block.operations.size());
  if (vectors_ != nullptr) {
    block.vector_number =
        vector_numbers_.try_emplace(block.pc, vector_numbers_.size())
            .first->second;
  }
  blocks_.push_back(std::move(block));
  ++report_.blocks;
  return true;
}

bool BlockExpander::ReadMapped(EventRing* ring, uint64_t address) {
  MappedFile file;
  uint64_t path_bytes;
  file.address = address;
  if (!ring->Next(&file.bytes) || !ring->Next(&file.offset) ||
      !ring->Next(&path_bytes) || path_bytes > PERFVEC_MAX_PATH) {
    return false;
  }
  while (file.path.size() < path_bytes) {
    uint64_t word;
    if (!ring->Next(&word)) return false;
    file.path.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  file.path.resize(path_bytes);
  if (mapped_ != nullptr) mapped_(file);
  return true;
}

std::vector<uint64_t> BlockExpander::BlockAddresses() const {
  std::vector<uint64_t> addresses;
  for (const Block& block : blocks_) addresses.push_back(block.pc);
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

absl::Status BlockExpander::Finish(uint64_t next_pc) {
  absl::Status status;
  if (running_ != nullptr) {
    const size_t count = running_->operations.size();
    report_.executed += count;
    if (vectors_ != nullptr && region_.counts()) {
      vectors_->Add(running_->vector_number, running_->words.size(), count);
    }
    if (!region_.Pass(count)) {
      if (!running_->plain || !ExpandWhole(*running_, next_pc)) {
        status = Expand(*running_, next_pc);
      }
    } else {
      if (running_->tracked) FindHidden(*running_);
      if (has_first_touch_) {
        for (const Touch& t : touches_) first_touch_.Faults(t.address, 1);
      }
    }
  }
  touches_.clear();
  have_registers_ = false;
  return status;
}

// Adds the touches that QEMU does not tell to touches_, in order.
void BlockExpander::FindHidden(const Block& block) {
  if (have_registers_) {
    file_.Set(registers_);
  } else {
    file_.Clear();
  }
  std::vector<Touch> all;
  size_t told = 0;
  for (uint32_t i = 0; i < block.words.size(); ++i) {
    while (told < touches_.size() && touches_[told].instruction <= i) {
      all.push_back(touches_[told++]);
    }
    const uint64_t pc = block.pc + 4 * i;
    const auto hidden = block.hidden.find(i);
    if (hidden != block.hidden.end()) {
      bool active;
      const auto address = file_.Address(hidden->second.hidden, pc, &active);
      if (!address.has_value()) {
        ++report_.unknown_addresses;
      } else if (active) {
        all.push_back({i, *address & PERFVEC_VALUE_MASK});
      }
      file_.Step(pc, block.words[i], hidden->second);
    } else {
      file_.Step(pc, block.words[i], DecodeArm(block.words[i]));
    }
  }
  touches_ = std::move(all);
}

bool BlockExpander::ExpandWhole(Block& block, uint64_t next_pc) {
  const size_t count = block.operations.size();
  if (touches_.size() != block.touching.size() || region_.Room() < count ||
      trace::kMaxChunkInstructions - filled_ < count) {
    return false;
  }
  for (size_t i = 0; i < touches_.size(); ++i) {
    if (touches_[i].instruction != block.touching[i]) return false;
  }
  trace::InstructionBlock& out = chunk_.block;
  uint64_t* const addresses = out.address.data() + filled_;
  std::fill_n(addresses, count, 0);
  uint64_t last_load = exclusive_address_;
  for (const PlainAccess& access : block.accesses) {
    const uint64_t address = touches_[access.touch].address + access.offset;
    if (has_first_touch_ && !first_touch_.Touched(address, access.bytes)) {
      return false;
    }
    addresses[access.operation] = address;
    if (block.operations[access.operation].instruction.op_class ==
        trace::kLoadOpClass) {
      last_load = address;
    }
  }
  exclusive_address_ = last_load;
  if (block.epoch != epoch_) {
    for (size_t i = 0; i < count; ++i) {
      Operation& operation = block.operations[i];
      if (operation.epoch != epoch_) Intern(operation);
      block.indices[i] = operation.index;
    }
    block.epoch = epoch_;
  }
  std::copy(block.indices.begin(), block.indices.end(),
            out.static_index.begin() + filled_);
  std::fill_n(out.taken.begin() + filled_, count, 0);
  out.taken[filled_ + count - 1] = block.ends_in_branch && next_pc != 0 &&
                                   next_pc != block.pc + 4 * block.words.size();
  filled_ += count;
  report_.recorded += count;
  region_.Record(count);
  return true;
}

absl::Status BlockExpander::Expand(Block& block, uint64_t next_pc) {
  if (block.tracked) FindHidden(block);
  if (block.unknown > 0) {
    for (const uint32_t word : block.words) {
      if (DecodeArm(word).known()) continue;
      ++report_.unknown[word];
      ++report_.unknown_executions;
    }
  }
  const Touch* touch = touches_.data();
  const Touch* const end = touch + touches_.size();
  const size_t count = block.operations.size();
  const uint64_t fall_through = block.pc + 4 * block.words.size();
  absl::Status status;
  for (size_t i = 0; i < count; ++i) {
    Operation& operation = block.operations[i];
    if (operation.access == Access::kNone) {
      const bool taken =
          i + 1 == count && next_pc != 0 && next_pc != fall_through &&
          (operation.instruction.flags &
           (trace::kConditionalBranch | trace::kUnconditionalBranch)) != 0;
      status = Push(operation, 0, taken);
    } else {
      while (touch != end && touch->instruction < operation.number) ++touch;
      if (touch != end && touch->instruction == operation.number) {
        const uint64_t address = touch->address + operation.access_offset;
        if (operation.instruction.op_class == trace::kLoadOpClass) {
          exclusive_address_ = address;
        }
        status = PushAccess(operation, address);
      } else if (operation.access == Access::kTold) {
        // What should touch memory did not: a fault or signal ended it here.
        ++report_.cut_blocks;
        return absl::OkStatus();
      } else if (operation.access == Access::kMaybe) {
        // A store-exclusive that failed: gem5 gives it the address that the
        // load-exclusive before it had.
        status = Push(operation, exclusive_address_, false);
      } else {
        Operation without = operation;
        without.instruction.flags &= ~trace::kHasAddress;
        without.instruction.access_size = 0;
        without.epoch = 0;
        status = Push(without, 0, false);
      }
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status BlockExpander::PushAccess(Operation& operation, uint64_t address) {
  if (has_first_touch_) {
    int faults =
        first_touch_.Faults(address, operation.instruction.access_size);
    for (; faults > 0; --faults) {
      bool begins;
      if (!region_.NextFault(&begins)) continue;
      Operation faulting = operation;
      faulting.instruction.flags &= ~trace::kHasAddress;
      faulting.instruction.flags |= trace::kFault;
      faulting.instruction.access_size = 0;
      faulting.epoch = 0;
      if (absl::Status status = Record(faulting, 0, false, begins);
          !status.ok()) {
        return status;
      }
    }
  }
  return Push(operation, address, false);
}

absl::Status BlockExpander::Push(Operation& operation, uint64_t address,
                                 bool taken) {
  bool begins;
  if (!region_.Next(&begins)) return absl::OkStatus();
  return Record(operation, address, taken, begins);
}

absl::Status BlockExpander::Record(Operation& operation, uint64_t address,
                                   bool taken, bool begins) {
  if (filled_ == trace::kMaxChunkInstructions) {
    if (absl::Status status = Flush(); !status.ok()) return status;
  }
  if (begins) marks_(report_.recorded, region_.slice());
  if (operation.epoch != epoch_) Intern(operation);
  trace::InstructionBlock& block = chunk_.block;
  block.static_index[filled_] = operation.index;
  block.address[filled_] = address;
  block.taken[filled_] = taken;
  ++filled_;
  ++report_.recorded;
  return absl::OkStatus();
}

void BlockExpander::Intern(Operation& operation) {
  std::vector<trace::StaticInstruction>& statics = chunk_.block.statics;
  // Micro-operations of one instruction stand next to each other and differ;
  // a few slots for each pc tell them apart.
  uint64_t key = operation.instruction.pc << 4;
  for (int slot = 0; slot < 16; ++slot, ++key) {
    const auto [found, added] =
        interned_.try_emplace(key, static_cast<uint32_t>(statics.size()));
    if (added || statics[found->second] == operation.instruction) {
      if (added) statics.push_back(operation.instruction);
      operation.index = found->second;
      operation.epoch = epoch_;
      return;
    }
  }
  operation.index = static_cast<uint32_t>(statics.size());
  operation.epoch = epoch_;
  statics.push_back(operation.instruction);
}

absl::Status BlockExpander::Flush() {
  trace::InstructionBlock& block = chunk_.block;
  const uint64_t next = block.first_instruction + filled_;
  absl::Status status;
  if (filled_ > 0) {
    block.static_index.resize(filled_);
    block.address.resize(filled_);
    block.taken.resize(filled_);
    status = sink_(std::move(chunk_));
  }
  chunk_ = {};
  block.first_instruction = next;
  block.static_index.resize(trace::kMaxChunkInstructions);
  block.address.resize(trace::kMaxChunkInstructions);
  block.taken.resize(trace::kMaxChunkInstructions);
  filled_ = 0;
  interned_.clear();
  ++epoch_;
  return status;
}

}  // namespace perfvec::tracer
