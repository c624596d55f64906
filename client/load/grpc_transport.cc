#include <grpcpp/grpcpp.h>

#include <utility>

#include "client/load/load_transport.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"
#include "proto/status.h"

namespace perfvec::client {
namespace {

using Stub = v1::PredictionService::Stub;

// A call that deletes itself behind its end.
struct OpenCall {
  OpenCall(LoadTransport::Done done, absl::Time deadline)
      : done(std::move(done)) {
    context.set_deadline(absl::ToChronoTime(deadline));
  }
  virtual ~OpenCall() = default;
  void End(const grpc::Status& status) {
    const LoadTransport::Done to = std::move(done);
    delete this;  // before it is told: the channel may go once all have ended
    to(FromGrpcStatus(status));
  }

  LoadTransport::Done done;
  grpc::ClientContext context;
};

template <typename Response>
struct UnaryCall : OpenCall {
  using OpenCall::OpenCall;
  Response response;
};

struct MatrixCall final : OpenCall,
                          grpc::ClientReadReactor<v1::PredictMatrixResponse> {
  using OpenCall::OpenCall;
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&response);
  }
  void OnDone(const grpc::Status& status) override { End(status); }
  v1::PredictMatrixResponse response;
};

class GrpcTransport final : public LoadTransport {
 public:
  explicit GrpcTransport(
      const std::vector<std::shared_ptr<grpc::Channel>>& channels) {
    for (const auto& channel : channels) {
      stubs_.push_back(v1::PredictionService::NewStub(channel));
    }
  }

  void Send(const LoadRequest& from, absl::Time deadline, Done done) override {
    Stub& stub = *stubs_[next_++ % stubs_.size()];
    switch (from.call) {
      case LoadCall::kPredict: {
        v1::PredictRequest request;
        request.set_program(from.programs[0]);
        request.set_architecture(from.architecture);
        request.set_model(from.model);
        auto* call =
            new UnaryCall<v1::PredictResponse>(std::move(done), deadline);
        // gRPC serialises the request before it returns.
        stub.async()->Predict(
            &call->context, &request, &call->response,
            [call](const grpc::Status& status) { call->End(status); });
        return;
      }
      case LoadCall::kRank: {
        v1::RankRequest request;
        request.set_program(from.programs[0]);
        request.set_model(from.model);
        request.set_limit(from.rank_limit);
        auto* call = new UnaryCall<v1::RankResponse>(std::move(done), deadline);
        stub.async()->Rank(
            &call->context, &request, &call->response,
            [call](const grpc::Status& status) { call->End(status); });
        return;
      }
      case LoadCall::kMatrix: {
        v1::PredictMatrixRequest request;
        for (const auto& program : from.programs) {
          request.add_programs(program);
        }
        request.set_model(from.model);
        auto* call = new MatrixCall(std::move(done), deadline);
        stub.async()->PredictMatrix(&call->context, &request, call);
        call->StartRead(&call->response);
        call->StartCall();
        return;
      }
    }
  }

 private:
  std::vector<std::unique_ptr<Stub>> stubs_;
  size_t next_ = 0;
};

}  // namespace

std::unique_ptr<LoadTransport> MakeGrpcTransport(
    const std::vector<std::shared_ptr<grpc::Channel>>& channels) {
  return std::make_unique<GrpcTransport>(channels);
}

}  // namespace perfvec::client
