#include "worker/train/program_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/import/gem5_importer.h"
#include "storage/import/latency_matrix.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/format.h"
#include "storage/trace/reader.h"

namespace perfvec::train {
namespace {

constexpr size_t kNamesShown = 5;

// Where the wanted architectures stand in a file.
struct Columns {
  std::vector<uint32_t> positions;  // of those that are there
  std::vector<bool> has;            // of each wanted one

  // columns[i] is at positions[i]: makes it [wanted], empty where it has none.
  void Spread(std::vector<std::vector<uint32_t>>* columns) const {
    std::vector<std::vector<uint32_t>> spread(has.size());
    size_t next = 0;
    for (size_t a = 0; a < has.size(); ++a) {
      if (has[a]) spread[a] = std::move((*columns)[next++]);
    }
    *columns = std::move(spread);
  }
};

absl::StatusOr<Columns> FindColumns(const std::string& path,
                                    const std::vector<std::string>& names,
                                    const std::vector<std::string>& wanted,
                                    size_t required) {
  Columns columns;
  std::vector<std::string> missing;
  for (size_t a = 0; a < wanted.size(); ++a) {
    const auto it = std::find(names.begin(), names.end(), wanted[a]);
    columns.has.push_back(it != names.end());
    if (columns.has.back()) {
      columns.positions.push_back(it - names.begin());
    } else if (a < required || required == 0) {
      missing.push_back(wanted[a]);
    }
  }
  if (!missing.empty() && (required > 0 || columns.positions.empty())) {
    const size_t more =
        missing.size() > kNamesShown ? missing.size() - kNamesShown : 0;
    missing.resize(missing.size() - more);
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected latencies on ", wanted.size(),
        " architectures, found none on ", absl::StrJoin(missing, ", "),
        more > 0 ? absl::StrCat(" and ", more, " more") : ""));
  }
  return columns;
}

class PvtReader : public ProgramReader {
 public:
  PvtReader(std::unique_ptr<trace::TraceReader> reader, Columns columns)
      : reader_(std::move(reader)), columns_(std::move(columns)) {}
  absl::StatusOr<bool> Next(trace::TraceChunk* chunk) override {
    absl::StatusOr<bool> more = reader_->Next(chunk);
    if (!more.ok() || !*more) return more;
    columns_.Spread(&chunk->latency_tenth_ns);
    return true;
  }

 private:
  const std::unique_ptr<trace::TraceReader> reader_;
  const Columns columns_;
};

class TextReader : public ProgramReader {
 public:
  TextReader(std::unique_ptr<trace::ByteSource> trace,
             std::unique_ptr<trace::ByteSource> stores,
             std::unique_ptr<trace::LatencyMatrix> matrix,
             std::string matrix_path, Columns columns)
      : importer_(std::move(trace), std::move(stores), {}),
        matrix_(std::move(matrix)),
        matrix_path_(std::move(matrix_path)),
        columns_(std::move(columns)) {}

  absl::StatusOr<bool> Next(trace::TraceChunk* chunk) override {
    absl::StatusOr<bool> more = importer_.Next(chunk);
    if (!more.ok()) return more;
    if (!*more) {
      if (matrix_->instructions() == read_) return false;
      return absl::InvalidArgumentError(absl::StrCat(
          matrix_path_, ": expected ", read_,
          " instructions as the trace has, found ", matrix_->instructions()));
    }
    absl::Status status = matrix_->Read(read_, chunk->block.size(), &all_);
    if (!status.ok()) return status;
    read_ += chunk->block.size();
    chunk->latency_tenth_ns.resize(columns_.positions.size());
    for (size_t c = 0; c < columns_.positions.size(); ++c) {
      chunk->latency_tenth_ns[c].swap(all_[columns_.positions[c]]);
    }
    columns_.Spread(&chunk->latency_tenth_ns);
    return true;
  }

 private:
  trace::Gem5Importer importer_;
  const std::unique_ptr<trace::LatencyMatrix> matrix_;
  const std::string matrix_path_;
  const Columns columns_;
  std::vector<std::vector<uint32_t>> all_;
  uint64_t read_ = 0;
};

}  // namespace

absl::StatusOr<uint64_t> ProgramSource::Key(
    absl::string_view feature_schema) const {
  std::string text = absl::StrCat("rows 1\n", feature_schema, "\n",
                                  absl::StrJoin(wanted, "\n"), "\n");
  for (const std::string& path : {pvt, trace, stores, matrix}) {
    if (path.empty()) continue;
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    absl::StrAppend(&text, path.substr(path.rfind('/') + 1), " ", st.st_size,
                    " ", st.st_mtim.tv_sec, ".", st.st_mtim.tv_nsec, "\n");
  }
  if (!matrix.empty())
    absl::StrAppend(&text, absl::StrJoin(matrix_names, "\n"));
  return trace::Checksum(text);
}

absl::StatusOr<std::unique_ptr<ProgramReader>> ProgramSource::Open() const {
  if (!pvt.empty()) {
    // Opened twice: the columns' numbers stand in the header.
    auto source = trace::OpenFileSource(pvt);
    if (!source.ok()) return source.status();
    auto header = trace::TraceReader::Open(*std::move(source));
    if (!header.ok()) return header.status();
    const std::vector<std::string> names = (*header)->header().latency_columns;
    auto columns = FindColumns(pvt, names, wanted, required);
    if (!columns.ok()) return columns.status();
    source = trace::OpenFileSource(pvt);
    if (!source.ok()) return source.status();
    auto reader = trace::TraceReader::Open(*std::move(source),
                                           {false, columns->positions});
    if (!reader.ok()) return reader.status();
    return std::make_unique<PvtReader>(*std::move(reader), *std::move(columns));
  }
  auto columns = FindColumns(matrix, matrix_names, wanted, required);
  if (!columns.ok()) return columns.status();
  auto text = trace::OpenFileSource(trace);
  if (!text.ok()) return text.status();
  auto store_text = trace::OpenFileSource(stores);
  if (!store_text.ok()) return store_text.status();
  auto numbers = trace::OpenFileSource(matrix);
  if (!numbers.ok()) return numbers.status();
  auto loaded =
      trace::LatencyMatrix::Load(*std::move(numbers), matrix_names.size());
  if (!loaded.ok()) return loaded.status();
  return std::make_unique<TextReader>(*std::move(text), *std::move(store_text),
                                      *std::move(loaded), matrix,
                                      *std::move(columns));
}

ProgramSource FindProgramSource(
    const std::string& directory, const std::string& name,
    const std::vector<std::string>& folder_architectures,
    const std::vector<std::string>& wanted) {
  ProgramSource source;
  source.wanted = wanted;
  source.required = wanted.size();
  const std::string pvt = absl::StrCat(directory, "/pvt/", name, ".pvt");
  const std::string folder = absl::StrCat(directory, "/gem5/", name);
  if (::access(pvt.c_str(), F_OK) == 0) {
    source.pvt = pvt;
    return source;
  }
  source.trace = folder + "/trace.txt.zst";
  source.stores = folder + "/trace.sq.txt.zst";
  source.matrix = folder + "/latency.u16.zst";
  source.matrix_names = folder_architectures;
  return source;
}

}  // namespace perfvec::train
