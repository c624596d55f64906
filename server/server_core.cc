#include "server/server_core.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/analysis_service.h"
#include "server/architecture_service.h"
#include "server/call.h"
#include "server/epoch.h"
#include "server/exploration_service.h"
#include "server/http/gateway.h"
#include "server/http/http_server.h"
#include "server/job_service.h"
#include "server/learning_service.h"
#include "server/model_import.h"
#include "server/model_service.h"
#include "server/prediction_service.h"
#include "server/predictor.h"
#include "server/program_service.h"
#include "server/request_log.h"
#include "server/rpc_metrics.h"
#include "server/security/rpc_guard.h"
#include "server/security/tenants.h"
#include "server/server_metrics.h"
#include "server/service_context.h"
#include "server/stream_limits.h"
#include "server/trace_check.h"
#include "server/trace_service.h"
#include "server/worker_service.h"
#include "spdlog/spdlog.h"
#include "storage/chunk_store.h"
#include "storage/rocksdb_registry.h"
#include "storage/status_macros.h"

namespace perfvec::server {

namespace {

constexpr absl::Duration kRefreshEvery = absl::Seconds(1);

}  // namespace

// In the order of construction; destroyed from the last to the first.
struct ServerCore::Parts {
  explicit Parts(ServerOptions o)
      : options(std::move(o)), streams(options.max_streams) {}

  ServerOptions options;
  Metrics metrics;
  std::unique_ptr<storage::Registry> registry;
  std::unique_ptr<storage::ChunkStore> chunks;
  Predictor predictor;
  StreamLimits streams;
  NameLocks names;
  std::unique_ptr<JobManager> jobs;
  std::unique_ptr<UploadManager> uploads;
  ServiceContext context;
  std::unique_ptr<ProgramService> programs;
  std::unique_ptr<AnalysisService> analysis;
  std::unique_ptr<ArchitectureService> architectures;
  std::unique_ptr<LearningService> learning;
  std::unique_ptr<ExplorationService> exploration;
  std::unique_ptr<ModelService> models;
  std::unique_ptr<TraceService> traces;
  std::unique_ptr<JobService> job_service;
  std::unique_ptr<ServerService> server_service;
  std::unique_ptr<WorkerService> workers;
  std::unique_ptr<PredictionService> predictions;
  // Their tasks use all of the above: stopped first.
  std::unique_ptr<Executor> pool;
  std::unique_ptr<Executor> bulk;
  std::unique_ptr<Tls> tls;
  std::unique_ptr<Guard> guard;
  std::unique_ptr<Tenants> tenants;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<http::Gateway> gateway;
  std::unique_ptr<http::HttpServer> http;
  int port = 0;
  int metrics_port = 0;

  boost::asio::io_context io;
  boost::asio::steady_timer timer{io};
  std::thread timer_thread;
  absl::Time last_collection;
  std::atomic<bool> collection_wanted{false};
  std::atomic<bool> collecting{false};
  absl::Time last_refresh = absl::InfinitePast();
  bool healthy = true;
  std::atomic<bool> draining{false};
  std::once_flag drained;

  absl::Status CheckAddresses() const;
  absl::Status Secure();
  std::shared_ptr<grpc::ServerCredentials> GrpcCredentials();
  absl::Status OpenStores();
  absl::Status Serve();
  absl::Status ServeHttp();
  absl::Status Ready() const;
  void Schedule();
  void Tick();
  void RefreshFiles();
  absl::Status CollectGarbage();
  void Drain();
};

absl::Status ServerCore::Parts::CheckAddresses() const {
  const bool encrypted = options.tls.enabled();
  const bool authenticated =
      !options.guard.tokens_file.empty() || !options.tls.client_ca.empty();
  for (const std::string* address :
       {&options.listen, &options.http.listen, &options.metrics_listen}) {
    if (address->empty() || http::IsLoopback(*address)) continue;
    const bool metrics = address == &options.metrics_listen;
    if (!metrics && !encrypted && options.guard.enabled()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "refusing to listen on ", *address,
          ": with --tokens or --audit-log "
          "that needs --tls-cert and --tls-key, as tokens would be sent in the "
          "clear"));
    }
    if (options.allow_unprotected_beyond_loopback) continue;
    if (!metrics && encrypted && authenticated) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "refusing to listen on ", *address,
        metrics ? ": metrics are served without encryption and to everybody. "
                  "Fetch them as /metrics over --http-listen"
                : ": whoever reaches it may read and delete everything. Turn "
                  "on encryption (--tls-cert, --tls-key) and authentication "
                  "(--tokens or --tls-client-ca), listen on loopback behind a "
                  "proxy that has both",
        ", or say --allow-unprotected-beyond-loopback"));
  }
  return absl::OkStatus();
}

