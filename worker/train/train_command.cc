#include "worker/train/train_command.h"

#include <cblas.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "worker/model/foundation_model.h"
#include "worker/train/data_plan.h"
#include "worker/train/dataset.h"
#include "worker/train/encoding.h"
#include "worker/train/evidence.h"
#include "worker/train/fit_choice.h"
#include "worker/train/options.h"
#include "worker/train/peers.h"
#include "worker/train/trainer.h"
#include "worker/train/validation.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

constexpr size_t kIntervalInstructions = 1024;

struct Command {
  std::vector<std::string> data, programs, architectures, drop_features;
  std::string cache, out, report, license = "CC-BY-4.0";
  std::string name = "perfvec-lstm";
  std::string features{compute::kRichFeatureSchemaId};
  std::string inputs = "derived";
  int fit_instructions = 200000;
  DataPlanOptions plan;
  PeersOptions peers;
  TrainOptions options;
};

// Every option, under the name that the configuration file and the command line
// share.
std::vector<OptionField> Fields(Command* c) {
  std::vector<OptionField> fields = {
      {"data",
       "Folders with programs.json, architectures.json and pvt/ or gem5/",
       &c->data, false},
      {"cache", "Folder that keeps the data converted", &c->cache, false},
      {"out", "Directory for the model", &c->out, false},
      {"report", "Validation report (JSON)", &c->report, false},
      {"name", "Name in the manifest", &c->name},
      {"license", "SPDX expression in the manifest", &c->license},
      {"features", "Feature schema", &c->features},
      {"inputs",
       "derived: distances as logarithms, names as indicators; raw: every "
       "feature as it is",
       &c->inputs},
      {"programs", "Only these programs", &c->programs},
      {"architectures", "Only these architectures", &c->architectures},
      {"drop_features",
       "Leave inputs out: memory, branch, dependences, machines, cores",
       &c->drop_features},
      {"validate_families", "Families held back for validation",
       &c->plan.validate_families},
      {"validate_every", "Else every so many families is held back",
       &c->plan.validate_every},
      {"all_families", "Hold no family back", &c->plan.all_families},
      {"holdout_tail", "Share at the end of each program not trained on",
       &c->plan.holdout_tail},
      {"data_fraction", "Share of the data, whole families, to train on",
       &c->plan.data_fraction},
      {"fit_instructions",
       "Instructions of a program in the fit of the architecture vectors",
       &c->fit_instructions},
      {"world_size", "Processes that train together", &c->peers.world_size},
      {"rank", "Which of them this is, from 0", &c->peers.rank, false},
      {"rendezvous",
       "Where they meet: tcp://HOST:PORT (rank 0's), or a new file",
       &c->peers.rendezvous, false},
      {"peer_timeout_seconds", "Longest wait for another process",
       &c->peers.timeout_seconds, false},
  };
  for (OptionField& f : OptionFields(&c->options)) fields.push_back(f);
  return fields;
}

compute::TensorMap Tensors(const Network& net, const std::vector<double>& table,
                           const std::vector<double>& scales) {
  const std::vector<float>& p = net.parameters();
  const int64_t h = net.shape().width, a = scales.size();
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

absl::StatusOr<Dataset> Load(const Command& command) {
  DatasetOptions options;
  options.only_programs = command.programs;
  options.only_architectures = command.architectures;
  options.schema = compute::FindFeatureSchema(command.features);
  if (options.schema == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "option features: expected ", std::string(compute::FeatureSchemaIds()),
        ", found ", command.features));
  }
  if (command.inputs != "derived" && command.inputs != "raw") {
    return absl::InvalidArgumentError(absl::StrCat(
        "option inputs: expected derived or raw, found ", command.inputs));
  }
  options.cache_directory = command.cache;
  options.progress = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  return LoadDataset(command.data, options);
}

// Behind the start-up, if anything is there.
Slice WithoutStartUp(const Slice& s, size_t max_instructions) {
  Slice result = s;
  if (s.begin < kStartUpInstructions &&
      s.end > kStartUpInstructions + kSegment) {
    result.begin = kStartUpInstructions;
  }
  result.end = result.begin + std::min(s.end - result.begin, max_instructions);
  return result;
}

