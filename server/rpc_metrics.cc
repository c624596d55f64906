#include "server/rpc_metrics.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/status.h>

#include <chrono>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace perfvec::server {
namespace {

using std::chrono::steady_clock;

const char* const kServices[] = {
    "perfvec.v1.ProgramService",      "perfvec.v1.ArchitectureService",
    "perfvec.v1.ModelService",        "perfvec.v1.TraceService",
    "perfvec.v1.PredictionService",   "perfvec.v1.JobService",
    "perfvec.v1.ServerService",       "perfvec.v1.LearningService",
    "perfvec.v1.ExplorationService",  "perfvec.v1.AnalysisService",
    "perfvec.worker.v1.WorkerService"};

class RpcInterceptor : public grpc::experimental::Interceptor {
 public:
  RpcInterceptor(RpcMetricsFactory* factory, RpcMetricsFactory::Method* method)
      : factory_(factory), method_(method), start_(steady_clock::now()) {
    method_->in_flight->Increment();
  }
  ~RpcInterceptor() override {
    Observe(grpc::StatusCode::CANCELLED);
    method_->in_flight->Decrement();
  }
  void Intercept(grpc::experimental::InterceptorBatchMethods* calls) override {
    if (calls->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      Observe(calls->GetSendStatus().error_code());
    }
    calls->Proceed();
  }

 private:
  void Observe(int code) {
    if (observed_) return;
    observed_ = true;
    factory_->Observe(
        *method_, code,
        std::chrono::duration<double>(steady_clock::now() - start_).count());
  }

  RpcMetricsFactory* const factory_;
  RpcMetricsFactory::Method* const method_;
  const steady_clock::time_point start_;
  bool observed_ = false;
};

}  // namespace

RpcMetricsFactory::RpcMetricsFactory(Metrics& metrics) {
  latency_ = &prometheus::BuildHistogram()
                  .Name("perfvec_rpc_latency_seconds")
                  .Help("Time from the start of a call to its status")
                  .Register(*metrics.registry());
  calls_ = &prometheus::BuildCounter()
                .Name("perfvec_rpc_calls_total")
                .Help("Calls that have ended, by method and status code")
                .Register(*metrics.registry());
  auto& in_flight = prometheus::BuildGauge()
                        .Name("perfvec_rpc_in_flight")
                        .Help("Calls that are being served now")
                        .Register(*metrics.registry());
  const auto make = [&](const std::string& name) {
    auto method = std::make_unique<Method>();
    method->name = name;
    method->in_flight = &in_flight.Add({{"method", name}});
    return method;
  };
  other_ = make("other");
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const char* name : kServices) {
    const auto* service = pool->FindServiceByName(name);
    if (service == nullptr) continue;
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path =
          absl::StrCat("/", name, "/", service->method(i)->name());
      methods_[path] = make(path.substr(1));
    }
  }
}

grpc::experimental::Interceptor* RpcMetricsFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  auto found = methods_.find(info->method());
  return new RpcInterceptor(
      this, found == methods_.end() ? other_.get() : found->second.get());
}

void RpcMetricsFactory::Observe(Method& method, int code, double seconds) {
  if (code < 0 || code >= kCodes) code = grpc::StatusCode::UNKNOWN;
  prometheus::Histogram* latency =
      method.latency[code].load(std::memory_order_acquire);
  if (latency == nullptr) {
    const prometheus::Labels labels = {
        {"method", method.name},
        {"code",
         absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}};
    // Add gives the same object for the same labels.
    latency = &latency_->Add(
        labels, prometheus::Histogram::BucketBoundaries{
                    25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3,
                    10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600});
    method.calls[code].store(&calls_->Add(labels), std::memory_order_release);
    method.latency[code].store(latency, std::memory_order_release);
  }
  latency->Observe(seconds);
  method.calls[code].load(std::memory_order_acquire)->Increment();
}

}  // namespace perfvec::server
