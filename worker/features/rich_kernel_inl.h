// The definitions of RichKernel's loop: always inlined into the baseline and
// the AVX2 copy. Included by rich_kernel.h only.
#ifndef PERFVEC_WORKER_FEATURES_RICH_KERNEL_INL_H_
#define PERFVEC_WORKER_FEATURES_RICH_KERNEL_INL_H_

#include "worker/features/rich_kernel.h"

namespace perfvec::compute {
namespace rich_internal {

inline float Capped(uint64_t value, uint64_t cap) {
  return static_cast<float>(std::min(value, cap));
}
inline float Time(int64_t quarter_cycles) {
  return Capped(static_cast<uint64_t>(quarter_cycles), kMaxFarInstructions);
}
inline float Flag(bool flag) { return flag ? 1.0f : 0.0f; }
// Instructions since one whose position + 1 is `then`; the cap for 0, never.
inline float Since(uint64_t now, uint64_t then, uint64_t cap) {
  return then == 0 ? static_cast<float>(cap) : Capped(now + 1 - then, cap);
}

inline int ByDistance(uint32_t distance) {
  return distance <= 512 ? 0 : distance <= 8192 ? 1 : 2;
}
inline int BySets(uint32_t set_64, uint32_t ways_64, uint32_t set_1024,
                  uint32_t ways_1024) {
  return set_64 <= ways_64 ? 0 : set_1024 <= ways_1024 ? 1 : 2;
}

}  // namespace rich_internal

template <bool kWrite>
inline void RichKernel::Producers(const StaticState& s, float* row) {
  // The three nearest, ascending.
  uint64_t nearest[3] = {~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}};
  bool load[3] = {};
  for (int i = 0; i < s.source_count; ++i) {
    const Writer& writer = writers_[s.sources[i]];
    if (writer.written == 0) continue;
    uint64_t distance = position_ + 1 - writer.written;
    bool by_load = writer.load;
    for (int k = 0; k < 3; ++k) {
      if (distance < nearest[k]) {
        std::swap(distance, nearest[k]);
        std::swap(by_load, load[k]);
      }
    }
  }
  if (!kWrite) return;
  for (int k = 0; k < 3; ++k) {
    row[kRichProducers + k] =
        nearest[k] == ~uint64_t{0}
            ? 0.0f
            : rich_internal::Capped(nearest[k], kMaxFarInstructions);
  }
  row[kRichNearestProducerLoad] = rich_internal::Flag(load[0]);
  row[kRichAnyProducerLoad] =
      rich_internal::Flag(load[0] || load[1] || load[2]);
}

// How control came here from the instruction before; whether the machines
// that predict branches would have fetched from elsewhere.
template <bool kWrite>
inline bool RichKernel::Control(const StaticState& s, bool taken, float* row) {
  bool changed = false, path_wrong = false, return_wrong = false;
  bool elsewhere = false;  // a target was mispredicted
  if (after_taken_) {
    uint64_t& target = sites_[site_].target;
    changed = target != s.pc + 1;
    target = s.pc + 1;
    path_wrong = predictors_.PathMispredicts(pc_, s.pc);
    if (returned_) {
      return_wrong = predictors_.ReturnMispredicts(s.pc);
      elsewhere = return_wrong;
    } else if (indirect_) {
      elsewhere = path_wrong;
    }
  }
  const bool mispredicted = direction_wrong_[0] || elsewhere;
  core_step_.after_taken = after_taken_;
  core_step_.target_changed = changed;
  for (int p = 0; p < ReferenceCores::kPredictors; ++p) {
    core_step_.mispredicted[p] = direction_wrong_[p] || elsewhere;
  }
  Mispredictions wrong{};
  if (s.conditional) {
    wrong = predictors_.Direction(s.pc, &sites_[s.site].direction, taken);
  }
  if (s.call && taken) predictors_.Call(s.pc + 4);
  if (kWrite) {
    row[kRichTargetChanged] = rich_internal::Flag(changed);
    row[kRichTargetMispredicted] = rich_internal::Flag(path_wrong);
    row[kRichReturnMispredicted] = rich_internal::Flag(return_wrong);
    for (int p = 0; p < kDirectionPredictors; ++p) {
      row[kRichMispredictions + p] = rich_internal::Flag(wrong[p]);
    }
    row[kRichSinceExecuted] = rich_internal::Since(
        position_, sites_[s.site].executed, kMaxFarInstructions);
    row[kRichAfterTaken] = rich_internal::Flag(after_taken_);
    row[kRichTakenIn16] =
        static_cast<float>(__builtin_popcountll(taken_ & 0xffff));
    row[kRichLineOffset] = static_cast<float>(s.pc >> 2 & 15);
  }
  sites_[s.site].executed = position_ + 1;
  taken_ = taken_ << 1 | (taken ? 1 : 0);
  after_taken_ = taken;
  direction_wrong_[0] = wrong[kTournament];
  direction_wrong_[1] = wrong[kBimodal];
  direction_wrong_[2] = wrong[kGlobal16];
  pc_ = s.pc;
  site_ = s.site;
  indirect_ = s.indirect;
  returned_ = s.returns;
  return mispredicted;
}

