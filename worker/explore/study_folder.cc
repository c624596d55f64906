#include "worker/explore/study_folder.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/import/gem5_importer.h"
#include "storage/import/latency_matrix.h"
#include "storage/status_macros.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/format.h"
#include "worker/features/feature_extractor.h"
#include "worker/model/files.h"
#include "worker/train/program_source.h"

namespace perfvec::explore {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxJsonBytes = 64 << 20;
constexpr size_t kMaxDesigns = 1 << 16, kMaxPrograms = 1 << 12;

absl::StatusOr<json> ReadJson(const std::string& path) {
  PERFVEC_ASSIGN_OR_RETURN(const std::string text,
                           compute::ReadWholeFile(path, kMaxJsonBytes));
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not JSON"));
  }
  return value;
}

// A name becomes a part of a path.
absl::StatusOr<std::string> ReadName(const std::string& path, size_t index,
                                     const json& object,
                                     std::set<std::string>& names) {
  const auto it = object.is_object() ? object.find("name") : object.end();
  const std::string name = it != object.end() && it->is_string()
                               ? it->get<std::string>()
                               : std::string();
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": entry ", index,
        ": expected a name without '/' that does not start with '.'"));
  }
  if (!names.insert(name).second) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", name, " is listed twice"));
  }
  return name;
}

absl::Status ReadDesigns(const std::string& path, StudyFolder& folder) {
  PERFVEC_ASSIGN_OR_RETURN(const json list, ReadJson(path));
  if (!list.is_array() || list.empty() || list.size() > kMaxDesigns) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected a list of 1 to ", kMaxDesigns, " designs"));
  }
  std::set<std::string> names;
  std::set<std::vector<double>> points;
  for (size_t i = 0; i < list.size(); ++i) {
    StudyDesign design;
    PERFVEC_ASSIGN_OR_RETURN(design.name, ReadName(path, i, list[i], names));
    std::vector<std::string> keys;
    for (const auto& [key, value] : list[i].items()) {
      if (key == "name") continue;
      if (key == "sampled" && value.is_boolean()) {
        design.sampled = value.get<bool>();
        continue;
      }
      if (!value.is_number() || !std::isfinite(value.get<double>())) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": ", design.name, ": expected ", key, " to be ",
                         key == "sampled" ? "true or false"
                                          : "a "
                                            "number",
                         ", found ", value.dump()));
      }
      keys.push_back(key);
      design.parameters.push_back(value.get<double>());
    }
    if (i == 0) folder.parameters = keys;
    if (keys != folder.parameters || keys.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", design.name, ": expected the parameters ",
          absl::StrJoin(folder.parameters, ", "), " as the first has, found ",
          keys.empty() ? "none" : absl::StrJoin(keys, ", ")));
    }
    if (!points.insert(design.parameters).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", design.name,
                       ": has the same parameters as a design before it"));
    }
    folder.designs.push_back(std::move(design));
  }
  return absl::OkStatus();
}

absl::Status SetInstructions(const std::string& path, const json& from,
                             StudyProgram* program) {
  const json count = from.value("instructions", json());
  if (!count.is_number_unsigned() || count.get<uint64_t>() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ", program->name, ": expected a positive number of ",
        "instructions, found ", count.dump()));
  }
  program->instructions = count.get<uint64_t>();
  return absl::OkStatus();
}

// Of a time for each design.
absl::Status SetTotals(const std::string& path, const json& totals,
                       const StudyFolder& folder, StudyProgram* program) {
  for (const StudyDesign& design : folder.designs) {
    const json time =
        totals.is_object() ? totals.value(design.name, json()) : json();
    if (!time.is_number() || !(time.get<double>() > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected a positive total of ", program->name,
                       " on ", design.name, ", found ", time.dump()));
    }
    program->simulated.push_back(time.get<double>());
  }
  return absl::OkStatus();
}

absl::Status ReadPrograms(const std::string& path, StudyFolder& folder) {
  PERFVEC_ASSIGN_OR_RETURN(const json list, ReadJson(path));
  if (!list.is_array() || list.empty() || list.size() > kMaxPrograms) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected a list of 1 to ", kMaxPrograms, " programs"));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    StudyProgram program;
    PERFVEC_ASSIGN_OR_RETURN(program.name, ReadName(path, i, list[i], names));
    const json role = list[i].value("role", json());
    if (role != "train" && role != "target") {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", program.name,
          ": expected the role \"train\" or \"target\", found ", role.dump()));
    }
    program.training = role == "train";
    PERFVEC_RETURN_IF_ERROR(SetInstructions(path, list[i], &program));
    folder.programs.push_back(std::move(program));
  }
  return absl::OkStatus();
}

absl::Status ReadTotals(const std::string& path, StudyFolder& folder) {
  PERFVEC_ASSIGN_OR_RETURN(const json file, ReadJson(path));
  const json totals = file.is_object() ? file.value("total", json()) : json();
  for (StudyProgram& program : folder.programs) {
    const json row =
        totals.is_object() ? totals.value(program.name, json()) : json();
    PERFVEC_RETURN_IF_ERROR(SetTotals(path, row, folder, &program));
  }
  return absl::OkStatus();
}

std::string PathOf(const StudyFolder& folder, const StudyProgram& program,
                   const char* file) {
  return absl::StrCat(folder.directory, "/", program.name, "/", file);
}

std::vector<std::string> Paths(const StudyFolder& folder,
                               const StudyProgram& program) {
  std::vector<std::string> paths = {
      PathOf(folder, program, "trace.txt.zst"),
      PathOf(folder, program, "trace.sq.txt.zst")};
  if (program.training) {
    paths.push_back(PathOf(folder, program, "latency.u16.zst"));
  }
  return paths;
}

}  // namespace

