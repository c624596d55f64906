#include "worker/evidence/trace_evidence.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "worker/evidence/evidence_builder.h"
#include "worker/evidence/kept_sums.h"
#include "worker/evidence/representation_file.h"
#include "worker/model/files.h"

namespace perfvec::evidence {
namespace {

constexpr size_t kMaxIntervals = 16;
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

// Takes the next rows: [count][width] and [count][columns].
using RowsSink = std::function<void(size_t count, const float* representations,
                                    const float* latencies)>;

absl::Status RepresentRows(const std::string& path,
                           compute::Representer* back_end,
                           const TraceEvidenceOptions& options,
                           const std::vector<uint32_t>& columns,
                           RepresentationWriter* keep, const RowsSink& add) {
  compute::RepresentTraceOptions represent;
  represent.columns = columns;
  represent.progress = options.progress;
  represent.rows = [&](const compute::RepresentedRows& rows) {
    add(rows.count, rows.outputs, rows.latency_tenth_ns);
    return keep == nullptr ? absl::OkStatus()
                           : keep->Append(rows.outputs, rows.count);
  };
  auto source = trace::OpenFileSource(path);
  if (!source.ok()) return source.status();
  return compute::RepresentTrace(*std::move(source), back_end, represent)
      .status();
}

absl::Status ReadRows(const std::string& path,
                      const std::vector<uint32_t>& columns,
                      RepresentationReader* kept, const RowsSink& add) {
  auto source = trace::OpenFileSource(path);
  if (!source.ok()) return source.status();
  auto reader = trace::TraceReader::Open(*std::move(source), {false, columns});
  if (!reader.ok()) return reader.status();
  trace::TraceChunk chunk;
  std::vector<float> rows, times;
  for (;;) {
    auto more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    const size_t count = chunk.block.size();
    absl::Status status = kept->Read(count, &rows);
    if (!status.ok()) return status;
    times.clear();
    for (size_t i = 0; i < count; ++i) {
      for (const std::vector<uint32_t>& column : chunk.latency_tenth_ns) {
        times.push_back(static_cast<float>(column[i]));
      }
    }
    add(count, rows.data(), times.data());
  }
}

// What the cache's files of the trace are called.
absl::StatusOr<SumsKey> KeyOf(const std::string& path,
                              const compute::Representer& back_end,
                              const TraceEvidenceOptions& options) {
  SumsKey key;
  auto digest = DigestOfTrace(path, &key.rows.instructions);
  if (!digest.ok()) return digest.status();
  key.rows.digest = *digest;
  key.rows.model_id = back_end.model()->id();
  key.rows.width = static_cast<uint64_t>(back_end.model()->manifest().width);
  key.rows.bf16 = back_end.Description().find("bf16") != std::string::npos;
  key.skip = options.skip;
  key.interval = options.interval;
  return key;
}

// From the cache, or by the network and into the cache.
absl::Status MakeRows(const std::string& path, compute::Representer* back_end,
                      const TraceEvidenceOptions& options, const SumsKey* key,
                      const std::vector<uint32_t>& columns,
                      const RowsSink& add) {
  if (key == nullptr) {
    return RepresentRows(path, back_end, options, columns, nullptr, add);
  }
  const std::string file = key->rows.PathIn(options.cache);
  const std::string sums = key->PathIn(options.cache);
  auto kept = RepresentationReader::Open(file, key->rows);
  if (!kept.ok()) return kept.status();
  if (*kept != nullptr) {
    TouchKept(file);
    return ReadRows(path, columns, kept->get(), add);
  }
  const uint64_t bytes = key->rows.FileBytes();
  if (bytes > options.cache_bytes ||
      !PruneCache(options.cache, options.cache_bytes - bytes, {sums})) {
    return RepresentRows(path, back_end, options, columns, nullptr, add);
  }
  auto writer = RepresentationWriter::Create(file, key->rows);
  if (!writer.ok()) return writer.status();
  absl::Status status =
      RepresentRows(path, back_end, options, columns, writer->get(), add);
  if (!status.ok()) return status;
  return (*writer)->Finish();
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
  std::optional<SumsKey> key;
  compute::ProgramEvidence kept;
  bool has_kept = false;
  if (!options.cache.empty()) {
    std::error_code error;  // said by the first file that cannot be written
    std::filesystem::create_directories(options.cache, error);
    auto made = KeyOf(path, *back_end, options);
    if (!made.ok()) return made.status();
    key = *std::move(made);
    has_kept = ReadKeptSums(key->PathIn(options.cache), *key, &kept);
    if (has_kept) TouchKept(key->PathIn(options.cache));
  }
  compute::EvidenceBuilder builder({width, chosen.size(), options.interval,
                                    kMaxIntervals, /*times_only=*/has_kept});
  uint64_t seen = 0;
  const RowsSink add = [&](size_t count, const float* outputs,
                           const float* times) {
    const size_t from = static_cast<size_t>(
        std::min<uint64_t>(count, options.skip - std::min(options.skip, seen)));
    builder.Add(outputs + from * width, times + from * chosen.size(),
                count - from);
    seen += count;
  };
  absl::Status status =
      MakeRows(path, back_end, options, key ? &*key : nullptr, *columns, add);
  if (!status.ok()) return status;
  compute::ProgramEvidence evidence = builder.Take();
  if (evidence.instructions == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected more than ", options.skip,
                     " instructions, found ", seen));
  }
  if (has_kept) {
    evidence.gram = std::move(kept.gram);
    evidence.interval_sums = std::move(kept.interval_sums);
    if (kept.instructions != evidence.instructions ||
        evidence.interval_sums.size() / width !=
            evidence.interval_times.size() / chosen.size()) {
      return absl::DataLossError(absl::StrCat(
          key->PathIn(options.cache),
          ": its content does not fit the trace; delete it to have it made "
          "again"));
    }
  } else if (key) {
    const std::string file = key->PathIn(options.cache);
    status = WriteKeptSums(file, *key, evidence);
    if (!status.ok()) return status;
    PruneCache(options.cache, options.cache_bytes,
               {key->rows.PathIn(options.cache), file});
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
