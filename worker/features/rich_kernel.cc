#include "worker/features/rich_kernel.h"

namespace perfvec::compute {
namespace {

// Cycles by gem5's operation class, the same on every reference machine.
// Loads have the machine's own; what is not listed takes 1.
constexpr int kLatencies[] = {
    1, 1, 3, 12,                  // none, integer: alu, multiply, divide
    3, 2, 3, 4, 5, 12, 3, 18,     // float: add compare convert multiply
                                  // multiply-add divide other root
    2, 3, 2, 2, 3, 2, 4, 4,       // simd: add add-accumulate alu compare
                                  // convert other multiply multiply-add
    2, 3, 12, 18,                 // simd: shift shift-accumulate divide root
    3, 3, 3, 3, 12, 3, 4, 5, 18,  // simd float: add alu compare convert
                                  // divide other multiply multiply-add root
    4, 4, 4, 4, 4,                // simd reductions
    3, 3, 3, 3, 3, 3, 3, 3, 2,    // aes, sha; predicate alu
    3, 1, 3, 1,                   // load, store, float load, float store
    3, 1,                         // register access, prefetch
};

int LatencyQuarterCycles(int op_class) {
  constexpr int kCount = sizeof(kLatencies) / sizeof(kLatencies[0]);
  return 4 * (op_class >= 0 && op_class < kCount ? kLatencies[op_class] : 1);
}

// The AArch64 registers of gem5 that matter here.
constexpr int kIntegerClass = 0, kMiscellaneousClass = 6;
constexpr int kFloatClass = 1, kLaneClass = 3;  // a vector's between
constexpr int kLinkRegister = 30;
constexpr int kZeroAsSource = 31, kZeroAsDestination = 34;

bool IsLink(trace::Register r) {
  return r.register_class == kIntegerClass && r.index == kLinkRegister;
}

// Everything that tells static instructions apart.
uint64_t Identity(const trace::StaticInstruction& s) {
  uint64_t hash = MixBits(s.pc);
  auto add = [&hash](uint64_t x) { hash = MixBits(hash + x) ^ x; };
  add(uint64_t{s.flags} << 32 | s.access_size);
  add(uint64_t{static_cast<uint16_t>(s.op_class)} << 16 |
      uint64_t{s.source_count} << 8 | s.destination_count);
  for (int i = 0; i < s.source_count; ++i) {
    add(uint64_t{s.sources[i].register_class} << 16 | s.sources[i].index);
  }
  for (int i = 0; i < s.destination_count; ++i) {
    add(uint64_t{s.destinations[i].register_class} << 16 |
        s.destinations[i].index);
  }
  return hash;
}

}  // namespace

uint32_t RichKernel::RegisterNumber(trace::Register r) {
  if (r.register_class == kMiscellaneousClass ||
      (r.register_class == kIntegerClass &&
       (r.index == kZeroAsSource || r.index == kZeroAsDestination))) {
    return IndexTable::kNone;
  }
  const uint32_t number =
      register_of_.Find(uint64_t{r.register_class} << 16 | r.index);
  if (number == writers_.size()) writers_.emplace_back();
  return number;
}

RichKernel::StaticState RichKernel::MakeStatic(
    const trace::StaticInstruction& s) {
  StaticState state{};
  state.site = site_of_.Find(Identity(s));
  if (state.site == sites_.size()) sites_.emplace_back();
  auto flag = [&s](uint32_t bit) { return (s.flags & bit) != 0; };
  const bool has_address = flag(trace::kHasAddress);
  state.access_bytes = s.access_size;
  state.pc = s.pc;
  state.op_class = s.op_class;
  state.non_speculative = flag(trace::kNonSpeculative);
  state.exclusive = flag(trace::kStoreConditional) || flag(trace::kAtomic);
  state.barrier = flag(trace::kReadBarrier) || flag(trace::kWriteBarrier);
  state.latency = LatencyQuarterCycles(s.op_class);
  state.load = has_address && s.op_class == trace::kLoadOpClass;
  state.store = has_address && !state.load;
  state.conditional = flag(trace::kConditionalBranch);
  const bool branch = state.conditional || flag(trace::kUnconditionalBranch);
  state.indirect = branch && !flag(trace::kDirectBranch);
  state.serialize_before = flag(trace::kSerializeBefore);
  state.serialize_after =
      flag(trace::kSerializeAfter) || flag(trace::kSquashAfter);
  bool reads_link = false, writes_link = false;
  for (int i = 0; i < s.source_count; ++i) {
    reads_link = reads_link || IsLink(s.sources[i]);
    const uint32_t number = RegisterNumber(s.sources[i]);
    if (number != IndexTable::kNone) {
      state.sources[state.source_count++] = number;
    }
  }
  for (int i = 0; i < s.destination_count; ++i) {
    writes_link = writes_link || IsLink(s.destinations[i]);
    const uint32_t number = RegisterNumber(s.destinations[i]);
    if (number != IndexTable::kNone) {
      state.destinations[state.destination_count++] = number;
      const int kind = s.destinations[i].register_class;
      state.integer_destinations += kind == kIntegerClass;
      state.vector_destinations += kind >= kFloatClass && kind <= kLaneClass;
    }
  }
  state.call = flag(trace::kUnconditionalBranch) && writes_link;
  state.returns = flag(trace::kUnconditionalBranch) && state.indirect &&
                  reads_link && !writes_link;
  return state;
}

void RichKernel::Prepare(const trace::InstructionBlock& block) {
  statics_.clear();
  statics_.reserve(block.statics.size());
  for (const trace::StaticInstruction& s : block.statics) {
    statics_.push_back(MakeStatic(s));
  }
  machines_.ReserveRegisters(writers_.size());
  if (cores_ != nullptr) cores_->ReserveRegisters(writers_.size());
}

size_t RichKernel::memory_bytes() const {
  return sizeof(*this) + statics_.capacity() * sizeof(StaticState) +
         site_of_.memory_bytes() + sites_.capacity() * sizeof(Site) +
         register_of_.memory_bytes() + writers_.capacity() * sizeof(Writer) +
         store_window_.memory_bytes() + machines_.memory_bytes() +
         predictors_.memory_bytes() + lines_.memory_bytes() +
         pages_.memory_bytes() + data_64_.memory_bytes() +
         fetch_64_.memory_bytes() + data_256_.memory_bytes() +
         unified_1024_.memory_bytes() + group_of_.memory_bytes() +
         touched_.capacity() * sizeof(touched_[0]) +
         (cores_ == nullptr ? 0 : cores_->memory_bytes());
}

}  // namespace perfvec::compute
