// What belongs to the server as a whole: names, models, health, metrics,
// backups, the end.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "perfvec/v1/analysis_service.grpc.pb.h"
#include "server/call.h"
#include "server/epoch.h"
#include "server/metrics.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class ServerCoreTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    Start();
  }
  std::string ReadFileOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // Calls a method that has no generated stub here, without arguments.
  grpc::Status CallGeneric(const std::string& method, std::string* answer) {
    grpc::GenericStub stub(channel_);
    auto context = Context();
    grpc::CompletionQueue queue;
    const grpc::Slice nothing(0);
    const grpc::ByteBuffer request(&nothing, 1);
    auto call = stub.PrepareUnaryCall(context.get(), method, request, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, this);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    std::vector<grpc::Slice> slices;
    if (status.ok() && response.Dump(&slices).ok()) {
      for (const grpc::Slice& slice : slices) {
        answer->append(reinterpret_cast<const char*>(slice.begin()),
                       slice.size());
      }
    }
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }
  grpc::Status CreateModel(const std::string& directory,
                           const std::string& name, int64_t declared_extra,
                           v1::Model* model) {
    const std::string weights = ReadFileOf(directory + "/model.safetensors");
    v1::CreateModelRequest request;
    auto* header = request.mutable_header();
    header->set_name(name);
    header->set_manifest_json(ReadFileOf(directory + "/manifest.json"));
    header->set_weights_size_bytes(weights.size() + declared_extra);
    header->set_create_architectures(true);
    auto context = Context();
    auto writer = models_->CreateModel(context.get(), model);
    writer->Write(request);
    for (size_t at = 0; at < weights.size(); at += 5000) {
      v1::CreateModelRequest part;
      part.set_weights(weights.substr(at, 5000));
      if (!writer->Write(part)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }
};

TEST_F(ServerCoreTest, UnknownNamesAreAnsweredWithTheNearest) {
  NewJob("lattice_boltzmann", 7, 900);
  v1::GetProgramRequest request;
  request.set_program("latice_boltzmann");
  v1::Program program;
  const grpc::Status status =
      programs_->GetProgram(Context().get(), request, &program);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("lattice_boltzmann"));
  v1::CreateProgramRequest create;
  create.set_name("x");
  create.set_trace_id(std::string(64, 'e'));
  v1::CreateProgramResponse created;
  EXPECT_EQ(
      programs_->CreateProgram(Context().get(), create, &created).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerCoreTest, AModelArrivesWholeWithItsArchitectures) {
  const compute::FoundationModel other = SaveModel("other", 2);
  v1::Model model;
  const grpc::Status status = CreateModel(root_ + "/other", "new", 0, &model);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(model.model_id(), other.id());
  EXPECT_EQ(model.width(), kModelWidth);
  // Again: the same version.
  v1::Model again;
  ASSERT_TRUE(CreateModel(root_ + "/other", "new", 0, &again).ok());
  EXPECT_EQ(again.version(), model.version());

  v1::ReadModelWeightsRequest read;
  read.set_model("new");
  auto context = Context();
  auto reader = models_->ReadModelWeights(context.get(), read);
  std::string weights;
  v1::ReadModelWeightsResponse part;
  while (reader->Read(&part)) weights += part.data();
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(weights, ReadFileOf(root_ + "/other/model.safetensors"));

  v1::GetArchitectureRequest get;
  get.set_architecture("a1");
  v1::Architecture architecture;
  ASSERT_TRUE(
      architectures_->GetArchitecture(Context().get(), get, &architecture)
          .ok());
  EXPECT_EQ(architecture.vectors_size(), 2) << "one a model";
  EXPECT_EQ(architecture.attributes().at("rob").number(), 224);
  EXPECT_EQ(architecture.attributes().at("kind").text(), "large");
}

TEST_F(ServerCoreTest, ADamagedModelIsRefused) {
  SaveModel("other", 2);
  v1::Model model;
  EXPECT_EQ(CreateModel(root_ + "/other", "short", 1, &model).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(CreateModel(root_ + "/other", "long", -1, &model).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  std::filesystem::resize_file(
      root_ + "/other/model.safetensors",
      std::filesystem::file_size(root_ + "/other/model.safetensors") - 4);
  EXPECT_FALSE(CreateModel(root_ + "/other", "cut", 0, &model).ok());
  v1::ListModelsRequest list;
  v1::ListModelsResponse listed;
  ASSERT_TRUE(models_->ListModels(Context().get(), list, &listed).ok());
  EXPECT_EQ(listed.models_size(), 1);
  // The last stream's files go when its call has ended on the server as well.
  const absl::Time limit = absl::Now() + absl::Seconds(30);
  while (!std::filesystem::is_empty(root_ + "/data/tmp") &&
         absl::Now() < limit) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/data/tmp"));
}

TEST_F(ServerCoreTest, AVectorOfAnotherModelOrWidthIsRefused) {
  v1::CreateArchitectureRequest request;
  request.mutable_architecture()->set_name("mine");
  auto* vector = request.mutable_architecture()->add_vectors();
  vector->set_model_id(std::string(64, 'd'));
  for (int i = 0; i < kModelWidth; ++i) vector->add_values(i);
  v1::Architecture created;
  const auto create = [&] {
    return architectures_
        ->CreateArchitecture(Context().get(), request, &created)
        .error_code();
  };
  EXPECT_EQ(create(), grpc::StatusCode::NOT_FOUND);
  vector->set_model_id(model_.id());
  vector->add_values(1);
  EXPECT_EQ(create(), grpc::StatusCode::INVALID_ARGUMENT);
  vector->mutable_values()->RemoveLast();
  vector->set_values(3, std::nan(""));
  EXPECT_EQ(create(), grpc::StatusCode::INVALID_ARGUMENT);
  vector->set_values(3, 1);
  EXPECT_EQ(create(), grpc::StatusCode::OK);
  EXPECT_EQ(created.version(), 1);
}

TEST_F(ServerCoreTest, TellsItsHealthStateAndServices) {
  std::string answer;
  const grpc::Status health =
      CallGeneric("/grpc.health.v1.Health/Check", &answer);
  ASSERT_TRUE(health.ok()) << health.error_code() << health.error_message();
  EXPECT_EQ(answer, std::string("\x08\x01", 2)) << "status: SERVING";
  answer.clear();
  EXPECT_TRUE(
      CallGeneric("/grpc.channelz.v1.Channelz/GetServers", &answer).ok());
  EXPECT_EQ(
      CallGeneric("/grpc.reflection.v1alpha.ServerReflection/Nothing", &answer)
          .error_code(),
      grpc::StatusCode::UNIMPLEMENTED);
  v1::ServerStatus status;
  ASSERT_TRUE(status_
                  ->GetServerStatus(Context().get(),
                                    v1::GetServerStatusRequest(), &status)
                  .ok());
  EXPECT_EQ(status.architectures(), 2);
  EXPECT_EQ(status.models(), 1);
  EXPECT_EQ(status.default_model_id(), model_.id());
}

TEST_F(ServerCoreTest, MetricsPassPromtoolAndCount) {
  NewJob("lbm", 7, 900);
  bool finished = false;
  ASSERT_TRUE(Complete(Lease("w").lease(), model_.id(), &finished).ok());
  ASSERT_TRUE(finished);
  const std::string text = server_->metrics().Render();
  EXPECT_THAT(text, HasSubstr("perfvec_instructions_represented_total 900"));
  EXPECT_THAT(text, HasSubstr("perfvec_job_stage_seconds_bucket"));
  EXPECT_THAT(text, HasSubstr("perfvec_build_info"));
  EXPECT_THAT(text, HasSubstr("perfvec_rpc_calls_total{code=\"OK\","
                              "method=\"perfvec.worker.v1.WorkerService/"
                              "CompleteShard\"} 1"));
  EXPECT_THAT(text, HasSubstr("perfvec_storage_rocksdb"));
  if (std::system("command -v promtool >/dev/null") != 0) {
    GTEST_SKIP() << "promtool (package prometheus) is not installed";
  }
  const std::string path = root_ + "/metrics.txt";
  const std::string command = "promtool check metrics < " + path;
  std::ofstream(path) << text;
  EXPECT_EQ(std::system(command.c_str()), 0);
  // The gate itself: a counter without _total does not pass.
  std::ofstream(path)
      << "# HELP x_calls c\n# TYPE x_calls counter\nx_calls 1\n";
  EXPECT_NE(std::system(command.c_str()), 0);
}

TEST_F(ServerCoreTest, BackupsStayUnderTheirRoot) {
  v1::CreateBackupRequest request;
  v1::CreateBackupResponse response;
  for (const std::string& outside :
       {std::string("/tmp/elsewhere"), std::string("../x"), std::string(".")}) {
    request.set_directory(outside);
    EXPECT_EQ(
        status_->CreateBackup(Context().get(), request, &response).error_code(),
        grpc::StatusCode::INVALID_ARGUMENT)
        << outside;
  }
  request.set_directory("monday");
  const grpc::Status status =
      status_->CreateBackup(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(response.files(), 0);
  EXPECT_TRUE(std::filesystem::exists(root_ + "/data/backups/monday"));
}

TEST_F(ServerCoreTest, DrainsWaitersAndWatchersThenStops) {
  const v1::Job job = NewJob("lbm", 7, 900);
  ASSERT_TRUE(Lease("busy").has_lease());
  grpc::Status waited, watched;
  std::thread waiter([&] {
    worker::v1::LeaseShardRequest request;
    request.set_worker_id("idle");
    *request.mutable_wait() = ToProtoDuration(absl::Seconds(50));
    worker::v1::LeaseShardResponse response;
    waited = workers_->LeaseShard(Context().get(), request, &response);
  });
  auto context = Context();
  v1::GetJobRequest request;
  request.set_job_id(job.job_id());
  auto reader = jobs_->WatchJob(context.get(), request);
  v1::Job seen;
  ASSERT_TRUE(reader->Read(&seen));
  while (server_->jobs().GetStats().workers < 2) std::this_thread::yield();
  server_->Drain();
  waiter.join();
  EXPECT_EQ(waited.error_code(), grpc::StatusCode::UNAVAILABLE);
  while (reader->Read(&seen)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerCoreTest, PartsOfAnUnknownKindAreRefused) {
  const auto analysis = v1::AnalysisService::NewStub(channel_);
  v1::GetProgramPartsRequest parts;
  parts.set_kind(static_cast<v1::PartKind>(99));
  v1::ProgramParts found;
  v1::AnalyzeProgramRequest analyze;
  analyze.add_architectures("a0");
  analyze.set_kind(parts.kind());
  v1::AnalyzeProgramResponse analyzed;
  for (const grpc::Status& status :
       {analysis->GetProgramParts(Context().get(), parts, &found),
        analysis->AnalyzeProgram(Context().get(), analyze, &analyzed)}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("part kind 99 is unknown"));
  }
}

TEST_F(ServerCoreTest, AFullPoolSaysWhenToComeAgain) {
  options_.pool_queue = 0;
  Start();
  auto context = Context();
  v1::GetProgramRequest request;
  request.set_program("lbm");
  v1::Program program;
  const grpc::Status status =
      programs_->GetProgram(context.get(), request, &program);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("request queue is full"));
  const auto& trailers = context->GetServerTrailingMetadata();
  ASSERT_EQ(trailers.count("retry-after-ms"), 1u);
  EXPECT_EQ(trailers.find("retry-after-ms")->second, "500");
}

TEST_F(ServerCoreTest, WhoPingsTooOftenIsCutOff) {
  const v1::Job job = NewJob("lbm", 7, 900);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  const auto impatient = v1::JobService::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                grpc::InsecureChannelCredentials(), arguments));
  auto context = Context();
  v1::GetJobRequest request;
  request.set_job_id(job.job_id());
  auto reader = impatient->WatchJob(context.get(), request);
  v1::Job seen;
  ASSERT_TRUE(reader->Read(&seen));
  // Nothing happens to the job: only the cut ends the stream.
  while (reader->Read(&seen)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(absl::AsciiStrToLower(status.error_message()),
              HasSubstr("too many pings"));
  EXPECT_EQ(GetJob(job.job_id()).job_id(), job.job_id());  // others go on
}

TEST_F(ServerCoreTest, ASecondServerOnTheSameDataOrPortIsRefused) {
  ServerOptions second = options_;
  EXPECT_FALSE(ServerCore::Start(second).ok());
  second.data_dir = root_ + "/data2";
  second.listen = absl::StrCat("127.0.0.1:", server_->port());
  const auto same_port = ServerCore::Start(second);
  EXPECT_EQ(same_port.status().code(), absl::StatusCode::kUnavailable)
      << same_port.status();
}

TEST(EpochTest, GrowsWithEveryStartAndWithTheClock) {
  std::string path = ::testing::TempDir() + "/perfvec_epoch_XXXXXX";
  ASSERT_NE(mkdtemp(path.data()), nullptr);
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  EXPECT_EQ(*NextEpoch(path, now), 1'700'000'000);
  EXPECT_EQ(*NextEpoch(path, now), 1'700'000'001);
  EXPECT_EQ(*NextEpoch(path, now - absl::Hours(1)), 1'700'000'002);
  EXPECT_EQ(*NextEpoch(path, now + absl::Hours(1)), 1'700'003'600);
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace perfvec::server
