#include "worker/checkpoint/published_model.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace perfvec::checkpoint {
namespace {

using compute::Tensor;
using compute::TensorMap;

constexpr int kWindow = 256;  // the published seq_length

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

// nn.DataParallel puts "module." before every name.
TensorMap WithoutPrefix(TensorMap tensors) {
  constexpr absl::string_view kPrefix = "module.";
  for (const auto& [name, tensor] : tensors) {
    if (!absl::StartsWith(name, kPrefix)) return tensors;
  }
  TensorMap renamed;
  for (auto& [name, tensor] : tensors) {
    renamed.emplace(std::string(absl::StripPrefix(name, kPrefix)),
                    std::move(tensor));
  }
  return renamed;
}

// Of the shape of a matrix; refuses what is none.
absl::StatusOr<std::pair<int64_t, int64_t>> MatrixShape(
    const TensorMap& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) {
    return Bad(absl::StrCat("model_state_dict: expected \"", name,
                            "\", found none; is it InsLSTM's?"));
  }
  const std::vector<int64_t>& shape = it->second.shape;
  if (shape.size() != 2) {
    return Bad(absl::StrCat("tensor \"", name,
                            "\": expected two dimensions, "
                            "found ",
                            shape.size()));
  }
  return std::make_pair(shape[0], shape[1]);
}

absl::Status CheckVariant(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (absl::StrContains(name, "_reverse")) {
      return Bad(absl::StrCat("tensor \"", name,
                              "\": a bidirectional LSTM, which a trace that "
                              "streams cannot run"));
    }
    if (name == "linear.bias") {
      return Bad(
          "tensor \"linear.bias\": a predictor with bias; expected "
          "bias=False, as times of sums need it");
    }
    if (!absl::StartsWith(name, "lstm.") && name != "linear.weight") {
      return Bad(absl::StrCat("tensor \"", absl::CHexEscape(name),
                              "\" is not a part of InsLSTM without embedding "
                              "and normalisation"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> Statistic(
    const std::map<std::string, std::vector<double>>& stats,
    const std::string& name) {
  const auto it = stats.find(name);
  if (it == stats.end()) {
    return Bad(
        absl::StrCat("stats: expected an array \"", name, "\", found none"));
  }
  if (it->second.size() != compute::kFeatureCount) {
    return Bad(absl::StrCat("stats: \"", name, "\": expected ",
                            compute::kFeatureCount, " numbers, found ",
                            it->second.size()));
  }
  for (double value : it->second) {
    if (!std::isfinite(static_cast<float>(value))) {
      return Bad(absl::StrCat("stats: \"", name,
                              "\": expected finite numbers, found ", value));
    }
  }
  return it->second;
}

}  // namespace

absl::StatusOr<compute::FoundationModel> PublishedModel(
    TorchCheckpoint checkpoint,
    const std::map<std::string, std::vector<double>>& stats,
    const PublishedModelOptions& options) {
  TensorMap tensors = WithoutPrefix(std::move(checkpoint.tensors));
  auto recurrent = MatrixShape(tensors, "lstm.weight_hh_l0");
  if (!recurrent.ok()) return recurrent.status();
  const auto [rows, width] = *recurrent;
  if (rows != 4 * width) {
    return Bad(absl::StrCat("tensor \"lstm.weight_hh_l0\": expected ",
                            4 * width, " rows (four gates of ", width,
                            " units), found ", rows,
                            rows == 3 * width ? ": a GRU" : ""));
  }
  auto predictor = MatrixShape(tensors, "linear.weight");
  if (!predictor.ok()) return predictor.status();
  if (absl::Status s = CheckVariant(tensors); !s.ok()) return s;
  auto mean = Statistic(stats, "mean");
  if (!mean.ok()) return mean.status();
  auto deviation = Statistic(stats, "std");
  if (!deviation.ok()) return deviation.status();

  compute::Manifest m;
  m.name = options.name;
  m.license = options.license;
  m.width = static_cast<int>(std::min<int64_t>(width, compute::kMaxWidth + 1));
  m.mode = compute::Mode::kWindow;
  m.warm_up = kWindow - 1;
  m.layers = 0;
  while (tensors.count(absl::StrCat("lstm.weight_hh_l", m.layers)) > 0) {
    ++m.layers;
  }
  m.bias = tensors.count("lstm.bias_ih_l0") > 0;
  for (int i = 0; i < compute::kFeatureCount; ++i) {
    compute::InputColumn column;
    column.feature = i;
    column.mean = static_cast<float>((*mean)[i]);
    column.deviation = static_cast<float>((*deviation)[i]);
    if (column.deviation == 0) column.deviation = 1;
    m.inputs.columns.push_back(column);
  }
  for (int64_t i = 0; i < predictor->first; ++i) {
    compute::TrainedArchitecture architecture;
    architecture.name = absl::StrCat(options.name, "_", i);
    m.architectures.push_back(std::move(architecture));
  }
  nlohmann::json provenance = options.provenance;
  for (const auto& [name, value] : checkpoint.numbers) {
    if (std::isfinite(value)) provenance["checkpoint"][name] = value;
  }
  m.provenance_json =
      provenance.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  tensors["architecture_vectors"] = std::move(tensors.at("linear.weight"));
  tensors.erase("linear.weight");
  return compute::FoundationModel::Create(std::move(m), std::move(tensors));
}

}  // namespace perfvec::checkpoint
