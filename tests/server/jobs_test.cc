// Jobs through a running server, with the test as the worker.
#include <gmock/gmock.h>

#include <thread>

#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class JobsTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    Start();
  }
  std::string model_id() const { return model_.id(); }
};

TEST_F(JobsTest, ShardsBecomeOneVectorThatPredicts) {
  const v1::Job job = NewJob("lbm");
  EXPECT_EQ(job.shards(), 3);
  EXPECT_EQ(job.shard_instructions(), 1024);
  v1::PredictResponse none;
  EXPECT_EQ(Predict("lbm", "a0", &none).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  bool finished = false;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(finished);
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_lease()) << i;
    EXPECT_EQ(GetJob(job.job_id()).state(), v1::JOB_STATE_RUNNING);
    ASSERT_TRUE(Complete(lease.lease(), model_id(), &finished).ok());
  }
  EXPECT_TRUE(finished);
  const v1::Job done = GetJob(job.job_id());
  EXPECT_EQ(done.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(done.instructions_done(), kTraceInstructions);
  // 2500 instructions of 1/2 in 8 elements, times 1 and 2, in 0.1 ns.
  v1::PredictResponse response;
  ASSERT_TRUE(Predict("lbm", "a0", &response).ok());
  EXPECT_DOUBLE_EQ(response.time_ns(), 0.1 * 2500 * 0.5 * 8);
  ASSERT_TRUE(Predict("lbm@1", "a1@1", &response).ok());
  EXPECT_DOUBLE_EQ(response.time_ns(), 0.2 * 2500 * 0.5 * 8);
  // The vector outlives the process.
  Start();
  ASSERT_TRUE(Predict("lbm", "a1", &response).ok());
  EXPECT_DOUBLE_EQ(response.time_ns(), 0.2 * 2500 * 0.5 * 8);
}

TEST_F(JobsTest, ARestartGoesOnBehindTheCompletedShards) {
  const v1::Job job = NewJob("lbm");
  const auto first = Lease("w").lease(), second = Lease("x").lease();
  ASSERT_TRUE(Complete(first, model_id()).ok());
  Start();
  EXPECT_EQ(GetJob(job.job_id()).shards_done(), 1);
  // The answer was lost, so the worker repeats it; another one is late.
  EXPECT_TRUE(Complete(first, model_id()).ok());
  EXPECT_EQ(Complete(second, model_id()).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  bool finished = false;
  for (int i = 0; i < 2; ++i) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_lease());
    EXPECT_NE(lease.lease().shard(), first.shard());
    EXPECT_GT(lease.lease().fencing_token(), second.fencing_token());
    ASSERT_TRUE(Complete(lease.lease(), model_id(), &finished).ok());
  }
  EXPECT_TRUE(finished);
  EXPECT_FALSE(Lease("w").has_lease());
  // After the end, too, a repeated answer is no error.
  EXPECT_TRUE(Complete(first, model_id(), &finished).ok());
  EXPECT_TRUE(finished);
}