std::vector<size_t> StudyFolder::Sampled() const {
  std::vector<size_t> sampled;
  for (size_t d = 0; d < designs.size(); ++d) {
    if (designs[d].sampled) sampled.push_back(d);
  }
  return sampled;
}

absl::StatusOr<StudyFolder> ReadStudyFolder(const std::string& directory) {
  StudyFolder folder;
  folder.directory = directory;
  PERFVEC_RETURN_IF_ERROR(ReadDesigns(directory + "/designs.json", folder));
  PERFVEC_RETURN_IF_ERROR(ReadPrograms(directory + "/programs.json", folder));
  PERFVEC_RETURN_IF_ERROR(ReadTotals(directory + "/totals.json", folder));
  return folder;
}

absl::StatusOr<StudyFolder> ReadVariants(const std::string& directory,
                                         const StudyFolder& study) {
  const std::string path = directory + "/programs.json";
  PERFVEC_ASSIGN_OR_RETURN(const json file, ReadJson(path));
  const json designs =
      file.is_object() ? file.value("designs", json()) : json();
  const json list = file.is_object() ? file.value("programs", json()) : json();
  if (!designs.is_array() || designs.empty() || !list.is_array() ||
      list.empty() || list.size() > kMaxPrograms) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected an object with a list of designs and one of 1 to ",
        kMaxPrograms, " programs"));
  }
  StudyFolder folder;
  folder.directory = directory;
  folder.parameters = study.parameters;
  for (const json& name : designs) {
    const auto known = std::find_if(
        study.designs.begin(), study.designs.end(),
        [&](const StudyDesign& design) { return name == design.name; });
    if (known == study.designs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": design ", name.dump(), ": expected one of ",
                       study.directory, "/designs.json"));
    }
    folder.designs.push_back(*known);
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list.size(); ++i) {
    StudyProgram program;
    PERFVEC_ASSIGN_OR_RETURN(program.name, ReadName(path, i, list[i], names));
    const json totals = list[i].value("total", json());
    PERFVEC_RETURN_IF_ERROR(SetInstructions(path, list[i], &program));
    PERFVEC_RETURN_IF_ERROR(SetTotals(path, totals, folder, &program));
    folder.programs.push_back(std::move(program));
  }
  return folder;
}

absl::StatusOr<train::ProgramData> ReadStudyProgram(
    const StudyFolder& folder, const StudyProgram& program,
    const compute::FeatureSchema& schema) {
  const std::vector<std::string> paths = Paths(folder, program);
  std::vector<std::unique_ptr<trace::ByteSource>> sources;
  for (const std::string& path : paths) {
    PERFVEC_ASSIGN_OR_RETURN(auto source, trace::OpenFileSource(path));
    sources.push_back(std::move(source));
  }
  const size_t rows = program.training ? folder.Sampled().size() : 0;
  std::unique_ptr<trace::LatencyMatrix> matrix;
  if (rows > 0) {
    PERFVEC_ASSIGN_OR_RETURN(
        matrix, trace::LatencyMatrix::Load(std::move(sources[2]), rows));
    if (matrix->instructions() != program.instructions) {
      return absl::InvalidArgumentError(
          absl::StrCat(paths[2], ": expected ", program.instructions,
                       " instructions, found ", matrix->instructions()));
    }
  }
  // The simulated core leaves some store-exclusives out of the store file.
  trace::Gem5ImportOptions import;
  import.insert_placeholders = true;
  trace::Gem5Importer importer(std::move(sources[0]), std::move(sources[1]),
                               import);
  compute::FeatureExtractor extractor(schema);
  const size_t n = program.instructions;
  train::ProgramData data;
  data.feature_count = static_cast<size_t>(schema.count());
  data.latency.resize(n * rows);
  trace::TraceChunk chunk;
  std::vector<std::vector<uint32_t>> latency;
  for (;;) {
    PERFVEC_ASSIGN_OR_RETURN(const bool more, importer.Next(&chunk));
    if (!more) break;
    const size_t at = data.instructions, count = chunk.block.size();
    data.instructions += count;
    if (data.instructions > n) break;  // said below
    data.features.resize(data.instructions * data.feature_count);
    PERFVEC_RETURN_IF_ERROR(extractor.Extract(
        chunk.block, &data.features[at * data.feature_count]));
    if (rows == 0) continue;
    PERFVEC_RETURN_IF_ERROR(matrix->Read(at, count, &latency));
    for (size_t c = 0; c < rows; ++c) {
      std::copy(latency[c].begin(), latency[c].end(),
                &data.latency[c * n + at]);
    }
  }
  // The importer ends a trace before the first store that never left the queue.
  const size_t dropped = importer.summary().dropped_instructions;
  if (data.instructions + dropped != n) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder.directory, "/programs.json: ", program.name, ": says ", n,
        " instructions, its trace has ",
        data.instructions > n ? "more"
                              : absl::StrCat(data.instructions + dropped)));
  }
  for (size_t c = 1; dropped > 0 && c < rows; ++c) {
    std::copy_n(&data.latency[c * n], data.instructions,
                &data.latency[c * data.instructions]);
  }
  data.latency.resize(data.instructions * rows);
  return data;
}

absl::StatusOr<uint64_t> StudyProgramKey(const StudyFolder& folder,
                                         const StudyProgram& program) {
  train::ProgramSource files;
  const std::vector<std::string> paths = Paths(folder, program);
  files.trace = paths[0];
  files.stores = paths[1];
  if (program.training) files.matrix = paths[2];
  for (size_t d : folder.Sampled()) {
    files.matrix_names.push_back(folder.designs[d].name);
  }
  return files.Key(absl::StrCat(program.instructions));
}

}  // namespace perfvec::explore
