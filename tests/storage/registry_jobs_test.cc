// What every Registry does, over each engine: jobs, shards, vectors, traces,
// uploads. Names and listings: registry_conformance_test.cc.
#include <cmath>
#include <set>

#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JobsTest : public RegistryTest {
 protected:
  api::Job Queue(const std::string& program, const std::string& trace_id) {
    auto created = registry_->CreateProgram(MakeProgram(program, trace_id),
                                            {MakeJob("model-1")});
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? created->jobs[0] : api::Job();
  }
  api::Job Start(api::Job job) {
    job.set_state(api::JOB_STATE_RUNNING);
    auto running = registry_->UpdateJob(job);
    EXPECT_TRUE(running.ok()) << running.status();
    return running.ok() ? *running : api::Job();
  }
  std::vector<std::string> Ids(const api::ListJobsRequest& request) {
    std::vector<std::string> ids;
    auto page = registry_->ListJobs(request);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) return ids;
    for (const api::Job& job : page->items) ids.push_back(job.job_id());
    return ids;
  }
};

TEST_P(JobsTest, RunsToItsVectorInOneStep) {
  api::Job job = Queue("lbm", "trace-a");
  EXPECT_EQ(job.state(), api::JOB_STATE_QUEUED);
  EXPECT_EQ(job.trace_id(), "trace-a");
  job = Start(job);
  EXPECT_EQ(registry_->GetCounts()->jobs_queued, 0);
  EXPECT_EQ(registry_->GetCounts()->jobs_running, 1);
  for (uint32_t shard = 0; shard < job.shards(); ++shard) {
    job.set_shards_done(shard + 1);
    auto put = registry_->PutShard(job, MakeShard(shard));
    ASSERT_TRUE(put.ok()) << put.status();
    job = *put;
  }
  const auto shards = *registry_->ListShards(job.job_id());
  ASSERT_THAT(shards, SizeIs(4));
  EXPECT_EQ(shards[2].accumulator(), "accumulator 2");
  auto finished = registry_->FinishJob(job, MakeVector(job));
  ASSERT_TRUE(finished.ok()) << finished.status();
  EXPECT_EQ(finished->state(), api::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(finished->has_finish_time());
  EXPECT_THAT(*registry_->ListShards(job.job_id()), IsEmpty());
  EXPECT_THAT(*registry_->UnfinishedJobs(), IsEmpty());
  EXPECT_EQ(registry_->GetCounts()->jobs_running, 0);
  auto vector = registry_->GetProgramVector("lbm", 1, "model-1");
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_THAT(vector->values(), ElementsAre(0.5, 1.5, 2.5, 3.5));
  EXPECT_EQ(vector->job_id(), job.job_id());
  const api::Program program = *registry_->GetProgram("lbm");
  ASSERT_THAT(program.vectors(), SizeIs(1));
  EXPECT_EQ(program.vectors(0).job_id(), job.job_id());
  // Asked for again: the same job. It does not end twice.
  EXPECT_EQ(Queue("lbm", "trace-a").job_id(), job.job_id());
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->FinishJob(*finished, MakeVector(job)));
}

TEST_P(JobsTest, PartsComeAndGoWithTheVector) {
  const auto parts = [&] {
    return registry_->GetProgramParts("lbm", 1, "model-1");
  };
  api::Job job = Start(Queue("lbm", "trace-a"));
  v1::ProgramPartsRecord record = MakeParts();
  record.mutable_intervals(1)->set_values(3, NAN);
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->FinishJob(job, MakeVector(job), &record));
  ExpectCode(absl::StatusCode::kNotFound, parts());
  record = MakeParts();
  ASSERT_TRUE(registry_->FinishJob(job, MakeVector(job), &record).ok());
  ASSERT_TRUE(parts().ok()) << parts().status();
  EXPECT_EQ(parts()->intervals_size(), 2);
  EXPECT_EQ(parts()->intervals(1).begin_instruction(), 2048);
  EXPECT_EQ(parts()->model_id(), "model-1");
  EXPECT_EQ(registry_->GetProgram("lbm")->vectors(0).intervals(), 2);
  EXPECT_EQ(registry_->GetProgram("lbm")->vectors(0).interval_instructions(),
            2048);

  // Other parts: a new job, while it is under way no third ones, and then what
  // was kept before is gone.
  api::Job draft = MakeJob("model-1");
  draft.set_program_name("lbm");
  draft.set_interval_instructions(1024);
  EXPECT_EQ(registry_->CreateJob(draft)->job_id(), job.job_id());
  const api::Job other = *registry_->CreateJob(draft, /*same_parts=*/true);
  EXPECT_NE(other.job_id(), job.job_id());
  EXPECT_EQ(registry_->CreateJob(draft, true)->job_id(), other.job_id());
  draft.set_by_address(true);
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->CreateJob(draft, true));
  ASSERT_TRUE(parts().ok());
  const api::Job started = Start(other);
  ASSERT_TRUE(registry_->FinishJob(started, MakeVector(started)).ok());
  ExpectCode(absl::StatusCode::kNotFound, parts());

  const api::Job last = Start(*registry_->CreateJob(draft, true));
  ASSERT_TRUE(registry_->FinishJob(last, MakeVector(last), &record).ok());
  ASSERT_TRUE(parts().ok());
  ASSERT_THAT(*registry_->DeleteProgram("lbm", false), SizeIs(1));
  ExpectCode(absl::StatusCode::kNotFound, parts());

  job = Start(Queue("mcf", "trace-a"));
  ASSERT_TRUE(registry_->FinishJob(job, MakeVector(job), &record).ok());
  ASSERT_TRUE(registry_->GetProgramParts("mcf", 1, "model-1").ok());
  ASSERT_TRUE(registry_->DeleteModel("m").ok());
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->GetProgramParts("mcf", 1, "model-1"));
}

