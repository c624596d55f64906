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
  reactor->Finish(ToGrpcStatus(predictor_->Predict(
      request->program(), request->architecture(), request->model(), response,
      /*explain=*/true, request->confidence())));
  return reactor;
}

grpc::ServerUnaryReactor* PredictionService::Answer(
    grpc::CallbackServerContext* context, int64_t rows,
    std::function<absl::Status()> work) {
  if (rows > options_.inline_rows) {
    return RunOnPool(*pool_, context, std::move(work));
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(work()));
  return reactor;
}

grpc::ServerUnaryReactor* PredictionService::PredictBatch(
    grpc::CallbackServerContext* context,
    const v1::PredictBatchRequest* request,
    v1::PredictBatchResponse* response) {
  return Answer(context, request->requests_size(), [=]() -> absl::Status {
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
      const absl::Status status =
          predictor_->Predict(one.program(), one.architecture(), one.model(),
                              item->mutable_prediction(),
                              failures < kExplainedFailures, one.confidence());
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
  return Answer(context, rows,
                [=, snapshot = std::move(snapshot)]() -> absl::Status {
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
  } else {
    stream->Start(predictor_->snapshot(), request);
  }
  return stream;
}

}  // namespace perfvec::server
