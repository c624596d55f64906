#include "worker/train/dataset.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/import/gem5_importer.h"
#include "storage/trace/byte_stream.h"
#include "worker/features/feature_extractor.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadJson(const std::string& path) {
  std::ifstream in(path);
  if (!in) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  json value = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!value.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a JSON list"));
  }
  return value;
}

std::string Text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

absl::Status LoadFeatures(const std::string& folder,
                          const compute::FeatureSchema& schema,
                          TrainingProgram& program) {
  auto trace = trace::OpenFileSource(folder + "/trace.txt.zst");
  if (!trace.ok()) return trace.status();
  auto stores = trace::OpenFileSource(folder + "/trace.sq.txt.zst");
  if (!stores.ok()) return stores.status();
  trace::Gem5Importer importer(*std::move(trace), *std::move(stores), {});
  compute::FeatureExtractor extractor(schema);
  trace::TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = importer.Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    const size_t old = program.features.size();
    program.features.resize(old + chunk.block.size() * schema.count());
    absl::Status status =
        extractor.Extract(chunk.block, &program.features[old]);
    if (!status.ok()) return status;
    program.instructions += chunk.block.size();
  }
  return absl::OkStatus();
}

// Keeps the rows in `columns` of the matrix [rows][instructions], transposed.
absl::Status LoadLatency(const std::string& path, size_t rows,
                         const std::vector<size_t>& columns,
                         TrainingProgram& program) {
  auto file = trace::OpenFileSource(path);
  if (!file.ok()) return file.status();
  auto source = trace::MaybeDecompress(*std::move(file));
  const size_t n = program.instructions;
  program.latency.resize(n * columns.size());
  std::vector<uint16_t> row(n);
  for (size_t r = 0; r < rows; ++r) {
    size_t have = 0;
    while (have < n * 2) {
      auto got = source->Read(reinterpret_cast<char*>(row.data()) + have,
                              n * 2 - have);
      if (!got.ok()) return got.status();
      if (*got == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": expected ", rows, " rows of ", n,
                         " latencies, found an end in row ", r));
      }
      have += *got;
    }
    const auto it = std::find(columns.begin(), columns.end(), r);
    if (it == columns.end()) continue;
    const size_t c = it - columns.begin();
    for (size_t i = 0; i < n; ++i) {
      program.latency[i * columns.size() + c] = row[i];
    }
  }
  char more;
  auto got = source->Read(&more, 1);
  if (!got.ok()) return got.status();
  if (*got != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected ", rows, " rows of ", n, " latencies, found more"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Dataset> LoadDataset(const std::string& directory,
                                    const DatasetOptions& options) {
  auto architectures = ReadJson(directory + "/architectures.json");
  if (!architectures.ok()) return architectures.status();
  auto programs = ReadJson(directory + "/programs.json");
  if (!programs.ok()) return programs.status();

  Dataset data;
  data.schema = options.schema;
  std::vector<size_t> columns;
  for (size_t i = 0; i < architectures->size(); ++i) {
    const json& a = (*architectures)[i];
    if (Text(a, "split") != options.split) continue;
    columns.push_back(i);
    json parameters = a;
    parameters.erase("name");
    parameters.erase("split");
    data.architectures.push_back({Text(a, "name"), parameters.dump()});
  }
  for (const json& p : *programs) {
    if (Text(p, "split") != options.split) continue;
    TrainingProgram program;
    program.name = Text(p, "name");
    program.family = Text(p, "family");
    if (!options.only_programs.empty() &&
        std::count(options.only_programs.begin(), options.only_programs.end(),
                   program.name) == 0) {
      continue;
    }
    const std::string folder = absl::StrCat(directory, "/gem5/", program.name);
    absl::Status status = LoadFeatures(folder, *options.schema, program);
    if (!status.ok()) return status;
    const size_t expected = p.value("instructions", size_t{0});
    if (program.instructions != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, ": programs.json says ", expected,
                       " instructions, found ", program.instructions));
    }
    status = LoadLatency(folder + "/latency.u16.zst", architectures->size(),
                         columns, program);
    if (!status.ok()) return status;
    if (options.progress) options.progress(program.name);
    data.programs.push_back(std::move(program));
  }
  if (data.programs.empty() || data.architectures.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": no program or architecture of the split ",
                     options.split));
  }
  return data;
}

}  // namespace perfvec::train
