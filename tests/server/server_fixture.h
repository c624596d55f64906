// A whole server in the test's process, on a directory of its own, with a small
// random model and traces: what the service tests start from.
//
// Time is the test's: leases and waits end when Advance() says so.
#ifndef PERFVEC_TESTS_SERVER_SERVER_FIXTURE_H_
#define PERFVEC_TESTS_SERVER_SERVER_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "perfvec/v1/catalog_service.grpc.pb.h"
#include "perfvec/v1/job_service.grpc.pb.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"
#include "perfvec/v1/trace_service.grpc.pb.h"
#include "perfvec/worker/v1/worker_service.grpc.pb.h"
#include "server/server_core.h"
#include "server/times.h"
#include "storage/chunk_store.h"
#include "tests/storage/trace/test_traces.h"
#include "tests/worker/model/random_model.h"
#include "worker/represent/program_vector.h"

namespace perfvec::server {

inline constexpr uint32_t kTraceInstructions = 2500;
inline constexpr int kModelWidth = 8;

inline std::string MakePvt(uint64_t seed,
                           uint32_t instructions = kTraceInstructions) {
  trace::RandomTrace random(seed);
  std::vector<trace::TraceChunk> chunks;
  for (uint32_t at = 0; at < instructions; at += 1000) {
    chunks.push_back(random.Chunk(std::min(1000u, instructions - at), 1));
  }
  return trace::WriteTrace(trace::TestHeader(1), chunks);
}

inline std::string HexSha256(const std::string& bytes) {
  return absl::BytesToHexString(storage::Sha256(bytes));
}

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "/perfvec_server_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
    model_ = SaveModel("model", 1);
    options_.data_dir = root_ + "/data";
    options_.listen = "127.0.0.1:0";
    options_.metrics_listen = "127.0.0.1:0";
    options_.models = {root_ + "/model"};
    options_.jobs.shard_instructions = 1024;
    options_.uploads.piece_bytes = 4096;
    options_.uploads.commit_pieces = 2;
    options_.drain_timeout = absl::Milliseconds(500);
    options_.tick_every = absl::Milliseconds(20);
    options_.clock = [this] {
      return absl::Now() + absl::Seconds(advanced_seconds_.load());
    };
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(root_);
  }

  // Also restarts it on the same data.
  void Start() {
    server_.reset();
    auto server = ServerCore::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                   grpc::InsecureChannelCredentials());
    programs_ = v1::ProgramService::NewStub(channel_);
    architectures_ = v1::ArchitectureService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
    traces_ = v1::TraceService::NewStub(channel_);
    jobs_ = v1::JobService::NewStub(channel_);
    status_ = v1::ServerService::NewStub(channel_);
    predictions_ = v1::PredictionService::NewStub(channel_);
    workers_ = worker::v1::WorkerService::NewStub(channel_);
  }
  void Advance(absl::Duration duration) {
    advanced_seconds_ += absl::ToInt64Seconds(duration);
    server_->jobs().Tick();
  }

  // Trained architectures a0 (all weights 1) and a1 (all 2).
  compute::FoundationModel SaveModel(const std::string& name, uint64_t seed) {
    compute::Manifest manifest = compute::SmallManifest(1, kModelWidth);
    manifest.name = name;
    manifest.architectures = {{"a0", R"({"kind":"small","rob":40})"},
                              {"a1", R"({"kind":"large","rob":224})"}};
    compute::TensorMap tensors = compute::RandomTensors(manifest, seed);
    compute::Tensor& vectors = tensors["architecture_vectors"];
    for (size_t i = 0; i < vectors.values.size(); ++i) {
      vectors.values[i] = i < kModelWidth ? 1 : 2;
    }
    auto model = compute::FoundationModel::Create(manifest, tensors);
    EXPECT_TRUE(model.ok()) << model.status();
    EXPECT_TRUE(model->Save(root_ + "/" + name).ok());
    return *std::move(model);
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() +
                          std::chrono::seconds(60));
    return context;
  }

  // --- Uploads ------------------------------------------------------------
  grpc::Status Begin(const std::string& bytes, v1::Upload* upload) {
    v1::BeginUploadRequest request;
    request.set_sha256(HexSha256(bytes));
    request.set_size_bytes(bytes.size());
    return traces_->BeginUpload(Context().get(), request, upload);
  }
  static v1::WriteUploadRequest HeaderMessage(const std::string& id,
                                              uint64_t offset) {
    v1::WriteUploadRequest request;
    request.mutable_header()->set_upload_id(id);
    request.mutable_header()->set_offset(offset);
    return request;
  }
  static v1::WriteUploadRequest DataMessage(const std::string& bytes) {
    v1::WriteUploadRequest request;
    request.mutable_data()->set_bytes(bytes);
    request.mutable_data()->set_xxh3(XXH3_64bits(bytes.data(), bytes.size()));
    return request;
  }
  // Sends [offset, end) in messages of `step` bytes.
  grpc::Status Write(const std::string& id, const std::string& bytes,
                     uint64_t offset, uint64_t end, v1::Upload* upload,
                     size_t step = 1000) {
    auto context = Context();
    auto writer = traces_->WriteUpload(context.get(), upload);
    bool open = writer->Write(HeaderMessage(id, offset));
    for (uint64_t at = offset; open && at < end; at += step) {
      open = writer->Write(
          DataMessage(bytes.substr(at, std::min<uint64_t>(step, end - at))));
    }
    writer->WritesDone();
    return writer->Finish();
  }
  grpc::Status FinishUpload(const std::string& id, v1::Trace* trace) {
    v1::FinishUploadRequest request;
    request.set_upload_id(id);
    return traces_->FinishUpload(Context().get(), request, trace);
  }
  // The trace id.
  std::string Upload(const std::string& bytes) {
    v1::Upload upload;
    grpc::Status status = Begin(bytes, &upload);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (upload.has_trace()) return upload.trace().trace_id();
    status = Write(upload.upload_id(), bytes, upload.committed_size_bytes(),
                   bytes.size(), &upload);
    EXPECT_TRUE(status.ok()) << status.error_message();
    v1::Trace trace;
    status = FinishUpload(upload.upload_id(), &trace);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return trace.trace_id();
  }

  // --- Programs and jobs ----------------------------------------------------
  grpc::Status CreateProgram(const std::string& name,
                             const std::string& trace_id,
                             v1::CreateProgramResponse* response) {
    v1::CreateProgramRequest request;
    request.set_name(name);
    request.set_trace_id(trace_id);
    return programs_->CreateProgram(Context().get(), request, response);
  }
  // The job that represents it under the default model.
  v1::Job NewJob(const std::string& name, uint64_t seed = 7,
                 uint32_t instructions = kTraceInstructions) {
    v1::CreateProgramResponse response;
    const grpc::Status status =
        CreateProgram(name, Upload(MakePvt(seed, instructions)), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.jobs_size(), 1);
    return response.jobs_size() == 1 ? response.jobs(0) : v1::Job();
  }
  v1::Job GetJob(const std::string& id) {
    v1::GetJobRequest request;
    request.set_job_id(id);
    v1::Job job;
    const grpc::Status status = jobs_->GetJob(Context().get(), request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  grpc::Status Predict(const std::string& program, const std::string& arch,
                       v1::PredictResponse* response) {
    v1::PredictRequest request;
    request.set_program(program);
    request.set_architecture(arch);
    return predictions_->Predict(Context().get(), request, response);
  }

  // --- As a worker ----------------------------------------------------------
  worker::v1::LeaseShardResponse Lease(
      const std::string& worker, absl::Duration wait = absl::ZeroDuration()) {
    worker::v1::LeaseShardRequest request;
    request.set_worker_id(worker);
    *request.mutable_wait() = ToProtoDuration(wait);
    worker::v1::LeaseShardResponse response;
    const grpc::Status status =
        workers_->LeaseShard(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // Every representation element is 1/2.
  std::string Accumulator(const worker::v1::Lease& lease,
                          const std::string& model_id) {
    return Accumulator(lease.end_instruction() - lease.begin_instruction(),
                       model_id);
  }
  std::string Accumulator(uint64_t count, const std::string& model_id) {
    compute::ProgramVectorAccumulator sum(model_id, kModelWidth);
    const std::vector<double> sums(kModelWidth, 0.5 * count);
    EXPECT_TRUE(sum.AddSegment(sums.data(), count).ok());
    return sum.Serialize();
  }
  grpc::Status Complete(const worker::v1::Lease& lease,
                        const std::string& model_id, bool* finished = nullptr) {
    worker::v1::CompleteShardRequest request;
    request.set_worker_id("w");
    request.set_job_id(lease.job_id());
    request.set_shard(lease.shard());
    request.set_fencing_token(lease.fencing_token());
    request.set_model_id(model_id);
    request.set_accumulator(Accumulator(lease, model_id));
    request.set_instructions(lease.end_instruction() -
                             lease.begin_instruction());
    for (int i = 0; lease.with_intervals() && i <= lease.interval_begins_size();
         ++i) {
      const uint64_t begin =
          i == 0 ? lease.begin_instruction() : lease.interval_begins(i - 1);
      const uint64_t end = i == lease.interval_begins_size()
                               ? lease.end_instruction()
                               : lease.interval_begins(i);
      request.add_intervals()->set_part(i);
      request.mutable_intervals(i)->set_accumulator(
          Accumulator(end - begin, model_id));
    }
    worker::v1::CompleteShardResponse response;
    const grpc::Status status =
        workers_->CompleteShard(Context().get(), request, &response);
    if (finished != nullptr) *finished = response.job_finished();
    return status;
  }
  grpc::Status Fail(const worker::v1::Lease& lease, const std::string& error,
                    bool permanent = false, bool released = false) {
    worker::v1::FailShardRequest request;
    request.set_job_id(lease.job_id());
    request.set_shard(lease.shard());
    request.set_fencing_token(lease.fencing_token());
    request.set_error(error);
    request.set_permanent(permanent);
    request.set_released(released);
    google::protobuf::Empty empty;
    return workers_->FailShard(Context().get(), request, &empty);
  }
  grpc::Status Renew(const worker::v1::Lease& lease, bool* cancelled) {
    worker::v1::RenewLeaseRequest request;
    request.set_job_id(lease.job_id());
    request.set_shard(lease.shard());
    request.set_fencing_token(lease.fencing_token());
    worker::v1::RenewLeaseResponse response;
    const grpc::Status status =
        workers_->RenewLease(Context().get(), request, &response);
    *cancelled = response.cancelled();
    return status;
  }
  grpc::Status ReadTrace(const std::string& trace_id, uint64_t offset,
                         std::string* bytes) {
    worker::v1::ReadTraceRequest request;
    request.set_trace_id(trace_id);
    request.set_offset(offset);
    auto context = Context();
    auto reader = workers_->ReadTrace(context.get(), request);
    worker::v1::ReadTraceResponse response;
    while (reader->Read(&response)) bytes->append(response.data());
    return reader->Finish();
  }

  std::string root_;
  std::atomic<int64_t> advanced_seconds_{0};
  ServerOptions options_;
  compute::FoundationModel model_ = PlaceHolderModel();
  std::unique_ptr<ServerCore> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ProgramService::Stub> programs_;
  std::unique_ptr<v1::ArchitectureService::Stub> architectures_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::TraceService::Stub> traces_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::ServerService::Stub> status_;
  std::unique_ptr<v1::PredictionService::Stub> predictions_;
  std::unique_ptr<worker::v1::WorkerService::Stub> workers_;

 private:
  static compute::FoundationModel PlaceHolderModel() {
    return *compute::RandomModel(compute::SmallManifest(1, kModelWidth), 1);
  }
};

}  // namespace perfvec::server

#endif  // PERFVEC_TESTS_SERVER_SERVER_FIXTURE_H_
