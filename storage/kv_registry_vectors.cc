// KvRegistry: the vectors, as they are loaded and checked.
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "storage/kv_registry.h"
#include "storage/record_io.h"
#include "storage/versioned_table.h"

namespace perfvec::storage {
namespace {

absl::Status Lost(const absl::Status& status) {
  return absl::DataLossError(
      absl::StrCat("registry: ", status.message(), "; compute it anew"));
}

// Width of each model's vectors, looked up once.
class Widths {
 public:
  explicit Widths(const OrderedReader& reader) : reader_(reader) {}
  absl::StatusOr<std::optional<uint32_t>> Of(const std::string& model_id) {
    auto known = widths_.find(model_id);
    if (known != widths_.end()) return known->second;
    PERFVEC_ASSIGN_OR_RETURN(std::optional<api::Model> model,
                             FindModelOfId(reader_, model_id));
    std::optional<uint32_t> width;
    if (model) width = model->width();
    return widths_.emplace(model_id, width).first->second;
  }

 private:
  const OrderedReader& reader_;
  std::map<std::string, std::optional<uint32_t>> widths_;
};

}  // namespace

absl::Status CheckVector(
    absl::string_view whose, absl::string_view model_id,
    std::optional<uint32_t> width,
    const google::protobuf::RepeatedField<double>& values) {
  const std::string vector =
      absl::StrCat(whose, ": vector of model id '", model_id, "': ");
  if (!width) {
    return absl::FailedPreconditionError(
        absl::StrCat(vector, "the model is not registered"));
  }
  if (values.size() != static_cast<int>(*width)) {
    return absl::FailedPreconditionError(absl::StrCat(
        vector, "expected ", *width, " values, found ", values.size()));
  }
  for (int i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::FailedPreconditionError(
          absl::StrCat(vector, "value ", i, " is ", values[i],
                       ", expected a finite number"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ProgramVectorRecord> KvRegistry::GetProgramVector(
    absl::string_view program_name, int64_t program_version,
    absl::string_view model_id) {
  std::unique_ptr<OrderedReader> view = View();
  const std::string key = VectorKey(model_id, program_name, program_version);
  PERFVEC_ASSIGN_OR_RETURN(std::optional<v1::ProgramVectorRecord> record,
                           GetMessage<v1::ProgramVectorRecord>(*view, key));
  const std::string whose =
      absl::StrCat("program '", program_name, "@", program_version, "'");
  if (!record) {
    return absl::NotFoundError(absl::StrCat(
        whose, ": no vector under model id '", model_id,
        "'; have it represented under that model (RepresentProgram)"));
  }
  Widths widths(*view);
  PERFVEC_ASSIGN_OR_RETURN(std::optional<uint32_t> width,
                           widths.Of(std::string(model_id)));
  absl::Status status = CheckVector(whose, model_id, width, record->values());
  if (!status.ok()) return Lost(status);
  return *std::move(record);
}

absl::StatusOr<v1::ProgramPartsRecord> KvRegistry::GetProgramParts(
    absl::string_view program_name, int64_t program_version,
    absl::string_view model_id) {
  std::unique_ptr<OrderedReader> view = View();
  PERFVEC_ASSIGN_OR_RETURN(
      std::optional<v1::ProgramPartsRecord> record,
      GetMessage<v1::ProgramPartsRecord>(
          *view, PartsKey(model_id, program_name, program_version)));
  const std::string whose =
      absl::StrCat("program '", program_name, "@", program_version, "'");
  if (!record) {
    return absl::NotFoundError(
        absl::StrCat(whose, ": no parts under model id '", model_id, "'"));
  }
  Widths widths(*view);
  PERFVEC_ASSIGN_OR_RETURN(std::optional<uint32_t> width,
                           widths.Of(std::string(model_id)));
  for (const auto* parts : {&record->intervals(), &record->code()}) {
    for (const v1::ProgramPartsRecord::Part& part : *parts) {
      absl::Status status = CheckVector(whose, model_id, width, part.values());
      if (!status.ok()) return Lost(status);
    }
  }
  return *std::move(record);
}

absl::Status KvRegistry::ForEachProgramVector(
    std::function<void(const v1::ProgramVectorRecord&)> visit,
    std::function<void(absl::Status)> bad) {
  std::unique_ptr<OrderedReader> view = View();
  Widths widths(*view);
  return ScanPrefix(
      *view, VectorTable(),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        absl::StatusOr<v1::ProgramVectorRecord> record =
            ParseMessage<v1::ProgramVectorRecord>(key, value);
        if (!record.ok()) {
          bad(record.status());
          return absl::OkStatus();
        }
        PERFVEC_ASSIGN_OR_RETURN(std::optional<uint32_t> width,
                                 widths.Of(record->model_id()));
        absl::Status status =
            CheckVector(absl::StrCat("program '", record->program_name(), "@",
                                     record->program_version(), "'"),
                        record->model_id(), width, record->values());
        if (status.ok()) {
          visit(*record);
        } else {
          bad(Lost(status));
        }
        return absl::OkStatus();
      });
}

absl::Status KvRegistry::ForEachArchitecture(
    std::function<void(const api::Architecture&)> visit,
    std::function<void(absl::Status)> bad) {
  std::unique_ptr<OrderedReader> view = View();
  Widths widths(*view);
  return ScanPrefix(
      *view, RecordTable(Kind::kArchitecture),
      [&](absl::string_view key, absl::string_view value) -> absl::Status {
        absl::StatusOr<api::Architecture> record =
            ParseMessage<api::Architecture>(key, value);
        if (!record.ok()) {
          bad(record.status());
          return absl::OkStatus();
        }
        google::protobuf::RepeatedPtrField<api::ArchitectureVector> good;
        for (api::ArchitectureVector& vector : *record->mutable_vectors()) {
          PERFVEC_ASSIGN_OR_RETURN(std::optional<uint32_t> width,
                                   widths.Of(vector.model_id()));
          absl::Status status =
              CheckVector(absl::StrCat("architecture '", record->name(), "@",
                                       record->version(), "'"),
                          vector.model_id(), width, vector.values());
          if (status.ok()) {
            *good.Add() = std::move(vector);
          } else {
            bad(Lost(status));
          }
        }
        record->mutable_vectors()->Swap(&good);
        visit(*record);
        return absl::OkStatus();
      });
}

}  // namespace perfvec::storage