TEST_F(JobsTest, AJobKeepsTheIdOfTheRequestThatQueuedIt) {
  const std::string trace = Upload(MakePvt(7));
  v1::CreateProgramRequest request;
  request.set_name("p");
  request.set_trace_id(trace);
  v1::CreateProgramResponse response;
  auto context = Context();
  context->AddMetadata("x-request-id", "upload-1");
  const grpc::Status created =
      programs_->CreateProgram(context.get(), request, &response);
  ASSERT_TRUE(created.ok()) << created.error_message();
  const auto echoed = context->GetServerInitialMetadata().find("x-request-id");
  ASSERT_NE(echoed, context->GetServerInitialMetadata().end());
  EXPECT_EQ(echoed->second, "upload-1");
  ASSERT_EQ(response.jobs_size(), 1);
  EXPECT_EQ(response.jobs(0).request_id(), "upload-1");
  EXPECT_EQ(Lease("w").lease().request_id(), "upload-1");
  Start();
  EXPECT_EQ(GetJob(response.jobs(0).job_id()).request_id(), "upload-1");
  Advance(absl::Minutes(5));
  EXPECT_EQ(Lease("w").lease().request_id(), "upload-1");

  // A call that changes something is given one where it has none that is fit,
  // and an error tells it, too.
  v1::DeleteProgramRequest unknown;
  unknown.set_program("nobody");
  google::protobuf::Empty deleted;
  for (const char* sent : {"", "not fit"}) {
    auto next = Context();
    if (*sent != '\0') next->AddMetadata("x-request-id", sent);
    EXPECT_EQ(
        programs_->DeleteProgram(next.get(), unknown, &deleted).error_code(),
        grpc::StatusCode::NOT_FOUND);
    const auto& metadata = next->GetServerInitialMetadata();
    ASSERT_EQ(metadata.count("x-request-id"), 1) << sent;
    EXPECT_EQ(metadata.find("x-request-id")->second.size(), 16) << sent;
  }
  // One that only reads is not logged, and needs none.
  v1::GetProgramRequest read;
  read.set_program("p");
  v1::Program program;
  auto next = Context();
  ASSERT_TRUE(programs_->GetProgram(next.get(), read, &program).ok());
  EXPECT_EQ(next->GetServerInitialMetadata().count("x-request-id"), 0);
}

