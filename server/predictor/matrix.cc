#include "server/predictor/matrix.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::server {
namespace {

// A label, its length, and the fields around them.
constexpr int64_t kLabelBytes = 160;
constexpr int64_t kMessageOverheadBytes = 1024;
constexpr int64_t kMaxRowsPerMessage = 256;

int64_t PanelsFor(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

}  // namespace

MatrixCursor::MatrixCursor(Snapshot snapshot, const Model& model,
                           Intervals intervals)
    : snapshot_(std::move(snapshot)), model_(model), intervals_(intervals) {}

absl::Status MatrixCursor::Resolve(
    Kind kind, const google::protobuf::RepeatedPtrField<std::string>& refs,
    std::vector<int64_t>* rows) const {
  if (refs.size() > kMaxMatrixNames) {
    return absl::InvalidArgumentError(
        absl::StrCat(refs.size(),
                     " names in one list of a matrix; expected at "
                     "most ",
                     kMaxMatrixNames, ": ask in parts"));
  }
  for (const std::string& ref : refs) {
    const auto vector = snapshot_.FindVector(kind, ref, model_);
    if (!vector.ok()) return vector.status();
    rows->push_back((*vector)->row);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MatrixCursor>> MatrixCursor::Start(
    Snapshot snapshot, const v1::PredictMatrixRequest& request) {
  const auto model = snapshot.FindModel(request.model());
  if (!model.ok()) return model.status();
  const auto intervals = Intervals::Make(**model, request.confidence());
  if (!intervals.ok()) return intervals.status();
  std::unique_ptr<MatrixCursor> cursor(
      new MatrixCursor(std::move(snapshot), **model, *intervals));
  cursor->with_intervals_ = request.intervals() && intervals->known();
  absl::Status status =
      cursor->Resolve(Kind::kProgram, request.programs(), &cursor->programs_);
  if (!status.ok()) return status;
  cursor->all_programs_ = request.programs().empty();

  std::vector<int64_t>& columns = cursor->columns_;
  status =
      cursor->Resolve(Kind::kArchitecture, request.architectures(), &columns);
  if (!status.ok()) return status;
  const VectorTable& table = cursor->model_.table(Kind::kArchitecture);
  if (request.architectures().empty()) {
    for (int64_t row = 0, size = table.size();
         row < size && columns.size() <= kMaxMatrixNames; ++row) {
      if (cursor->snapshot_.Shows(table.row(row))) columns.push_back(row);
    }
  }
  if (columns.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no architecture has a vector under model \"",
                     cursor->model_.label, "\""));
  }
  int64_t label_bytes = 0;
  for (int64_t row : columns) {
    label_bytes += table.row(row).item->label.size() + 4;
  }
  if (columns.size() > kMaxMatrixNames ||
      label_bytes + kMessageOverheadBytes > kMaxMatrixMessageBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many architectures for one matrix; expected at most ",
                     kMaxMatrixNames, " and ", kMaxMatrixMessageBytes,
                     " bytes of names: ask for some of them at a time"));
  }

  const int64_t count = columns.size();
  cursor->column_panels_ =
      NewAlignedFloats(PanelsFor(count) * kPanelRows * table.width());
  table.Pack(columns.data(), count, cursor->column_panels_.get());
  const int64_t cell_bytes =
      (cursor->with_intervals_ ? 3 : 1) * static_cast<int64_t>(sizeof(double));
  int64_t rows = (kMaxMatrixMessageBytes - kMessageOverheadBytes) /
                 (count * cell_bytes + kLabelBytes);
  rows = std::clamp<int64_t>(rows, 1, kMaxRowsPerMessage);
  if (rows > kPanelRows) rows -= rows % kPanelRows;
  cursor->rows_per_message_ = rows;
  cursor->row_panels_ =
      NewAlignedFloats(PanelsFor(rows) * kPanelRows * table.width());
  cursor->times_.resize(PanelsFor(rows) * PanelsFor(count) * kPanelRows *
                        kPanelRows);
  return cursor;
}

void MatrixCursor::TakeRows(std::vector<int64_t>* rows) {
  const VectorTable& table = model_.table(Kind::kProgram);
  const int64_t size =
      all_programs_ ? table.size() : static_cast<int64_t>(programs_.size());
  for (; next_ < size && rows->size() < rows_per_message_; ++next_) {
    if (!all_programs_) {
      rows->push_back(programs_[next_]);
    } else if (snapshot_.Shows(table.row(next_))) {
      rows->push_back(next_);
    }
  }
}

// Of the last row of the message, which is `row` of the table.
void MatrixCursor::AddIntervals(int64_t row,
                                v1::PredictMatrixResponse* message) const {
  const ItemVector& program = VectorAt(Kind::kProgram, row);
  const double trained = intervals_.TrainedFactor(program);
  const int first = message->time_ns_size() - static_cast<int>(columns_.size());
  for (size_t j = 0; j < columns_.size(); ++j) {
    const ItemVector& architecture = VectorAt(Kind::kArchitecture, columns_[j]);
    const double time_ns = message->time_ns(first + static_cast<int>(j));
    const double factor =
        architecture.spread->trained && program.spread->panel_count == 0
            ? trained
            : intervals_.Factor(program, architecture, 10 * time_ns);
    message->add_low_ns(time_ns / factor);
    message->add_high_ns(time_ns * factor);
  }
  message->add_program_out_of_distribution(program.spread->strange);
}

bool MatrixCursor::Next(v1::PredictMatrixResponse* message) {
  message->Clear();
  message->set_model_id(model_.model_id);
  if (!header_sent_) {
    header_sent_ = true;
    for (int64_t row : columns_) {
      message->add_architectures(
          model_.table(Kind::kArchitecture).row(row).item->label);
      if (with_intervals_) {
        message->add_architecture_out_of_distribution(
            VectorAt(Kind::kArchitecture, row).spread->strange);
      }
    }
    if (with_intervals_) message->set_confidence(intervals_.confidence());
    return true;
  }
  std::vector<int64_t> rows;
  TakeRows(&rows);
  if (rows.empty()) return false;
  const VectorTable& table = model_.table(Kind::kProgram);
  table.Pack(rows.data(), rows.size(), row_panels_.get());
  const int64_t column_panels = PanelsFor(columns_.size());
  BestKernels().matrix(row_panels_.get(), PanelsFor(rows.size()),
                       column_panels_.get(), column_panels, table.width(),
                       times_.data());
  message->mutable_time_ns()->Reserve(rows.size() * columns_.size());
  if (with_intervals_) {
    message->mutable_low_ns()->Reserve(rows.size() * columns_.size());
    message->mutable_high_ns()->Reserve(rows.size() * columns_.size());
  }
  for (int64_t i = 0; i < rows.size(); ++i) {
    message->add_programs(table.row(rows[i]).item->label);
    const int64_t count = columns_.size();
    const float* times = &times_[i * column_panels * kPanelRows];
    double* time_ns = message->mutable_time_ns()->AddNAlreadyReserved(count);
    for (int64_t j = 0; j < count; ++j) {
      if (!ToTimeNs(times[j], &time_ns[j])) {
        time_ns[j] = std::numeric_limits<double>::quiet_NaN();
      }
    }
    if (with_intervals_) AddIntervals(rows[i], message);
  }
  return true;
}

}  // namespace perfvec::server