TEST_P(JobsTest, StaleWritesAreAbortedAndChangeNothing) {
  const api::Job stale = Queue("lbm", "trace-a");
  const api::Job job = Start(stale);
  ExpectCode(absl::StatusCode::kAborted, registry_->UpdateJob(stale));
  ExpectCode(absl::StatusCode::kAborted,
             registry_->PutShard(stale, MakeShard(0)));
  ExpectCode(absl::StatusCode::kAborted,
             registry_->FinishJob(stale, MakeVector(stale)));
  EXPECT_EQ(registry_->GetJob(job.job_id())->revision(), job.revision());
  EXPECT_THAT(*registry_->ListShards(job.job_id()), IsEmpty());
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->GetProgramVector("lbm", 1, "model-1"));
}

TEST_P(JobsTest, ShardIsCompletedOnce) {
  api::Job job = Start(Queue("lbm", "trace-a"));
  const api::Job after = *registry_->PutShard(job, MakeShard(1));
  ExpectCode(absl::StatusCode::kAlreadyExists,
             registry_->PutShard(after, MakeShard(1)));
  // Also when the sender's job is stale: the answer of a retry.
  ExpectCode(absl::StatusCode::kAlreadyExists,
             registry_->PutShard(job, MakeShard(1)));
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->PutShard(after, MakeShard(4)));
}

TEST_P(JobsTest, FinishRefusesWhatIsNoVectorOfTheJob) {
  const api::Job job = Start(Queue("lbm", "trace-a"));
  auto refused = [&](v1::ProgramVectorRecord vector, const char* words) {
    auto result = registry_->FinishJob(job, vector);
    ExpectCode(absl::StatusCode::kFailedPrecondition, result);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(words));
  };
  v1::ProgramVectorRecord vector = MakeVector(job);
  vector.set_values(2, NAN);
  refused(vector, "value 2 is nan");
  vector.set_values(2, INFINITY);
  refused(vector, "value 2 is inf");
  vector.mutable_values()->RemoveLast();
  refused(vector, "expected 4 values, found 3");
  vector = MakeVector(job);
  vector.set_model_id("model-2");
  refused(vector, "'model-2'");
  vector = MakeVector(job);
  vector.set_program_name("mcf");
  refused(vector, "'mcf@1'");
  EXPECT_EQ(registry_->GetJob(job.job_id())->state(), api::JOB_STATE_RUNNING);
}

TEST_P(JobsTest, DeletedProgramTakesJobsAndVectorsAlong) {
  api::Job done = Start(Queue("lbm", "trace-a"));
  ASSERT_TRUE(registry_->FinishJob(done, MakeVector(done)).ok());
  api::Job running = Start(Queue("lbm", "trace-b"));
  running = *registry_->PutShard(running, MakeShard(0));
  const api::Job other = Queue("mcf", "trace-a");
  ASSERT_THAT(*registry_->DeleteProgram("lbm", true), SizeIs(2));

  const api::Job cancelled = *registry_->GetJob(running.job_id());
  EXPECT_EQ(cancelled.state(), api::JOB_STATE_CANCELLED);
  EXPECT_THAT(cancelled.error(), HasSubstr("deleted"));
  EXPECT_THAT(*registry_->ListShards(running.job_id()), IsEmpty());
  EXPECT_EQ(registry_->GetJob(done.job_id())->state(),
            api::JOB_STATE_SUCCEEDED);
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->GetProgramVector("lbm", 1, "model-1"));
  ASSERT_THAT(*registry_->UnfinishedJobs(), SizeIs(1));
  EXPECT_EQ(registry_->UnfinishedJobs()->front().job_id(), other.job_id());
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->FinishJob(running, MakeVector(running)));
  EXPECT_EQ(registry_->GetCounts()->jobs_running, 0);
  EXPECT_EQ(registry_->GetCounts()->jobs_queued, 1);
}