TEST_F(JobsTest, AWorkerWithAnotherModelIsRefused) {
  NewJob("lbm");
  const auto lease = Lease("w").lease();
  const std::string other(64, 'f');
  const grpc::Status status = Complete(lease, other);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr(other));
  // A result that claims the right model and holds another.
  worker::v1::CompleteShardRequest request;
  request.set_job_id(lease.job_id());
  request.set_shard(lease.shard());
  request.set_fencing_token(lease.fencing_token());
  request.set_model_id(model_id());
  request.set_instructions(1024);
  worker::v1::CompleteShardResponse response;
  for (const std::string& bytes :
       {Accumulator(lease, other), std::string("garbage"), std::string()}) {
    request.set_accumulator(bytes);
    EXPECT_EQ(workers_->CompleteShard(Context().get(), request, &response)
                  .error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
  EXPECT_TRUE(Complete(lease, model_id()).ok());
  // A worker that holds other models only gets no lease.
  worker::v1::LeaseShardRequest ask;
  ask.set_worker_id("w");
  ask.add_model_ids(other);
  worker::v1::LeaseShardResponse answer;
  ASSERT_TRUE(workers_->LeaseShard(Context().get(), ask, &answer).ok());
  EXPECT_FALSE(answer.has_lease());
}

TEST_F(JobsTest, AnExpiredLeaseIsFencedOff) {
  NewJob("lbm", 7, 900);
  const auto old = Lease("slow").lease();
  Advance(absl::Seconds(31));
  Advance(absl::Seconds(2));
  const auto lease = Lease("quick");
  ASSERT_TRUE(lease.has_lease());
  EXPECT_EQ(Complete(old, model_id()).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  bool cancelled;
  EXPECT_EQ(Renew(old, &cancelled).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Complete(lease.lease(), model_id()).ok());
}

TEST_F(JobsTest, PoisonFailsAfterFiveAttemptsABadTraceAtOnce) {
  const v1::Job job = NewJob("poison", 7, 900);
  for (int i = 0; i < 5; ++i) {
    const auto lease = Lease("w");
    ASSERT_TRUE(lease.has_lease()) << i;
    ASSERT_TRUE(Fail(lease.lease(), "out of memory").ok());
    Advance(absl::Minutes(1));
  }
  v1::Job failed = GetJob(job.job_id());
  EXPECT_EQ(failed.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed.failed_attempts(), 5);
  EXPECT_THAT(failed.error(), HasSubstr("out of memory"));
  // Asked for again, it is another job.
  v1::RepresentProgramRequest again;
  again.set_program("poison");
  v1::Job retry;
  ASSERT_TRUE(programs_->RepresentProgram(Context().get(), again, &retry).ok());
  EXPECT_NE(retry.job_id(), job.job_id());
  const auto lease = Lease("w").lease();
  // Giving it back is not a failure.
  ASSERT_TRUE(Fail(lease, "", false, /*released=*/true).ok());
  ASSERT_TRUE(Fail(Lease("w").lease(), "corrupt", /*permanent=*/true).ok());
  failed = GetJob(retry.job_id());
  EXPECT_EQ(failed.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed.error(), "corrupt");
  EXPECT_EQ(failed.failed_attempts(), 1);
}

TEST_F(JobsTest, ADeletedProgramsJobEndsAndItsTraceStaysUntilTheWorkerKnows) {
  options_.collect_grace = absl::ZeroDuration();
  Start();
  const v1::Job job = NewJob("lbm");
  const auto lease = Lease("w").lease();
  v1::DeleteProgramRequest request;
  request.set_program("lbm");
  google::protobuf::Empty empty;
  ASSERT_TRUE(programs_->DeleteProgram(Context().get(), request, &empty).ok());
  EXPECT_EQ(GetJob(job.job_id()).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_FALSE(Lease("x").has_lease());
  Advance(absl::Seconds(5));
  ASSERT_TRUE(server_->CollectGarbage().ok());
  std::string bytes;
  EXPECT_TRUE(ReadTrace(job.trace_id(), 0, &bytes).ok()) << "still in use";
  bool cancelled = false;
  ASSERT_TRUE(Renew(lease, &cancelled).ok());
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(Complete(lease, model_id()).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(server_->CollectGarbage().ok());
  EXPECT_EQ(ReadTrace(job.trace_id(), 0, &bytes).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(server_->chunks().Has(storage::Sha256(bytes.substr(0, 4096))));
  v1::PredictResponse none;
  EXPECT_EQ(Predict("lbm", "a0", &none).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(JobsTest, CancelIsIdempotentAndFinal) {
  const v1::Job job = NewJob("lbm");
  const auto lease = Lease("w").lease();
  v1::CancelJobRequest request;
  request.set_job_id(job.job_id());
  v1::Job cancelled;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(jobs_->CancelJob(Context().get(), request, &cancelled).ok());
    EXPECT_EQ(cancelled.state(), v1::JOB_STATE_CANCELLED);
  }
  EXPECT_EQ(Complete(lease, model_id()).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  request.set_job_id("job-999");
  EXPECT_EQ(jobs_->CancelJob(Context().get(), request, &cancelled).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(JobsTest, AFullQueueRefusesWithAHint) {
  options_.jobs.queue.max_jobs = 2;
  Start();
  NewJob("a", 1, 900);
  NewJob("b", 2, 900);
  v1::CreateProgramRequest request;
  request.set_name("c");
  request.set_trace_id(Upload(MakePvt(3, 900)));
  v1::CreateProgramResponse response;
  auto context = Context();
  const grpc::Status status =
      programs_->CreateProgram(context.get(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(context->GetServerTrailingMetadata().count("retry-after-ms"), 1);
  v1::GetProgramRequest get;
  get.set_program("c");
  v1::Program program;
  EXPECT_EQ(programs_->GetProgram(Context().get(), get, &program).error_code(),
            grpc::StatusCode::NOT_FOUND)
      << "nothing of it is left";
  ASSERT_TRUE(Complete(Lease("w").lease(), model_id()).ok());
  EXPECT_TRUE(
      programs_->CreateProgram(Context().get(), request, &response).ok());
}

TEST_F(JobsTest, AWaitingWorkerGetsTheJobThatComes) {
  worker::v1::LeaseShardResponse response;
  std::thread worker([&] { response = Lease("patient", absl::Seconds(50)); });
  while (server_->jobs().GetStats().workers == 0) std::this_thread::yield();
  const v1::Job job = NewJob("lbm", 7, 900);
  worker.join();
  ASSERT_TRUE(response.has_lease());
  EXPECT_EQ(response.lease().job_id(), job.job_id());
  ASSERT_TRUE(Complete(response.lease(), model_id()).ok());
  // Nothing comes: the wait ends without a lease.
  std::thread disappointed(
      [&] { response = Lease("patient", absl::Seconds(50)); });
  std::atomic<bool> over{false};
  std::thread clock([&] {
    while (!over) {
      Advance(absl::Seconds(10));
      std::this_thread::yield();
    }
  });
  disappointed.join();
  over = true;
  clock.join();
  EXPECT_FALSE(response.has_lease());
}

TEST_F(JobsTest, AWorkerThatLeavesWhileItWaitsTakesNoShard) {
  auto context = Context();
  std::thread worker([&] {
    worker::v1::LeaseShardRequest request;
    request.set_worker_id("gone");
    *request.mutable_wait() = ToProtoDuration(absl::Seconds(50));
    worker::v1::LeaseShardResponse response;
    EXPECT_EQ(
        workers_->LeaseShard(context.get(), request, &response).error_code(),
        grpc::StatusCode::CANCELLED);
  });
  while (server_->jobs().GetStats().workers == 0) std::this_thread::yield();
  context->TryCancel();
  worker.join();
  NewJob("lbm", 7, 900);
  EXPECT_TRUE(Lease("w", absl::Seconds(20)).has_lease());
}

TEST_F(JobsTest, AWatcherSeesTheEndWhateverItMissed) {
  const v1::Job job = NewJob("lbm", 7, 40'000);
  v1::GetJobRequest request;
  request.set_job_id(job.job_id());
  auto context = Context();
  auto reader = jobs_->WatchJob(context.get(), request);
  v1::Job seen;
  ASSERT_TRUE(reader->Read(&seen));
  EXPECT_EQ(seen.state(), v1::JOB_STATE_QUEUED);
  // It does not read while forty shards are completed.
  for (;;) {
    const auto lease = Lease("w");
    if (!lease.has_lease()) break;
    ASSERT_TRUE(Complete(lease.lease(), model_id()).ok());
  }
  int messages = 0;
  uint64_t done = 0;
  while (reader->Read(&seen)) {
    ++messages;
    EXPECT_GE(seen.instructions_done(), done);
    done = seen.instructions_done();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(seen.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(done, 40'000);
  EXPECT_GE(messages, 1);
  // A job that has ended is told once.
  auto late_context = Context();
  auto late = jobs_->WatchJob(late_context.get(), request);
  EXPECT_TRUE(late->Read(&seen));
  EXPECT_FALSE(late->Read(&seen));
  EXPECT_TRUE(late->Finish().ok());
  request.set_job_id("job-77");
  auto unknown_context = Context();
  auto unknown = jobs_->WatchJob(unknown_context.get(), request);
  EXPECT_FALSE(unknown->Read(&seen));
  EXPECT_EQ(unknown->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(JobsTest, AskedForTwiceItIsOneJob) {
  const v1::Job job = NewJob("lbm");
  v1::RepresentProgramRequest request;
  request.set_program("lbm");
  v1::Job again;
  ASSERT_TRUE(
      programs_->RepresentProgram(Context().get(), request, &again).ok());
  EXPECT_EQ(again.job_id(), job.job_id());
  v1::ListJobsRequest list;
  list.set_program("lbm");
  v1::ListJobsResponse listed;
  ASSERT_TRUE(jobs_->ListJobs(Context().get(), list, &listed).ok());
  EXPECT_EQ(listed.jobs_size(), 1);
}

}  // namespace
}  // namespace perfvec::server
