#include "server/prediction_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/status.h"
#include "server/call.h"
#include "server/matrix_stream.h"
#include "server/ranking.h"

namespace perfvec::server {
namespace {

// The nearest names are looked up for so many failures of a batch at most.
constexpr int kExplainedFailures = 10;

}  // namespace

grpc::ServerUnaryReactor* PredictionService::Predict(
    grpc::CallbackServerContext* context, const v1::PredictRequest* request,
    v1::PredictResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (options_.gate != nullptr) {
    const auto scope = options_.gate->Enter(*context, *request);
    if (!scope.ok()) {
      reactor->Finish(ToGrpcStatus(scope.status()));
      return reactor;
    }
  }
  reactor->Finish(ToGrpcStatus(predictor_->Predict(
      request->program(), request->architecture(), request->model(), response,
      /*explain=*/true, request->confidence())));
  return reactor;
}

grpc::ServerUnaryReactor* PredictionService::Answer(
    grpc::CallbackServerContext* context,
    const google::protobuf::Message* request, int64_t rows,
    std::function<absl::Status(const Scope&)> work) {
  if (rows > options_.inline_rows) {
    return RunOnPool(*pool_, options_.gate, context, request, std::move(work));
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto scope = Enter(options_.gate, *context, *request);
  reactor->Finish(ToGrpcStatus(scope.ok() ? work(*scope) : scope.status()));
  return reactor;
}

grpc::ServerUnaryReactor* PredictionService::PredictBatch(
    grpc::CallbackServerContext* context,
    const v1::PredictBatchRequest* request,
    v1::PredictBatchResponse* response) {
  return Answer(
      context, request, request->requests_size(),
      [=](const Scope&) -> absl::Status {
        if (request->requests_size() > options_.max_batch) {
          return absl::InvalidArgumentError(
              absl::StrCat("a batch of ", request->requests_size(),
                           " requests; expected at most ", options_.max_batch,
                           ": send several batches"));
        }
        int failures = 0;
        for (const v1::PredictRequest& one : request->requests()) {
          if (response->items_size() % 1024 == 1023 && context->IsCancelled()) {
            return absl::CancelledError("the caller has gone");
          }
          v1::PredictBatchResponse::Item* item = response->add_items();
          const absl::Status status = predictor_->Predict(
              one.program(), one.architecture(), one.model(),
              item->mutable_prediction(), failures < kExplainedFailures,
              one.confidence());
          if (status.ok()) continue;
          ++failures;
          item->clear_prediction();
          item->set_code(static_cast<int>(status.code()));
          item->set_message(std::string(status.message().substr(0, 512)));
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* PredictionService::Rank(
    grpc::CallbackServerContext* context, const v1::RankRequest* request,
    v1::RankResponse* response) {
  Snapshot snapshot = predictor_->snapshot();
  const int64_t rows = RankRows(snapshot, *request);
  return Answer(context, request, rows,
                [=, snapshot = std::move(snapshot)](
                    const Scope& scope) mutable -> absl::Status {
                  snapshot.LimitTo(scope.viewer());
                  return server::Rank(
                      snapshot, *request,
                      [context] { return context->IsCancelled(); }, response);
                });
}

grpc::ServerWriteReactor<v1::PredictMatrixResponse>*
PredictionService::PredictMatrix(grpc::CallbackServerContext* context,
                                 const v1::PredictMatrixRequest* request) {
  auto* stream = new MatrixStream(
      context, pool_, options_.stall_timeout,
      [this] { matrix_streams_.fetch_sub(1, std::memory_order_relaxed); });
  if (matrix_streams_.fetch_add(1, std::memory_order_relaxed) >=
      options_.max_matrix_streams) {
    stream->Refuse(absl::ResourceExhaustedError(
        absl::StrCat(options_.max_matrix_streams,
                     " matrices are being sent, as many as this server sends "
                     "at a time; try again in a second")));
  } else if (const auto scope = Enter(options_.gate, *context, *request);
             !scope.ok()) {
    stream->Refuse(scope.status());
  } else {
    Snapshot snapshot = predictor_->snapshot();
    snapshot.LimitTo(scope->viewer());
    stream->Start(std::move(snapshot), request);
  }
  return stream;
}

}  // namespace perfvec::server
