// One PredictMatrix call: computes a message on the pool, writes it, computes
// the next once it has been taken.
//
// Created by PredictionService for one call; deletes itself when gRPC is done
// with it. Between construction and the end of the call either Start or Refuse
// is called, once. `on_done` is called at the very end.
//
//   auto* stream = new MatrixStream(context, pool, absl::Minutes(1), on_done);
//   stream->Start(predictor->snapshot(), request);
#ifndef PERFVEC_SERVER_MATRIX_STREAM_H_
#define PERFVEC_SERVER_MATRIX_STREAM_H_

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "server/executor.h"
#include "server/predictor/matrix.h"

namespace perfvec::server {

class MatrixStream final
    : public grpc::ServerWriteReactor<v1::PredictMatrixResponse> {
 public:
  MatrixStream(grpc::CallbackServerContext* context, Executor* pool,
               absl::Duration stall_timeout, std::function<void()> on_done);

  void Start(Snapshot snapshot, const v1::PredictMatrixRequest* request);
  void Refuse(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override {}  // the write under way fails; see OnWriteDone
  void OnDone() override;

 private:
  // Outlives the stream where a timer still refers to it.
  struct Watch {
    absl::Mutex mutex;
    grpc::CallbackServerContext* context ABSL_GUARDED_BY(mutex);
  };

  void WriteNext();

  grpc::CallbackServerContext* const context_;
  Executor* const pool_;
  const absl::Duration stall_timeout_;
  const std::function<void()> on_done_;
  const std::shared_ptr<Watch> watch_;
  std::unique_ptr<grpc::Alarm> stall_alarm_;
  std::unique_ptr<MatrixCursor> cursor_;
  v1::PredictMatrixResponse message_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_MATRIX_STREAM_H_
