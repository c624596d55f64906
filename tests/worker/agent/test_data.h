// A small random trace as .pvt bytes, and the sum it must give: computed in one
// piece, without the agent.
#ifndef PERFVEC_TESTS_WORKER_AGENT_TEST_DATA_H_
#define PERFVEC_TESTS_WORKER_AGENT_TEST_DATA_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/worker/model/random_model.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/represent_trace.h"

namespace perfvec::worker {

// One latency column, so that it is seen to be passed over. Chunks of
// `chunk_instructions`, the last with what is left.
inline std::string RandomPvt(uint64_t seed, uint32_t instructions,
                             uint32_t chunk_instructions) {
  trace::RandomTrace random(seed);
  std::vector<trace::TraceChunk> chunks;
  for (uint32_t at = 0; at < instructions; at += chunk_instructions) {
    chunks.push_back(
        random.Chunk(std::min(chunk_instructions, instructions - at), 1));
  }
  return trace::WriteTrace(trace::TestHeader(1), chunks);
}

inline std::shared_ptr<const compute::FoundationModel> TinyModel(
    uint64_t seed) {
  auto model = compute::RandomModel(compute::SmallManifest(1, 8), seed);
  EXPECT_TRUE(model.ok()) << model.status();
  return std::make_shared<const compute::FoundationModel>(*std::move(model));
}

inline compute::ProgramVectorAccumulator RepresentWhole(
    const std::string& pvt,
    std::shared_ptr<const compute::FoundationModel> model) {
  auto back_end = compute::MakeCpuRepresenter(std::move(model), {});
  EXPECT_TRUE(back_end.ok()) << back_end.status();
  auto sum = compute::RepresentTrace(std::make_unique<trace::StringSource>(pvt),
                                     back_end->get(), {});
  EXPECT_TRUE(sum.ok()) << sum.status();
  return *std::move(sum);
}

}  // namespace perfvec::worker

#endif  // PERFVEC_TESTS_WORKER_AGENT_TEST_DATA_H_
