// The whole server in one object: storage, jobs, services, timers, metrics.
//
// main.cc owns one; tests start several in one process. Start() returns once
// the server answers. Drain() ends it in order: health turns NOT_SERVING, no
// lease is given any more, calls in flight get `drain_timeout` to end, then
// what remains is cancelled, and the stores are closed. The destructor drains.
//
//   ServerOptions options;
//   options.data_dir = "/var/lib/perfvec";
//   auto server = ServerCore::Start(options);
//   ... (*server)->port() ...
//   (*server)->Drain();
#ifndef PERFVEC_SERVER_SERVER_CORE_H_
#define PERFVEC_SERVER_SERVER_CORE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/executor.h"
#include "server/http/http_server.h"
#include "server/job_manager.h"
#include "server/security/guard.h"
#include "server/security/tls.h"
#include "server/upload_manager.h"

namespace perfvec::server {

struct ServerOptions {
  std::string data_dir;
  std::string listen = "127.0.0.1:7450";          // port 0: any
  std::string metrics_listen = "127.0.0.1:7451";  // empty: none
  http::HttpOptions http;                         // no `listen`: none
  TlsFiles tls;        // of gRPC and HTTP; none: plain
  GuardOptions guard;  // tokens and audit log of both
  // Without it every address above must be one that only this machine reaches,
  // unless there is encryption and authentication on it.
  bool allow_unprotected_beyond_loopback = false;
  // Registered at start with their architectures, if absent; the first becomes
  // "default" if no model is.
  std::vector<std::string> models;

  std::string backup_root;  // empty: DATA_DIR/backups

  JobManager::Options jobs;
  UploadManager::Options uploads;
  storage::TenantQuota tenant_quota;  // needs tokens, which name the tenants
  int pool_threads = 4;
  size_t pool_queue = 1024;
  int bulk_threads = 4;
  size_t bulk_queue = 256;
  size_t max_streams = 256;                        // uploads, reads of traces
  uint64_t grpc_memory_bytes = uint64_t{1} << 30;  // for messages in flight
  uint64_t block_cache_bytes = 64 << 20;
  absl::Duration drain_timeout = absl::Seconds(20);
  absl::Duration collect_every = absl::Minutes(10);
  // Traces that no program names are kept so long, for programs to come.
  absl::Duration collect_grace = absl::Hours(24);

  // For tests.
  Clock clock = [] { return absl::Now(); };
  absl::Duration tick_every = absl::Milliseconds(200);
};

class ServerCore {
 public:
  static absl::StatusOr<std::unique_ptr<ServerCore>> Start(
      ServerOptions options);
  ~ServerCore();

  int port() const;
  int metrics_port() const;  // 0: none
  int http_port() const;     // 0: none
  void Drain();

  // For tests and tools in the same process.
  storage::Registry& registry();
  storage::ChunkStore& chunks();
  JobManager& jobs();
  Metrics& metrics();
  // One round of what the timers do: leases, waits, collections.
  void Tick();
  absl::Status CollectGarbage();

 private:
  struct Parts;
  explicit ServerCore(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SERVER_CORE_H_
