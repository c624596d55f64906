// Predict over gRPC against an empty unary RPC of the same server process.
//
// The server is a process of its own (this program with "serve"), pinned to one
// core, the client to another. The client keeps 16 calls open; its requests are
// serialised beforehand and it does not parse the answers, so that it costs the
// same for both. Rows: predict (calls/s) and predict_cpu (the server's CPU
// microseconds a call); the same with predict_trained and predict_learned,
// whose answers carry intervals (on trained architectures, and on learned ones
// with a covariance), against predict, whose model is not calibrated.
// predict_tokens is Predict where a token is asked for and sent (checked for
// each call, no TLS) against the same call where it is not.
// predict_rank and predict_matrix are the server's CPU
// time for a ranking and a matrix over RPC against the kernel alone: what the
// RPC around it costs.
#include <fcntl.h>
#include <google/protobuf/empty.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "server/prediction_service.h"
#include "server/security/rpc_guard.h"
#include "server/security/tenants.h"
#include "tests/bench/pairs.h"

extern char** environ;

namespace perfvec::server {
namespace {

constexpr int kPrograms = 1000, kArchitectures = 1008, kWidth = 256;
constexpr int kOpenCalls = 16;
constexpr int kCalls = 1500;  // a run: short, so that a pair sees one machine
constexpr char kEmptyMethod[] = "/perfvec.bench.EmptyService/Call";
constexpr char kPackage[] = "/perfvec.v1.PredictionService/";

// The least a unary call can do: nothing, with empty messages.
class EmptyService : public grpc::Service {
 public:
  EmptyService() {
    using google::protobuf::Empty;
    AddMethod(new grpc::internal::RpcServiceMethod(
        kEmptyMethod, grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    MarkMethodCallback(
        0, new grpc::internal::CallbackUnaryHandler<Empty, Empty>(
               [](grpc::CallbackServerContext* context, const Empty*, Empty*) {
                 grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
                 reactor->Finish(grpc::Status::OK);
                 return reactor;
               }));
  }
};

void Pin(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core % sysconf(_SC_NPROCESSORS_ONLN), &cores);
  sched_setaffinity(0, sizeof(cores), &cores);
}

// Manifest of a calibrated model: an interval costs the same whatever stands
// in it.
std::string Calibrated() {
  compute::Calibration c;
  c.quantiles = {{0.5, 0.03}, {0.9, 0.1}, {0.99, 0.3}};
  c.growth = 1;
  c.noise = 0.05;
  c.mean.assign(kWidth, 0);
  c.components.assign(16 * kWidth, 0.01);
  c.references.assign(16 * 120, 0.1);
  c.directions.assign(16 * kWidth, 1.0 / 16);
  return absl::StrCat(
      "{\"calibration\": ", compute::SerializeCalibration(c, kWidth), "}");
}

std::string ProgramName(int i) { return absl::StrCat("spec2017-", i, ".ref"); }
std::string ArchitectureName(int i) { return absl::StrCat("o3-random-", i); }

void Fill(Predictor* predictor) {
  std::mt19937 random(20261121);
  std::uniform_real_distribution<double> value(0, 1000);
  v1::Model model;
  model.set_name("base");
  model.set_version(1);
  model.set_model_id(std::string(64, 'a'));
  model.set_width(kWidth);
  model.add_aliases("default");
  const auto check = [](const absl::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  };
  check(predictor->AddModel(model));
  model.set_name("calibrated");
  model.set_model_id(std::string(64, 'b'));
  model.clear_aliases();
  model.set_manifest_json(Calibrated());
  check(predictor->AddModel(model));
  for (int i = 0; i < kPrograms; ++i) {
    v1::Program program;
    program.set_name(ProgramName(i));
    program.set_version(1);
    check(predictor->AddProgram(program));
    storage::v1::ProgramVectorRecord vector;
    vector.set_program_name(program.name());
    vector.set_program_version(1);
    vector.set_instructions(1000000000);
    for (int k = 0; k < kWidth; ++k) vector.add_values(value(random));
    for (char id : {'a', 'b'}) {
      vector.set_model_id(std::string(64, id));
      check(predictor->AddProgramVector(vector));
    }
  }
  for (int i = 0; i < kArchitectures; ++i) {
    v1::Architecture architecture;
    architecture.set_name(ArchitectureName(i));
    architecture.set_version(1);
    auto* vector = architecture.add_vectors();
    vector->set_model_id(std::string(64, 'a'));
    for (int k = 0; k < kWidth; ++k) vector->add_values(value(random));
    auto* calibrated = architecture.add_vectors();
    *calibrated = *vector;
    calibrated->set_model_id(std::string(64, 'b'));
    calibrated->set_origin(i % 2 == 0 ? "trained" : "learned");
    for (int k = 0; i % 2 != 0 && k < 16 * kWidth; ++k) {
      calibrated->mutable_uncertainty()->add_factors(value(random) / 1000);
    }
    check(predictor->AddArchitecture(architecture));
  }
}

// Writes the ports to standard output, the one that asks for tokens second,
// serves until standard input ends.
int Serve(const std::string& tokens) {
  Pin(0);
  Predictor predictor;
  Fill(&predictor);
  Executor pool({.threads = 2, .max_queued = 64, .name = "bench"});
  PredictionService predictions(&predictor, &pool, {});
  EmptyService empty;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&predictions);
  builder.RegisterService(&empty);
  auto server = builder.BuildAndStart();
  Metrics metrics;
  GuardOptions guard_options;
  guard_options.tokens_file = tokens;
  auto guard = Guard::Create(
      guard_options, [] { return absl::Now(); }, &metrics);
  if (!guard.ok()) return 1;
  // Predict looks at names alone, so that there is nothing to look up.
  const Tenants tenants(guard->get(), /*registry=*/nullptr, nullptr);
  PredictionService::Options guarded_options;
  guarded_options.gate = &tenants;
  PredictionService guarded_predictions(&predictor, &pool, guarded_options);
  auto credentials = grpc::experimental::LocalServerCredentials(LOCAL_TCP);
  credentials->SetAuthMetadataProcessor(
      std::make_shared<RpcGuard>(guard->get()));
  grpc::ServerBuilder guarded_builder;
  int guarded_port = 0;
  guarded_builder.AddListeningPort("127.0.0.1:0", credentials, &guarded_port);
  guarded_builder.RegisterService(&guarded_predictions);
  auto guarded = guarded_builder.BuildAndStart();
  std::printf("%d %d\n", port, guarded_port);
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  server->Shutdown();
  guarded->Shutdown();
  return 0;
}

class Client {
 public:
  Client(int port, pid_t server, const std::string& token = "")
      : authorization_(token.empty() ? "" : "Bearer " + token),
        channel_(grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                                     grpc::InsecureChannelCredentials())),
        stub_(channel_) {
    clock_getcpuclockid(server, &server_clock_);
  }

