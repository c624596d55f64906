// The times of many programs on many architectures, a bounded block of rows at
// a time.
//
// One object per request, used by one thread at a time. Holds its snapshot,
// the architecture vectors of the request (at most 10,000) and nothing of the
// rows between two calls.
//
//   auto cursor = MatrixCursor::Start(predictor.snapshot(), request);
//   while ((*cursor)->Next(&message)) Send(message);   // header, then rows
#ifndef PERFVEC_SERVER_PREDICTOR_MATRIX_H_
#define PERFVEC_SERVER_PREDICTOR_MATRIX_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "server/predictor.h"

namespace perfvec::server {

inline constexpr int64_t kMaxMatrixNames = 10000;  // in either list
inline constexpr int64_t kMaxMatrixMessageBytes = 1 << 20;

class MatrixCursor {
 public:
  // INVALID_ARGUMENT: more columns than one message can name; NOT_FOUND and
  // FAILED_PRECONDITION as in Predict.
  static absl::StatusOr<std::unique_ptr<MatrixCursor>> Start(
      Snapshot snapshot, const v1::PredictMatrixRequest& request);

  // Replaces `message` by the next one; false: there is none. The first names
  // the architectures, the others carry rows.
  bool Next(v1::PredictMatrixResponse* message);

 private:
  MatrixCursor(Snapshot snapshot, const Model& model, Intervals intervals);
  absl::Status Resolve(
      Kind kind, const google::protobuf::RepeatedPtrField<std::string>& refs,
      std::vector<int64_t>* rows) const;
  // The next rows of the request, at most `rows_per_message_`.
  void TakeRows(std::vector<int64_t>* rows);
  const ItemVector& VectorAt(Kind kind, int64_t row) const {
    return *model_.table(kind).row(row).item->FindVector(&model_);
  }
  void AddIntervals(int64_t row, v1::PredictMatrixResponse* message) const;

  const Snapshot snapshot_;
  const Model& model_;
  const Intervals intervals_;
  bool with_intervals_ = false;
  bool header_sent_ = false;
  std::vector<int64_t> columns_;
  AlignedFloats column_panels_;
  int64_t rows_per_message_ = 0;
  bool all_programs_ = false;
  std::vector<int64_t> programs_;  // unless all
  int64_t next_ = 0;               // in programs_, or a row of the table
  AlignedFloats row_panels_;
  std::vector<float> times_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_MATRIX_H_
