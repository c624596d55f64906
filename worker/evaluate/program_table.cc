#include "worker/evaluate/program_table.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/evaluate/data_folder.h"
#include "worker/evaluate/plan.h"
#include "worker/evaluate/program_sums.h"
#include "worker/model/files.h"
#include "worker/represent/cpu_representer.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

constexpr char kFormat[] = "perfvec-program-table-1";
constexpr size_t kSaveEvery = 8;  // programs

// The file: {"format", "model_id", "programs": {KEY: {"instructions",
// "vector", "times": {ARCHITECTURE: time}}}}. The key says which instructions.
class Cache {
 public:
  Cache(std::string path, const std::string& model_id)
      : path_(std::move(path)) {
    content_ = {{"format", kFormat},
                {"model_id", model_id},
                {"programs", json::object()}};
    if (path_.empty()) return;
    std::ifstream file(path_);
    json read = json::parse(file, nullptr, /*allow_exceptions=*/false);
    // Of another model or damaged: made anew.
    if (read.is_object() && read.value("format", json()) == kFormat &&
        read.value("model_id", json()) == model_id &&
        read.value("programs", json()).is_object()) {
      content_ = std::move(read);
    }
  }

  // Fills the row's numbers. False if one is missing.
  bool Find(const std::string& key, const TableOptions& options, size_t width,
            ProgramRow* row) const {
    const json& programs = content_["programs"];
    const auto it = programs.find(key);
    if (it == programs.end() || !it->is_object()) return false;
    const json vector = it->value("vector", json());
    const json times = it->value("times", json());
    const json instructions = it->value("instructions", json());
    if (!vector.is_array() || vector.size() != width || !times.is_object() ||
        !instructions.is_number()) {
      return false;
    }
    row->instructions = instructions;
    for (const json& v : vector) {
      if (!v.is_number()) return false;
      row->vector.push_back(v);
    }
    for (const std::string& name : options.architectures) {
      const auto time = times.find(name);
      if (time == times.end() || !time->is_number()) return false;
      row->times.push_back(*time);
    }
    return true;
  }

  absl::Status Put(const std::string& key, const TableOptions& options,
                   const ProgramRow& row) {
    json& entry = content_["programs"][key];
    entry["instructions"] = row.instructions;
    entry["vector"] = row.vector;
    for (size_t a = 0; a < row.times.size(); ++a) {
      entry["times"][options.architectures[a]] = row.times[a];
    }
    return ++unsaved_ < kSaveEvery ? absl::OkStatus() : Save();
  }

  absl::Status Save() {
    if (path_.empty() || unsaved_ == 0) return absl::OkStatus();
    unsaved_ = 0;
    return compute::WriteFileAtomically(path_, content_.dump());
  }

 private:
  const std::string path_;
  json content_;
  size_t unsaved_ = 0;
};

// The first `instructions` of the program.
void Shorten(size_t instructions, ProgramData* data) {
  if (instructions >= data->instructions) return;
  const size_t rows = data->latency.size() / data->instructions;
  std::vector<uint32_t> latency;
  for (size_t r = 0; r < rows; ++r) {
    const auto from = data->latency.begin() + r * data->instructions;
    latency.insert(latency.end(), from, from + instructions);
  }
  data->latency = std::move(latency);
  data->features.resize(instructions * data->feature_count);
  data->instructions = instructions;
}

}  // namespace

absl::StatusOr<std::set<std::string>> UnseenArchitectures(
    const std::vector<std::string>& data) {
  std::set<std::string> unseen;
  for (const std::string& directory : data) {
    auto folder = ReadDataFolder(directory);
    if (!folder.ok()) return folder.status();
    for (const ArchitectureEntry& a : folder->architectures) {
      if (a.split == Split::kUnseen) unseen.insert(a.name);
    }
  }
  return unseen;
}

absl::StatusOr<std::vector<size_t>> KnownArchitectures(
    const compute::Manifest& manifest, const std::vector<std::string>& data) {
  auto unseen = UnseenArchitectures(data);
  if (!unseen.ok()) return unseen.status();
  std::vector<size_t> known;
  for (size_t a = 0; a < manifest.architectures.size(); ++a) {
    if (unseen->count(manifest.architectures[a].name) == 0) known.push_back(a);
  }
  return known;
}

absl::StatusOr<std::vector<ProgramRow>> MakeProgramTable(
    std::shared_ptr<const compute::FoundationModel> model,
    const TableOptions& options) {
  const compute::Manifest& manifest = model->manifest();
  const size_t width = static_cast<size_t>(manifest.width);
  const std::vector<std::string> trained =
      ReadTrainingRecord(manifest).programs;
  auto back_end = compute::MakeCpuRepresenter(model, {options.threads});
  if (!back_end.ok()) return back_end.status();
  Cache cache(options.cache, model->id());
  std::vector<ProgramRow> rows;
  for (const std::string& directory : options.data) {
    auto folder = ReadDataFolder(directory);
    if (!folder.ok()) return folder.status();
    std::vector<size_t> numbers;
    std::map<size_t, size_t> position;  // of a latency row among those read
    for (const std::string& name : options.architectures) {
      const auto it = std::find_if(
          folder->architectures.begin(), folder->architectures.end(),
          [&](const ArchitectureEntry& a) { return a.name == name; });
      if (it == folder->architectures.end()) break;
      numbers.push_back(it - folder->architectures.begin());
      position[numbers.back()] = 0;
    }
    if (numbers.size() < options.architectures.size()) {
      if (options.progress) {
        options.progress(absl::StrCat(directory, ": no times of ",
                                      options.architectures[numbers.size()],
                                      ", its programs are left out"));
      }
      continue;
    }
    std::vector<size_t> read_rows;
    for (auto& [number, at] : position) {
      at = read_rows.size();
      read_rows.push_back(number);
    }
    for (const ProgramEntry& entry : folder->programs) {
      if (entry.split != Split::kSeen) continue;
      ProgramRow row;
      row.name = entry.name;
      row.family = entry.family;
      row.trained = std::find(trained.begin(), trained.end(), entry.name) !=
                    trained.end();
      if (!(row.trained ? options.trained : options.left_out)) continue;
      const size_t start = options.left_out_instructions;
      const size_t end =
          std::min(entry.instructions,
                   row.trained ? options.training_instructions : SIZE_MAX);
      if (end <= start) continue;
      const std::string key = absl::StrCat(row.name, " ", start, " ", end);
      if (!cache.Find(key, options, width, &row)) {
        if (options.progress) options.progress(row.name);
        auto data = ReadProgram(*folder, entry, manifest.schema(), read_rows);
        if (!data.ok()) return data.status();
        Shorten(end, &*data);
        auto sums = SumProgram(*data, {start}, {}, back_end->get(), nullptr);
        if (!sums.ok()) {
          return absl::Status(sums.status().code(),
                              absl::StrCat("program ", row.name, ": ",
                                           sums.status().message()));
        }
        const Range range = {start, end};
        row.instructions = static_cast<double>(end - start);
        row.vector = sums->Sum(range, AllKinds());
        const std::vector<double> times = sums->Times(range, AllKinds());
        row.times.clear();
        for (size_t number : numbers) {
          row.times.push_back(times[position.at(number)]);
        }
        absl::Status status = cache.Put(key, options, row);
        if (!status.ok()) return status;
      }
      rows.push_back(std::move(row));
    }
  }
  absl::Status status = cache.Save();
  if (!status.ok()) return status;
  return rows;
}

}  // namespace perfvec::train
