#include "worker/evaluate/evaluate_command.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/model/foundation_model.h"
#include "worker/represent/cpu_representer.h"
#include "worker/train/dataset.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

constexpr size_t kStartUpInstructions = 10240;

struct Command {
  std::string data, model, json_path;
  std::vector<std::string> programs;
  int threads = 0;
};

double Mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / v.size();
}
double P95(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[(v.size() - 1) * 95 / 100];
}

// Sum of representations from instruction `begin` (a multiple of the segment).
absl::StatusOr<std::vector<double>> SumFrom(
    const TrainingProgram& program, size_t begin,
    const compute::FoundationModel& model, compute::Representer& back_end) {
  const compute::Manifest& m = model.manifest();
  const size_t n = program.instructions, columns = m.inputs.width();
  std::vector<float> inputs(n * columns);
  std::vector<float> features(n * program.rows->features());
  program.rows->Features(0, n, features.data());
  m.inputs.Encode(features.data(), n, inputs.data());
  std::vector<compute::Lane> lanes;
  for (size_t s = begin; s < n; s += m.segment_length) {
    const size_t first = s < size_t(m.warm_up) ? 0 : s - m.warm_up;
    const size_t end = std::min(n, s + m.segment_length);
    lanes.push_back({static_cast<int64_t>(first), static_cast<int>(end - first),
                     static_cast<int>(end - s)});
  }
  std::vector<double> sums(lanes.size() * m.width), total(m.width);
  absl::Status status = back_end.Run({inputs.data(), lanes}, sums.data());
  if (!status.ok()) return status;
  for (size_t i = 0; i < sums.size(); ++i) total[i % m.width] += sums[i];
  return total;
}

absl::Status Run(const Command& command) {
  auto loaded = compute::FoundationModel::Load(command.model);
  if (!loaded.ok()) return loaded.status();
  auto model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  const compute::Manifest& m = model->manifest();
  if (m.mode != compute::Mode::kStream) {
    return absl::InvalidArgumentError(absl::StrCat(
        command.model, ": expected a model in stream mode, found window"));
  }
  std::map<std::string, int> known;
  for (size_t i = 0; i < m.architectures.size(); ++i) {
    known[m.architectures[i].name] = i;
  }
  DatasetOptions options;
  options.schema = &m.schema();
  options.only_programs = command.programs;
  auto data = LoadDataset({command.data}, options);
  if (!data.ok()) return data.status();
  auto back_end = compute::MakeCpuRepresenter(model, {command.threads});
  if (!back_end.ok()) return back_end.status();

  const size_t a = data->architectures.size();
  const size_t begin =
      kStartUpInstructions / m.segment_length * m.segment_length;
  json report = {{"model_id", model->id()},
                 {"instructions_left_out", begin},
                 {"programs", json::array()}};
  std::vector<double> means, every, losses;
  std::printf("%-20s %8s %8s %8s %8s\n", "program", "mean", "p95", "max",
              "choice");
  for (const TrainingProgram& p : data->programs) {
    if (p.instructions <= begin) continue;
    auto sum = SumFrom(p, begin, *model, **back_end);
    if (!sum.ok()) return sum.status();
    const std::vector<double> times =
        p.rows->LatencySums(begin, p.instructions);
    std::vector<double> errors;
    double fastest = INFINITY, least = INFINITY, chosen = INFINITY;
    json by_architecture = json::object();
    for (size_t j = 0; j < a; ++j) {
      const auto it = known.find(data->architectures[j].name);
      if (it == known.end()) continue;
      const float* vector = model->ArchitectureVector(it->second);
      double predicted = 0;
      const double time = times[j];
      for (int i = 0; i < m.width; ++i) predicted += (*sum)[i] * vector[i];
      errors.push_back(std::abs(predicted - time) / time);
      fastest = std::min(fastest, time);
      if (predicted < least) {
        least = predicted;
        chosen = time;
      }
      by_architecture[data->architectures[j].name] = {
          {"time_tenth_ns", time},
          {"predicted_tenth_ns", predicted},
          {"error", errors.back()}};
    }
    if (errors.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(command.model, ": none of the architectures of ",
                       command.data, " has a vector in the model"));
    }
    const double worst = *std::max_element(errors.begin(), errors.end());
    losses.push_back(chosen / fastest - 1);
    std::printf("%-20s %7.2f%% %7.2f%% %7.2f%% %7.2f%%\n", p.name.c_str(),
                100 * Mean(errors), 100 * P95(errors), 100 * worst,
                100 * losses.back());
    report["programs"].push_back({{"program", p.name},
                                  {"family", p.family},
                                  {"mean_error", Mean(errors)},
                                  {"p95_error", P95(errors)},
                                  {"max_error", worst},
                                  {"choice_loss", losses.back()},
                                  {"architectures", by_architecture}});
    means.push_back(Mean(errors));
    every.insert(every.end(), errors.begin(), errors.end());
  }
  if (means.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        command.data, ": no program longer than ", begin, " instructions"));
  }
  report["mean_error"] = Mean(means);
  report["p95_error"] = P95(every);
  report["mean_choice_loss"] = Mean(losses);
  std::printf("%-20s %7.2f%% %7.2f%% %8s %7.2f%%\n", "all", 100 * Mean(means),
              100 * P95(every), "", 100 * Mean(losses));
  if (!command.json_path.empty()) {
    std::ofstream out(command.json_path);
    out << report.dump(2) << "\n";
    if (!out.flush()) {
      return absl::UnavailableError(
          absl::StrCat(command.json_path, ": cannot be written"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddEvaluateCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  CLI::App* sub = app->add_subcommand(
      "evaluate", "Errors of a model on simulated programs");
  sub->add_option("--data", command->data,
                  "Folder with programs.json, architectures.json and gem5/")
      ->required();
  sub->add_option("--model", command->model, "Model directory")->required();
  sub->add_option("--programs", command->programs,
                  "Only these programs of the split 'seen'")
      ->delimiter(',');
  sub->add_option("--json", command->json_path, "Every single error");
  sub->add_option("--threads", command->threads, "0: all cores");
  sub->callback([command, exit_code] {
    const absl::Status status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker evaluate: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::train