std::vector<Evaluated> Gather(TrainedModel& model,
                              const std::vector<Slice>& slices,
                              size_t max_instructions) {
  std::vector<Evaluated> result;
  for (const Slice& s : slices) {
    result.push_back({s.program->name, s.program->family,
                      GatherEvidence(model, WithoutStartUp(s, max_instructions),
                                     kIntervalInstructions)});
    std::fprintf(stderr, "represented %s\n", s.program->name.c_str());
  }
  return result;
}

json Report(const std::vector<Evaluated>& validation,
            const std::vector<Evaluated>& known,
            const std::vector<double>& table,
            const std::vector<double>& initial,
            const std::vector<std::string>& architectures, int h) {
  const int a = architectures.size();
  json report = {{"instructions_left_out", kStartUpInstructions},
                 {"programs", json::array()}};
  std::vector<double> means, every, training;
  for (const Evaluated& p : validation) {
    const std::vector<double> errors = TimeErrors(p.evidence, table, h, a);
    json each = json::object();
    for (int j = 0; j < a; ++j) each[architectures[j]] = errors[j];
    report["programs"].push_back(
        {{"program", p.program},
         {"errors", each},
         {"family", p.family},
         {"mean_error", Mean(errors)},
         {"max_error", *std::max_element(errors.begin(), errors.end())},
         {"mean_error_before_fit",
          Mean(TimeErrors(p.evidence, initial, h, a))}});
    means.push_back(Mean(errors));
    every.insert(every.end(), errors.begin(), errors.end());
  }
  if (!means.empty()) {
    std::sort(every.begin(), every.end());
    report["mean_error"] = Mean(means);
    report["p95_error"] = every[every.size() * 95 / 100];
  }
  for (const Evaluated& p : known) {
    training.push_back(Mean(TimeErrors(p.evidence, table, h, a)));
  }
  report["training_mean_error"] = Mean(training);
  return report;
}

// What the model was made from; no path and no time, so that the same run gives
// the same bytes.
json Provenance(const std::vector<OptionField>& fields, const DataPlan& plan,
                const TrainedModel& model, json report) {
  for (json& p : report["programs"]) p.erase("errors");
  json programs = json::array(), tails = json::object();
  for (const Slice& s : plan.training) programs.push_back(s.program->name);
  for (const Slice& s : plan.tails) {
    tails[s.program->name] = {s.begin, s.end};
  }
  return {{"trainer", "perfvec-worker train"},
          {"options", OptionsJson(fields, /*only_deciding=*/true)},
          {"training_programs", programs},
          {"held_out_tails", tails},
          {"validation_families", plan.validation_families},
          {"updates", model.updates_done},
          {"chosen_update", model.update},
          {"averaged_weights", model.averaged},
          {"validation", report}};
}