  struct Figures {
    double calls_per_second;
    double server_microseconds;  // of CPU, a call
  };

  // `count` calls, 16 of them open at any time.
  Figures Run(const std::string& method,
              const std::vector<grpc::ByteBuffer>& requests, int count) {
    std::atomic<int> next{0};
    absl::BlockingCounter done(kOpenCalls);
    std::vector<Call> calls(kOpenCalls);
    const double cpu = ServerSeconds();
    const auto begin = std::chrono::steady_clock::now();
    for (Call& call : calls) {
      call.start = [&, &call = call] {
        const int i = next.fetch_add(1);
        if (i >= count) {
          done.DecrementCount();
          return;
        }
        call.context.emplace();
        if (!authorization_.empty()) {
          call.context->AddMetadata(kAuthorizationMetadata, authorization_);
        }
        stub_.UnaryCall(&*call.context, method, {},
                        &requests[i % requests.size()], &call.response,
                        [&](grpc::Status status) {
                          if (!status.ok()) {
                            std::fprintf(stderr, "%s: %s\n", method.c_str(),
                                         status.error_message().c_str());
                            std::exit(1);
                          }
                          call.start();
                        });
      };
      call.start();
    }
    done.Wait();
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - begin;
    return {count / seconds.count(), (ServerSeconds() - cpu) / count * 1e6};
  }

  // The server's CPU seconds for one whole matrix.
  double RunMatrix() {
    auto stub = v1::PredictionService::NewStub(channel_);
    const double cpu = ServerSeconds();
    grpc::ClientContext context;
    auto reader = stub->PredictMatrix(&context, {});
    v1::PredictMatrixResponse message;
    while (reader->Read(&message)) {
    }
    if (!reader->Finish().ok()) std::exit(1);
    return ServerSeconds() - cpu;
  }

 private:
  struct Call {
    std::optional<grpc::ClientContext> context;
    grpc::ByteBuffer response;
    std::function<void()> start;
  };

