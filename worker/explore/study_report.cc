#include "worker/explore/study_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "worker/explore/surface_svg.h"

namespace perfvec::explore {
namespace {

using nlohmann::json;

double LearnAndSweepSeconds(const Study& s) {
  return s.learn_seconds + s.network_seconds + s.sweep_seconds;
}

json SummaryJson(const ChooserSummary& s) {
  return {{"programs", s.programs},
          {"beaten_mean", s.beaten_mean},
          {"top_five", s.top_five},
          {"excess_mean", s.excess_mean},
          {"excess_max", s.excess_max}};
}

// Of each design the variants' times, and what choosing by the prediction
// costs.
std::string VariantsText(const Study& study) {
  std::string out;
  const StudyFolder& variants = study.variants;
  for (size_t d = 0; d < variants.designs.size(); ++d) {
    absl::StrAppendFormat(&out, "\n%-20s %14s %14s %8s %22s\n",
                          variants.designs[d].name, "simulated us",
                          "predicted us", "error", "90 % interval");
    size_t best = 0, chosen = 0;
    double error = 0;
    const auto simulated = [&](size_t p) {
      return 0.1 * variants.programs[p].simulated[d];
    };
    const auto predicted = [&](size_t p) {
      return study.variant_times.programs[p].time_ns[d];
    };
    for (size_t p = 0; p < variants.programs.size(); ++p) {
      const ExploredTimes& t = study.variant_times.programs[p];
      if (simulated(p) < simulated(best)) best = p;
      if (predicted(p) < predicted(chosen)) chosen = p;
      const double off = predicted(p) / simulated(p) - 1;
      error += std::fabs(off) / variants.programs.size();
      absl::StrAppendFormat(
          &out, "%-20s %14.1f %14.1f %+6.1f %% %11.1f%11.1f\n",
          variants.programs[p].name, simulated(p) / 1000, predicted(p) / 1000,
          100 * off, t.low_ns[d] / 1000, t.high_ns[d] / 1000);
    }
    absl::StrAppendFormat(
        &out,
        "mean error %.1f %%; fastest simulated %s, predicted %s, which is "
        "%.1f %% slower\n",
        100 * error, variants.programs[best].name,
        variants.programs[chosen].name,
        100 * (simulated(chosen) / simulated(best) - 1));
  }
  return out;
}

json VariantsJson(const Study& study) {
  json out = json::array();
  for (size_t p = 0; p < study.variants.programs.size(); ++p) {
    const ExploredTimes& t = study.variant_times.programs[p];
    json designs;
    for (size_t d = 0; d < study.variants.designs.size(); ++d) {
      designs[study.variants.designs[d].name] = {
          {"simulated_time_ns", 0.1 * study.variants.programs[p].simulated[d]},
          {"time_ns", t.time_ns[d]},
          {"low_ns", t.low_ns[d]},
          {"high_ns", t.high_ns[d]}};
    }
    out.push_back({{"name", t.name}, {"designs", std::move(designs)}});
  }
  return out;
}

}  // namespace

std::string StudyText(const Study& study) {
  const StudyFolder& folder = study.folder;
  std::string out = absl::StrFormat(
      "%d designs, %d sampled; model %s\n", folder.designs.size(),
      folder.Sampled().size(), study.model_id.substr(0, 12));
  if (study.represented_instructions > 0) {
    absl::StrAppendFormat(&out, "represented %.0f instructions in %.1f s\n",
                          study.represented_instructions,
                          study.represent_seconds);
  }
  absl::StrAppendFormat(
      &out,
      "vectors learned in %.2f s from the base %s: rank %d, prior %g, "
      "interval %g; a program left out, design against design, errs by %.1f "
      "%%\n",
      study.learn_seconds, study.base, study.learned.weights.rank,
      study.learned.weights.prior, study.learned.weights.interval,
      100 * study.learned.left_out_error);
  absl::StrAppendFormat(
      &out,
      "network of %d hidden units, penalty %g, in %.2f s; loss on a "
      "design left out %.4f\n",
      study.network.size.hidden, study.network.size.penalty,
      study.network_seconds, study.network.loss);
  absl::StrAppendFormat(
      &out, "sweep in %.3f s; learning, network and sweep: %.2f s\n\n",
      study.sweep_seconds, LearnAndSweepSeconds(study));
  absl::StrAppendFormat(&out, "%-20s %-7s %9s  %-16s %8s %8s  %s\n", "program",
                        "role", "time err", "chosen", "beaten by", "excess",
                        "best simulated");
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    const Choice& c = study.choosers[0].choices[p];
    const size_t best =
        std::min_element(study.truth[p].begin(), study.truth[p].end()) -
        study.truth[p].begin();
    absl::StrAppendFormat(
        &out, "%-20s %-7s %7.1f %%  %-16s %7.1f %% %6.1f %%  %s\n",
        folder.programs[p].name,
        folder.programs[p].training ? "train" : "target",
        100 * study.time_error[p], folder.designs[c.design].name,
        100 * c.beaten, 100 * c.excess, folder.designs[best].name);
  }
  absl::StrAppendFormat(&out, "\n%-44s %10s %9s %9s\n", "over the targets",
                        "beaten by", "top five", "excess");
  for (const Chooser& chooser : study.choosers) {
    const ChooserSummary s = SummariseChooser(folder, chooser, false);
    absl::StrAppendFormat(&out, "%-44s %8.1f %% %6.0f %% %7.1f %%\n",
                          chooser.name, 100 * s.beaten_mean, 100 * s.top_five,
                          100 * s.excess_mean);
  }
  absl::StrAppendFormat(
      &out,
      "\n90 %% intervals hold %.1f %% of the targets' simulated times; "
      "%d predicted times are out of range\n",
      100 * study.coverage, study.exploration.out_of_range);
  return out + VariantsText(study);
}

