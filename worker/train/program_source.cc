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

// The position of each wanted name in `names`; with `partial`, of those that
// are there, at least one.
absl::StatusOr<std::vector<uint32_t>> Columns(
    const std::string& path, const std::vector<std::string>& names,
    const std::vector<std::string>& wanted, bool partial) {
  std::vector<uint32_t> columns;
  std::vector<std::string> missing;
  for (const std::string& name : wanted) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) {
      missing.push_back(name);
    } else {
      columns.push_back(it - names.begin());
    }
  }
  if (!missing.empty() && (!partial || columns.empty())) {
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
  // `has`: of each wanted architecture, whether the reader gives it.
  PvtReader(std::unique_ptr<trace::TraceReader> reader, std::vector<bool> has)
      : reader_(std::move(reader)), has_(std::move(has)) {}
  absl::StatusOr<bool> Next(trace::TraceChunk* chunk) override {
    absl::StatusOr<bool> more = reader_->Next(chunk);
    if (!more.ok() || !*more) return more;
    std::vector<std::vector<uint32_t>> columns(has_.size());
    size_t next = 0;
    for (size_t a = 0; a < has_.size(); ++a) {
      if (has_[a]) columns[a] = std::move(chunk->latency_tenth_ns[next++]);
    }
    chunk->latency_tenth_ns = std::move(columns);
    return true;
  }

 private:
  const std::unique_ptr<trace::TraceReader> reader_;
  const std::vector<bool> has_;
};

class TextReader : public ProgramReader {
 public:
  TextReader(std::unique_ptr<trace::ByteSource> trace,
             std::unique_ptr<trace::ByteSource> stores,
             std::unique_ptr<trace::LatencyMatrix> matrix,
             std::string matrix_path, std::vector<uint32_t> columns)
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
    chunk->latency_tenth_ns.resize(columns_.size());
    for (size_t c = 0; c < columns_.size(); ++c) {
      chunk->latency_tenth_ns[c].swap(all_[columns_[c]]);
    }
    return true;
  }

 private:
  trace::Gem5Importer importer_;
  const std::unique_ptr<trace::LatencyMatrix> matrix_;
  const std::string matrix_path_;
  const std::vector<uint32_t> columns_;
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
    auto columns = Columns(pvt, names, wanted, partial);
    if (!columns.ok()) return columns.status();
    std::vector<bool> has;
    for (const std::string& name : wanted) {
      has.push_back(std::find(names.begin(), names.end(), name) != names.end());
    }
    source = trace::OpenFileSource(pvt);
    if (!source.ok()) return source.status();
    auto reader = trace::TraceReader::Open(*std::move(source),
                                           {false, *std::move(columns)});
    if (!reader.ok()) return reader.status();
    return std::make_unique<PvtReader>(*std::move(reader), std::move(has));
  }
  auto columns = Columns(matrix, matrix_names, wanted, /*partial=*/false);
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