absl::Status Run(Command command) {
  const std::vector<OptionField> fields = Fields(&command);
  NetworkShape shape;
  shape.family = command.options.family;
  absl::Status status = CheckServable(shape);
  // What cannot be saved is trained for its report alone.
  const bool saves = status.ok();
  if (!saves && !command.out.empty()) return status;
  for (const auto& [name, missing] :
       {std::pair("data", command.data.empty()),
        std::pair("out", saves && command.out.empty())}) {
    if (missing) {
      return absl::InvalidArgumentError(
          absl::StrCat("option ", name, ": must be given"));
    }
  }
  command.plan.seed = command.options.seed;
  status = CheckOptions(command.options);
  if (!status.ok()) return status;
  openblas_set_num_threads(command.options.threads);
  std::unique_ptr<Peers> peers;
  if (command.peers.world_size != 1) {
    auto joined = JoinPeers(command.peers);
    if (!joined.ok()) return joined.status();
    peers = *std::move(joined);
  }
  const bool first = command.peers.rank == 0;
  const json config = OptionsJson(fields);
  std::fprintf(stderr, "%s\n", json{{"config", config}}.dump().c_str());
  if (!command.options.log.empty() && first) {
    std::ofstream(command.options.log, std::ios::app)
        << json{{"config", config}}.dump() << "\n";
  }

  auto data = Load(command);
  if (!data.ok()) return data.status();
  auto plan = PlanData(*data, command.plan);
  if (!plan.ok()) return plan.status();
  TrainingData set;
  for (const TrainingArchitecture& t : data->architectures) {
    set.architectures.push_back(t.name);
  }
  set.auxiliary = data->architectures.size() - data->served();
  set.training = plan->training;
  set.validation = plan->validation;
  set.encoding = command.inputs == "raw"
                     ? MakeRawEncoding(*data->schema, plan->training)
                     : MakeEncoding(*data->schema, plan->training);
  status = DropFeatures(command.drop_features, &set.encoding);
  if (!status.ok()) return status;
  if (std::all_of(plan->training.begin(), plan->training.end(),
                  [](const Slice& s) { return s.program->partial; })) {
    return absl::InvalidArgumentError(
        "every training program is partial: at least one must have latencies "
        "on all architectures");
  }
  auto model = Train(set, command.options, peers.get());
  if (!model.ok()) return model.status();
  if (!first) return absl::OkStatus();  // all have the same; one goes on

  // Auxiliary architectures have done their part.
  const int h = command.options.width, a = data->served();
  set.architectures.resize(a);
  model->scales.resize(a);
  const auto table_begin =
      model->network->parameters().begin() + model->network->table_offset();
  const std::vector<double> initial(table_begin, table_begin + h * a);
  const std::vector<Evaluated> known =
      Gather(*model, plan->training, command.fit_instructions);
  const std::vector<Evaluated> validation =
      Gather(*model, plan->validation, SIZE_MAX);
  auto weights = ChooseWeights(known, validation, h, a, initial);
  if (!weights.ok()) return weights.status();
  std::vector<const ProgramEvidence*> all;
  for (const Evaluated& p : known) all.push_back(&p.evidence);
  auto table = FitArchitectures(all, h, a, *weights, initial);
  if (!table.ok()) return table.status();
  const json report =
      Report(validation, known, *table, initial, set.architectures, h);
  std::printf("%s\n", report.dump(2).c_str());
  if (!command.report.empty()) {
    std::ofstream out(command.report);
    out << report.dump(2) << "\n";
    if (!out.flush()) {
      return absl::UnavailableError(
          absl::StrCat(command.report, ": cannot be written"));
    }
  }
  if (!saves) return absl::OkStatus();

  compute::Manifest manifest;
  manifest.name = command.name;
  manifest.feature_schema = std::string(data->schema->id);
  manifest.inputs = model->encoding;
  manifest.layers = command.options.layers;
  manifest.width = h;
  for (int j = 0; j < a; ++j) {
    manifest.architectures.push_back(
        {data->architectures[j].name, data->architectures[j].parameters_json});
  }
  manifest.license = command.license;
  manifest.provenance_json = Provenance(fields, *plan, *model, report).dump();
  auto foundation = compute::FoundationModel::Create(
      std::move(manifest), Tensors(*model->network, *table, model->scales));
  if (!foundation.ok()) return foundation.status();
  status = foundation->Save(command.out);
  if (status.ok()) std::printf("model %s\n", foundation->id().c_str());
  return status;
}

std::string Flag(const std::string& name) {
  return "--" + absl::StrReplaceAll(name, {{"_", "-"}});
}

void AddOption(CLI::App* sub, const OptionField& f) {
  std::visit(
      [&](auto* value) {
        using T = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, bool>) {
          sub->add_flag(Flag(f.name) + ",!--no-" + Flag(f.name).substr(2),
                        *value, f.help);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          sub->add_option(Flag(f.name), *value, f.help)->delimiter(',');
        } else {
          sub->add_option(Flag(f.name), *value, f.help)->capture_default_str();
        }
      },
      f.value);
}

}  // namespace

void AddTrainCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  auto config = std::make_shared<std::string>();
  CLI::App* sub = app->add_subcommand(
      "train", "Train a foundation model on traces with simulated latencies");
  sub->add_option("--config", *config,
                  "JSON object with any of the options below, '_' for '-'; "
                  "the command line wins");
  for (const OptionField& f : Fields(command.get())) AddOption(sub, f);
  sub->callback([command, config, sub, exit_code] {
    absl::Status status;
    if (!config->empty()) {
      const std::vector<OptionField> fields = Fields(command.get());
      std::set<std::string> given;
      for (const OptionField& f : fields) {
        if (sub->count(Flag(f.name)) > 0) given.insert(f.name);
      }
      status = ReadConfig(*config, given, fields);
    }
    if (status.ok()) status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker train: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::train