  double ServerSeconds() const {
    timespec t;
    clock_gettime(server_clock_, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
  }

  const std::string authorization_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  clockid_t server_clock_;
};

grpc::ByteBuffer ToBuffer(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// On architectures of even number (trained, of the calibrated model) or odd.
std::vector<grpc::ByteBuffer> Requests(const std::string& model, int odd) {
  std::mt19937 random(20261121);
  std::vector<grpc::ByteBuffer> requests;
  for (int i = 0; i < 4096; ++i) {
    v1::PredictRequest request;
    request.set_program(ProgramName(random() % kPrograms));
    request.set_architecture(
        ArchitectureName(random() % (kArchitectures / 2) * 2 + odd));
    request.set_model(model);
    requests.push_back(ToBuffer(request));
  }
  return requests;
}

void BenchPredict(Client& client, const std::string& row,
                  const std::string& method,
                  const std::vector<grpc::ByteBuffer>& requests,
                  Client& rival_client, const std::string& rival_method,
                  const std::vector<grpc::ByteBuffer>& rival_requests) {
  std::vector<double> rate, empty_rate, cpu, empty_cpu;
  for (int i = 0; i < 201; ++i) {
    Client::Figures ours{}, rival{};
    const auto run_ours = [&] { ours = client.Run(method, requests, kCalls); };
    if (i % 2 == 0) run_ours();
    rival = rival_client.Run(rival_method, rival_requests, kCalls);
    if (i % 2 != 0) run_ours();
    if (i == 0) continue;
    rate.push_back(ours.calls_per_second);
    empty_rate.push_back(rival.calls_per_second);
    cpu.push_back(ours.server_microseconds);
    empty_cpu.push_back(rival.server_microseconds);
  }
  bench::PairOptions options;
  options.row = row;
  options.unit = "calls/s";
  bench::PrintRow(options, rate, empty_rate, {{"open_calls", kOpenCalls}});
  options.row = row + "_cpu";
  options.unit = "us/call";
  options.higher_is_better = false;
  bench::PrintRow(options, cpu, empty_cpu, {{"open_calls", kOpenCalls}});
}

double ThreadSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

void BenchAround(Client& client) {
  constexpr int64_t kRowPanels = (kPrograms + 15) / 16;
  constexpr int64_t kColumnPanels = kArchitectures / 16;
  const AlignedFloats x = NewAlignedFloats(kRowPanels * 16 * kWidth);
  const AlignedFloats y = NewAlignedFloats(kColumnPanels * 16 * kWidth);
  std::vector<float> out(kRowPanels * kColumnPanels * 256);
  const Kernels& kernels = BestKernels();
  std::vector<grpc::ByteBuffer> requests;
  for (int i = 0; i < kPrograms; ++i) {
    v1::RankRequest request;
    request.set_program(ProgramName(i));
    requests.push_back(ToBuffer(request));
  }
  bench::PairOptions options;
  options.unit = "us of CPU";
  options.higher_is_better = false;
  options.row = "predict_rank";
  bench::RunPairs(
      options,
      [&] {
        return client.Run(absl::StrCat(kPackage, "Rank"), requests, kCalls)
            .server_microseconds;
      },
      [&] {
        const double begin = ThreadSeconds();
        for (int i = 0; i < kCalls; ++i) {
          kernels.rank(x.get(), y.get(), kColumnPanels, kWidth, out.data());
        }
        return (ThreadSeconds() - begin) / kCalls * 1e6;
      },
      {{"architectures", kArchitectures}, {"limit", 20}});
  options.row = "predict_matrix";
  bench::RunPairs(
      options, [&] { return client.RunMatrix() * 1e6; },
      [&] {
        const double begin = ThreadSeconds();
        kernels.matrix(x.get(), kRowPanels, y.get(), kColumnPanels, kWidth,
                       out.data());
        return (ThreadSeconds() - begin) * 1e6;
      },
      {{"programs", kPrograms}, {"architectures", kArchitectures}});
}

}  // namespace

int Main(const char* self) {
  int to_server[2], from_server[2];
  if (pipe2(to_server, O_CLOEXEC) != 0 || pipe2(from_server, O_CLOEXEC) != 0) {
    return 1;
  }
  const std::string tokens =
      absl::StrCat("/tmp/predict_bench_", getpid(), ".json");
  Token like;
  like.id = like.tenant = "bench";
  const auto token = AddToken(tokens, like);
  if (!token.ok()) return 1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to_server[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from_server[1], STDOUT_FILENO);
  char serve[] = "serve";
  char* arguments[] = {const_cast<char*>(self), serve,
                       const_cast<char*>(tokens.c_str()), nullptr};
  pid_t server;
  if (posix_spawn(&server, "/proc/self/exe", &actions, nullptr, arguments,
                  environ) != 0) {
    return 1;
  }
  close(from_server[1]);
  FILE* out = fdopen(from_server[0], "r");
  int port = 0, guarded_port = 0;
  if (std::fscanf(out, "%d %d", &port, &guarded_port) != 2) return 1;
  unlink(tokens.c_str());
  unlink((tokens + ".lock").c_str());
  Pin(1);
  {
    Client client(port, server);
    const std::string predict = absl::StrCat(kPackage, "Predict");
    const auto plain = Requests("", 0);
    Client guarded(guarded_port, server, *token);
    BenchPredict(guarded, "predict_tokens", predict, plain, client, predict,
                 plain);
    BenchPredict(client, "predict", predict, plain, client, kEmptyMethod,
                 {ToBuffer(google::protobuf::Empty())});
    BenchPredict(client, "predict_trained", predict, Requests("calibrated", 0),
                 client, predict, plain);
    BenchPredict(client, "predict_learned", predict, Requests("calibrated", 1),
                 client, predict, plain);
    BenchAround(client);
  }
  close(to_server[1]);
  int status = 0;
  waitpid(server, &status, 0);
  return status == 0 ? 0 : 1;
}

}  // namespace perfvec::server

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "serve") == 0) {
    return argc > 2 ? perfvec::server::Serve(argv[2]) : 2;
  }
  return perfvec::server::Main(argv[0]);
}
