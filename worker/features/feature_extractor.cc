#include "worker/features/feature_extractor.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/features/branch_history.h"
#include "worker/features/reuse_window.h"
#include "worker/features/stack_distance.h"

namespace perfvec::compute {
namespace {

using trace::InstructionBlock;
using trace::StaticInstruction;

constexpr int kLoadStack = 0;
constexpr int kStoreStack = 1;
constexpr uint32_t kNoBranch = ~uint32_t{0};

// What a block's extraction needs of a static instruction beside its row.
struct StaticState {
  uint64_t fetch_line;
  size_t fetch_entry;  // position of its line in the fetch table
  uint32_t branch;     // its history, or kNoBranch
  bool has_address;
  bool load;
};

absl::Status CheckStatic(const StaticInstruction& s) {
  if (s.source_count > trace::kMaxSourceRegisters ||
      s.destination_count > trace::kMaxDestinationRegisters) {
    return absl::InvalidArgumentError(absl::StrCat(
        "instruction at pc ", s.pc, ": expected at most ",
        trace::kMaxSourceRegisters, " source and ",
        trace::kMaxDestinationRegisters, " destination registers, found ",
        s.source_count, " and ", s.destination_count,
        "; the features cannot tell it, check the importer"));
  }
  auto check = [&s](const auto& registers, int count) {
    for (int i = 0; i < count; ++i) {
      if (registers[i].register_class > trace::kMaxRegisterClass) {
        return absl::InvalidArgumentError(absl::StrCat(
            "instruction at pc ", s.pc, ": expected register classes up to ",
            trace::kMaxRegisterClass, ", found ", registers[i].register_class,
            "; the features cannot tell it, check the importer"));
      }
    }
    return absl::OkStatus();
  };
  absl::Status status = check(s.sources, s.source_count);
  if (status.ok()) status = check(s.destinations, s.destination_count);
  return status;
}

absl::Status CheckBlock(const InstructionBlock& block, uint64_t position) {
  if (block.first_instruction != position) {
    return absl::InvalidArgumentError(absl::StrCat(
        "instruction block: expected to begin at instruction ", position,
        ", where the last one ended, found ", block.first_instruction,
        "; features need every instruction of a trace, in order"));
  }
  const size_t n = block.size();
  if (block.address.size() != n || block.taken.size() != n) {
    return absl::InvalidArgumentError(absl::StrCat(
        "instruction block: expected columns of ", n, " instructions, found ",
        block.address.size(), " addresses and ", block.taken.size(),
        " branch outcomes"));
  }
  uint32_t highest = 0;
  for (uint32_t index : block.static_index) highest = std::max(highest, index);
  if (n != 0 && highest >= block.statics.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("instruction block: expected static indices below ",
                     block.statics.size(), ", found ", highest));
  }
  for (const StaticInstruction& s : block.statics) {
    if (absl::Status status = CheckStatic(s); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// All of a row that does not depend on the execution.
void FillRow(const StaticInstruction& s, float* row) {
  auto flag = [&s](uint32_t bit) { return (s.flags & bit) != 0 ? 1.0f : 0.0f; };
  std::fill_n(row, kFeatureCount, 0.0f);
  row[kFeatureFault] = flag(trace::kFault);
  row[kFeatureOperation] = static_cast<float>(s.op_class + 1);
  row[kFeatureStore] =
      (s.flags & (trace::kHasStoreQueueIndex | trace::kStoreConditional |
                  trace::kAtomic)) == trace::kHasStoreQueueIndex
          ? 1.0f
          : 0.0f;
  row[kFeatureLoad] = s.op_class == trace::kLoadOpClass ? 1.0f : 0.0f;
  row[kFeatureMicroOp] = flag(trace::kMicroOp);
  row[kFeatureConditional] = flag(trace::kConditionalBranch);
  row[kFeatureUnconditional] = flag(trace::kUnconditionalBranch);
  row[kFeatureDirect] = flag(trace::kDirectBranch);
  row[kFeatureSquashAfter] = flag(trace::kSquashAfter);
  row[kFeatureSerializeAfter] = flag(trace::kSerializeAfter);
  row[kFeatureSerializeBefore] = flag(trace::kSerializeBefore);
  row[kFeatureExclusive] =
      flag(trace::kStoreConditional) + 2 * flag(trace::kAtomic);
  row[kFeatureReadBarrier] = flag(trace::kReadBarrier);
  row[kFeatureWriteBarrier] = flag(trace::kWriteBarrier);
  row[kFeatureNonSpeculative] = flag(trace::kNonSpeculative);
  row[kFeatureHasAddress] = flag(trace::kHasAddress);
  for (int i = 0; i < s.source_count; ++i) {
    row[kFeatureSources + 2 * i] = s.sources[i].register_class + 1;
    row[kFeatureSources + 2 * i + 1] = s.sources[i].index + 1;
  }
  for (int i = 0; i < s.destination_count; ++i) {
    row[kFeatureDestinations + 2 * i] = s.destinations[i].register_class + 1;
    row[kFeatureDestinations + 2 * i + 1] = s.destinations[i].index + 1;
  }
}

}  // namespace

struct FeatureExtractor::State {
  absl::Status Advance(const InstructionBlock& block, float* features);
  void Prepare(const InstructionBlock& block, bool rows);
  template <bool kWrite>
  void Run(const InstructionBlock& block, float* features);

  uint64_t position = 0;
  StackDistances fetch;  // stack 0
  StackDistances data;
  ReuseWindow reuse;
  uint64_t last_fetch_line = ~uint64_t{0};
  std::unordered_map<uint64_t, uint32_t> branch_of_pc;
  std::vector<BranchHistory> branches;

  // Of the block at hand.
  std::vector<StaticState> statics;
  std::vector<float> rows;  // [statics][51]
};

void FeatureExtractor::State::Prepare(const InstructionBlock& block,
                                      bool write) {
  const size_t count = block.statics.size();
  fetch.Reserve(count);
  statics.resize(count);
  if (write) rows.resize(count * kFeatureCount);
  for (size_t i = 0; i < count; ++i) {
    const StaticInstruction& s = block.statics[i];
    StaticState& state = statics[i];
    state.fetch_line = s.pc >> kLineBytesLog2;
    state.fetch_entry = fetch.IndexOf(fetch.Find(state.fetch_line));
    state.branch = kNoBranch;
    if ((s.flags & trace::kConditionalBranch) != 0) {
      auto [it, added] = branch_of_pc.try_emplace(
          s.pc, static_cast<uint32_t>(branches.size()));
      if (added) branches.emplace_back();
      state.branch = it->second;
    }
    state.has_address = (s.flags & trace::kHasAddress) != 0;
    state.load = s.op_class == trace::kLoadOpClass;
    if (write) FillRow(s, rows.data() + i * kFeatureCount);
  }
}

template <bool kWrite>
void FeatureExtractor::State::Run(const InstructionBlock& block,
                                  float* features) {
  const size_t n = block.size();
  for (size_t i = 0; i < n; ++i) {
    const uint32_t index = block.static_index[i];
    const StaticState& s = statics[index];
    float* row = features + i * kFeatureCount;
    if (kWrite) {
      std::memcpy(row, rows.data() + size_t{index} * kFeatureCount,
                  kFeatureCount * sizeof(float));
      row[kFeatureTaken] = block.taken[i];
      row[kFeatureFetchDistance] = 1;
    }
    if (s.branch != kNoBranch) {
      BranchHistory& history = branches[s.branch];
      if (kWrite) row[kFeatureEntropyBefore] = history.Entropy();
      history.Append(block.taken[i] != 0);
      if (kWrite) row[kFeatureEntropyAfter] = history.Entropy();
    }
    if (s.fetch_line != last_fetch_line) {
      last_fetch_line = s.fetch_line;
      const uint32_t distance = fetch.Record(fetch.At(s.fetch_entry), 0);
      if (kWrite) row[kFeatureFetchDistance] = StackDistanceFeature(distance);
    }
    if (s.has_address) {
      const uint64_t address = block.address[i];
      LineEntry& entry = *data.Find(address >> kLineBytesLog2);
      const int recorded = s.load ? kLoadStack : kStoreStack;
      uint32_t distance[2];
      if (kWrite) distance[1 - recorded] = data.Distance(entry, 1 - recorded);
      distance[recorded] = data.Record(entry, recorded);
      const uint32_t since = reuse.Access(address, position + i);
      if (kWrite) {
        row[kFeatureLoadDistance] = StackDistanceFeature(distance[kLoadStack]);
        row[kFeatureStoreDistance] =
            StackDistanceFeature(distance[kStoreStack]);
        row[kFeatureReuseInstructions] = static_cast<float>(since);
      }
    }
  }
}

absl::Status FeatureExtractor::State::Advance(const InstructionBlock& block,
                                              float* features) {
  if (absl::Status status = CheckBlock(block, position); !status.ok()) {
    return status;
  }
  Prepare(block, features != nullptr);
  if (features != nullptr) {
    Run<true>(block, features);
  } else {
    Run<false>(block, nullptr);
  }
  position += block.size();
  return absl::OkStatus();
}

FeatureExtractor::FeatureExtractor() : state_(std::make_unique<State>()) {}
FeatureExtractor::~FeatureExtractor() = default;
FeatureExtractor::FeatureExtractor(FeatureExtractor&&) noexcept = default;
FeatureExtractor& FeatureExtractor::operator=(FeatureExtractor&&) noexcept =
    default;

absl::Status FeatureExtractor::Extract(const InstructionBlock& block,
                                       float* features) {
  return state_->Advance(block, features);
}

absl::Status FeatureExtractor::Skip(const InstructionBlock& block) {
  return state_->Advance(block, nullptr);
}

uint64_t FeatureExtractor::position() const { return state_->position; }

size_t FeatureExtractor::memory_bytes() const {
  // Hash nodes of the branch map: key, value, link, bucket.
  return sizeof(State) + state_->fetch.memory_bytes() +
         state_->data.memory_bytes() +
         state_->branches.capacity() * sizeof(BranchHistory) +
         state_->branch_of_pc.size() * 40;
}

}  // namespace perfvec::compute
