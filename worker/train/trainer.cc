#include "worker/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/trace/format.h"
#include "worker/train/adam.h"
#include "worker/train/agreement.h"
#include "worker/train/checkpoint.h"
#include "worker/train/loss.h"
#include "worker/train/sampler.h"
#include "worker/train/validation.h"

namespace perfvec::train {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// Equal for equal data, whatever they were read from.
std::string Fingerprint(const TrainingData& data) {
  std::string text;
  for (const std::string& name : data.architectures) {
    absl::StrAppend(&text, name, "\n");
  }
  for (const auto* slices : {&data.training, &data.validation}) {
    for (const Slice& s : *slices) {
      absl::StrAppend(&text, s.program->name, " ", s.begin, " ", s.end);
      for (double sum : s.program->rows->LatencySums(s.begin, s.end)) {
        absl::StrAppend(&text, " ", static_cast<uint64_t>(sum));
      }
      absl::StrAppend(&text, "\n");
    }
  }
  for (const compute::InputColumn& c : data.encoding.columns) {
    absl::StrAppend(&text, c.feature, " ", static_cast<int>(c.transform), " ",
                    c.value, " ", c.mean, " ", c.deviation, "\n");
  }
  return absl::StrCat(absl::Hex(trace::Checksum(text), absl::kZeroPad16));
}

class Run {
 public:
  Run(const TrainingData& data, const TrainOptions& options, Peers* peers)
      : data_(data),
        peers_(peers),
        options_(Share(options, peers)),
        scaling_(MakeScaling(data.training, options)) {
    TrainOptions copy = options;
    identity_ = OptionsJson(OptionFields(&copy), /*only_deciding=*/true);
    if (PeerCount(peers) > 1) identity_["world_size"] = PeerCount(peers);
    for (size_t p = PeerRank(peers); p < data.validation.size();
         p += PeerCount(peers)) {
      own_validation_.push_back(data.validation[p]);
    }
  }

  // Stops after update `until`, as a kill would.
  absl::StatusOr<TrainedModel> Go(int64_t until) {
    absl::Status status = Prepare();
    until = std::min<int64_t>(until, options_.updates);
    while (status.ok() && adam_->steps < until && !Stopped()) {
      status = Update();
      if (status.ok()) status = AfterUpdate();
    }
    if (!status.ok()) return status;
    TrainedModel model;
    model.encoding = data_.encoding;
    model.scales = scaling_.architecture;
    model.update = model.updates_done = adam_->steps;
    if (best_.update > 0) {
      network_->parameters() = best_.parameters;
      model.update = best_.update;
      model.averaged = best_.averaged;
      model.validation_error = best_.error;
    } else if (!adam_->average.empty()) {
      network_->parameters() = adam_->average;
      model.averaged = true;
    }
    model.network = std::move(network_);
    if (options_.bf16) {
      // What is fitted and measured next are representations as the service
      // computes them, in single precision.
      NetworkShape shape = model.network->shape();
      shape.bf16 = false;
      auto exact = MakeNetwork(shape);
      if (!exact.ok()) return exact.status();
      (*exact)->parameters() = model.network->parameters();
      model.network = *std::move(exact);
    }
    return model;
  }

 private:
  // This process's share of the lanes.
  static TrainOptions Share(TrainOptions options, const Peers* peers) {
    options.lanes /= PeerCount(peers);
    return options;
  }

  absl::Status Prepare() {
    const NetworkShape shape = {
        .inputs = static_cast<int>(data_.encoding.width()),
        .width = options_.width,
        .layers = options_.layers,
        .architectures = static_cast<int>(data_.architectures.size()),
        .seed = options_.seed,
        .family = options_.family,
        .bf16 = options_.bf16,
        .threads = options_.threads,
        .passed = data_.encoding.passed};
    auto network = MakeNetwork(shape);
    if (!network.ok()) return network.status();
    network_ = *std::move(network);
    network_->ResetLanes(options_.lanes);
    adam_ = std::make_unique<Adam>(network_->parameters().size());
    sampler_ =
        std::make_unique<Sampler>(data_.training, data_.encoding, scaling_,
                                  options_, options_.seed + PeerRank(peers_));
    derivative_.resize(sampler_->targets().size());
    auto validation =
        Validation::Create(own_validation_, data_.encoding,
                           {scaling_.architecture.begin(),
                            scaling_.architecture.end() - data_.auxiliary},
                           shape, options_.validate_segments);
    if (!validation.ok()) return validation.status();
    validation_ = *std::move(validation);
    fingerprint_ = Fingerprint(data_);
    absl::Status status = CheckSameForAll(
        peers_,
        absl::StrCat(identity_.dump(), fingerprint_, options_.log_updates, " ",
                     options_.checkpoint_updates, options_.checkpoint.empty()),
        "options and data");
    if (!status.ok()) return status;
    if (!options_.log.empty() && PeerRank(peers_) == 0) {
      log_.open(options_.log, std::ios::app);
      if (!log_) {
        return absl::UnavailableError(
            absl::StrCat("log ", options_.log, ": cannot be written"));
      }
    }
    shown_time_ = Clock::now();
    return options_.checkpoint.empty() ? absl::OkStatus() : Restore();
  }

