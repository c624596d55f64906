#include "worker/features/reference_core_columns.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "worker/features/reference_core_table.h"

namespace perfvec::compute {
namespace {

constexpr int kCores = ReferenceCores::kCores;
static_assert(std::size(kReferenceCores) == kCores);

// Index in kUnitLatencies by gem5's operation class; -1: one cycle.
int Unit(int op_class) {
  if (op_class == 2 || op_class == 3) return op_class - 2;
  if (op_class >= 4 && op_class <= 6) return 2;
  if (op_class >= 7 && op_class <= 11) return op_class - 4;
  if (op_class == 22 || op_class == 23 || op_class == 28 || op_class == 32) {
    return 11;  // SIMD divide and root
  }
  if ((op_class >= 24 && op_class <= 31) || op_class == 36 || op_class == 37) {
    return 9;
  }
  if (op_class >= 12 && op_class <= 45) return 8;
  if (op_class >= 47 && op_class <= 50) return 10;
  return -1;
}

int UnitCycles(const ReferenceCore& core, int op_class) {
  const int* cycles = kUnitLatencies[core.units];
  const int unit = Unit(op_class);
  if (unit == 11) return cycles[9] > 1 ? cycles[5] : 1;
  return unit < 0 ? 1 : cycles[unit];
}

}  // namespace

ReferenceCores::Tables::Tables() {
  auto reach = [](std::vector<Reach>* all, int core, int back) {
    if (back == 0) return;
    auto at = std::find_if(all->begin(), all->end(), [&](const Reach& r) {
      return r.back == static_cast<uint32_t>(back);
    });
    if (at == all->end()) {
      at = all->insert(at, {static_cast<uint32_t>(back), {}});
    }
    at->mask.at[core] = -1;
  };
  for (int m = 0; m < kCores; ++m) {
    const ReferenceCore& c = kReferenceCores[m];
    fetch_step.at[m] = kCycle / c.fetch_width;
    retire_step.at[m] = kCycle / c.retire_width;
    depth.at[m] = kCycle * c.depth;
    taken.at[m] = kCycle * (c.in_order ? c.near : c.near - 1);
    refill.at[m] = kCycle * c.refill + taken.at[m];
    retarget.at[m] = kCycle * c.retarget;
    reuse.at[m] = kCycle * c.reuse;
    retire.at[m] = kCycle * c.retire;
    in_order.at[m] = c.in_order ? -1 : 0;
    excludes.at[m] = c.second_excludes ? -1 : 0;
    for (int p = 0; p < kPredictors; ++p) {
      predictor[p].at[m] = c.predictor == p ? -1 : 0;
    }
    for (int g = 0; g < 3; ++g) {
      geometry[g].at[m] = c.sets == 64 << g ? -1 : 0;
    }
    ways.at[m] = c.ways;
    second_ways.at[m] = c.second_ways;
    near.at[m] = kCycle * c.near;
    middle.at[m] = kCycle * c.middle;
    misses.at[m] = c.misses;
    accesses.at[m] = c.accesses;
    for (int op = 0; op < kOpClasses; ++op) {
      latency[op].at[m] = kCycle * UnitCycles(c, op);
    }
    reach(&fetch_queue, m, c.fetch_queue);
    reach(&window, m, c.window);
    reach(&loads, m, c.loads);
    reach(&stores, m, c.stores);
    reach(&integers, m, c.integers);
    reach(&vectors, m, c.vectors);
  }
}

}  // namespace perfvec::compute
