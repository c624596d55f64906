#include "server/metrics.h"

#include <prometheus/text_serializer.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <exception>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"

namespace perfvec::server {
namespace {

namespace net = boost::asio;

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

prometheus::Histogram::BucketBoundaries StageBuckets() {
  return {0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200, 86400};
}

}  // namespace

void Metrics::Samples::Gauge(const std::string& name, const std::string& help,
                             const Labels& labels, double value) {
  prometheus::MetricFamily& family = families_[name];
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  prometheus::ClientMetric metric;
  for (const auto& [key, text] : labels) metric.label.push_back({key, text});
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

std::vector<prometheus::MetricFamily> Metrics::Samples::Take() {
  std::vector<prometheus::MetricFamily> result;
  for (auto& [name, family] : families_) result.push_back(std::move(family));
  return result;
}

class Metrics::Asker : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    absl::MutexLock lock(&mutex_);
    Samples samples;
    for (const Source& source : sources_) source(samples);
    return samples.Take();
  }
  void Add(Source source) {
    absl::MutexLock lock(&mutex_);
    sources_.push_back(std::move(source));
  }
  void Clear() {
    absl::MutexLock lock(&mutex_);
    sources_.clear();
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<Source> sources_ ABSL_GUARDED_BY(mutex_);
};

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      asker_(std::make_shared<Asker>()) {
  job_stages_ = &BuildHistogram()
                     .Name("perfvec_job_stage_seconds")
                     .Help("Time jobs spent in a stage: queued, run, merge")
                     .Register(*registry_);
  shards_ = &BuildCounter()
                 .Name("perfvec_shard_attempts_total")
                 .Help("Attempts at shards of jobs, by how they ended")
                 .Register(*registry_);
  uploads_ = &BuildCounter()
                  .Name("perfvec_uploads_total")
                  .Help("Uploads of traces, by how they ended")
                  .Register(*registry_);
  instructions_ = &BuildCounter()
                       .Name("perfvec_instructions_represented_total")
                       .Help(
                           "Instructions of completed shards; its rate is "
                           "the speed of all workers together")
                       .Register(*registry_)
                       .Add({});
  upload_bytes_ = &BuildCounter()
                       .Name("perfvec_upload_bytes_total")
                       .Help("Bytes of traces received and committed")
                       .Register(*registry_)
                       .Add({});
  trace_read_bytes_ = &BuildCounter()
                           .Name("perfvec_trace_read_bytes_total")
                           .Help("Bytes of traces sent to workers")
                           .Register(*registry_)
                           .Add({});
  uploads_active_ = &BuildGauge()
                         .Name("perfvec_upload_streams")
                         .Help("Upload streams that are open now")
                         .Register(*registry_)
                         .Add({});
}

// CivetWeb looks whether it should end after each connection, without one every
// two seconds.
Metrics::~Metrics() {
  if (exposer_ == nullptr) return;
  const std::vector<int> ports = exposer_->GetListeningPorts();
  absl::Notification ended;
  std::thread end([&] {
    exposer_.reset();
    ended.Notify();
  });
  net::io_context io;
  do {
    for (const int port : ports) {
      boost::system::error_code ignored;
      net::ip::tcp::socket(io).connect(
          {net::ip::address_v4::loopback(), static_cast<uint16_t>(port)},
          ignored);
    }
  } while (!ended.WaitForNotificationWithTimeout(absl::Milliseconds(10)));
  end.join();
}

void Metrics::AddSource(Source source) { asker_->Add(std::move(source)); }
void Metrics::RemoveSources() { asker_->Clear(); }

absl::StatusOr<int> Metrics::Expose(const std::string& address) {
  // CivetWeb reports a port that is taken by an exception.
  try {
    exposer_ = std::make_unique<prometheus::Exposer>(address, 1);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(
        "cannot serve metrics on ", address, ": ", error.what(),
        "; is the port taken? Choose another with --metrics-listen"));
  }
  exposer_->RegisterCollectable(registry_);
  exposer_->RegisterCollectable(asker_);
  const std::vector<int> ports = exposer_->GetListeningPorts();
  return ports.empty() ? 0 : ports.front();
}

std::string Metrics::Render() const {
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  for (auto& family : asker_->Collect()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

void Metrics::ObserveJobStage(absl::string_view stage,
                              absl::Duration duration) {
  job_stages_->Add({{"stage", std::string(stage)}}, StageBuckets())
      .Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::CountShard(absl::string_view outcome) {
  shards_->Add({{"outcome", std::string(outcome)}}).Increment();
}

void Metrics::CountUpload(absl::string_view outcome) {
  uploads_->Add({{"outcome", std::string(outcome)}}).Increment();
}

}  // namespace perfvec::server