absl::Status ServerCore::Parts::Secure() {
  if (options.tls.enabled()) {
    PERFVEC_ASSIGN_OR_RETURN(tls, Tls::Load(options.tls, options.clock()));
  }
  if (options.guard.enabled()) {
    PERFVEC_ASSIGN_OR_RETURN(
        guard, Guard::Create(options.guard, options.clock, &metrics));
  }
  if (options.tenant_quota.any() && options.guard.tokens_file.empty()) {
    return absl::InvalidArgumentError(
        "--tenant-max-* need --tokens, which names the tenants");
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::ServerCredentials> ServerCore::Parts::GrpcCredentials() {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (tls != nullptr) {
    credentials = tls->GrpcCredentials();
  } else if (guard == nullptr) {
    return grpc::InsecureServerCredentials();
  } else {
    // On the wire the same as insecure ones, which take no processor.
    credentials = grpc::experimental::LocalServerCredentials(
        absl::StartsWith(options.listen, "unix:") ? UDS : LOCAL_TCP);
  }
  if (guard != nullptr) {
    credentials->SetAuthMetadataProcessor(
        std::make_shared<RpcGuard>(guard.get()));
  }
  return credentials;
}

absl::Status ServerCore::Parts::OpenStores() {
  const std::string& dir = options.data_dir;
  const std::string temporary = dir + "/tmp";
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot make the data directory ", dir, ": ", error.message()));
  }
  // The registry's lock is what keeps a second server out.
  storage::RocksDbOptions rocks;
  rocks.path = dir + "/registry";
  rocks.block_cache_bytes = options.block_cache_bytes;
  PERFVEC_ASSIGN_OR_RETURN(registry,
                           storage::OpenRocksDbRegistry(rocks, options.clock));
  registry->SetTenantQuota(options.tenant_quota);
  std::filesystem::remove_all(temporary, error);
  std::filesystem::create_directories(temporary, error);
  PERFVEC_ASSIGN_OR_RETURN(
      chunks, storage::ChunkStore::Open({.directory = dir + "/chunks"}));
  PERFVEC_ASSIGN_OR_RETURN(const uint64_t epoch, NextEpoch(dir, absl::Now()));
  options.jobs.queue.first_token = epoch << 32;
  return predictor.Load(*registry, [](absl::Status bad) {
    spdlog::error("left out of predictions: {}", bad.ToString());
  });
}

absl::Status ServerCore::Parts::Serve() {
  pool = std::make_unique<Executor>(
      Executor::Options{options.pool_threads, options.pool_queue, "request"});
  bulk = std::make_unique<Executor>(
      Executor::Options{options.bulk_threads, options.bulk_queue, "transfer"});
  jobs =
      std::make_unique<JobManager>(options.jobs, options.clock, registry.get(),
                                   &predictor, pool.get(), &metrics);
  PERFVEC_RETURN_IF_ERROR(jobs->Load());
  uploads = std::make_unique<UploadManager>(options.uploads, options.clock,
                                            registry.get(), chunks.get(),
                                            &metrics, CheckTrace);
  PERFVEC_RETURN_IF_ERROR(uploads->Load());

  context.registry = registry.get();
  context.chunks = chunks.get();
  context.predictor = &predictor;
  context.jobs = jobs.get();
  context.uploads = uploads.get();
  context.metrics = &metrics;
  context.pool = pool.get();
  context.bulk = bulk.get();
  context.names = &names;
  context.streams = &streams;
  if (guard != nullptr && guard->asks_for_tokens()) {
    tenants = std::make_unique<Tenants>(
        guard.get(), registry.get(),
        [this](const std::string& id) { return uploads->TenantOf(id); });
    context.gate = tenants.get();
  }
  context.temporary_directory = options.data_dir + "/tmp";
  context.backup_root = options.backup_root.empty()
                            ? options.data_dir + "/backups"
                            : options.backup_root;
  context.collect_garbage = [this] { collection_wanted = true; };
  for (const std::string& directory : options.models) {
    ModelImport import;
    import.directory = directory;
    import.create_architectures = true;
    import.default_if_none = true;
    PERFVEC_ASSIGN_OR_RETURN(v1::Model model, ImportModel(context, import));
    spdlog::info("model {}@{} {}", model.name(), model.version(),
                 model.model_id());
  }

  programs = std::make_unique<ProgramService>(context);
  analysis = std::make_unique<AnalysisService>(context);
  architectures = std::make_unique<ArchitectureService>(context);
  learning = std::make_unique<LearningService>(context);
  exploration = std::make_unique<ExplorationService>(context);
  models = std::make_unique<ModelService>(context);
  traces = std::make_unique<TraceService>(context);
  job_service = std::make_unique<JobService>(context);
  server_service = std::make_unique<ServerService>(context, PERFVEC_VERSION);
  workers = std::make_unique<WorkerService>(context);
  PredictionService::Options prediction_options;
  prediction_options.gate = context.gate;
  predictions = std::make_unique<PredictionService>(&predictor, pool.get(),
                                                    prediction_options);

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::channelz::experimental::InitChannelzService();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, GrpcCredentials(), &port);
  for (grpc::Service* service :
       {static_cast<grpc::Service*>(programs.get()),
        static_cast<grpc::Service*>(analysis.get()),
        static_cast<grpc::Service*>(architectures.get()),
        static_cast<grpc::Service*>(learning.get()),
        static_cast<grpc::Service*>(exploration.get()),
        static_cast<grpc::Service*>(models.get()),
        static_cast<grpc::Service*>(traces.get()),
        static_cast<grpc::Service*>(job_service.get()),
        static_cast<grpc::Service*>(server_service.get()),
        static_cast<grpc::Service*>(workers.get()),
        static_cast<grpc::Service*>(predictions.get())}) {
    builder.RegisterService(service);
  }
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  grpc::ResourceQuota quota("perfvec");
  quota.Resize(options.grpc_memory_bytes);
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1024);
  // A dead peer is noticed within 80 s; who pings more often than every 10 s
  // is cut off.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::make_unique<RpcMetricsFactory>(metrics));
  if (guard != nullptr && guard->audits()) {
    interceptors.push_back(std::make_unique<AuditFactory>(guard.get()));
  }
  interceptors.push_back(std::make_unique<RequestLogFactory>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.listen,
                     "; is the port taken? Choose another with --listen"));
  }
  AddServerMetrics(context, &metrics);
  if (tls != nullptr) {
    metrics.AddSource([this](Metrics::Samples& out) {
      out.Gauge("perfvec_tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use expires", {},
                absl::ToDoubleSeconds(tls->expires() - absl::UnixEpoch()));
    });
  }
  if (!options.metrics_listen.empty()) {
    PERFVEC_ASSIGN_OR_RETURN(metrics_port,
                             metrics.Expose(options.metrics_listen));
  }
  if (!options.http.listen.empty()) PERFVEC_RETURN_IF_ERROR(ServeHttp());
  last_collection = absl::Now();
  Schedule();
  timer_thread = std::thread([this] { io.run(); });
  return absl::OkStatus();
}

