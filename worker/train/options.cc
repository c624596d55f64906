#include "worker/train/options.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

// Levenshtein distance.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

// False if `v` is of another type or does not fit.
bool Set(const json& v, int* out) {
  if (!v.is_number_integer()) return false;
  const int64_t n = v.get<int64_t>();
  *out = static_cast<int>(n);
  return *out == n;
}
bool Set(const json& v, double* out) {
  if (!v.is_number()) return false;
  *out = v.get<double>();
  return true;
}
bool Set(const json& v, bool* out) {
  if (!v.is_boolean()) return false;
  *out = v.get<bool>();
  return true;
}
bool Set(const json& v, uint64_t* out) {
  if (!v.is_number_unsigned()) return false;
  *out = v.get<uint64_t>();
  return true;
}
bool Set(const json& v, std::string* out) {
  if (!v.is_string()) return false;
  *out = v.get<std::string>();
  return true;
}
bool Set(const json& v, std::vector<std::string>* out) {
  if (!v.is_array()) return false;
  out->clear();
  for (const json& item : v) {
    if (!item.is_string()) return false;
    out->push_back(item.get<std::string>());
  }
  return true;
}

const char* TypeName(const OptionValue& value) {
  constexpr const char* kNames[] = {"an integer",    "a number",
                                    "true or false", "an integer of 0 or more",
                                    "a string",      "a list of strings"};
  return kNames[value.index()];
}

}  // namespace

std::vector<OptionField> OptionFields(TrainOptions* o) {
  return {
      {"family", "Kind of network", &o->family},
      {"width", "Width of the representation", &o->width},
      {"layers", "Layers", &o->layers},
      {"bf16", "Products on bfloat16 where the CPU can", &o->bf16},
      {"threads", "Threads of the products", &o->threads, false},
      {"lanes", "Traces walked side by side", &o->lanes},
      {"steps", "Instructions of a lane per update", &o->steps},
      {"pieces_per_visit", "Pieces of steps before a lane jumps",
       &o->pieces_per_visit},
      {"warm_up", "Outputs after a jump that are not in the loss", &o->warm_up},
      {"architectures_sample",
       "Architectures in the loss of an update, drawn anew; 0: all",
       &o->architectures_sample},
      {"loss", "scaled, or the paper's mse", &o->loss},
      {"window_weight", "Weight of the error of each piece's sum",
       &o->loss_options.window_weight},
      {"program_power", "A program counts 1 / (mean latency)^power",
       &o->program_power},
      {"cell_power",
       "On one architecture it counts 1 / (latency there / mean latency)^power",
       &o->cell_power},
      {"updates", "Optimiser steps", &o->updates},
      {"learning_rate", "Adam's peak rate", &o->learning_rate},
      {"learning_rate_warm_up_updates", "Updates until the peak",
       &o->learning_rate_warm_up_updates},
      {"final_rate_share", "Rate at the end, of the peak",
       &o->final_rate_share},
      {"table_rate_factor", "Rate of the architecture vectors, of the others'",
       &o->table_rate_factor},
      {"gradient_norm_limit", "A longer gradient is shortened to this",
       &o->gradient_norm_limit},
      {"weight_decay", "Decay of the network's weights (AdamW)",
       &o->weight_decay},
      {"input_dropout",
       "Chance of an input to be 0 for a visit, in every other visit",
       &o->input_dropout},
      {"ema_decay", "Decay of the averaged weights; 0: none", &o->ema_decay},
      {"seed", "Random seed", &o->seed},
      {"validate_updates", "Validate every so many updates; 0: never",
       &o->validate_updates},
      {"validate_segments", "Segments of each validation program",
       &o->validate_segments},
      {"patience", "Stop after so many validations without a better; 0: never",
       &o->patience},
      {"checkpoint", "File to go on from if it is there, and to write",
       &o->checkpoint, false},
      {"checkpoint_updates", "Write it every so many updates",
       &o->checkpoint_updates, false},
      {"log", "Progress as JSON lines", &o->log, false},
      {"log_updates", "A line every so many updates", &o->log_updates, false},
  };
}

absl::Status CheckOptions(const TrainOptions& o) {
  const auto bad = [](const char* name, const char* expected, double found) {
    return absl::InvalidArgumentError(absl::StrCat(
        "option ", name, ": expected ", expected, ", found ", found));
  };
  const std::pair<const char*, int> positive[] = {
      {"width", o.width},
      {"layers", o.layers},
      {"threads", o.threads},
      {"lanes", o.lanes},
      {"steps", o.steps},
      {"pieces_per_visit", o.pieces_per_visit},
      {"updates", o.updates},
      {"learning_rate_warm_up_updates", o.learning_rate_warm_up_updates},
      {"validate_segments", o.validate_segments},
      {"checkpoint_updates", o.checkpoint_updates},
      {"log_updates", o.log_updates}};
  for (const auto& [name, value] : positive) {
    if (value < 1) return bad(name, "1 or more", value);
  }
  const std::pair<const char*, int> counts[] = {
      {"warm_up", o.warm_up},
      {"architectures_sample", o.architectures_sample},
      {"validate_updates", o.validate_updates},
      {"patience", o.patience}};
  for (const auto& [name, value] : counts) {
    if (value < 0) return bad(name, "0 or more", value);
  }
  if (!(o.learning_rate > 0)) {
    return bad("learning_rate", "more than 0", o.learning_rate);
  }
  if (!(o.gradient_norm_limit > 0)) {
    return bad("gradient_norm_limit", "more than 0", o.gradient_norm_limit);
  }
  if (!(o.ema_decay >= 0 && o.ema_decay < 1)) {
    return bad("ema_decay", "0 or more, and less than 1", o.ema_decay);
  }
  if (!(o.final_rate_share >= 0 && o.final_rate_share <= 1)) {
    return bad("final_rate_share", "0 to 1", o.final_rate_share);
  }
  if (o.warm_up >= o.steps * o.pieces_per_visit) {
    return bad("warm_up", "less than steps * pieces_per_visit", o.warm_up);
  }
  if (o.loss != "scaled" && o.loss != "mse") {
    return absl::InvalidArgumentError(
        absl::StrCat("option loss: expected scaled or mse, found ", o.loss));
  }
  return absl::OkStatus();
}

absl::Status ReadConfig(const std::string& path,
                        const std::set<std::string>& given,
                        const std::vector<OptionField>& fields) {
  std::ifstream in(path);
  if (!in) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  }
  const json config = json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a JSON object"));
  }
  for (const auto& [key, value] : config.items()) {
    const std::string name = key;  // a lambda cannot capture a binding
    const auto it =
        std::find_if(fields.begin(), fields.end(),
                     [&](const OptionField& f) { return f.name == name; });
    if (it == fields.end()) {
      const auto nearest = std::min_element(
          fields.begin(), fields.end(),
          [&](const OptionField& a, const OptionField& b) {
            return Distance(name, a.name) < Distance(name, b.name);
          });
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": unknown key ", name, "; the nearest is ", nearest->name));
    }
    if (given.count(name) > 0) continue;
    const json& found = value;
    if (!std::visit([&](auto* out) { return Set(found, out); }, it->value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": key ", name, ": expected ", TypeName(it->value),
                       ", found ", found.dump()));
    }
  }
  return absl::OkStatus();
}

json OptionsJson(const std::vector<OptionField>& fields, bool only_deciding) {
  json result = json::object();
  for (const OptionField& f : fields) {
    if (only_deciding && !f.decides_model) continue;
    std::visit([&](const auto* v) { result[f.name] = *v; }, f.value);
  }
  return result;
}

}  // namespace perfvec::train
