#include "server/server_metrics.h"

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/executor.h"
#include "server/job_manager.h"
#include "server/predictor.h"
#include "server/stream_limits.h"
#include "storage/registry.h"

namespace perfvec::server {
namespace {

// "rocksdb.block-cache-usage" -> "rocksdb_block_cache_usage".
std::string MetricName(const std::string& name) {
  std::string result = absl::StrCat("perfvec_storage_", name);
  for (char& c : result) {
    c = absl::ascii_isalnum(c) ? absl::ascii_tolower(c) : '_';
  }
  return result;
}

void AddQueue(const ServiceContext& context, Metrics::Samples& out) {
  const JobQueue::Stats queue = context.jobs->GetStats();
  const std::string jobs = "perfvec_jobs";
  const std::string jobs_help = "Unfinished jobs by state";
  out.Gauge(jobs, jobs_help, {{"state", "queued"}},
            queue.jobs - queue.jobs_running);
  out.Gauge(jobs, jobs_help, {{"state", "running"}}, queue.jobs_running);
  const std::string shards = "perfvec_job_shards";
  const std::string shards_help = "Shards of unfinished jobs by state";
  out.Gauge(shards, shards_help, {{"state", "pending"}}, queue.shards_pending);
  out.Gauge(shards, shards_help, {{"state", "leased"}}, queue.shards_leased);
  out.Gauge("perfvec_job_oldest_queued_age_seconds",
            "Age of the oldest job that no worker has begun", {},
            absl::ToDoubleSeconds(queue.oldest_waiting));
  out.Gauge("perfvec_workers", "Workers heard of within the lease time", {},
            queue.workers);
}

void AddPools(const ServiceContext& context, Metrics::Samples& out) {
  for (Executor* pool : {context.pool, context.bulk}) {
    out.Gauge("perfvec_pool_queued_tasks", "Tasks that wait for a thread",
              {{"pool", pool->options().name}}, pool->queued());
  }
  out.Gauge("perfvec_streams", "Long streams that are open", {},
            context.streams->open());
}

void AddPredictor(const ServiceContext& context, Metrics::Samples& out) {
  const Predictor::Stats stats = context.predictor->stats();
  out.Gauge("perfvec_predictor_vectors", "Vectors held in memory", {},
            stats.vectors);
  out.Gauge("perfvec_predictor_bytes", "Memory of the vectors", {},
            stats.bytes);
  const std::string name = "perfvec_predictor_versions";
  const std::string help = "Versions that predictions may name, by kind";
  out.Gauge(name, help, {{"kind", "model"}}, stats.models);
  out.Gauge(name, help, {{"kind", "program"}}, stats.programs);
  out.Gauge(name, help, {{"kind", "architecture"}}, stats.architectures);
}

void AddStorage(const ServiceContext& context, Metrics::Samples& out) {
  auto counts = context.registry->GetCounts();
  if (counts.ok()) {
    out.Gauge("perfvec_trace_bytes", "Bytes of finished traces", {},
              counts->trace_bytes);
  }
  out.Gauge("perfvec_storage_healthy", "1 while writes are accepted", {},
            context.registry->Healthy().ok() ? 1 : 0);
  std::error_code error;
  const auto disk = std::filesystem::space(context.temporary_directory, error);
  if (!error) {
    out.Gauge("perfvec_data_dir_size_bytes",
              "Size of the file system of the data directory", {},
              disk.capacity);
    out.Gauge("perfvec_data_dir_free_bytes",
              "What of it the server may still write", {}, disk.available);
  }
  for (const auto& [name, value] : context.registry->Statistics()) {
    out.Gauge(MetricName(name), absl::StrCat("The engine's ", name), {}, value);
  }
}

}  // namespace

void AddServerMetrics(const ServiceContext& context, Metrics* metrics) {
  metrics->AddSource([context](Metrics::Samples& out) {
    out.Gauge("perfvec_build_info", "1; the labels say which build this is",
              {{"version", PERFVEC_VERSION}, {"compiler", __VERSION__}}, 1);
    AddQueue(context, out);
    AddPools(context, out);
    AddPredictor(context, out);
    AddStorage(context, out);
  });
}

}  // namespace perfvec::server