absl::Status ServerCore::Parts::ServeHttp() {
  if (tls != nullptr) {
    options.http.tls = [this] { return tls->context(); };
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  http::Gateway::Hooks hooks;
  hooks.metrics = [this] { return metrics.Render(); };
  hooks.ready = [this] { return Ready(); };
  if (guard != nullptr) {
    hooks.authorize = [this](const std::string& path,
                             const http::Request& request) {
      return guard->Authorize(path, request.authorization,
                              {request.peer, request.request_id, ""});
    };
  }
  gateway = std::make_unique<http::Gateway>(server->InProcessChannel(arguments),
                                            std::move(hooks));
  PERFVEC_ASSIGN_OR_RETURN(
      http, http::HttpServer::Start(options.http, gateway.get(), &metrics));
  return absl::OkStatus();
}

absl::Status ServerCore::Parts::Ready() const {
  if (draining) return absl::UnavailableError("the server is shutting down");
  PERFVEC_RETURN_IF_ERROR(registry->Healthy());
  return chunks->Healthy();
}

void ServerCore::Parts::Schedule() {
  timer.expires_after(absl::ToChronoNanoseconds(options.tick_every));
  timer.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    Tick();
    Schedule();
  });
}

void ServerCore::Parts::Tick() {
  const absl::Time now = absl::Now();
  RefreshFiles();
  jobs->Tick();
  streams.Tick(now);
  job_service->EndWatches(
      now, absl::DeadlineExceededError("watched for long enough; watch again"));
  absl::Status health = registry->Healthy();
  health.Update(chunks->Healthy());
  if (health.ok() != healthy) {
    healthy = health.ok();
    spdlog::critical("storage: {}", health.ToString());
    server->GetHealthCheckService()->SetServingStatus(healthy);
  }
  if (!collection_wanted && now - last_collection < options.collect_every) {
    return;
  }
  if (collecting.exchange(true)) return;
  collection_wanted = false;
  last_collection = now;
  bulk->SubmitAdmitted([this] {
    const absl::Status status = CollectGarbage();
    if (!status.ok()) spdlog::warn("collection: {}", status.ToString());
    collecting = false;
  });
}

