#include "worker/train/train_command.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/model/foundation_model.h"
#include "worker/train/architecture_fit.h"
#include "worker/train/dataset.h"
#include "worker/train/trainer.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

// Every program's first instructions are the same libc start-up; errors leave
// them out (a multiple of the segment above 10,000).
constexpr size_t kStartUpInstructions = 10240;
constexpr size_t kIntervalInstructions = 10240;
constexpr int kFolds = 5;

struct Command {
  std::string data, out, report, license = "CC-BY-4.0";
  std::string features{compute::kRichFeatureSchemaId};
  std::string name = "perfvec-lstm";
  size_t fit_instructions = 60000;
  bool all_families = false;
  TrainOptions options;
};

struct Evaluated {
  std::string program, family;
  ProgramEvidence evidence;  // without start-up
};

// |T̂ − T| / T of each architecture.
std::vector<double> Errors(const ProgramEvidence& e,
                           const std::vector<double>& table, int h, int a) {
  std::vector<double> sum(h), time(a), errors(a);
  const size_t intervals = e.interval_times.size() / a;
  for (size_t k = 0; k < intervals; ++k) {
    for (int i = 0; i < h; ++i) sum[i] += e.interval_sums[k * h + i];
    for (int j = 0; j < a; ++j) time[j] += e.interval_times[k * a + j];
  }
  for (int j = 0; j < a; ++j) {
    const double predicted =
        std::inner_product(sum.begin(), sum.end(), &table[size_t(j) * h], 0.0);
    errors[j] = std::abs(predicted - time[j]) / time[j];
  }
  return errors;
}

double Mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / v.size();
}

// The weights with the least mean error on training families left out.
absl::StatusOr<FitWeights> ChooseWeights(const std::vector<Evaluated>& programs,
                                         int h, int a,
                                         const std::vector<double>& initial) {
  std::set<std::string> names;
  for (const Evaluated& p : programs) names.insert(p.family);
  const std::vector<std::string> families(names.begin(), names.end());
  const auto fold = [&](const Evaluated& p) {
    return (std::find(families.begin(), families.end(), p.family) -
            families.begin()) %
           kFolds;
  };
  FitWeights best;
  double best_error = INFINITY;
  for (double interval : {0.0, 0.1, 1.0, 10.0, 100.0}) {
    for (double prior : {1e-5, 1e-3, 1e-1, 10.0}) {
      for (double power : {1.0, 2.0}) {
        const FitWeights weights{interval, prior, power};
        std::vector<double> errors;
        for (int f = 0; f < kFolds; ++f) {
          std::vector<const ProgramEvidence*> training;
          for (const Evaluated& p : programs) {
            if (fold(p) != f) training.push_back(&p.evidence);
          }
          auto table = FitArchitectures(training, h, a, weights, initial);
          if (!table.ok()) return table.status();
          for (const Evaluated& p : programs) {
            if (fold(p) != f) continue;
            errors.push_back(Mean(Errors(p.evidence, *table, h, a)));
          }
        }
        const double error = Mean(errors);
        if (error < best_error) {
          best_error = error;
          best = weights;
        }
      }
    }
  }
  std::fprintf(stderr,
               "architecture vectors: error on families left out of the fit "
               "%.4f with interval weight %g, prior %g, power %g\n",
               best_error, best.interval, best.prior, best.program_power);
  return best;
}

compute::TensorMap Tensors(const Network& net, const std::vector<double>& table,
                           const std::vector<double>& scales) {
  const std::vector<float>& p = net.parameters();
  const int64_t h = net.shape().width, a = net.shape().architectures;
  compute::TensorMap tensors;
  for (const NamedTensor& t : net.tensors()) {
    int64_t size = 1;
    for (int64_t n : t.shape) size *= n;
    const auto begin = p.begin() + t.offset;
    tensors[t.name] = {t.shape, std::vector<float>(begin, begin + size)};
  }
  // One bias is enough to train; the file has PyTorch's two.
  for (int l = 0; l < net.shape().layers; ++l) {
    tensors[absl::StrCat("lstm.bias_hh_l", l)] = {{4 * h},
                                                  std::vector<float>(4 * h)};
  }
  std::vector<float> vectors(a * h);
  for (int64_t j = 0; j < a; ++j) {
    for (int64_t i = 0; i < h; ++i) {
      vectors[j * h + i] = table[j * h + i] * scales[j];
    }
  }
  tensors["architecture_vectors"] = {{a, h}, std::move(vectors)};
  return tensors;
}

