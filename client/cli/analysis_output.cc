#include "client/cli/analysis_output.h"

#include <cxxabi.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"
#include "client/cli/units.h"
#include "worker/evaluate/svg.h"

namespace perfvec::client::cli {
namespace {

constexpr int kBars = 40;

bool OfCode(const api::AnalyzeProgramResponse& answer) {
  for (const api::ProgramPart& part : answer.parts()) {
    if (!part.function().empty() || part.address() != 0) return true;
  }
  return false;
}

std::string Demangled(const std::string& name) {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed), &std::free);
  return failed == 0 && text != nullptr ? std::string(text.get()) : name;
}

std::string NameOf(const api::ProgramPart& part) {
  const std::string function = Demangled(part.function());
  if (part.address() == 0) return function.empty() ? "(other)" : function;
  return absl::StrFormat("%#x%s%s", part.address(), function.empty() ? "" : " ",
                         function);
}

double PerInstruction(const api::ProgramPart& part, int architecture) {
  const double count = part.scale() * static_cast<double>(part.instructions());
  return count > 0 ? part.time_ns(architecture) / count : 0;
}

std::string Share(double part, double whole) {
  return absl::StrFormat("%.1f %%", 100 * part / whole);
}

std::string CsvText(const std::string& text) {
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::vector<int> ChooseParts(const api::AnalyzeProgramResponse& answer,
                             uint64_t most) {
  std::vector<int> chosen(answer.parts_size());
  std::iota(chosen.begin(), chosen.end(), 0);
  if (most == 0 || answer.time_ns_size() < 2) return chosen;
  const double ratio = answer.time_ns(1) / answer.time_ns(0);
  const auto difference = [&](int i) {
    const api::ProgramPart& part = answer.parts(i);
    return std::fabs(part.time_ns(1) - ratio * part.time_ns(0));
  };
  std::stable_sort(chosen.begin(), chosen.end(),
                   [&](int a, int b) { return difference(a) > difference(b); });
  if (chosen.size() > most) chosen.resize(most);
  return chosen;
}

std::string AnalysisTable(const api::AnalyzeProgramResponse& answer,
                          const std::vector<int>& chosen) {
  const bool code = OfCode(answer);
  const bool two = answer.architectures_size() > 1;
  std::vector<Table::Column> columns;
  if (code) {
    columns = {{"WHERE", Table::kElastic}};
  } else {
    columns = {{"FROM", Table::kRight}, {"PHASE", Table::kRight}};
  }
  columns.insert(columns.end(), {{"INSTRUCTIONS", Table::kRight},
                                 {"TIME", Table::kRight},
                                 {"SHARE", Table::kRight},
                                 {"EACH", Table::kRight}});
  if (two) {
    columns.insert(columns.end(), {{"AGAINST", Table::kRight},
                                   {"SHARE", Table::kRight},
                                   {"RATIO", Table::kRight}});
  }
  Table table(std::move(columns), OutputWidth());
  const auto add = [&](const api::ProgramPart& part, bool others) {
    std::vector<std::string> cells;
    if (code) {
      cells = {others ? "(not shown)" : NameOf(part)};
    } else {
      cells = {others ? "others" : absl::StrCat(part.begin_instruction()),
               others ? "" : absl::StrCat(part.phase())};
    }
    cells.push_back(FormatCount(part.instructions()));
    cells.push_back(FormatTimeNs(part.time_ns(0)));
    cells.push_back(Share(part.time_ns(0), answer.time_ns(0)));
    cells.push_back(others ? "" : FormatTimeNs(PerInstruction(part, 0)));
    if (two) {
      cells.push_back(FormatTimeNs(part.time_ns(1)));
      cells.push_back(Share(part.time_ns(1), answer.time_ns(1)));
      cells.push_back(
          absl::StrFormat("%.2f", part.time_ns(1) / part.time_ns(0)));
    }
    table.Add(std::move(cells));
  };
  std::vector<bool> shown(answer.parts_size());
  for (const int i : chosen) {
    add(answer.parts(i), false);
    shown[i] = true;
  }
  api::ProgramPart rest;
  rest.mutable_time_ns()->Resize(answer.architectures_size(), 0);
  for (int i = 0; i < answer.parts_size(); ++i) {
    if (shown[i]) continue;
    rest.set_instructions(rest.instructions() + answer.parts(i).instructions());
    for (int a = 0; a < rest.time_ns_size(); ++a) {
      rest.set_time_ns(a, rest.time_ns(a) + answer.parts(i).time_ns(a));
    }
  }
  if (rest.instructions() > 0) add(rest, true);
  return table.Render();
}

std::string PhaseTable(const api::AnalyzeProgramResponse& answer) {
  struct Phase {
    int intervals = 0;
    double instructions = 0;
    std::vector<double> time_ns;
  };
  std::map<uint32_t, Phase> phases;
  for (const api::ProgramPart& part : answer.parts()) {
    Phase& phase = phases[part.phase()];
    phase.time_ns.resize(answer.architectures_size());
    ++phase.intervals;
    phase.instructions +=
        part.scale() * static_cast<double>(part.instructions());
    for (int a = 0; a < answer.architectures_size(); ++a) {
      phase.time_ns[a] += part.time_ns(a);
    }
  }
  const bool two = answer.architectures_size() > 1;
  std::vector<Table::Column> columns = {{"PHASE", Table::kRight},
                                        {"INTERVALS", Table::kRight},
                                        {"INSTRUCTIONS", Table::kRight},
                                        {"TIME", Table::kRight},
                                        {"SHARE", Table::kRight}};
  if (two) {
    columns.insert(columns.end(),
                   {{"AGAINST", Table::kRight}, {"RATIO", Table::kRight}});
  }
  Table table(std::move(columns), OutputWidth());
  for (const auto& [number, phase] : phases) {
    std::vector<std::string> cells = {
        absl::StrCat(number), absl::StrCat(phase.intervals),
        FormatCount(static_cast<uint64_t>(phase.instructions)),
        FormatTimeNs(phase.time_ns[0]),
        Share(phase.time_ns[0], answer.time_ns(0))};
    if (two) {
      cells.push_back(FormatTimeNs(phase.time_ns[1]));
      cells.push_back(
          absl::StrFormat("%.2f", phase.time_ns[1] / phase.time_ns[0]));
    }
    table.Add(std::move(cells));
  }
  return table.Render();
}

std::string AnalysisCsv(const api::AnalyzeProgramResponse& answer) {
  std::string out = OfCode(answer)
                        ? "address,function,instructions"
                        : "begin_instruction,phase,instructions,scale";
  for (const std::string& name : answer.architectures()) {
    absl::StrAppend(&out, ",", CsvText(absl::StrCat("time_ns ", name)));
  }
  out += "\n";
  for (const api::ProgramPart& part : answer.parts()) {
    if (OfCode(answer)) {
      absl::StrAppendFormat(&out, "%#x,%s,%d", part.address(),
                            CsvText(Demangled(part.function())),
                            part.instructions());
    } else {
      absl::StrAppendFormat(&out, "%d,%d,%d,%.17g", part.begin_instruction(),
                            part.phase(), part.instructions(), part.scale());
    }
    for (const double time_ns : part.time_ns()) {
      absl::StrAppendFormat(&out, ",%.17g", time_ns);
    }
    out += "\n";
  }
  return out;
}

std::string AnalysisPicture(const api::AnalyzeProgramResponse& answer) {
  if (OfCode(answer)) {
    std::vector<train::BarRow> rows;
    for (const api::ProgramPart& part : answer.parts()) {
      if (rows.size() == kBars) break;
      train::BarRow row;
      row.name = NameOf(part).substr(0, 24);
      row.value = std::max(0.0, part.time_ns(0) / answer.time_ns(0));
      row.mark = answer.time_ns_size() > 1
                     ? std::max(0.0, part.time_ns(1) / answer.time_ns(1))
                     : row.value;
      rows.push_back(std::move(row));
    }
    return train::BarChart(
        absl::StrCat(answer.program(), ": share of the time"),
        answer.architectures_size() > 1
            ? absl::StrCat("bars: ", answer.architectures(0),
                           "; lines: ", answer.architectures(1))
            : answer.architectures(0),
        rows, {});
  }
  std::vector<train::DotSeries> series;
  for (int a = 0; a < std::min(answer.architectures_size(), 2); ++a) {
    for (uint32_t phase = 0; phase < answer.phases(); ++phase) {
      train::DotSeries dots;
      dots.name = absl::StrCat(answer.architectures(a), ", phase ", phase);
      dots.colour = static_cast<int>(phase) % train::SvgPage::kColours;
      dots.ring = a == 1;
      dots.radius = 3;
      for (const api::ProgramPart& part : answer.parts()) {
        if (part.phase() != phase || part.scale() == 0) continue;
        dots.points.emplace_back(
            static_cast<double>(part.begin_instruction()) / 1e6,
            PerInstruction(part, a));
      }
      series.push_back(std::move(dots));
    }
  }
  return train::ScatterPlot(
      absl::StrCat(answer.program(), ": predicted time of an instruction"),
      "instructions, millions", "nanoseconds an instruction", series);
}

}  // namespace perfvec::client::cli
