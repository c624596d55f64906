// How the load generator's calls get to a server and their outcome back.
//
// Send returns at once and from one thread; `done` comes once for each call, on
// any thread, also before Send returns. A transport outlives its calls; those
// that are open when `deadline` comes end with DEADLINE_EXCEEDED.
//
//   auto transport = MakeGrpcTransport(channels);
//   transport->Send({LoadCall::kRank, {"lbm"}}, deadline,
//                   [](const absl::Status& outcome) { ... });
#ifndef PERFVEC_CLIENT_LOAD_LOAD_TRANSPORT_H_
#define PERFVEC_CLIENT_LOAD_LOAD_TRANSPORT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace perfvec::client {

enum class LoadCall { kPredict, kRank, kMatrix };

struct LoadRequest {
  LoadCall call = LoadCall::kPredict;
  std::vector<std::string> programs;  // of a matrix; else one
  std::string architecture;           // of a prediction
  std::string model;
  int rank_limit = 0;
};

class LoadTransport {
 public:
  using Done = std::function<void(const absl::Status& outcome)>;
  virtual ~LoadTransport() = default;
  virtual void Send(const LoadRequest& request, absl::Time deadline,
                    Done done) = 0;
};

// Calls take the channels in turn.
std::unique_ptr<LoadTransport> MakeGrpcTransport(
    const std::vector<std::shared_ptr<grpc::Channel>>& channels);

struct HttpTransportOptions {
  std::string address;  // HOST:PORT, without TLS
  std::string token;    // sent as a bearer token if not empty
  // Kept open and used again, one call at a time; a call that finds all busy
  // waits for one.
  int connections = 64;
};
// JSON over HTTP (docs/http.md). Answers are read whole and not parsed. Errors
// of the address.
absl::StatusOr<std::unique_ptr<LoadTransport>> MakeHttpTransport(
    HttpTransportOptions options);

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_LOAD_LOAD_TRANSPORT_H_