template <bool kWrite>
inline void RichKernel::Fetch(uint64_t pc, float* row, Levels* levels) {
  uint32_t unified = 1, page = 1, set_64 = 1, set_1024 = 1;
  const uint64_t line = pc >> kLineBytesLog2;
  core_step_.new_line = line != fetched_line_;
  if (line != fetched_line_) {
    fetched_line_ = line;
    unified = lines_.Record(*lines_.Find(line), 1);
    page = pages_.Record(*pages_.Find(pc >> kPageBytesLog2), 1);
    set_64 = fetch_64_.Record(line);
    set_1024 = unified_1024_.Record(line);
    levels->large = rich_internal::BySets(set_64, 8, set_1024, 16);
    levels->small = rich_internal::BySets(set_64, 4, set_1024, 4);
    core_step_.fetch_set_64 = set_64;
    core_step_.fetch_set_1024 = set_1024;
  }
  if (!kWrite) return;
  row[kRichUnifiedFetchDistance] = StackDistanceFeature(unified);
  row[kRichFetchPageDistance] = StackDistanceFeature(page);
  row[kRichFetchSet64] = static_cast<float>(set_64);
  row[kRichUnifiedFetchSet1024] = static_cast<float>(set_1024);
}

template <bool kWrite>
inline void RichKernel::Strides(Site* site, uint64_t address, float* row) {
  const uint64_t stride = address - site->address;
  const bool backward = stride >> 63 != 0;
  const uint64_t bytes = backward ? -stride : stride;
  if (site->accesses == 2 && stride == site->stride) {
    if (site->stride_repeats < kMaxStrideRepeats) ++site->stride_repeats;
  } else {
    site->stride_repeats = 0;
  }
  const bool first = site->accesses == 0;
  if (!first) site->stride = stride;
  if (kWrite) {
    row[kRichStrideBytes] =
        rich_internal::Capped(first ? kMaxStrideBytes : bytes, kMaxStrideBytes);
    row[kRichStrideRepeats] = site->stride_repeats;
    row[kRichStrideBackward] = rich_internal::Flag(!first && backward);
  }
  if (site->accesses < 2) ++site->accesses;
  site->address = address;
}

template <bool kWrite>
inline void RichKernel::Data(const StaticState& s, uint64_t address, float* row,
                             Levels* levels) {
  const uint64_t line = address >> kLineBytesLog2;
  LineEntry& entry = *lines_.Find(line);
  const uint32_t distance = lines_.Record(entry, 0);
  const uint32_t unified = lines_.Record(entry, 1);
  const uint32_t page =
      pages_.Record(*pages_.Find(address >> kPageBytesLog2), 0);
  const uint32_t set_64 = data_64_.Record(line);
  const uint32_t set_256 = data_256_.Record(line);
  const uint32_t set_1024 = unified_1024_.Record(line);
  levels->by_distance = rich_internal::ByDistance(distance);
  levels->large = rich_internal::BySets(set_64, 8, set_1024, 16);
  levels->small = rich_internal::BySets(set_64, 4, set_1024, 4);
  core_step_.data_set_64 = set_64;
  core_step_.data_set_256 = set_256;
  core_step_.data_set_1024 = set_1024;

  const uint32_t group = group_of_.Find(line >> 3);
  if (group == touched_.size()) touched_.push_back({});
  if (kWrite) {
    auto touched = [&](uint64_t neighbour) -> uint64_t {
      const uint32_t g =
          (neighbour ^ line) < 8 ? group : group_of_.Look(neighbour >> 3);
      return g == IndexTable::kNone ? 0 : touched_[g][neighbour & 7];
    };
    row[kRichSinceLineBefore] =
        rich_internal::Since(position_, touched(line - 1), kMaxFarInstructions);
    row[kRichSinceLineAfter] =
        rich_internal::Since(position_, touched(line + 1), kMaxFarInstructions);
    row[kRichDataDistance] = StackDistanceFeature(distance);
    row[kRichUnifiedDataDistance] = StackDistanceFeature(unified);
    row[kRichDataPageDistance] = StackDistanceFeature(page);
    row[kRichDataSet64] = static_cast<float>(set_64);
    row[kRichDataSet256] = static_cast<float>(set_256);
    row[kRichUnifiedDataSet1024] = static_cast<float>(set_1024);
    row[kRichAccessBytes] =
        rich_internal::Capped(s.access_bytes, kMaxAccessBytesFeature);
    row[kRichCrossesLine] =
        rich_internal::Flag((address & 63) + s.access_bytes > 64);
  }
  touched_[group][line & 7] = position_ + 1;
  Strides<kWrite>(&sites_[s.site], address, row);
}

