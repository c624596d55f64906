#include "worker/features/feature_extractor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "worker/features/cpu_dispatch.h"
#include "worker/features/feature_kernel.h"
#include "worker/features/rich_kernel.h"
#include "worker/features/stack_distance.h"

namespace perfvec::compute {
namespace {

using trace::InstructionBlock;
using trace::StaticInstruction;

absl::Status CheckStatic(const StaticInstruction& s) {
  if (s.pc == ~uint64_t{0}) {  // the tables' mark of an empty entry
    return absl::InvalidArgumentError(
        "static instruction: expected a program counter, found 2^64 - 1");
  }
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

using Kernel = FeatureKernel<StackDistances>;

template <bool kWrite>
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Run(Kernel& kernel, RichKernel* rich,
                                             const InstructionBlock& block,
                                             float* features) {
  if (rich == nullptr) {
    kernel.Run<kWrite>(block, features);
    return;
  }
  rich->Prepare(block);
  if (rich->with_cores()) {
    kernel.Run<kWrite, kCoresFeatureCount>(
        block, features,
        [&](size_t begin, size_t end) ABSL_ATTRIBUTE_ALWAYS_INLINE {
          rich->Run<kWrite, kCoresFeatureCount>(block, begin, end, features);
        });
  } else {
    kernel.Run<kWrite, kRichFeatureCount>(
        block, features,
        [&](size_t begin, size_t end) ABSL_ATTRIBUTE_ALWAYS_INLINE {
          rich->Run<kWrite, kRichFeatureCount>(block, begin, end, features);
        });
  }
}

template <bool kWrite>
PERFVEC_TARGET_AVX2 void RunAvx2(Kernel& kernel, RichKernel* rich,
                                 const InstructionBlock& block,
                                 float* features) {
  Run<kWrite>(kernel, rich, block, features);
}

template <bool kWrite>
void RunBase(Kernel& kernel, RichKernel* rich, const InstructionBlock& block,
             float* features) {
  Run<kWrite>(kernel, rich, block, features);
}

template <bool kWrite>
absl::Status Advance(Kernel& kernel, RichKernel* rich,
                     const InstructionBlock& block, float* features) {
  const absl::Status status = CheckBlock(block, kernel.position());
  if (!status.ok()) return status;
  if (CpuHasAvx2()) {
    RunAvx2<kWrite>(kernel, rich, block, features);
  } else {
    RunBase<kWrite>(kernel, rich, block, features);
  }
  return absl::OkStatus();
}

}  // namespace

struct FeatureExtractor::State {
  Kernel kernel;
  std::unique_ptr<RichKernel> rich;  // null: the published schema
};

FeatureExtractor::FeatureExtractor(const FeatureSchema& schema)
    : state_(std::make_unique<State>()) {
  if (schema.id == kRichFeatureSchemaId || schema.id == kCoresFeatureSchemaId) {
    state_->rich =
        std::make_unique<RichKernel>(schema.id == kCoresFeatureSchemaId);
  }
}
FeatureExtractor::~FeatureExtractor() = default;
FeatureExtractor::FeatureExtractor(FeatureExtractor&&) noexcept = default;
FeatureExtractor& FeatureExtractor::operator=(FeatureExtractor&&) noexcept =
    default;

const FeatureSchema& FeatureExtractor::schema() const {
  if (state_->rich == nullptr) return PublishedFeatureSchema();
  return state_->rich->with_cores() ? CoresFeatureSchema()
                                    : RichFeatureSchema();
}

absl::Status FeatureExtractor::Extract(const InstructionBlock& block,
                                       float* features) {
  return Advance<true>(state_->kernel, state_->rich.get(), block, features);
}

absl::Status FeatureExtractor::Skip(const InstructionBlock& block) {
  return Advance<false>(state_->kernel, state_->rich.get(), block, nullptr);
}

uint64_t FeatureExtractor::position() const {
  return state_->kernel.position();
}

size_t FeatureExtractor::memory_bytes() const {
  return state_->kernel.memory_bytes() +
         (state_->rich == nullptr ? 0 : state_->rich->memory_bytes());
}

}  // namespace perfvec::compute
