#include "worker/features/stack_distance.h"

#include "worker/features/cpu_dispatch.h"

namespace perfvec::compute {
namespace {

PERFVEC_TARGET_AVX2 void RecordBatchAvx2(StackDistances& stacks,
                                         const uint64_t* lines, size_t count,
                                         uint32_t* distances) {
  RecordBatch(stacks, lines, count, distances);
}

}  // namespace

void RecordAll(StackDistances& stacks, const uint64_t* lines, size_t count,
               uint32_t* distances) {
  while (count != 0) {
    const size_t batch = std::min(count, kRecordBatch);
    if (CpuHasAvx2()) {
      RecordBatchAvx2(stacks, lines, batch, distances);
    } else {
      RecordBatch(stacks, lines, batch, distances);
    }
    lines += batch;
    distances += batch;
    count -= batch;
  }
}

}  // namespace perfvec::compute
