// Counts every call by method and code, with its latency, as a gRPC server
// interceptor: no service needs to know of it.
//
// The metrics of all methods of perfvec.* are made at construction, so a call
// costs one lookup in an immutable table. A call that ends without a status
// (the client left) counts as CANCELLED.
//
//   creators.push_back(std::make_unique<RpcMetricsFactory>(metrics));
//   builder.experimental().SetInterceptorCreators(std::move(creators));
#ifndef PERFVEC_SERVER_RPC_METRICS_H_
#define PERFVEC_SERVER_RPC_METRICS_H_

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "server/metrics.h"

namespace perfvec::server {

class RpcMetricsFactory
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit RpcMetricsFactory(Metrics& metrics);
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

  static constexpr int kCodes = 17;
  struct Method {
    std::string name;
    prometheus::Gauge* in_flight;
    // Made when a code is first seen.
    std::array<std::atomic<prometheus::Histogram*>, kCodes> latency = {};
    std::array<std::atomic<prometheus::Counter*>, kCodes> calls = {};
  };
  void Observe(Method& method, int code, double seconds);

 private:
  prometheus::Family<prometheus::Histogram>* latency_;
  prometheus::Family<prometheus::Counter>* calls_;
  absl::flat_hash_map<std::string, std::unique_ptr<Method>> methods_;
  std::unique_ptr<Method> other_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_RPC_METRICS_H_
