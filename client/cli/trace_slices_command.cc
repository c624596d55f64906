// perfvec trace slices: which intervals of an execution stand for the whole.
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/trace_commands.h"
#include "client/tracer/slices.h"

namespace perfvec::client::cli {
namespace {

struct TraceSlicesOptions {
  std::string vectors, base;
  tracer::SliceOptions slices;
};

absl::Status Slices(const Context& context, const TraceSlicesOptions& options) {
  auto vectors = tracer::ReadBlockVectors(options.vectors);
  if (!vectors.ok()) return vectors.status();
  const tracer::SliceChoice choice =
      tracer::ChooseSlices(*vectors, options.slices);
  absl::Status status = tracer::WriteSlices(options.base, choice);
  if (!status.ok()) return status;
  if (context.json) {
    nlohmann::ordered_json slices = nlohmann::json::array();
    for (const auto& slice : choice.slices) {
      slices.push_back(
          {{"interval", slice.interval}, {"weight", slice.weight}});
    }
    std::cout << nlohmann::ordered_json{{"intervals", vectors->size()},
                                        {"unexplained", choice.unexplained},
                                        {"slices", slices}}
                     .dump(1)
              << "\n";
    return absl::OkStatus();
  }
  std::cout << options.base << ".simpoints, " << options.base
            << ".weights: " << choice.slices.size() << " of " << vectors->size()
            << " intervals; "
            << absl::StrFormat("%.1f %%", 100 * choice.unexplained)
            << " of the spread between intervals is not in them\n";
  Table table({{"INTERVAL", Table::kRight}, {"WEIGHT", Table::kRight}},
              OutputWidth());
  for (const auto& slice : choice.slices) {
    table.Add(
        {absl::StrCat(slice.interval), absl::StrFormat("%.4f", slice.weight)});
  }
  std::cout << table.Render();
  return absl::OkStatus();
}

}  // namespace

void AddTraceSlicesCommand(CLI::App& group, Context& context) {
  auto options = std::make_shared<TraceSlicesOptions>();
  CLI::App* command = AddCommand(
      group, "slices",
      "Choose intervals that stand for a whole execution, from its "
      "basic-block vectors (trace run --bbv, or SimPoint's), by clustering. "
      "Writes BASE.simpoints and BASE.weights for trace run --slices BASE",
      {"perfvec trace slices sort.bbv -o sort",
       "perfvec trace slices sort.bbv -o sort --most 10 --json"});
  command
      ->add_option("vectors", options->vectors,
                   "The basic-block vectors of each interval")
      ->type_name(kFileType)
      ->required();
  command
      ->add_option("-o,--output", options->base,
                   "What the names of the two files begin with")
      ->type_name(kFileType)
      ->required();
  command->add_option("--most", options->slices.most, "At most so many slices")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command
      ->add_option("--seed", options->slices.seed,
                   "Of the projection and of the first centres")
      ->capture_default_str();
  SetAction(command, context,
            [&context, options] { return Slices(context, *options); });
}

}  // namespace perfvec::client::cli
