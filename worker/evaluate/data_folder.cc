#include "worker/evaluate/data_folder.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/features/feature_extractor.h"
#include "worker/train/program_source.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadList(const std::string& path) {
  std::ifstream in(path);
  if (!in) {
    return absl::NotFoundError(
        absl::StrCat(path,
                     ": cannot be opened; expected a folder laid out as "
                     "docs/evaluation.md says"));
  }
  json value = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!value.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a JSON list"));
  }
  return value;
}

std::string Text(const json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

// A name becomes a part of a path.
absl::Status CheckName(const std::string& path, size_t index,
                       const std::string& name, std::set<std::string>& names) {
  if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": entry ", index,
        ": expected a name without '/' that does not start with '.', found \"",
        name, "\""));
  }
  if (!names.insert(name).second) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", name, " is listed twice"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Split> ReadSplit(const std::string& path,
                                const std::string& name, const json& object) {
  const std::string text = Text(object, "split");
  if (text == "seen") return Split::kSeen;
  if (text == "unseen") return Split::kUnseen;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": ", name, ": expected the split \"seen\" or \"unseen\", found \"",
      text, "\""));
}

}  // namespace

absl::StatusOr<DataFolder> ReadDataFolder(const std::string& directory) {
  DataFolder folder;
  folder.directory = directory;
  std::string path = directory + "/architectures.json";
  auto list = ReadList(path);
  if (!list.ok()) return list.status();
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const json& object = (*list)[i];
    ArchitectureEntry entry;
    entry.name = Text(object, "name");
    entry.kind = Text(object, "kind");
    if (absl::Status s = CheckName(path, i, entry.name, names); !s.ok()) {
      return s;
    }
    auto split = ReadSplit(path, entry.name, object);
    if (!split.ok()) return split.status();
    entry.split = *split;
    json parameters = object;
    parameters.erase("name");
    parameters.erase("split");
    entry.parameters_json = parameters.dump();
    folder.architectures.push_back(std::move(entry));
  }
  path = directory + "/programs.json";
  list = ReadList(path);
  if (!list.ok()) return list.status();
  names.clear();
  for (size_t i = 0; i < list->size(); ++i) {
    const json& object = (*list)[i];
    ProgramEntry entry;
    entry.name = Text(object, "name");
    if (absl::Status s = CheckName(path, i, entry.name, names); !s.ok()) {
      return s;
    }
    entry.family = Text(object, "family");
    if (entry.family.empty()) entry.family = entry.name;
    auto split = ReadSplit(path, entry.name, object);
    if (!split.ok()) return split.status();
    entry.split = *split;
    const auto count = object.find("instructions");
    if (count == object.end() || !count->is_number_unsigned() ||
        count->get<uint64_t>() == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", entry.name, ": expected a positive number of ",
          "instructions, found ",
          count == object.end() ? "none" : count->dump()));
    }
    entry.instructions = count->get<uint64_t>();
    folder.programs.push_back(std::move(entry));
  }
  return folder;
}

absl::StatusOr<ProgramData> ReadProgram(const DataFolder& folder,
                                        const ProgramEntry& program,
                                        const compute::FeatureSchema& schema,
                                        const std::vector<size_t>& rows) {
  std::vector<std::string> names, wanted;
  for (const ArchitectureEntry& a : folder.architectures) {
    names.push_back(a.name);
  }
  for (size_t r : rows) wanted.push_back(names[r]);
  auto reader =
      FindProgramSource(folder.directory, program.name, names, wanted).Open();
  if (!reader.ok()) return reader.status();

  const size_t n = program.instructions;
  ProgramData data;
  data.feature_count = static_cast<size_t>(schema.count());
  compute::FeatureExtractor extractor(schema);
  trace::TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    const size_t at = data.instructions, count = chunk.block.size();
    data.instructions += count;
    if (data.instructions > n) break;  // said below
    data.features.resize(data.instructions * data.feature_count);
    data.latency.resize(n * rows.size());
    absl::Status status =
        extractor.Extract(chunk.block, &data.features[at * data.feature_count]);
    if (!status.ok()) return status;
    for (size_t c = 0; c < rows.size(); ++c) {
      std::copy(chunk.latency_tenth_ns[c].begin(),
                chunk.latency_tenth_ns[c].end(), &data.latency[c * n + at]);
    }
  }
  if (data.instructions != n) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder.directory, "/programs.json: ", program.name, ": says ", n,
        " instructions, its trace has ",
        data.instructions > n ? "more" : absl::StrCat(data.instructions)));
  }
  return data;
}

}  // namespace perfvec::train
