#include "worker/train/dataset.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/trace/byte_stream.h"
#include "worker/features/feature_extractor.h"
#include "worker/train/program_source.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadList(const std::string& path) {
  std::ifstream in(path);
  if (!in) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  json value = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!value.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a JSON list"));
  }
  std::set<std::string> names;
  for (const json& item : value) {
    const auto name = item.is_object() ? item.find("name") : item.end();
    if (!item.is_object() || name == item.end() || !name->is_string() ||
        name->get<std::string>().find('/') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": expected objects with a name without slashes, found ",
          item.dump().substr(0, 80)));
    }
    if (!names.insert(name->get<std::string>()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": lists ", name->get<std::string>(), " twice"));
    }
  }
  return value;
}

std::string Text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

struct Folder {
  std::string directory;
  std::vector<std::string> all_names;  // of architectures, as the file has them
  json architectures, programs;
};

absl::StatusOr<Folder> ReadFolder(const std::string& directory) {
  Folder folder{directory, {}, {}, {}};
  auto architectures = ReadList(directory + "/architectures.json");
  if (!architectures.ok()) return architectures.status();
  auto programs = ReadList(directory + "/programs.json");
  if (!programs.ok()) return programs.status();
  folder.architectures = *std::move(architectures);
  folder.programs = *std::move(programs);
  for (const json& a : folder.architectures) {
    folder.all_names.push_back(Text(a, "name"));
  }
  return folder;
}

bool Wanted(const std::vector<std::string>& only, const std::string& name) {
  return only.empty() || std::count(only.begin(), only.end(), name) > 0;
}

std::vector<TrainingArchitecture> Architectures(const Folder& folder,
                                                const DatasetOptions& options) {
  std::vector<TrainingArchitecture> result;
  for (const json& a : folder.architectures) {
    if (Text(a, "split") != options.split) continue;
    if (!Wanted(options.only_architectures, Text(a, "name"))) continue;
    json parameters = a;
    const auto auxiliary = a.find("auxiliary");
    const bool is_auxiliary = auxiliary != a.end() && *auxiliary == true;
    for (const char* key : {"name", "split", "auxiliary"}) {
      parameters.erase(key);
    }
    result.push_back({Text(a, "name"), parameters.dump(), is_auxiliary});
  }
  return result;
}

absl::Status CheckSame(const std::vector<TrainingArchitecture>& expected,
                       const std::vector<TrainingArchitecture>& found,
                       const std::string& first, const std::string& other) {
  const auto missing = [](const auto& in, const auto& of) {
    for (const TrainingArchitecture& a : of) {
      if (!a.auxiliary &&
          std::none_of(in.begin(), in.end(),
                       [&](const auto& b) { return a.name == b.name; })) {
        return a.name;
      }
    }
    return std::string();
  };
  for (const auto& [name, has, lacks] :
       {std::tuple(missing(found, expected), first, other),
        std::tuple(missing(expected, found), other, first)}) {
    if (name.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        lacks, "/architectures.json: expected the same architectures as ", has,
        " has, found no ", name));
  }
  return absl::OkStatus();
}

// Streams the source through the feature extractor into `sink`.
absl::Status Convert(const ProgramSource& source,
                     const compute::FeatureSchema& schema, size_t architectures,
                     uint64_t key, std::unique_ptr<trace::ByteSink> sink) {
  auto reader = source.Open();
  if (!reader.ok()) return reader.status();
  const size_t feature_count = schema.count();
  ProgramRowsWriter writer(std::move(sink), feature_count, architectures, key);
  compute::FeatureExtractor extractor(schema);
  trace::TraceChunk chunk;
  std::vector<float> features;
  std::vector<uint16_t> latency;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    const size_t n = chunk.block.size();
    features.resize(n * feature_count);
    latency.resize(n * architectures);
    absl::Status status = extractor.Extract(chunk.block, features.data());
    if (!status.ok()) return status;
    for (size_t a = 0; a < architectures; ++a) {
      const std::vector<uint32_t>& column = chunk.latency_tenth_ns[a];
      for (size_t i = 0; i < n; ++i) {
        latency[i * architectures + a] =
            column.empty() ? 0 : std::min<uint32_t>(column[i], 65535);
      }
    }
    status = writer.Append(features.data(), latency.data(), n);
    if (!status.ok()) return status;
  }
  return writer.Finish();
}