absl::Status Run(const Command& command) {
  openblas_set_num_threads(command.options.threads);
  DatasetOptions dataset_options;
  dataset_options.progress = [](const std::string& name) {
    std::fprintf(stderr, "loaded %s\n", name.c_str());
  };
  dataset_options.schema = compute::FindFeatureSchema(command.features);
  auto data = LoadDataset(command.data, dataset_options);
  if (!data.ok()) return data.status();
  std::set<std::string> names;
  for (const TrainingProgram& p : data->programs) names.insert(p.family);
  std::set<std::string> held_back;
  int index = 0;
  for (const std::string& family : names) {
    if (index++ % 8 == 5 && !command.all_families) held_back.insert(family);
  }
  Dataset training, validation;
  training.schema = validation.schema = data->schema;
  training.architectures = data->architectures;
  for (TrainingProgram& p : data->programs) {
    (held_back.count(p.family) ? validation : training)
        .programs.push_back(std::move(p));
  }
  auto model = Train(training, command.options);
  if (!model.ok()) return model.status();

  const int h = command.options.width;
  const int a = training.architectures.size();
  const std::vector<float>& parameters = model->network->parameters();
  const std::vector<double> initial(
      parameters.begin() + model->network->table_offset(), parameters.end());
  const auto gather = [&](const Dataset& set, size_t limit) {
    std::vector<Evaluated> out;
    for (const TrainingProgram& p : set.programs) {
      out.push_back({p.name, p.family,
                     GatherEvidence(*model, p, a, kStartUpInstructions, limit,
                                    kIntervalInstructions)});
      std::fprintf(stderr, "represented %s\n", p.name.c_str());
    }
    return out;
  };
  const std::vector<Evaluated> known =
      gather(training, command.fit_instructions);
  auto weights = ChooseWeights(known, h, a, initial);
  if (!weights.ok()) return weights.status();
  std::vector<const ProgramEvidence*> all;
  for (const Evaluated& p : known) all.push_back(&p.evidence);
  auto table = FitArchitectures(all, h, a, *weights, initial);
  if (!table.ok()) return table.status();

  json report = {{"validation_families", held_back},
                 {"instructions_left_out", kStartUpInstructions}};
  std::vector<double> means, every;
  for (const Evaluated& p : gather(validation, SIZE_MAX)) {
    const std::vector<double> fitted = Errors(p.evidence, *table, h, a);
    const std::vector<double> trained = Errors(p.evidence, initial, h, a);
    report["programs"].push_back(
        {{"program", p.program},
         {"family", p.family},
         {"mean_error", Mean(fitted)},
         {"max_error", *std::max_element(fitted.begin(), fitted.end())},
         {"mean_error_before_fit", Mean(trained)}});
    means.push_back(Mean(fitted));
    every.insert(every.end(), fitted.begin(), fitted.end());
  }
  if (!means.empty()) {
    std::sort(every.begin(), every.end());
    report["mean_error"] = Mean(means);
    report["p95_error"] = every[every.size() * 95 / 100];
  }
  std::vector<double> training_errors;
  for (const Evaluated& p : known) {
    training_errors.push_back(Mean(Errors(p.evidence, *table, h, a)));
  }
  report["training_mean_error"] = Mean(training_errors);
  std::printf("%s\n", report.dump(2).c_str());
  if (!command.report.empty()) {
    std::ofstream(command.report) << report.dump(2) << "\n";
  }

  compute::Manifest manifest;
  manifest.name = command.name;
  manifest.feature_schema = std::string(training.schema->id);
  manifest.inputs = model->encoding;
  manifest.layers = command.options.layers;
  manifest.width = h;
  for (const TrainingArchitecture& t : training.architectures) {
    manifest.architectures.push_back({t.name, t.parameters_json});
  }
  manifest.license = command.license;
  json provenance = {{"trainer", "perfvec-worker train"},
                     {"training_programs", json::array()},
                     {"updates", command.options.updates},
                     {"instructions_per_update",
                      command.options.lanes * command.options.steps},
                     {"seed", command.options.seed},
                     {"validation", report}};
  for (const TrainingProgram& p : training.programs) {
    provenance["training_programs"].push_back(p.name);
  }
  manifest.provenance_json = provenance.dump();
  auto foundation = compute::FoundationModel::Create(
      std::move(manifest), Tensors(*model->network, *table, model->scales));
  if (!foundation.ok()) return foundation.status();
  absl::Status saved = foundation->Save(command.out);
  if (saved.ok()) std::printf("model %s\n", foundation->id().c_str());
  return saved;
}

}  // namespace

void AddTrainCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  CLI::App* sub = app->add_subcommand(
      "train", "Train a foundation model on traces with simulated latencies");
  TrainOptions& o = command->options;
  o.threads = 2;
  sub->add_option("--data", command->data,
                  "Folder with programs.json, architectures.json and gem5/")
      ->required();
  sub->add_option("--out", command->out, "Directory for the model")->required();
  sub->add_option("--features", command->features, "Feature schema")
      ->check(CLI::IsMember({std::string(compute::kFeatureSchemaId),
                             std::string(compute::kRichFeatureSchemaId)}))
      ->capture_default_str();
  sub->add_option("--name", command->name, "Name in the manifest");
  sub->add_option("--report", command->report, "Validation report (JSON)");
  sub->add_option("--updates", o.updates, "Optimiser steps");
  sub->add_option("--lanes", o.lanes, "Traces walked side by side");
  sub->add_option("--steps", o.steps, "Instructions of a lane per update");
  sub->add_option("--width", o.width, "LSTM width");
  sub->add_option("--layers", o.layers, "LSTM layers");
  sub->add_option("--learning-rate", o.learning_rate, "Adam's peak rate");
  sub->add_option("--window-weight", o.window_weight,
                  "Weight of the error of each piece's sum");
  sub->add_option("--program-power", o.program_power,
                  "A program counts 1 / (mean latency)^power");
  sub->add_option("--seed", o.seed, "Random seed");
  sub->add_option("--threads", o.threads, "Threads of the products");
  sub->add_flag(
      "--bf16,!--fp32", o.bf16,
      "Products on bfloat16 operands where the CPU has them (default), "
      "or single precision");
  sub->add_option("--checkpoint", o.checkpoint_path,
                  "Written every 250 updates; gone on from if it is there");
  sub->add_option("--log", o.log_path, "Progress as JSON lines");
  sub->add_option("--fit-instructions", command->fit_instructions,
                  "Instructions of a program in the fit of the vectors");
  sub->add_flag("--all-families", command->all_families,
                "Hold no family back for validation");
  sub->callback([command, exit_code] {
    const absl::Status status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker train: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::train
