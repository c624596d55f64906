// perfvec.v1.PredictionService over a Predictor: thin shells that hand requests
// on and choose where the work runs.
//
// Predict and small requests are answered on the calling gRPC thread: they only
// read memory, for microseconds. Larger ones run on the pool; a full pool is
// RESOURCE_EXHAUSTED. A matrix is computed one message (at most 1 MiB) at a
// time, the next one once the one before has been taken: a client that stops
// reading holds one message, and its call is cut after `stall_timeout`.
//
// Predictor and pool must outlive the service; the service outlives the server.
//
//   PredictionService service(&predictor, &pool, {});
//   builder.RegisterService(&service);
#ifndef PERFVEC_SERVER_PREDICTION_SERVICE_H_
#define PERFVEC_SERVER_PREDICTION_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"
#include "server/executor.h"
#include "server/predict_messages.h"
#include "server/predictor.h"
#include "server/security/scope.h"

namespace perfvec::server {

class PredictionService final : public v1::PredictionService::CallbackService {
 public:
  struct Options {
    int max_batch = 10000;
    int max_matrix_streams = 16;
    absl::Duration stall_timeout = absl::Seconds(60);
    // Up to so many dot products run on the calling thread.
    int64_t inline_rows = 1024;
    const ScopeGate* gate = nullptr;  // null: everybody sees everything
  };

  PredictionService(const Predictor* predictor, Executor* pool,
                    const Options& options)
      : predictor_(predictor), pool_(pool), options_(options) {
    SetMessageAllocatorFor_Predict(&predict_messages_);
  }

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* response) override;
  grpc::ServerUnaryReactor* PredictBatch(
      grpc::CallbackServerContext* context,
      const v1::PredictBatchRequest* request,
      v1::PredictBatchResponse* response) override;
  grpc::ServerUnaryReactor* Rank(grpc::CallbackServerContext* context,
                                 const v1::RankRequest* request,
                                 v1::RankResponse* response) override;
  grpc::ServerWriteReactor<v1::PredictMatrixResponse>* PredictMatrix(
      grpc::CallbackServerContext* context,
      const v1::PredictMatrixRequest* request) override;

 private:
  // Finishes the call with what `work` returns, here or on the pool.
  grpc::ServerUnaryReactor* Answer(
      grpc::CallbackServerContext* context,
      const google::protobuf::Message* request, int64_t rows,
      std::function<absl::Status(const Scope&)> work);

  const Predictor* const predictor_;
  Executor* const pool_;
  const Options options_;
  PredictMessages predict_messages_;
  std::atomic<int> matrix_streams_{0};
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTION_SERVICE_H_
