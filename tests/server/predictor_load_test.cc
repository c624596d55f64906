// The predictor after a start: what a registry holds is what it answers.
#include <cmath>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/predictor.h"
#include "storage/memory_registry.h"
#include "tests/server/predictor_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class PredictorLoadTest : public testing::Test {
 protected:
  void SetUp() override {
    storage::v1::TraceRecord trace;
    trace.mutable_trace()->set_trace_id("t");
    trace.mutable_trace()->set_instructions(4096);
    ASSERT_TRUE(registry_->PutTrace(trace, "").ok());
    v1::Model model = ModelMessage("base", 0, "id", true);
    model.set_manifest_json("{}");
    model.set_segment_instructions(1024);
    ASSERT_TRUE(registry_->CreateModel(model, {}).ok());
  }

  // Registers a program with a queued job.
  v1::Job Queue(const std::string& name) {
    v1::Program program;
    program.set_name(name);
    program.set_trace_id("t");
    v1::Job job;
    job.set_model_id("id");
    job.set_instructions(4096);
    job.set_shard_instructions(4096);
    job.set_shards(1);
    auto created = registry_->CreateProgram(program, {job});
    EXPECT_TRUE(created.ok()) << created.status();
    return created->jobs[0];
  }

  std::unique_ptr<storage::Registry> registry_ = storage::NewMemoryRegistry();
};

TEST_F(PredictorLoadTest, AnswersForWhatIsStored) {
  const v1::Job job = Queue("lbm");
  auto finished = registry_->FinishJob(job, VectorMessage("lbm", 1, "id", 10));
  ASSERT_TRUE(finished.ok()) << finished.status();
  const v1::Job waiting = Queue("mcf");
  v1::Architecture architecture = ArchitectureMessage("a15", 0, "id", 2);
  ASSERT_TRUE(registry_->CreateArchitecture(architecture).ok());

  Predictor predictor;
  ASSERT_TRUE(predictor
                  .Load(*registry_,
                        [](const absl::Status& bad) { ADD_FAILURE() << bad; })
                  .ok());
  v1::PredictResponse response;
  ASSERT_TRUE(predictor.Predict("lbm", "a15", "", &response).ok());
  EXPECT_DOUBLE_EQ(response.time_ns(), 0.1 * kTestWidth * 20);
  const absl::Status status = predictor.Predict("mcf", "a15", "", &response);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("queued"), HasSubstr(waiting.job_id())));
  const Predictor::Stats stats = predictor.stats();
  EXPECT_EQ(stats.models, 1);
  EXPECT_EQ(stats.programs, 2);
  EXPECT_EQ(stats.architectures, 1);
  EXPECT_EQ(stats.vectors, 2);
}

TEST_F(PredictorLoadTest, AllVersionsAndManyPages) {
  for (int i = 0; i < 2500; ++i) {
    v1::Architecture architecture =
        ArchitectureMessage("a" + std::to_string(i % 1250), 0, "id", 1 + i);
    ASSERT_TRUE(registry_->CreateArchitecture(architecture).ok());
  }
  const v1::Job job = Queue("lbm");
  ASSERT_TRUE(registry_->FinishJob(job, VectorMessage("lbm", 1, "id", 1)).ok());
  for (int i = 0; i < 1500; ++i) Queue("p" + std::to_string(i));
  Predictor predictor;
  ASSERT_TRUE(predictor
                  .Load(*registry_,
                        [](const absl::Status& bad) { ADD_FAILURE() << bad; })
                  .ok());
  EXPECT_EQ(predictor.stats().architectures, 2500);
  EXPECT_EQ(predictor.stats().programs, 1501);
  v1::PredictResponse response;
  ASSERT_TRUE(predictor.Predict("lbm", "a7", "", &response).ok());
  EXPECT_EQ(response.architecture(), "a7@2");
  ASSERT_TRUE(predictor.Predict("lbm", "a7@1", "", &response).ok());
}

}  // namespace
}  // namespace perfvec::server
