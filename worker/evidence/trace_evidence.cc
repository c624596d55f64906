#include "worker/evidence/trace_evidence.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "worker/evidence/evidence_builder.h"
#include "worker/model/files.h"

namespace perfvec::evidence {
namespace {

constexpr size_t kMaxIntervals = 64;
constexpr size_t kNamesInMessages = 10;

// The places of the columns asked for in the trace.
absl::StatusOr<std::vector<uint32_t>> FindColumns(
    const std::string& path, const std::vector<std::string>& names,
    const std::vector<std::string>& wanted) {
  if (names.empty()) {
    return absl::NotFoundError(absl::StrCat(
        path,
        ": has no latencies; give `perfvec import` a trace with timing "
        "or --latency-matrix, or `perfvec trace merge` several traces"));
  }
  std::vector<uint32_t> columns;
  for (const std::string& name : wanted.empty() ? names : wanted) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) {
      const size_t shown = std::min(names.size(), kNamesInMessages);
      return absl::NotFoundError(absl::StrCat(
          path, ": has no latencies on \"", name, "\", but on ",
          absl::StrJoin(names.begin(), names.begin() + shown, ", "),
          shown < names.size() ? ", ..." : ""));
    }
    columns.push_back(static_cast<uint32_t>(it - names.begin()));
  }
  return columns;
}

template <typename To>
void Append(const std::vector<double>& from, size_t begin, size_t end,
            size_t step, To* to) {
  for (size_t i = begin; i < end; i += step) to->Add(from[i]);
}

v1::TraceEvidence ToMessage(const compute::ProgramEvidence& e, size_t width,
                            const std::vector<std::string>& names) {
  v1::TraceEvidence out;
  out.set_instructions(e.instructions);
  for (size_t i = 0; i < (e.gram.empty() ? 0 : width); ++i) {
    Append(e.gram, i * width + i, (i + 1) * width, 1, out.mutable_gram());
  }
  Append(e.interval_sums, 0, e.interval_sums.size(), 1,
         out.mutable_interval_sums());
  for (size_t c = 0; c < names.size(); ++c) {
    v1::TraceEvidence::Column* column = out.add_columns();
    column->set_name(names[c]);
    if (!e.gram.empty()) {
      Append(e.cross, c, e.cross.size(), names.size(), column->mutable_cross());
    }
    Append(e.interval_times, c, e.interval_times.size(), names.size(),
           column->mutable_interval_times());
  }
  return out;
}

}  // namespace

absl::StatusOr<v1::TraceEvidence> MakeTraceEvidence(
    const std::string& path, compute::Representer* back_end,
    const TraceEvidenceOptions& options) {
  auto header_source = trace::OpenFileSource(path);
  if (!header_source.ok()) return header_source.status();
  auto reader = trace::TraceReader::Open(*std::move(header_source));
  if (!reader.ok()) return reader.status();
  const std::vector<std::string> names = (*reader)->header().latency_columns;
  auto columns = FindColumns(path, names, options.columns);
  if (!columns.ok()) return columns.status();
  std::vector<std::string> chosen;
  for (uint32_t c : *columns) chosen.push_back(names[c]);

  const compute::FoundationModel& model = *back_end->model();
  const size_t width = static_cast<size_t>(model.manifest().width);
  compute::EvidenceBuilder builder(
      {width, chosen.size(), options.interval, kMaxIntervals});
  compute::RepresentTraceOptions represent;
  represent.columns = *columns;
  represent.progress = options.progress;
  const int64_t skip = static_cast<int64_t>(options.skip);
  represent.rows = [&](const compute::RepresentedRows& rows) {
    const size_t from = static_cast<size_t>(std::clamp<int64_t>(
        skip - rows.first, 0, static_cast<int64_t>(rows.count)));
    builder.Add(rows.outputs + from * width,
                rows.latency_tenth_ns + from * chosen.size(),
                rows.count - from);
    return absl::OkStatus();
  };
  auto source = trace::OpenFileSource(path);
  if (!source.ok()) return source.status();
  auto sum = compute::RepresentTrace(*std::move(source), back_end, represent);
  if (!sum.ok()) return sum.status();
  compute::ProgramEvidence evidence = builder.Take();
  if (evidence.instructions == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected more than ", options.skip,
                     " instructions, found ", sum->instructions()));
  }
  if (options.totals_only) evidence.gram.clear();
  v1::TraceEvidence out = ToMessage(evidence, width, chosen);
  out.set_model_id(model.id());
  out.set_program(options.program.empty()
                      ? std::filesystem::path(path).stem().string()
                      : options.program);
  return out;
}

absl::Status WriteTraceEvidence(const std::string& path,
                                const v1::TraceEvidence& evidence) {
  google::protobuf::util::JsonPrintOptions json;
  json.preserve_proto_field_names = true;
  std::string text;
  const auto printed =
      google::protobuf::util::MessageToJsonString(evidence, &text, json);
  if (!printed.ok()) {
    return absl::InternalError(
        absl::StrCat(path, ": ", std::string(printed.message().ToString())));
  }
  return compute::WriteFileAtomically(path, text + "\n");
}

}  // namespace perfvec::evidence
