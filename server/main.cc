// perfvec-server: see docs/operations.md.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "proto/log.h"
#include "server/security/token_command.h"
#include "server/server_core.h"
#include "spdlog/spdlog.h"

namespace {

using perfvec::server::ServerCore;
using perfvec::server::ServerOptions;

std::string HostOf(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

// The first signal drains, the second ends the process at once. `signals` may
// have caught the first before.
void WaitForSignal(boost::asio::io_context& io,
                   boost::asio::signal_set& signals, ServerCore& server) {
  std::thread drain;
  signals.async_wait([&](const boost::system::error_code&, int signal) {
    spdlog::info("{}: finishing calls in flight; again to stop at once",
                 strsignal(signal));
    signals.async_wait([](const boost::system::error_code& error, int) {
      if (!error) std::_Exit(EXIT_FAILURE);
    });
    drain = std::thread([&] {
      server.Drain();
      io.stop();
    });
  });
  io.run();
  drain.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "token") {
    return perfvec::server::TokenMain(argc - 1, argv + 1);
  }
  ServerOptions options;
  double lease_seconds = 30, drain_seconds = 20, collect_grace_hours = 24;
  std::string log_level = "info", log_format = "text";

  CLI::App app{"The PerfVec server: traces in, predicted times out."};
  app.set_version_flag("--version", PERFVEC_VERSION);
  app.footer("perfvec-server token --help: makes and revokes tokens.");
  app.set_config("--config", "", "TOML or INI file with these options");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--data-dir", options.data_dir, "Registry and traces")
      ->required();
  app.add_option("--listen", options.listen, "HOST:PORT for gRPC")
      ->capture_default_str();
  app.add_option("--metrics-listen", options.metrics_listen,
                 "HOST:PORT for Prometheus; empty: none")
      ->capture_default_str();
  options.http.listen = "127.0.0.1:7452";
  app.add_option("--http-listen", options.http.listen,
                 "HOST:PORT for JSON over HTTP and the web page; empty: none")
      ->capture_default_str();
  app.add_option("--http-host-name", options.http.host_names,
                 "Name by which a proxy's clients call this server");
  app.add_option("--http-max-connections", options.http.max_connections,
                 "Open HTTP connections")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--tls-cert", options.tls.certificate,
                 "PEM: the server's certificate, then its issuers'; read "
                 "again when it changes");
  app.add_option("--tls-key", options.tls.key, "PEM: its private key");
  app.add_option("--tls-client-ca", options.tls.client_ca,
                 "PEM: clients must have a certificate that it signed");
  app.add_option("--tokens", options.guard.tokens_file,
                 "File of the tokens that callers need; see perfvec-server "
                 "token --help");
  app.add_option("--tenant-calls-per-second",
                 options.guard.tenant_calls_per_second,
                 "Calls of all tokens of one tenant; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--tenant-max-stored-bytes", options.tenant_quota.stored_bytes,
                 "Traces of one tenant; 0: no limit")
      ->capture_default_str();
  app.add_option("--tenant-max-programs", options.tenant_quota.programs,
                 "Versions of programs, and of architectures, of one tenant; "
                 "0: no limit")
      ->capture_default_str();
  app.add_option("--tenant-max-jobs", options.tenant_quota.jobs,
                 "Unfinished jobs of one tenant; 0: no limit")
      ->capture_default_str();
  app.add_option("--tenant-max-uploads", options.tenant_quota.uploads,
                 "Uploads under way of one tenant; 0: no limit")
      ->capture_default_str();
  app.add_option("--audit-log", options.guard.audit.path,
                 "File for a JSON line about each call that changes something");
  app.add_option("--audit-max-bytes", options.guard.audit.max_bytes,
                 "Size at which the audit log is rotated")
      ->check(CLI::Range(uint64_t{4096}, uint64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--audit-files", options.guard.audit.files,
                 "Files of the audit log that are kept")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--allow-unprotected-beyond-loopback",
               options.allow_unprotected_beyond_loopback,
               "Listen where other machines reach it without encryption or "
               "without authentication");
  app.add_option("--model", options.models,
                 "Directory of a model to register with its architectures")
      ->check(CLI::ExistingDirectory);
  app.add_option("--backup-root", options.backup_root,
                 "Backups are made under it; empty: DATA_DIR/backups");
  app.add_option("--shard-instructions", options.jobs.shard_instructions,
                 "Instructions a worker leases at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--lease-seconds", lease_seconds,
                 "A lease not renewed for so long goes to another worker")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-shard-attempts", options.jobs.queue.max_attempts,
                 "Failed attempts at a shard after which its job fails")
      ->check(CLI::Range(1, 250))
      ->capture_default_str();
  app.add_option("--max-jobs", options.jobs.queue.max_jobs, "Unfinished jobs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-trace-bytes", options.uploads.max_trace_bytes,
                 "Largest trace")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-stored-bytes", options.uploads.max_stored_bytes,
                 "All traces together")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--max-uploads", options.uploads.max_uploads,
                 "Uploads under way")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--threads", options.pool_threads, "For registry work")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--transfer-threads", options.bulk_threads,
                 "For uploads and reads of traces")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--block-cache-bytes", options.block_cache_bytes,
                 "RocksDB's block cache")
      ->capture_default_str();
  app.add_option("--drain-seconds", drain_seconds,
                 "Time for calls in flight after SIGTERM")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--trace-grace-hours", collect_grace_hours,
                 "Traces that no program names are kept so long")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--log-level", log_level, "debug, info, warning, error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", log_format, "text, or json: an object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  perfvec::UseLog("server", log_format == "json" ? perfvec::LogFormat::kJson
                                                 : perfvec::LogFormat::kText);
  // Debian's abseil looks for lock cycles at every lock and aborts on one: for
  // tests, not for a server.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  spdlog::set_level(spdlog::level::from_str(log_level));
  options.jobs.queue.lease_duration = absl::Seconds(lease_seconds);
  options.drain_timeout = absl::Seconds(drain_seconds);
  options.collect_grace = absl::Hours(collect_grace_hours);

  auto server = ServerCore::Start(options);
  if (!server.ok()) {
    spdlog::critical("{}", server.status().ToString());
    return EXIT_FAILURE;
  }
  // Caught before anybody is told that the server serves: what is stopped then
  // must drain, too.
  boost::asio::io_context io;
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  spdlog::info("listening on {}:{}", HostOf(options.listen), (*server)->port());
  if ((*server)->metrics_port() != 0) {
    spdlog::info("metrics on {}:{}", HostOf(options.metrics_listen),
                 (*server)->metrics_port());
  }
  if ((*server)->http_port() != 0) {
    spdlog::info("web page and JSON on {}://{}:{}/",
                 options.tls.enabled() ? "https" : "http",
                 HostOf(options.http.listen), (*server)->http_port());
  }
  WaitForSignal(io, signals, **server);
  server->reset();
  spdlog::info("stopped");
  return EXIT_SUCCESS;
}