// `how` is told what was done for it.
absl::StatusOr<std::shared_ptr<const ProgramRows>> Load(
    const ProgramSource& source, const std::string& name, size_t architectures,
    const DatasetOptions& options, std::string* how) {
  auto key = source.Key(std::string(options.schema->id));
  if (!key.ok()) return key.status();
  if (options.cache_directory.empty()) {
    std::string bytes;
    absl::Status status = Convert(source, *options.schema, architectures, *key,
                                  std::make_unique<trace::StringSink>(&bytes));
    if (!status.ok()) return status;
    *how = "read";
    return ProgramRows::FromBytes(std::move(bytes));
  }
  const std::string path =
      absl::StrCat(options.cache_directory, "/", name, "-",
                   absl::Hex(*key, absl::kZeroPad16), ".rows");
  auto rows = ProgramRows::Open(path, *key);
  if (rows.ok()) {
    *how = "cached";
    return rows;
  }
  *how = absl::IsNotFound(rows.status())
             ? "converted"
             : absl::StrCat("converted again (", rows.status().message(), ")");
  // Under a name of its own, as two processes may do the same.
  const std::string own = absl::StrCat(path, ".", ::getpid());
  auto sink = trace::CreateFileSink(own);
  if (!sink.ok()) return sink.status();
  absl::Status status =
      Convert(source, *options.schema, architectures, *key, *std::move(sink));
  if (!status.ok()) return status;
  if (std::rename(own.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("renaming to ", path));
  }
  return ProgramRows::Open(path, *key);
}

absl::Status In(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("program ", name, ": ", status.message()));
}

absl::Status CheckOnly(const std::vector<std::string>& only,
                       const std::set<std::string>& found, const char* what) {
  for (const std::string& name : only) {
    if (found.count(name) == 0) {
      return absl::NotFoundError(
          absl::StrCat(what, " ", name, ": not in the data"));
    }
  }
  return absl::OkStatus();
}

// Those served, the same in every folder, and behind them the auxiliary ones
// that any folder has.
absl::StatusOr<std::vector<TrainingArchitecture>> AllArchitectures(
    const std::vector<Folder>& folders, const DatasetOptions& options) {
  std::vector<TrainingArchitecture> served, auxiliary;
  std::set<std::string> names;
  for (const Folder& folder : folders) {
    const std::vector<TrainingArchitecture> found =
        Architectures(folder, options);
    const bool first = &folder == &folders.front();
    for (const TrainingArchitecture& a : found) {
      if (!a.auxiliary && !first) continue;
      if (!names.insert(a.name).second) continue;
      (a.auxiliary ? auxiliary : served).push_back(a);
    }
    absl::Status status =
        CheckSame(served, found, folders.front().directory, folder.directory);
    if (!status.ok()) return status;
  }
  absl::Status status =
      CheckOnly(options.only_architectures, names, "architecture");
  if (!status.ok()) return status;
  served.insert(served.end(), auxiliary.begin(), auxiliary.end());
  return served;
}

}  // namespace

size_t Dataset::served() const {
  return std::count_if(architectures.begin(), architectures.end(),
                       [](const auto& a) { return !a.auxiliary; });
}

absl::StatusOr<Dataset> LoadDataset(const std::vector<std::string>& directories,
                                    const DatasetOptions& options) {
  if (!options.cache_directory.empty() &&
      ::mkdir(options.cache_directory.c_str(), 0777) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, options.cache_directory);
  }
  Dataset data;
  data.schema = options.schema;
  std::vector<Folder> folders;
  for (const std::string& directory : directories) {
    auto folder = ReadFolder(directory);
    if (!folder.ok()) return folder.status();
    folders.push_back(*std::move(folder));
  }
  auto architectures = AllArchitectures(folders, options);
  if (!architectures.ok()) return architectures.status();
  data.architectures = *std::move(architectures);
  std::vector<std::string> wanted;
  for (const TrainingArchitecture& a : data.architectures) {
    wanted.push_back(a.name);
  }
  std::set<std::string> known;
  for (const Folder& folder : folders) {
    const std::string& directory = folder.directory;
    for (const json& p : folder.programs) {
      TrainingProgram program;
      program.name = Text(p, "name");
      program.family = Text(p, "family");
      if (Text(p, "split") != options.split) continue;
      if (!Wanted(options.only_programs, program.name)) continue;
      if (!known.insert(program.name).second) {
        return absl::InvalidArgumentError(
            absl::StrCat(directory, "/programs.json: program ", program.name,
                         " is in another folder too"));
      }
      ProgramSource source =
          FindProgramSource(directory, program.name, folder.all_names, wanted);
      const auto partial = p.find("partial");
      program.partial = partial != p.end() && *partial == true;
      source.required = program.partial ? 0 : data.served();
      std::string how;
      auto rows = Load(source, program.name, wanted.size(), options, &how);
      if (!rows.ok()) return In(program.name, rows.status());
      program.rows = *std::move(rows);
      program.instructions = program.rows->instructions();
      if (program.instructions == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("program ", program.name, ": holds no instruction"));
      }
      const auto expected = p.find("instructions");
      if (expected != p.end() && *expected != program.instructions) {
        return absl::InvalidArgumentError(absl::StrCat(
            "program ", program.name, ": ", directory, "/programs.json says ",
            expected->dump(), " instructions, found ", program.instructions));
      }
      if (options.progress) options.progress(program.name + " " + how);
      data.programs.push_back(std::move(program));
    }
  }
  absl::Status status = CheckOnly(options.only_programs, known, "program");
  if (!status.ok()) return status;
  if (data.programs.empty() || data.architectures.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        directories.empty() ? "no folder" : directories.front(),
        ": no program or architecture of the split ", options.split));
  }
  return data;
}

}  // namespace perfvec::train
