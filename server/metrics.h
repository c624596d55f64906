// What the server counts and shows to Prometheus.
//
// One object for the whole server; any thread. Counters are written where
// things happen; what other parts know anyway (queue depth, vectors in memory,
// RocksDB) is asked for at each scrape by the sources added with AddSource.
// docs/operations.md lists the metrics.
//
//   Metrics metrics;
//   metrics.AddSource([&](Metrics::Samples& out) {
//     out.Gauge("perfvec_workers", "Workers ...", {}, n);
//   });
//   auto port = metrics.Expose("127.0.0.1:7451");
#ifndef PERFVEC_SERVER_METRICS_H_
#define PERFVEC_SERVER_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::server {

class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  // Collects the samples of one scrape.
  class Samples {
   public:
    void Gauge(const std::string& name, const std::string& help,
               const Labels& labels, double value);
    std::vector<prometheus::MetricFamily> Take();

   private:
    std::map<std::string, prometheus::MetricFamily> families_;
  };
  using Source = std::function<void(Samples&)>;

  Metrics();
  ~Metrics();

  // Sources are called until RemoveSources; call that before what they use
  // goes.
  void AddSource(Source source);
  void RemoveSources();

  // Serves /metrics at "HOST:PORT"; returns the port that was bound.
  absl::StatusOr<int> Expose(const std::string& address);
  // The text a scrape gets.
  std::string Render() const;

  void ObserveJobStage(absl::string_view stage, absl::Duration duration);
  void CountShard(absl::string_view outcome);
  void CountUpload(absl::string_view outcome);
  prometheus::Counter& instructions_represented() { return *instructions_; }
  prometheus::Counter& upload_bytes() { return *upload_bytes_; }
  prometheus::Counter& trace_read_bytes() { return *trace_read_bytes_; }
  prometheus::Gauge& uploads_active() { return *uploads_active_; }
  const std::shared_ptr<prometheus::Registry>& registry() { return registry_; }

 private:
  class Asker;

  std::shared_ptr<prometheus::Registry> registry_;
  std::shared_ptr<Asker> asker_;
  prometheus::Family<prometheus::Histogram>* job_stages_;
  prometheus::Family<prometheus::Counter>* shards_;
  prometheus::Family<prometheus::Counter>* uploads_;
  prometheus::Counter* instructions_;
  prometheus::Counter* upload_bytes_;
  prometheus::Counter* trace_read_bytes_;
  prometheus::Gauge* uploads_active_;
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_METRICS_H_