json StudyJson(const Study& study) {
  const StudyFolder& folder = study.folder;
  json out = {{"model_id", study.model_id},
              {"objective", study.objective},
              {"base", study.base},
              {"rank", study.learned.weights.rank},
              {"prior_weight", study.learned.weights.prior},
              {"interval_weight", study.learned.weights.interval},
              {"left_out_program_error", study.learned.left_out_error},
              {"hidden", study.network.size.hidden},
              {"penalty", study.network.size.penalty},
              {"left_out_design_loss", study.network.loss},
              {"represented_instructions", study.represented_instructions},
              {"represent_seconds", study.represent_seconds},
              {"learn_seconds", study.learn_seconds},
              {"network_seconds", study.network_seconds},
              {"sweep_seconds", study.sweep_seconds},
              {"interval_coverage", study.coverage},
              {"out_of_range", study.exploration.out_of_range}};
  for (const TriedSize& t : study.tried) {
    out["tried"].push_back({{"hidden", t.size.hidden},
                            {"penalty", t.size.penalty},
                            {"loss", t.loss}});
  }
  for (const StudyDesign& d : folder.designs) {
    json design = {{"name", d.name}, {"sampled", d.sampled}};
    for (size_t i = 0; i < folder.parameters.size(); ++i) {
      design["parameters"][folder.parameters[i]] = d.parameters[i];
    }
    out["designs"].push_back(std::move(design));
  }
  for (size_t p = 0; p < folder.programs.size(); ++p) {
    const ExploredTimes& t = study.exploration.programs[p];
    std::vector<double> simulated = folder.programs[p].simulated;
    for (double& time : simulated) time *= 0.1;
    out["programs"].push_back(
        {{"name", t.name},
         {"role", folder.programs[p].training ? "train" : "target"},
         {"time_ns", t.time_ns},
         {"low_ns", t.low_ns},
         {"high_ns", t.high_ns},
         {"objective", t.objective},
         {"ranking", t.ranking},
         {"simulated_time_ns", simulated},
         {"simulated_objective", study.truth[p]},
         {"time_error", study.time_error[p]}});
  }
  for (const Chooser& chooser : study.choosers) {
    json one = {
        {"name", chooser.name},
        {"targets", SummaryJson(SummariseChooser(folder, chooser, false))},
        {"training", SummaryJson(SummariseChooser(folder, chooser, true))}};
    for (const Choice& c : chooser.choices) {
      one["choices"].push_back({{"design", folder.designs[c.design].name},
                                {"beaten", c.beaten},
                                {"excess", c.excess}});
    }
    out["choosers"].push_back(std::move(one));
  }
  if (!study.variants.programs.empty()) out["variants"] = VariantsJson(study);
  return out;
}

absl::StatusOr<std::string> StudyPicture(const Study& study) {
  std::vector<Point> points;
  for (const StudyDesign& d : study.folder.designs) {
    points.push_back(d.parameters);
  }
  std::vector<Surface> surfaces;
  for (size_t p = 0; p < study.folder.programs.size(); ++p) {
    surfaces.push_back({study.folder.programs[p].name,
                        study.exploration.programs[p].objective,
                        study.truth[p]});
  }
  return DrawSurfaces(study.objective, study.space, points, surfaces);
}

}  // namespace perfvec::explore