  absl::Status Restore() {
    auto found = LoadCheckpointOf(peers_, options_.checkpoint);
    if (absl::IsNotFound(found.status())) return absl::OkStatus();
    if (!found.ok()) return found.status();
    absl::Status status =
        CheckSameRun(options_.checkpoint, *found, identity_, fingerprint_);
    if (!status.ok()) return status;
    // Sizes follow from options and data, which are the same.
    network_->parameters() = std::move(found->parameters);
    network_->SetLaneState(found->lane_state, options_.lanes);
    adam_->mean = std::move(found->mean);
    adam_->square = std::move(found->square);
    adam_->average = std::move(found->average);
    adam_->steps = found->steps;
    sampler_->set_state(found->sampler);
    best_ = std::move(found->best);
    shown_loss_ = found->shown_loss;
    shown_error_ = found->shown_error;
    gradient_length_ = found->shown_gradient;
    shown_ = found->shown;
    timed_from_ = adam_->steps;
    Log({{"resumed_at", adam_->steps}});
    return absl::OkStatus();
  }

  absl::Status Save() {
    Checkpoint c;
    c.options = identity_;
    c.data = fingerprint_;
    c.steps = adam_->steps;
    c.parameters = network_->parameters();
    c.mean = adam_->mean;
    c.square = adam_->square;
    c.average = adam_->average;
    c.lane_state = network_->LaneState();
    c.sampler = sampler_->state();
    c.best = best_;
    c.shown_loss = shown_loss_;
    c.shown_error = shown_error_;
    c.shown_gradient = gradient_length_;
    c.shown = shown_;
    return SaveCheckpointOf(peers_, options_.checkpoint, c);
  }

  absl::Status Update() {
    const int a = data_.architectures.size();
    for (int lane : sampler_->Next()) network_->ResetLane(lane);
    network_->Forward(sampler_->inputs().data(), options_.steps,
                      options_.lanes);
    LossOptions loss = options_.loss_options;
    if (options_.loss == "mse") loss.window_weight = 0;
    const LossNumbers numbers = ComputeLoss(
        loss, options_.steps, options_.lanes, a, network_->predictions().data(),
        sampler_->targets().data(), sampler_->keep().data(),
        sampler_->weights().data(), derivative_.data());
    if (options_.architectures_sample > 0 &&
        options_.architectures_sample < a) {
      KeepSampledArchitectures(a);
    }
    network_->Backward(derivative_);
    absl::Status status = Average(peers_, network_->gradients().data(),
                                  network_->gradients().size());
    if (!status.ok()) return status;
    double square = 0;
    for (float g : network_->gradients()) square += double{g} * g;
    gradient_length_ = std::sqrt(square);
    if (!std::isfinite(gradient_length_)) {
      return absl::InternalError(
          absl::StrCat("update ", adam_->steps,
                       ": the gradient is not finite; lower the learning "
                       "rate"));
    }
    adam_->Step(network_->gradients(), gradient_length_, options_,
                network_->table_offset(), &network_->parameters());
    shown_loss_ += numbers.loss;
    shown_error_ += numbers.window_error;
    ++shown_;
    return absl::OkStatus();
  }

  void KeepSampledArchitectures(int a) {
    std::vector<float> factor(a);
    for (int j : sampler_->Choose(a, options_.architectures_sample)) {
      factor[j] = float(a) / options_.architectures_sample;
    }
    for (size_t i = 0; i < derivative_.size(); i += a) {
      for (int j = 0; j < a; ++j) derivative_[i + j] *= factor[j];
    }
  }

  absl::Status AfterUpdate() {
    const int64_t n = adam_->steps;
    const bool last = n == options_.updates;
    absl::Status status;
    if (n % options_.log_updates == 0) status = Show();
    if (status.ok() && options_.validate_updates > 0 &&
        !data_.validation.empty() &&
        (last || n % options_.validate_updates == 0)) {
      status = Validate();
    }
    const bool save =
        !options_.checkpoint.empty() &&
        (last || Stopped() || n % options_.checkpoint_updates == 0);
    return status.ok() && save ? Save() : status;
  }

  bool Stopped() const {
    return options_.patience > 0 && best_.worse_since >= options_.patience;
  }

