#include "worker/explore/slice_study.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/status_macros.h"
#include "worker/learn/cluster.h"
#include "worker/model/files.h"
#include "worker/represent/slice_weights.h"

namespace perfvec::explore {
namespace {

constexpr int kProjectedDimensions = 15;
constexpr uint64_t kSeed = 493575226;
constexpr double kNinety = 1.6449;  // deviations of a normal

// Per interval the mean of log2(1 + |x|) of each feature.
std::vector<std::vector<double>> IntervalFeatures(
    const train::ProgramData& data, size_t interval,
    const std::vector<double>& counts) {
  std::vector<std::vector<double>> means(
      counts.size(), std::vector<double>(data.feature_count));
  for (size_t i = 0; i < data.instructions; ++i) {
    const size_t k = std::min(i / interval, counts.size() - 1);
    for (size_t f = 0; f < data.feature_count; ++f) {
      const double x = data.features[i * data.feature_count + f];
      means[k][f] += std::log2(1 + std::fabs(x)) / counts[k];
    }
  }
  return means;
}

// Each feature divided by its spread, projected at random.
std::vector<compute::Point> Project(
    const std::vector<std::vector<double>>& features) {
  const size_t n = features.size(), width = features[0].size();
  std::vector<compute::Point> points(n, compute::Point(kProjectedDimensions));
  for (size_t f = 0; f < width; ++f) {
    double mean = 0, square = 0;
    for (const auto& row : features) mean += row[f] / n;
    for (const auto& row : features)
      square += (row[f] - mean) * (row[f] - mean);
    const double spread = std::sqrt(square / n);
    if (spread < 1e-9) continue;
    for (size_t i = 0; i < n; ++i) {
      const double value = (features[i][f] - mean) / spread;
      for (int d = 0; d < kProjectedDimensions; ++d) {
        points[i][d] += value * compute::ProjectionWeight(kSeed, f, d);
      }
    }
  }
  return points;
}

double Dot(const double* a, const float* b, size_t width) {
  double sum = 0;
  for (size_t i = 0; i < width; ++i) sum += a[i] * static_cast<double>(b[i]);
  return sum;
}

struct Run {
  std::vector<std::vector<double>> features;
  std::vector<double> counts;
  const compute::ProgramEvidence* evidence = nullptr;
};

struct Errors {
  std::vector<double> made, estimated;
  double recorded = 0;
  size_t programs = 0;
};

absl::Status AddErrors(const Run& run, const compute::FoundationModel& model,
                       int slices, Errors* errors) {
  const size_t width = static_cast<size_t>(model.manifest().width);
  const ChosenSlices chosen = ChooseSlices(run.features, run.counts, slices);
  std::vector<compute::SliceSum> sums;
  double recorded = 0, all = 0;
  for (const double count : run.counts) all += count;
  for (size_t i = 0; i < chosen.intervals.size(); ++i) {
    const size_t k = chosen.intervals[i];
    const auto begin = run.evidence->interval_sums.begin() + k * width;
    sums.push_back({chosen.weights[i], static_cast<uint64_t>(run.counts[k]),
                    std::vector<double>(begin, begin + width)});
    recorded += run.counts[k];
  }
  PERFVEC_ASSIGN_OR_RETURN(
      const compute::SlicedVector sliced,
      compute::WeighSlices(sums, static_cast<uint64_t>(all)));
  const std::vector<double> whole = ProgramVector(*run.evidence, width);
  errors->recorded += recorded / all;
  ++errors->programs;
  for (size_t a = 0; a < model.manifest().architectures.size(); ++a) {
    const float* m = model.ArchitectureVector(static_cast<int>(a));
    const double time = Dot(whole.data(), m, width);
    double variance = 0;
    for (size_t r = 0; r < sliced.sampling_factors.size(); r += width) {
      const double d = Dot(&sliced.sampling_factors[r], m, width);
      variance += d * d;
    }
    errors->made.push_back(
        std::fabs(Dot(sliced.vector.data(), m, width) / time - 1));
    errors->estimated.push_back(std::sqrt(variance) / time);
  }
  return absl::OkStatus();
}

SliceStudyRow Summarise(int slices, const Errors& errors) {
  SliceStudyRow row;
  row.slices = slices;
  row.programs = errors.programs;
  row.recorded = errors.recorded / errors.programs;
  const double n = errors.made.size();
  for (size_t i = 0; i < errors.made.size(); ++i) {
    row.mean_error += errors.made[i] / n;
    row.mean_deviation += errors.estimated[i] / n;
    row.coverage += (errors.made[i] <= kNinety * errors.estimated[i]) / n;
  }
  std::vector<double> sorted = errors.made;
  std::sort(sorted.begin(), sorted.end());
  row.p95_error = sorted[static_cast<size_t>(std::ceil(0.95 * n)) - 1];
  row.max_error = sorted.back();
  return row;
}

struct Command {
  std::string data, model, json, precision = "auto";
  std::vector<int> slices = {1, 2, 4, 8, 16, 30};
  EvidenceOptions evidence;
  int threads = 0;
};

absl::Status RunCommand(const Command& command) {
  PERFVEC_ASSIGN_OR_RETURN(const StudyFolder folder,
                           ReadStudyFolder(command.data));
  PERFVEC_ASSIGN_OR_RETURN(auto loaded,
                           compute::FoundationModel::Load(command.model));
  EvidenceOptions options = command.evidence;
  PERFVEC_ASSIGN_OR_RETURN(options.cpu.precision,
                           compute::ParsePrecision(command.precision));
  options.cpu.threads =
      command.threads > 0
          ? command.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.progress = [](const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
  };
  PERFVEC_ASSIGN_OR_RETURN(
      const SliceStudy study,
      RunSliceStudy(
          folder,
          std::make_shared<const compute::FoundationModel>(std::move(loaded)),
          command.slices, options));
  nlohmann::json out = {
      {"model_id", study.model_id},
      {"interval_instructions", options.interval_instructions},
      {"architectures", study.architectures}};
  std::printf("%zu architectures, intervals of %zu; model %s\n\n",
              study.architectures, options.interval_instructions,
              study.model_id.substr(0, 12).c_str());
  std::printf("%6s %8s %9s %9s %9s %9s %10s %8s\n", "slices", "programs",
              "recorded", "mean", "p95", "max", "estimated", "within");
  for (const SliceStudyRow& r : study.rows) {
    std::printf(
        "%6d %8zu %7.1f %% %7.2f %% %7.2f %% %7.2f %% %8.2f %% %6.1f %%\n",
        r.slices, r.programs, 100 * r.recorded, 100 * r.mean_error,
        100 * r.p95_error, 100 * r.max_error, 100 * r.mean_deviation,
        100 * r.coverage);
    out["rows"].push_back({{"slices", r.slices},
                           {"programs", r.programs},
                           {"recorded", r.recorded},
                           {"mean_error", r.mean_error},
                           {"p95_error", r.p95_error},
                           {"max_error", r.max_error},
                           {"mean_deviation", r.mean_deviation},
                           {"coverage", r.coverage}});
  }
  if (command.json.empty()) return absl::OkStatus();
  return compute::WriteFileAtomically(command.json, out.dump(1) + "\n");
}

}  // namespace

ChosenSlices ChooseSlices(const std::vector<std::vector<double>>& features,
                          const std::vector<double>& counts, int count) {
  const std::vector<compute::Point> points = Project(features);
  compute::ClusterOptions options;
  options.least = options.most = count;
  const compute::Clustering clusters =
      compute::ChooseClusters(points, options).clusters;
  ChosenSlices chosen;
  double all = 0;
  for (const double c : counts) all += c;
  for (size_t j = 0; j < clusters.centres.size(); ++j) {
    double least = std::numeric_limits<double>::infinity(), size = 0;
    size_t nearest = 0;
    for (size_t i = 0; i < points.size(); ++i) {
      if (clusters.cluster[i] != static_cast<int>(j)) continue;
      size += counts[i];
      const double distance =
          compute::SquaredDistance(points[i], clusters.centres[j]);
      if (distance < least) least = distance, nearest = i;
    }
    if (size == 0) continue;
    chosen.intervals.push_back(nearest);
    chosen.weights.push_back(size / all);
  }
  return chosen;
}

absl::StatusOr<SliceStudy> RunSliceStudy(
    const StudyFolder& folder,
    const std::shared_ptr<const compute::FoundationModel>& model,
    const std::vector<int>& slices, const EvidenceOptions& options) {
  for (const int count : slices) {
    if (count < 1 || count > static_cast<int>(compute::kMaxWeightedSlices)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--slices: expected numbers from 1 to ",
                       compute::kMaxWeightedSlices, ", found ", count));
    }
  }
  PERFVEC_ASSIGN_OR_RETURN(const EvidenceSet set,
                           StudyEvidence(folder, model, options));
  const compute::FeatureSchema& schema = model->manifest().schema();
  const size_t interval = options.interval_instructions;
  std::vector<Run> runs;
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    StudyProgram program = folder.programs[p];
    program.training = false;  // its latencies are not wanted
    PERFVEC_ASSIGN_OR_RETURN(const train::ProgramData data,
                             ReadStudyProgram(folder, program, schema));
    Run run;
    run.evidence = &set.programs[p];
    const size_t width = static_cast<size_t>(model->manifest().width);
    const size_t n = run.evidence->interval_sums.size() / width;
    if (n == 0 || data.instructions < interval * (n - 1)) {
      return absl::InternalError(
          absl::StrCat(program.name, ": ", n, " intervals of ",
                       data.instructions, " instructions"));
    }
    // What is left at the end belongs to the last interval.
    run.counts.assign(n, static_cast<double>(interval));
    run.counts.back() =
        static_cast<double>(data.instructions - interval * (n - 1));
    run.features = IntervalFeatures(data, interval, run.counts);
    runs.push_back(std::move(run));
  }
  SliceStudy study;
  study.model_id = model->id();
  study.architectures = model->manifest().architectures.size();
  for (const int count : slices) {
    Errors errors;
    for (const Run& run : runs) {
      if (run.counts.size() < 2 * static_cast<size_t>(count)) continue;
      PERFVEC_RETURN_IF_ERROR(AddErrors(run, *model, count, &errors));
    }
    if (!errors.made.empty()) study.rows.push_back(Summarise(count, errors));
  }
  return study;
}

void AddSliceStudyCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  CLI::App* sub = app->add_subcommand(
      "slice-study",
      "How well a few weighted slices of long runs stand for the whole");
  sub->add_option("--data", command->data, "A folder as of explore-study")
      ->required();
  sub->add_option("--model", command->model, "Model directory")->required();
  sub->add_option("--slices", command->slices, "Numbers of slices")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_option("--interval", command->evidence.interval_instructions,
                  "Instructions of an interval")
      ->check(CLI::Range(1024, 1 << 30))
      ->capture_default_str();
  sub->add_option("--cache", command->evidence.cache,
                  "Folder that keeps what was represented");
  sub->add_option("--json", command->json, "The table");
  sub->add_option("--precision", command->precision, "fp32, bf16 or auto")
      ->capture_default_str();
  sub->add_option("--threads", command->threads, "0: all cores")
      ->check(CLI::Range(0, 1024));
  sub->callback([command, exit_code] {
    const absl::Status status = RunCommand(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker slice-study: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::explore
