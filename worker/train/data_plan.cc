#include "worker/train/data_plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/features/rich_schema.h"
#include "worker/train/sampler.h"

namespace perfvec::train {
namespace {

struct FeatureRange {
  const char* group;
  int begin, end;
};
constexpr FeatureRange kFeatureGroups[] = {
    {"memory", compute::kFeatureFetchDistance,
     compute::kFeatureFetchDistance + 1},
    {"memory", compute::kFeatureLoadDistance,
     compute::kFeatureReuseInstructions + 1},
    {"memory", compute::kRichDataDistance, compute::kRichMispredictions},
    {"branch", compute::kFeatureEntropyBefore,
     compute::kFeatureEntropyAfter + 1},
    {"branch", compute::kRichMispredictions, compute::kRichFeatureCount},
    {"dependences", compute::kRichProducers, compute::kRichGrowth},
    {"machines", compute::kRichGrowth, compute::kRichDataDistance},
    {"machines", compute::kRichFeatureCount, compute::kCoresFeatureCount},
    {"cores", compute::kRichFeatureCount, compute::kCoresFeatureCount},
};

absl::StatusOr<std::set<std::string>> ValidationFamilies(
    const std::set<std::string>& families, const DataPlanOptions& options) {
  std::set<std::string> chosen;
  if (options.all_families) return chosen;
  for (const std::string& name : options.validate_families) {
    if (families.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "validate_families: ", name, " is no family of the data"));
    }
    chosen.insert(name);
  }
  if (!chosen.empty()) return chosen;
  const int every = options.validate_every;
  if (every < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("validate_every: expected 1 or more, found ", every));
  }
  int index = 0;
  for (const std::string& name : families) {
    if (index++ % every == every * 5 / 8) chosen.insert(name);
  }
  return chosen;
}

// In an order drawn with the seed, until the share is reached.
std::set<std::string> DrawFamilies(const Dataset& data,
                                   std::vector<std::string> families,
                                   const DataPlanOptions& options) {
  Random random(options.seed ^ 0xfa111e5);
  for (size_t i = families.size(); i > 1; --i) {
    std::swap(families[i - 1], families[random.Below(i)]);
  }
  const auto instructions = [&](const std::string& family) {
    double n = 0;
    for (const TrainingProgram& p : data.programs) {
      if (p.family == family) n += p.instructions;
    }
    return n;
  };
  double all = 0, have = 0;
  for (const std::string& family : families) all += instructions(family);
  std::set<std::string> drawn;
  for (const std::string& family : families) {
    if (have >= options.data_fraction * all) break;
    have += instructions(family);
    drawn.insert(family);
  }
  return drawn;
}

}  // namespace

absl::StatusOr<DataPlan> PlanData(const Dataset& data,
                                  const DataPlanOptions& options) {
  if (!(options.holdout_tail >= 0 && options.holdout_tail < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "holdout_tail: expected 0 or more, and less than 1, found ",
        options.holdout_tail));
  }
  if (!(options.data_fraction > 0 && options.data_fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data_fraction: expected more than 0, at most 1, found ",
                     options.data_fraction));
  }
  std::set<std::string> families;
  for (const TrainingProgram& p : data.programs) families.insert(p.family);
  auto held_back = ValidationFamilies(families, options);
  if (!held_back.ok()) return held_back.status();
  std::vector<std::string> others;
  std::set_difference(families.begin(), families.end(), held_back->begin(),
                      held_back->end(), std::back_inserter(others));
  const std::set<std::string> drawn = DrawFamilies(data, others, options);

  DataPlan plan;
  plan.validation_families.assign(held_back->begin(), held_back->end());
  for (const TrainingProgram& p : data.programs) {
    const size_t n = p.instructions;
    if (held_back->count(p.family) > 0) {
      if (p.partial) {
        return absl::InvalidArgumentError(absl::StrCat(
            "program ", p.name, ": a program of a validation family (",
            p.family,
            ") must have latencies on all architectures; it is "
            "partial: give it another family, or validate by others"));
      }
      plan.validation.push_back({&p, 0, n});
    }
    if (drawn.count(p.family) == 0) continue;
    const size_t tail = n - static_cast<size_t>(options.holdout_tail * n);
    if (tail == n) {
      plan.training.push_back({&p, 0, n});
      continue;
    }
    if (tail <= kTailGap) {
      return absl::InvalidArgumentError(
          absl::StrCat("program ", p.name, ": nothing is left of its ", n,
                       " instructions before the tail and the gap"));
    }
    plan.training.push_back({&p, 0, tail - kTailGap});
    plan.tails.push_back({&p, tail, n});
  }
  if (plan.training.empty()) {
    return absl::InvalidArgumentError("no program is left to train on");
  }
  if (plan.validation.empty()) plan.validation = plan.tails;
  return plan;
}

absl::Status DropFeatures(const std::vector<std::string>& groups,
                          compute::InputEncoding* encoding) {
  auto& columns = encoding->columns;
  for (const std::string& group : groups) {
    bool known = false;
    for (const FeatureRange& range : kFeatureGroups) {
      if (group != range.group) continue;
      known = true;
      if (range.begin >= compute::kRichFeatureCount) encoding->passed = 0;
      columns.erase(std::remove_if(columns.begin(), columns.end(),
                                   [&](const compute::InputColumn& c) {
                                     return c.feature >= range.begin &&
                                            c.feature < range.end;
                                   }),
                    columns.end());
    }
    if (!known) {
      return absl::InvalidArgumentError(absl::StrCat(
          "drop_features: expected memory, branch, dependences, machines or "
          "cores, found ",
          group));
    }
  }
  return absl::OkStatus();
}

}  // namespace perfvec::train