  // Each process measures some of the programs.
  absl::StatusOr<ValidationResult> Measure(
      const std::vector<float>& parameters) {
    const ValidationResult own = validation_->Run(parameters);
    ValidationResult all;
    all.programs.resize(data_.validation.size());
    for (size_t i = 0; i < own.programs.size(); ++i) {
      all.programs[PeerRank(peers_) + i * PeerCount(peers_)] = own.programs[i];
    }
    if (peers_ != nullptr) {
      absl::Status status =
          peers_->Sum(all.programs.data(), all.programs.size());
      if (!status.ok()) return status;
    }
    for (double error : all.programs) all.error += error / all.programs.size();
    return all;
  }

  absl::Status Validate() {
    const auto started = Clock::now();
    auto measured = Measure(network_->parameters());
    if (!measured.ok()) return measured.status();
    const ValidationResult trained = *std::move(measured);
    const bool has_average = !adam_->average.empty();
    measured = has_average ? Measure(adam_->average) : trained;
    if (!measured.ok()) return measured.status();
    const ValidationResult average = *std::move(measured);
    const bool averaged = has_average && average.error <= trained.error;
    const ValidationResult& better = averaged ? average : trained;
    ++best_.worse_since;
    if (best_.update == 0 || better.error < best_.error) {
      best_ = {better.error, adam_->steps, averaged, 0,
               averaged ? adam_->average : network_->parameters()};
    }
    json programs = json::object();
    for (size_t p = 0; p < data_.validation.size(); ++p) {
      programs[data_.validation[p].program->name] = better.programs[p];
    }
    json line = {{"update", adam_->steps},
                 {"validation_error", trained.error},
                 {"best_error", best_.error},
                 {"best_update", best_.update},
                 {"programs", programs}};
    if (has_average) line["validation_error_averaged"] = average.error;
    Log(line);
    // What it took is not training.
    shown_time_ += Clock::now() - started;
    return absl::OkStatus();
  }

  absl::Status Show() {
    const double seconds =
        std::chrono::duration<double>(Clock::now() - shown_time_).count();
    // After a resumption the sums are of more updates than the time.
    const int64_t timed = std::min(shown_, adam_->steps - timed_from_);
    const double per_update = timed > 0 ? seconds / timed : 0;
    double means[] = {shown_loss_ / shown_, shown_error_ / shown_};
    absl::Status status = Average(peers_, means, 2);
    if (!status.ok()) return status;
    Log({{"update", adam_->steps},
         {"loss", means[0]},
         {"window_error", means[1]},
         {"gradient_norm", gradient_length_},
         {"rate", adam_->Rate(options_)},
         {"instructions_per_second",
          per_update > 0 ? std::round(double(options_.steps) * options_.lanes *
                                      PeerCount(peers_) / per_update)
                         : 0},
         {"seconds_left",
          std::round(per_update * (options_.updates - adam_->steps))}});
    shown_ = 0;
    shown_loss_ = shown_error_ = 0;
    shown_time_ = Clock::now();
    timed_from_ = adam_->steps;
    return absl::OkStatus();
  }

  void Log(const json& line) {
    if (PeerRank(peers_) != 0) return;
    const std::string text = line.dump();
    if (log_.is_open()) log_ << text << std::endl;
    std::fprintf(stderr, "%s\n", text.c_str());
  }

  const TrainingData& data_;
  Peers* const peers_;
  const TrainOptions options_;
  const Scaling scaling_;
  json identity_;
  std::string fingerprint_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Adam> adam_;
  std::unique_ptr<Sampler> sampler_;
  std::vector<Slice> own_validation_;
  std::unique_ptr<Validation> validation_;
  std::vector<float> derivative_;
  Best best_;
  std::ofstream log_;
  double shown_loss_ = 0, shown_error_ = 0, gradient_length_ = 0;
  int64_t shown_ = 0, timed_from_ = 0;
  Clock::time_point shown_time_;
};

}  // namespace

absl::StatusOr<TrainedModel> Train(const TrainingData& data,
                                   const TrainOptions& options, Peers* peers) {
  return TrainUntil(data, options, options.updates, peers);
}

absl::StatusOr<TrainedModel> TrainUntil(const TrainingData& data,
                                        const TrainOptions& options,
                                        int64_t update, Peers* peers) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  if (data.training.empty()) {
    return absl::InvalidArgumentError("no program to train on");
  }
  for (const Slice& s : data.training) {
    if (s.end < s.begin + options.steps) {
      return absl::InvalidArgumentError(absl::StrCat(
          "program ", s.program->name, ": expected ", options.steps,
          " instructions (option steps) or more to train on, found ",
          s.end - s.begin));
    }
  }
  if (options.lanes % PeerCount(peers) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("option lanes: expected a multiple of the ",
                     PeerCount(peers), " processes, found ", options.lanes));
  }
  return Run(data, options, peers).Go(update);
}

}  // namespace perfvec::train