TEST_P(JobsTest, ModelStaysWhileAJobUsesItAndTakesItsVectorsAlong) {
  api::Job job = Start(Queue("lbm", "trace-a"));
  auto refused = registry_->DeleteModel("m");
  ExpectCode(absl::StatusCode::kFailedPrecondition, refused);
  EXPECT_THAT(refused.status().message(), HasSubstr(job.job_id()));
  ASSERT_TRUE(registry_->FinishJob(job, MakeVector(job)).ok());
  ASSERT_TRUE(registry_->DeleteModel("m").ok());
  EXPECT_THAT(registry_->GetProgram("lbm")->vectors(), IsEmpty());
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->GetProgramVector("lbm", 1, "model-1"));
  api::Job again = MakeJob("model-1");
  again.set_program_name("lbm");
  ExpectCode(absl::StatusCode::kNotFound, registry_->CreateJob(again));
  // The model comes back: its vector has to be made anew.
  ASSERT_TRUE(registry_->CreateModel(MakeModel("m", "model-1"), {}).ok());
  auto fresh = registry_->CreateJob(again);
  ASSERT_TRUE(fresh.ok()) << fresh.status();
  EXPECT_NE(fresh->job_id(), job.job_id());
}

TEST_P(JobsTest, EndedJobStaysEndedAndFailedOneIsQueuedAnew) {
  api::Job job = Start(Queue("lbm", "trace-a"));
  api::Job other_model = job;
  other_model.set_model_id("x");
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->UpdateJob(other_model));
  api::Job success = job;
  success.set_state(api::JOB_STATE_SUCCEEDED);
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->UpdateJob(success));
  ASSERT_TRUE(registry_->PutShard(job, MakeShard(0)).ok());
  job = *registry_->GetJob(job.job_id());
  job.set_state(api::JOB_STATE_FAILED);
  job.set_error("three attempts failed");
  const api::Job failed = *registry_->UpdateJob(job);
  EXPECT_TRUE(failed.has_finish_time());
  EXPECT_THAT(*registry_->ListShards(job.job_id()), IsEmpty());
  ExpectCode(absl::StatusCode::kFailedPrecondition,
             registry_->UpdateJob(failed));
  EXPECT_NE(Queue("lbm", "trace-a").job_id(), job.job_id());
}

TEST_P(JobsTest, ListsNewestFirstByStateAndProgram) {
  const api::Job one = Queue("lbm", "trace-a");
  const api::Job two = Start(Queue("mcf", "trace-a"));
  const api::Job three = Queue("lbm", "trace-b");
  api::ListJobsRequest request;
  EXPECT_THAT(Ids(request),
              ElementsAre(three.job_id(), two.job_id(), one.job_id()));
  request.set_program("lbm");
  EXPECT_THAT(Ids(request), ElementsAre(three.job_id(), one.job_id()));
  request.set_program("");
  request.add_states(api::JOB_STATE_QUEUED);
  request.set_page_size(1);
  auto page = registry_->ListJobs(request);
  EXPECT_EQ(page->items[0].job_id(), three.job_id());
  request.set_page_token(page->next_page_token);
  EXPECT_THAT(Ids(request), ElementsAre(one.job_id()));
  request.add_states(api::JOB_STATE_RUNNING);  // another listing
  ExpectCode(absl::StatusCode::kInvalidArgument, registry_->ListJobs(request));
  const auto unfinished = *registry_->UnfinishedJobs();
  ASSERT_THAT(unfinished, SizeIs(3));
  EXPECT_EQ(unfinished[0].job_id(), one.job_id());
  for (const char* id : {"", "job-", "job-0", "job-01", "job-99", "x"})
    ExpectCode(absl::StatusCode::kNotFound, registry_->GetJob(id));
}

TEST_P(JobsTest, JobNeedsProgramAndModel) {
  api::Job job = MakeJob("model-1");
  job.set_program_name("lbm");
  ExpectCode(absl::StatusCode::kNotFound, registry_->CreateJob(job));
  ASSERT_TRUE(registry_->CreateProgram(MakeProgram("lbm", "trace-a"), {}).ok());
  EXPECT_EQ(registry_->CreateJob(job)->program_version(), 1);
  job.set_model_id("model-9");
  ExpectCode(absl::StatusCode::kNotFound, registry_->CreateJob(job));
  // A program whose job cannot be queued is not there either.
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->CreateProgram(MakeProgram("mcf", "trace-a"),
                                      {MakeJob("model-9")}));
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetProgram("mcf"));
}