void ServerCore::Parts::RefreshFiles() {
  const absl::Time now = absl::Now();
  if (now - last_refresh < kRefreshEvery) return;
  last_refresh = now;
  if (tls != nullptr) {
    const absl::StatusOr<bool> fresh = tls->Refresh(options.clock());
    if (!fresh.ok()) {
      spdlog::error("HTTP keeps its certificate: {}",
                    fresh.status().ToString());
    } else if (*fresh) {
      spdlog::info("new certificate, until {}",
                   absl::FormatTime(tls->expires()));
    }
  }
  if (guard == nullptr) return;
  const absl::StatusOr<bool> ended = guard->Refresh();
  if (!ended.ok()) {
    spdlog::error("the tokens before stay in force: {}",
                  ended.status().ToString());
  } else if (*ended) {
    // Streams cannot be told apart by their tokens here: all are ended, and
    // those who may go on.
    spdlog::info("a token was revoked or expired: streams are ended");
    streams.Tick(absl::InfiniteFuture());
    job_service->EndWatches(
        absl::InfiniteFuture(),
        absl::UnavailableError("tokens have changed; watch again"));
  }
}

absl::Status ServerCore::Parts::CollectGarbage() {
  uploads->Expire();
  // A worker that has not yet heard of a cancellation may still read.
  if (jobs->HasCancelledLeases()) {
    collection_wanted = true;
    return absl::OkStatus();
  }
  PERFVEC_ASSIGN_OR_RETURN(std::vector<std::string> traces_gone,
                           registry->DeleteUnreferencedTraces(
                               absl::ToInt64Seconds(options.collect_grace)));
  PERFVEC_ASSIGN_OR_RETURN(
      storage::ChunkStore::Collected collected,
      chunks->CollectGarbage(
          [this](std::function<void(absl::string_view)> visit) {
            return registry->LiveChunks(std::move(visit));
          },
          absl::ZeroDuration()));
  if (!traces_gone.empty() || collected.chunks > 0) {
    spdlog::info("collected {} traces, {} chunks, {} bytes", traces_gone.size(),
                 collected.chunks, collected.size_bytes);
  }
  return absl::OkStatus();
}

void ServerCore::Parts::Drain() {
  std::call_once(drained, [this] {
    draining = true;
    if (http != nullptr) http->BeginDrain();
    if (server != nullptr) {
      server->GetHealthCheckService()->SetServingStatus(false);
      jobs->Drain();
      job_service->EndWatches(
          absl::InfiniteFuture(),
          absl::UnavailableError("the server is shutting down"));
      const absl::Time end = absl::Now() + options.drain_timeout;
      // Shutdown cuts calls of the in-process channel off at once.
      if (gateway != nullptr) gateway->AwaitCalls(options.drain_timeout);
      server->Shutdown(absl::ToChronoTime(end));
      server->Wait();
    }
    // Its last answers are those of the calls that have just ended.
    if (http != nullptr) http->Stop();
    http.reset();
    gateway.reset();
    io.stop();
    if (timer_thread.joinable()) timer_thread.join();
    metrics.RemoveSources();
    if (bulk != nullptr) bulk->Stop();
    if (pool != nullptr) pool->Stop();
    server.reset();
  });
}

absl::StatusOr<std::unique_ptr<ServerCore>> ServerCore::Start(
    ServerOptions options) {
  auto parts = std::make_unique<Parts>(std::move(options));
  // Its destructor drains whatever was begun.
  std::unique_ptr<ServerCore> core(new ServerCore(std::move(parts)));
  PERFVEC_RETURN_IF_ERROR(core->parts_->CheckAddresses());
  PERFVEC_RETURN_IF_ERROR(core->parts_->Secure());
  PERFVEC_RETURN_IF_ERROR(core->parts_->OpenStores());
  PERFVEC_RETURN_IF_ERROR(core->parts_->Serve());
  return core;
}

ServerCore::ServerCore(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}
ServerCore::~ServerCore() { Drain(); }

void ServerCore::Drain() { parts_->Drain(); }
int ServerCore::port() const { return parts_->port; }
int ServerCore::metrics_port() const { return parts_->metrics_port; }
int ServerCore::http_port() const {
  return parts_->http == nullptr ? 0 : parts_->http->port();
}
storage::Registry& ServerCore::registry() { return *parts_->registry; }
storage::ChunkStore& ServerCore::chunks() { return *parts_->chunks; }
JobManager& ServerCore::jobs() { return *parts_->jobs; }
Metrics& ServerCore::metrics() { return parts_->metrics; }
void ServerCore::Tick() { parts_->Tick(); }
absl::Status ServerCore::CollectGarbage() { return parts_->CollectGarbage(); }

}  // namespace perfvec::server
