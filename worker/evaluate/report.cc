#include "worker/evaluate/report.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

// Column of eight characters: "12.34 %", or a dash for what is not defined.
std::string Percent(double share) {
  if (!std::isfinite(share)) return absl::StrFormat("%8s", "-");
  return absl::StrFormat("%7.2f%%", 100 * share);
}
std::string Number(double value) {
  if (!std::isfinite(value)) return absl::StrFormat("%7s", "-");
  return absl::StrFormat("%7.3f", value);
}

json Defined(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

std::vector<std::string> Names(const Evaluation& e,
                               const std::vector<size_t>& architectures) {
  std::vector<std::string> names;
  for (size_t a : architectures) {
    names.push_back(e.plan.architectures[a].name);
  }
  return names;
}

std::pair<const char*, const char*> GroupNames(const PlannedSplit& split) {
  if (split.name == kUnseenArchitecturesSplit) {
    return {"trained_on", "not_trained_on"};
  }
  return {"family_shared", "family_disjoint"};
}

void AppendSummaryRow(const std::string& name, const Summary& s,
                      std::string* out) {
  absl::StrAppend(out, absl::StrFormat("%-22s", name), Percent(s.mean),
                  Percent(s.p95), Percent(s.max), Percent(s.whole_mean),
                  Percent(s.cold_mean), Percent(s.rest_mean),
                  Percent(s.interval_mean), Percent(s.interval_p95),
                  Percent(s.choice_loss_mean), Number(s.kendall), "\n");
}

void AppendSplit(const Evaluation& e, const SplitResult& r, std::string* out) {
  absl::StrAppendFormat(
      out, "\n== %s: %s ==\n%d programs, %d architectures, %d errors\n",
      r.split.name, r.split.title, r.all.programs, r.split.architectures.size(),
      r.all.cells);
  absl::StrAppendFormat(out, "%-22s%8s%8s%8s%8s%8s%8s%8s%8s%8s%7s\n", "program",
                        "mean", "p95", "max", "whole", "cold", "rest", "10k",
                        "10k p95", "choice", "tau");
  for (const ProgramErrors& p : ByProgram(r.cells)) {
    const PlannedProgram& program = e.plan.programs[p.program];
    absl::StrAppend(
        out,
        absl::StrFormat(
            "%-22s",
            absl::StrCat(program.entry.name, program.family_shared ? "" : "*")),
        Percent(p.mean), Percent(p.p95), Percent(p.max), Percent(p.whole_mean),
        Percent(p.cold_mean), Percent(p.rest_mean), Percent(p.interval_mean),
        Percent(p.interval_p95), Percent(p.choice_loss), Number(p.kendall),
        "\n");
  }
  AppendSummaryRow("all", r.all, out);
  if (!r.first_group.empty() && !r.second_group.empty()) {
    AppendSummaryRow(GroupNames(r.split).first, r.first, out);
    AppendSummaryRow(GroupNames(r.split).second, r.second, out);
  }
  absl::StrAppendFormat(
      out,
      "mean %.2f %%, 95 %% interval over programs %.2f to %.2f %%; worst "
      "program %.2f %%; largest choice loss %.2f %%; Spearman %.3f\n",
      100 * r.all.mean, 100 * r.all.mean_interval.low,
      100 * r.all.mean_interval.high, 100 * r.all.worst_program_mean,
      100 * r.all.choice_loss_max, r.all.spearman);
  for (const RivalResult& rival : r.rivals) {
    if (rival.cells.empty()) continue;
    absl::StrAppend(
        out, absl::StrFormat("rival %-16s", RivalName(rival.rival)),
        Percent(rival.all.mean), Percent(rival.all.p95), Percent(rival.all.max),
        absl::StrFormat("   interval %.2f to %.2f %%, choice%s, tau%s\n",
                        100 * rival.all.mean_interval.low,
                        100 * rival.all.mean_interval.high,
                        Percent(rival.all.choice_loss_mean),
                        Number(rival.all.kendall)));
  }
}

json SummaryJson(const Summary& s) {
  return {{"programs", s.programs},
          {"errors", s.cells},
          {"mean_error", Defined(s.mean)},
          {"mean_error_low", Defined(s.mean_interval.low)},
          {"mean_error_high", Defined(s.mean_interval.high)},
          {"p95_error", Defined(s.p95)},
          {"max_error", Defined(s.max)},
          {"worst_program_mean_error", Defined(s.worst_program_mean)},
          {"whole_trace_mean_error", Defined(s.whole_mean)},
          {"cold_mean_error", Defined(s.cold_mean)},
          {"cold_share_of_time", Defined(s.cold_share)},
          {"rest_mean_error", Defined(s.rest_mean)},
          {"interval_mean_error", Defined(s.interval_mean)},
          {"interval_p95_error", Defined(s.interval_p95)},
          {"mean_choice_loss", Defined(s.choice_loss_mean)},
          {"max_choice_loss", Defined(s.choice_loss_max)},
          {"kendall_tau", Defined(s.kendall)},
          {"spearman_rho", Defined(s.spearman)}};
}

json PairJson(const TimePair& p) {
  return {{"time_tenth_ns", p.time},
          {"predicted_tenth_ns", p.predicted},
          {"error", Defined(p.error())}};
}

json CellJson(const Cell& cell, bool of_model) {
  json out = PairJson(cell.headline);
  if (!of_model) return out;
  if (cell.whole.time > 0) out["whole_trace"] = PairJson(cell.whole);
  out["cold"] = PairJson(cell.Part(ColdKinds()));
  out["rest"] = PairJson(cell.Part(AllKinds() & ~ColdKinds()));
  out["interval_mean_error"] = Defined(Average(cell.interval_errors));
  out["interval_p95_error"] = Defined(Percentile(cell.interval_errors, 95));
  json& kinds = out["kinds"];
  for (int k = 0; k < kInstructionKinds; ++k) {
    kinds[std::string(KindName(k))] = {cell.kinds[k].time,
                                       cell.kinds[k].predicted};
  }
  return out;
}

// Of every program, the error of every architecture.
json CellsJson(const Evaluation& e, const PlannedSplit& split,
               const std::vector<Cell>& cells, bool of_model) {
  json programs = json::array();
  const std::vector<ProgramErrors> by_program = ByProgram(cells);
  size_t at = 0;
  for (const ProgramErrors& p : by_program) {
    const PlannedProgram& program = e.plan.programs[p.program];
    json out = {{"program", program.entry.name},
                {"family", program.entry.family},
                {"family_shared", program.family_shared},
                {"trained_on", program.trained},
                {"mean_error", Defined(p.mean)},
                {"p95_error", Defined(p.p95)},
                {"max_error", Defined(p.max)},
                {"choice_loss", Defined(p.choice_loss)},
                {"kendall_tau", Defined(p.kendall)},
                {"spearman_rho", Defined(p.spearman)}};
    if (of_model) {
      const Range range = split.tail ? program.tail : program.headline;
      out["first_instruction"] = range.begin;
      out["instructions"] = range.size();
      out["whole_trace_mean_error"] = Defined(p.whole_mean);
      out["cold_mean_error"] = Defined(p.cold_mean);
      out["cold_share_of_time"] = Defined(p.cold_share);
      out["rest_mean_error"] = Defined(p.rest_mean);
      out["interval_mean_error"] = Defined(p.interval_mean);
      out["interval_p95_error"] = Defined(p.interval_p95);
      json& counts = out["kind_instructions"];
      for (int k = 0; k < kInstructionKinds; ++k) {
        counts[std::string(KindName(k))] =
            e.sums[p.program].Count(range, KindSet{1} << k);
      }
    }
    json& architectures = out["architectures"];
    for (; at < cells.size() && cells[at].program == p.program; ++at) {
      architectures[e.plan.architectures[cells[at].architecture].name] =
          CellJson(cells[at], of_model);
    }
    programs.push_back(std::move(out));
  }
  return programs;
}

}  // namespace

