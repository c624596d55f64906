#include "client/cli/trace_prediction.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/check.h"
#include "worker/model/foundation_model.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/represent_trace.h"

namespace perfvec::client::cli {

absl::StatusOr<PredictedPairs> PredictBoth(const std::string& model_path,
                                           const std::string& a,
                                           const std::string& b,
                                           uint64_t most_instructions) {
  auto loaded = compute::FoundationModel::Load(model_path);
  if (!loaded.ok()) return loaded.status();
  auto model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  const auto& architectures = model->manifest().architectures;
  if (architectures.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model_path, ": the model knows no architecture"));
  }
  PredictedPairs result;
  result.instructions = most_instructions;
  for (const std::string& path : {a, b}) {
    auto info = trace::ReadTraceInfo(path);
    if (!info.ok()) return info.status();
    result.instructions =
        std::min(result.instructions, info->index.instructions);
  }
  const uint64_t segment = model->manifest().segment_length;
  result.instructions -= result.instructions % segment;
  if (result.instructions == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected traces of at least ", segment,
        " instructions, one segment of the model, to predict times from"));
  }
  auto back_end = compute::MakeCpuRepresenter(model, {});
  if (!back_end.ok()) return back_end.status();
  std::vector<std::vector<double>> vectors;
  for (const std::string& path : {a, b}) {
    auto source = trace::OpenFileSource(path);
    if (!source.ok()) return source.status();
    compute::RepresentTraceOptions options;
    options.range.end = result.instructions;
    auto sum =
        compute::RepresentTrace(*std::move(source), back_end->get(), options);
    if (!sum.ok()) return sum.status();
    vectors.push_back(sum->Vector());
  }
  for (size_t i = 0; i < architectures.size(); ++i) {
    PredictedPair pair;
    pair.architecture = architectures[i].name;
    const float* const architecture = model->ArchitectureVector(i);
    for (size_t j = 0; j < vectors[0].size(); ++j) {  // 0.1 ns to ns
      pair.a_ns += 0.1 * vectors[0][j] * architecture[j];
      pair.b_ns += 0.1 * vectors[1][j] * architecture[j];
    }
    result.pairs.push_back(std::move(pair));
  }
  return result;
}

}  // namespace perfvec::client::cli
