#include "storage/import/import.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/import/latency_matrix.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::trace {

absl::StatusOr<std::string> FindStoresPath(const std::string& trace_path) {
  if (trace_path == "-") {
    return absl::InvalidArgumentError(
        "the trace comes from standard input: name its store file");
  }
  const size_t slash = trace_path.rfind('/');
  const size_t base = slash == std::string::npos ? 0 : slash + 1;
  const std::string folder = trace_path.substr(0, base);
  std::string name = trace_path.substr(base);
  for (const char* const suffix : {".zst", ".txt"}) {
    if (absl::EndsWith(name, suffix)) name.resize(name.size() - 4);
  }
  std::vector<std::string> tried;
  for (const std::string& stores : {name + ".sq.txt", "sq." + name + ".txt"}) {
    for (const char* const suffix : {"", ".zst"}) {
      tried.push_back(absl::StrCat(folder, stores, suffix));
      if (::access(tried.back().c_str(), F_OK) == 0) return tried.back();
    }
  }
  return absl::NotFoundError(absl::StrCat("no store file beside ", trace_path,
                                          "; looked for ",
                                          absl::StrJoin(tried, ", ")));
}

absl::StatusOr<ImportReport> ImportGem5(const ImportOptions& options) {
  std::string stores_path = options.stores_path;
  if (stores_path.empty()) {
    absl::StatusOr<std::string> found = FindStoresPath(options.trace_path);
    if (!found.ok()) return found.status();
    stores_path = *std::move(found);
  }
  if (options.trace_path == "-" && stores_path == "-") {
    return absl::InvalidArgumentError(
        "trace and store file cannot both come from standard input");
  }
  auto trace = OpenFileSource(options.trace_path);
  if (!trace.ok()) return trace.status();
  auto stores = OpenFileSource(stores_path);
  if (!stores.ok()) return stores.status();
  std::unique_ptr<LatencyMatrix> matrix;
  if (!options.latency_matrix_path.empty()) {
    auto source = OpenFileSource(options.latency_matrix_path);
    if (!source.ok()) return source.status();
    auto loaded = LatencyMatrix::Load(*std::move(source),
                                      options.latency_matrix_names.size());
    if (!loaded.ok()) return loaded.status();
    matrix = *std::move(loaded);
  }

  Gem5ImportOptions text_options;
  text_options.insert_placeholders = options.insert_placeholders;
  Gem5Importer importer(*std::move(trace), *std::move(stores), text_options);
  TraceChunk chunk;
  absl::StatusOr<bool> more = importer.Next(&chunk);
  if (!more.ok()) return more.status();
  if (!*more) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.trace_path, ": holds no whole instruction"));
  }

  // Whether there is timing is known from the first chunk on.
  TraceHeader header = options.header;
  const bool keep_timing = matrix == nullptr && importer.summary().has_timing &&
                           options.latency_name != "none";
  if (matrix != nullptr) {
    header.latency_columns = options.latency_matrix_names;
  } else {
    header.latency_columns.clear();
    if (keep_timing) header.latency_columns.push_back(options.latency_name);
  }
  auto sink = CreateFileSink(options.output_path);
  if (!sink.ok()) return sink.status();
  auto writer = TraceWriter::Create(*std::move(sink), std::move(header),
                                    options.compression_level);
  if (!writer.ok()) return writer.status();

  uint64_t next_mark = 0;
  while (*more) {
    if (matrix != nullptr) {
      absl::Status status =
          matrix->Read(chunk.block.first_instruction, chunk.block.size(),
                       &chunk.latency_tenth_ns);
      if (!status.ok()) return status;
    } else if (!keep_timing) {
      chunk.latency_tenth_ns.clear();
    }
    absl::Status status = (*writer)->Append(chunk);
    while (status.ok() && options.interval_instructions > 0 &&
           next_mark < (*writer)->instructions()) {
      status = (*writer)->Mark(next_mark, "");
      next_mark += options.interval_instructions;
    }
    if (!status.ok()) return status;
    if (options.progress) {
      options.progress({(*writer)->instructions(), importer.consumed_bytes(),
                        importer.total_bytes()});
    }
    more = importer.Next(&chunk);
    if (!more.ok()) return more.status();
  }
  if (matrix != nullptr &&
      matrix->instructions() != (*writer)->instructions()) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.latency_matrix_path, ": holds ", matrix->instructions(),
        " instructions, but the trace has ", (*writer)->instructions(),
        "; they are not of the same run"));
  }
  ImportReport report;
  absl::StatusOr<TraceIndex> index = (*writer)->Finish();
  if (!index.ok()) return index.status();
  report.index = *std::move(index);
  report.output_bytes = (*writer)->written_bytes();
  report.text = importer.summary();
  return report;
}

}  // namespace perfvec::trace