std::string TextReport(const Evaluation& e, const EvaluationOptions& options) {
  std::string out = absl::StrFormat(
      "model %s (%s)\n|T - predicted| / T; the first %d instructions of each "
      "trace are left out but under 'whole'; * family not in training\n",
      e.model->id().substr(0, 16), e.model->manifest().name,
      options.plan.left_out_instructions);
  for (const SplitResult& r : e.splits) AppendSplit(e, r, &out);
  absl::StrAppend(&out, "\n");
  if (!e.learning.empty()) absl::StrAppend(&out, e.learning, "\n");
  if (e.rival_programs > 0) {
    absl::StrAppendFormat(
        &out,
        "rivals: fitted on %d programs; scaled from %s; regression with ridge "
        "%g; completion of rank %d from %s\n",
        e.rival_programs, options.reference, e.rival_ridge, e.rival_rank,
        absl::StrJoin(Names(e, e.rival_given), ", "));
  }
  for (const std::string& note : e.notes) {
    absl::StrAppend(&out, "note: ", note, "\n");
  }
  absl::StrAppendFormat(&out,
                        "this model has been opened on unseen data %d time%s\n",
                        e.times_opened, e.times_opened == 1 ? "" : "s");
  return out;
}

json JsonReport(const Evaluation& e, const EvaluationOptions& options) {
  json out = {{"model_id", e.model->id()},
              {"model_name", e.model->manifest().name},
              {"data", options.data},
              {"instructions_left_out", options.plan.left_out_instructions},
              {"interval_instructions", options.plan.interval_instructions},
              {"bootstrap",
               {{"resamples", options.summary.resamples},
                {"seed", options.summary.seed}}},
              {"times_opened_on_unseen", e.times_opened},
              {"learning", e.learning},
              {"notes", e.notes},
              {"splits", json::array()}};
  if (e.rival_programs > 0) {
    out["rivals"] = {{"programs", e.rival_programs},
                     {"scaled_from", options.reference},
                     {"ridge", e.rival_ridge},
                     {"completion_rank", e.rival_rank},
                     {"completion_from", Names(e, e.rival_given)}};
  }
  for (const SplitResult& r : e.splits) {
    json split = {{"split", r.split.name},
                  {"title", r.split.title},
                  {"architectures", Names(e, r.split.architectures)},
                  {"summary", SummaryJson(r.all)},
                  {GroupNames(r.split).first, SummaryJson(r.first)},
                  {GroupNames(r.split).second, SummaryJson(r.second)},
                  {"programs", CellsJson(e, r.split, r.cells, true)},
                  {"rivals", json::object()}};
    for (const RivalResult& rival : r.rivals) {
      split["rivals"][std::string(RivalName(rival.rival))] = {
          {"summary", SummaryJson(rival.all)},
          {"programs", CellsJson(e, r.split, rival.cells, false)}};
    }
    out["splits"].push_back(std::move(split));
  }
  return out;
}

}  // namespace perfvec::train