TEST_P(JobsTest, VisitsEveryVector) {
  for (const char* name : {"lbm", "mcf"}) {
    api::Job job = Start(Queue(name, "trace-a"));
    ASSERT_TRUE(registry_->FinishJob(job, MakeVector(job)).ok());
  }
  ASSERT_TRUE(
      registry_->CreateArchitecture(MakeArchitecture("a15", "model-1")).ok());
  std::vector<std::string> seen;
  auto bad = [](absl::Status status) { ADD_FAILURE() << status; };
  ASSERT_TRUE(registry_
                  ->ForEachProgramVector(
                      [&](const v1::ProgramVectorRecord& vector) {
                        seen.push_back(vector.program_name());
                        // A visitor may call the registry.
                        EXPECT_TRUE(registry_->GetProgram("lbm").ok());
                      },
                      bad)
                  .ok());
  EXPECT_THAT(seen, ElementsAre("lbm", "mcf"));
  seen.clear();
  ASSERT_TRUE(registry_
                  ->ForEachArchitecture(
                      [&](const api::Architecture& architecture) {
                        seen.push_back(architecture.name());
                        EXPECT_THAT(architecture.vectors(), SizeIs(1));
                      },
                      bad)
                  .ok());
  EXPECT_THAT(seen, ElementsAre("a15"));
}

v1::UploadRecord MakeUpload(const std::string& id, const std::string& sha256) {
  v1::UploadRecord upload;
  upload.set_upload_id(id);
  upload.set_sha256(sha256);
  upload.set_size_bytes(10);
  upload.add_chunk_sha256(std::string(32, 'u'));
  return upload;
}

TEST_P(JobsTest, UploadBecomesATraceInOneStep) {
  ASSERT_TRUE(registry_->PutUpload(MakeUpload("u1", "hash")).ok());
  EXPECT_EQ(registry_->FindUpload("hash")->upload_id(), "u1");
  // A second upload of the same content is sent to the first.
  const absl::Status second = registry_->PutUpload(MakeUpload("u2", "hash"));
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), HasSubstr("'u1'"));
  v1::UploadRecord grown = MakeUpload("u1", "hash");
  grown.add_chunk_sha256(std::string(32, 'v'));
  ASSERT_TRUE(registry_->PutUpload(grown).ok());
  EXPECT_THAT(registry_->GetUpload("u1")->chunk_sha256(), SizeIs(2));
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("hash"), "u1").ok());
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetUpload("u1"));
  ExpectCode(absl::StatusCode::kNotFound, registry_->FindUpload("hash"));
  EXPECT_EQ(registry_->GetTrace("hash")->trace().size_bytes(), 1000);
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("hash"), "").ok());
  EXPECT_EQ(registry_->GetCounts()->trace_bytes, 4000);

  ASSERT_TRUE(registry_->PutUpload(MakeUpload("u3", "other")).ok());
  EXPECT_THAT(*registry_->ListUploads(), SizeIs(1));
  ASSERT_TRUE(registry_->DeleteUpload("u3").ok());
  EXPECT_EQ(registry_->DeleteUpload("u3").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*registry_->ListUploads(), IsEmpty());
  v1::UploadRecord bad = MakeUpload("u4", "third");
  bad.add_chunk_sha256("short");
  EXPECT_EQ(registry_->PutUpload(bad).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(JobsTest, TraceGoesWhenNothingRefersToIt) {
  auto live = [&] {
    std::set<std::string> firsts;
    EXPECT_TRUE(registry_
                    ->LiveChunks([&](absl::string_view digest) {
                      EXPECT_EQ(digest.size(), 32);
                      firsts.insert(std::string(digest.substr(0, 7)));
                    })
                    .ok());
    return firsts;
  };
  ASSERT_TRUE(registry_->PutUpload(MakeUpload("u1", "hash")).ok());
  Queue("lbm", "trace-a");
  clock_.Advance(absl::Seconds(100));
  EXPECT_THAT(*registry_->DeleteUnreferencedTraces(101), IsEmpty());
  EXPECT_THAT(*registry_->DeleteUnreferencedTraces(100),
              ElementsAre("trace-b", "trace-c"));
  EXPECT_THAT(live(), ElementsAre("trace-a", "uuuuuuu"));
  ASSERT_TRUE(registry_->DeleteProgram("lbm", true).ok());
  EXPECT_THAT(*registry_->DeleteUnreferencedTraces(0), ElementsAre("trace-a"));
  EXPECT_THAT(live(), ElementsAre("uuuuuuu"));
  EXPECT_EQ(registry_->GetCounts()->trace_bytes, 0);
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetTrace("trace-a"));
}

PERFVEC_EVERY_ENGINE(JobsTest);

}  // namespace
}  // namespace perfvec::storage