template <bool kWrite>
inline void RichKernel::RunOne(const trace::InstructionBlock& block, size_t i,
                               float* row) {
  const StaticState& s = statics_[block.static_index[i]];
  ReferenceMachines::Step step;
  Producers<kWrite>(s, row);
  step.mispredicted = Control<kWrite>(s, block.taken[i] != 0, row);
  Fetch<kWrite>(s.pc, row, &step.fetch);
  if (kWrite) {
    row[kRichSinceFarLoad] =
        rich_internal::Since(position_, far_load_, kMaxReuseInstructions);
    row[kRichLoadsIn64] = static_cast<float>(__builtin_popcountll(loads_));
    row[kRichStoresIn64] = static_cast<float>(__builtin_popcountll(stores_));
    row[kRichNearMissesIn64] =
        static_cast<float>(__builtin_popcountll(near_misses_));
    row[kRichFarMissesIn64] =
        static_cast<float>(__builtin_popcountll(far_misses_));
    row[kRichStoreForward] = row[kRichStoreForwardFull] = 0;
  }
  if (s.load || s.store) {
    const uint64_t address = block.address[i];
    Data<kWrite>(s, address, row, &step.data);
    if (s.store) {
      store_window_.Store(address, s.access_bytes, position_);
    } else {
      const StoreWindow::Found found =
          store_window_.Load(address, s.access_bytes, position_);
      if (found.instructions < kMaxReuseInstructions) {
        step.forwarding = position_ - found.instructions;
      }
      if (kWrite) {
        row[kRichStoreForward] = static_cast<float>(found.instructions);
        row[kRichStoreForwardFull] = rich_internal::Flag(found.full);
      }
      if (step.data.large == 2) far_load_ = position_ + 1;
    }
  } else if (kWrite) {
    for (int f :
         {+kRichDataDistance, +kRichUnifiedDataDistance, +kRichDataPageDistance,
          +kRichDataSet64, +kRichDataSet256, +kRichUnifiedDataSet1024,
          +kRichAccessBytes, +kRichCrossesLine, +kRichStrideBytes,
          +kRichStrideRepeats, +kRichStrideBackward, +kRichSinceLineBefore,
          +kRichSinceLineAfter}) {
      row[f] = 0;
    }
  }
  loads_ = loads_ << 1 | (s.load ? 1 : 0);
  stores_ = stores_ << 1 | (s.store ? 1 : 0);
  near_misses_ = near_misses_ << 1 | (step.data.large > 0 ? 1 : 0);
  far_misses_ = far_misses_ << 1 | (step.data.large > 1 ? 1 : 0);

  step.sources = s.sources.data();
  step.source_count = s.source_count;
  step.destinations = s.destinations.data();
  step.destination_count = s.destination_count;
  step.latency = s.latency;
  step.load = s.load;
  step.store = s.store;
  step.serialize = s.serialize_before || serialize_after_;
  serialize_after_ = s.serialize_after;
  machines_.Run(step);
  if (cores_ != nullptr) {
    ReferenceCores::Step& c = core_step_;
    c.pc = s.pc;
    c.op_class = s.op_class;
    c.sources = step.sources;
    c.source_count = step.source_count;
    c.destinations = step.destinations;
    c.destination_count = step.destination_count;
    c.integer_destinations = s.integer_destinations;
    c.vector_destinations = s.vector_destinations;
    c.load = s.load;
    c.store = s.store;
    c.serialize = step.serialize;
    c.non_speculative = s.non_speculative;
    c.exclusive = s.exclusive;
    c.barrier = s.barrier;
    c.address = block.address[i];
    c.access_bytes = s.access_bytes;
    c.forwarding = step.forwarding;
    cores_->Run(c, kWrite ? row + kRichFeatureCount : nullptr);
  }
  for (int d = 0; d < s.destination_count; ++d) {
    writers_[s.destinations[d]] = {position_ + 1, s.load};
  }
  if (kWrite) {
    using Machines = ReferenceMachines;
    const Machines::Times& growth = machines_.growth();
    for (int m = 0; m < Machines::kMachines; ++m) {
      row[kRichGrowth + m] = rich_internal::Time(growth[m]);
    }
    row[kRichDataflowSlack] =
        rich_internal::Time(machines_.slack(Machines::kDataflow));
    row[kRichWaitW64] = rich_internal::Time(machines_.wait(Machines::kW64));
    row[kRichSlackW64] = rich_internal::Time(machines_.slack(Machines::kW64));
    row[kRichWaitW128Full] =
        rich_internal::Time(machines_.wait(Machines::kW128Full));
    row[kRichSlackW128Full] =
        rich_internal::Time(machines_.slack(Machines::kW128Full));
  }
  ++position_;
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_RICH_KERNEL_INL_H_
