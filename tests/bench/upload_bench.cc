// Upload: WriteUpload against an RPC that takes the same messages and drops
// them, both in this process, over loopback, with the same client.
//
// Ours computes XXH3 of every message and SHA-256 of every piece, writes the
// pieces, and has synced all of them, and the record that lists them, when the
// call ends. Extra fields give the floors of one core and of the disk, measured
// in the same run: the rate of SHA-256, of XXH3, and of writing and syncing
// files of a piece's size.
#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "perfvec/v1/trace_service.grpc.pb.h"
#include "server/server_core.h"
#include "spdlog/spdlog.h"
#include "storage/chunk_store.h"
#include "tests/bench/pairs.h"

namespace perfvec {
namespace {

constexpr size_t kMessageBytes = 1 << 20;
constexpr size_t kMessages = 128;
constexpr size_t kPieceBytes = 4 << 20;
constexpr double kMegabytes = kMessages * kMessageBytes / 1e6;

double Seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Check(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "upload_bench: %s\n", what.c_str());
  std::exit(1);
}

// Reads and drops.
class Sink final : public v1::TraceService::CallbackService {
 public:
  grpc::ServerReadReactor<v1::WriteUploadRequest>* WriteUpload(
      grpc::CallbackServerContext*, v1::Upload* response) override {
    class Reactor final
        : public grpc::ServerReadReactor<v1::WriteUploadRequest> {
     public:
      explicit Reactor(v1::Upload* response) : response_(response) {
        StartRead(&request_);
      }
      void OnReadDone(bool ok) override {
        if (ok) {
          bytes_ += request_.data().bytes().size();
          StartRead(&request_);
          return;
        }
        response_->set_committed_size_bytes(bytes_);
        Finish(grpc::Status::OK);
      }
      void OnDone() override { delete this; }

     private:
      v1::Upload* const response_;
      v1::WriteUploadRequest request_;
      uint64_t bytes_ = 0;
    };
    return new Reactor(response);
  }
};

class Messages {
 public:
  Messages() : data_(kMessages) {
    std::mt19937_64 random(1);
    for (v1::WriteUploadRequest& message : data_) {
      std::string& bytes = *message.mutable_data()->mutable_bytes();
      bytes.resize(kMessageBytes);
      for (size_t i = 0; i < kMessageBytes; i += 8) {
        const uint64_t word = random();
        bytes.replace(i, 8, reinterpret_cast<const char*>(&word), 8);
      }
      Hash(message);
    }
  }
  // Other content in every piece, so that none is there already.
  void Renew() {
    ++run_;
    for (size_t i = 0; i < kMessages; i += kPieceBytes / kMessageBytes) {
      data_[i].mutable_data()->mutable_bytes()->replace(
          0, 8, reinterpret_cast<const char*>(&run_), 8);
      Hash(data_[i]);
    }
  }
  // MB/s of one call.
  double Send(v1::TraceService::Stub& stub, const std::string& upload_id) {
    v1::WriteUploadRequest header;
    header.mutable_header()->set_upload_id(upload_id);
    grpc::ClientContext context;
    v1::Upload upload;
    const double begin = Seconds();
    auto writer = stub.WriteUpload(&context, &upload);
    writer->Write(header);
    for (const v1::WriteUploadRequest& message : data_) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    const double seconds = Seconds() - begin;
    Check(status.ok(), status.error_message());
    Check(upload.committed_size_bytes() == kMessages * kMessageBytes,
          "not everything was committed");
    return kMegabytes / seconds;
  }
  const std::string& bytes(size_t i) const { return data_[i].data().bytes(); }

 private:
  static void Hash(v1::WriteUploadRequest& message) {
    const std::string& bytes = message.data().bytes();
    message.mutable_data()->set_xxh3(XXH3_64bits(bytes.data(), bytes.size()));
  }
  std::vector<v1::WriteUploadRequest> data_;
  uint64_t run_ = 0;
};

double RateOf(const std::function<void(const std::string&)>& work,
              const Messages& messages) {
  const double begin = Seconds();
  for (size_t i = 0; i < kMessages; ++i) work(messages.bytes(i));
  return kMegabytes / (Seconds() - begin);
}

double DiskRate(const std::string& directory, const Messages& messages) {
  const double begin = Seconds();
  const size_t step = kPieceBytes / kMessageBytes;
  for (size_t i = 0; i < kMessages; i += step) {
    const std::string path = directory + "/disk" + std::to_string(i);
    const int file = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
    for (size_t k = i; k < i + step; ++k) {
      Check(write(file, messages.bytes(k).data(), kMessageBytes) ==
                static_cast<ssize_t>(kMessageBytes),
            "write " + path);
    }
    Check(fsync(file) == 0, "fsync " + path);
    close(file);
  }
  return kMegabytes / (Seconds() - begin);
}

int Main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::warn);
  bench::PairOptions pairs;
  pairs.row = "upload";
  pairs.unit = "MB/s";
  std::string root = "/tmp";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--pairs") pairs.pairs = std::atoi(argv[i + 1]);
    if (flag == "--dir") root = argv[i + 1];  // its disk is the one measured
  }
  root += "/perfvec_upload_XXXXXX";
  Check(mkdtemp(root.data()) != nullptr, "cannot make " + root);
  server::ServerOptions options;
  options.data_dir = root;
  options.listen = "127.0.0.1:0";
  options.metrics_listen = "";
  auto core = server::ServerCore::Start(options);
  Check(core.ok(), core.status().ToString());
  Sink sink;
  int sink_port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &sink_port);
  builder.SetMaxReceiveMessageSize(8 << 20);
  builder.RegisterService(&sink);
  std::unique_ptr<grpc::Server> sink_server = builder.BuildAndStart();
  const auto stub = [](int port) {
    return v1::TraceService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()));
  };
  auto ours = stub((*core)->port()), rival = stub(sink_port);

  Messages messages;
  nlohmann::json extra = {
      {"sha256_mb_s",
       RateOf([](const std::string& b) { storage::Sha256(b); }, messages)},
      {"xxh3_mb_s", RateOf(
                        [](const std::string& b) {
                          volatile uint64_t sink =
                              XXH3_64bits(b.data(), b.size());
                          (void)sink;
                        },
                        messages)},
      {"write_fsync_mb_s", DiskRate(root, messages)}};
  uint64_t run = 0;
  bench::RunPairs(
      pairs,
      [&] {
        messages.Renew();
        v1::BeginUploadRequest request;
        char name[65];
        std::snprintf(name, sizeof name, "%064llx",
                      static_cast<unsigned long long>(++run));
        request.set_sha256(name);
        request.set_size_bytes(kMessages * kMessageBytes);
        v1::Upload upload;
        grpc::ClientContext begin, abort;
        grpc::Status status = ours->BeginUpload(&begin, request, &upload);
        Check(status.ok(), status.error_message());
        const double rate = messages.Send(*ours, upload.upload_id());
        v1::AbortUploadRequest over;
        over.set_upload_id(upload.upload_id());
        google::protobuf::Empty empty;
        ours->AbortUpload(&abort, over, &empty);
        Check((*core)->CollectGarbage().ok(), "collecting the chunks");
        return rate;
      },
      [&] { return messages.Send(*rival, "sink"); }, extra);
  core->reset();
  sink_server->Shutdown();
  std::filesystem::remove_all(root);
  return 0;
}

}  // namespace
}  // namespace perfvec

int main(int argc, char** argv) { return perfvec::Main(argc, argv); }
