// perfvec trace compare: where two traces of one program differ.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/trace_commands.h"
#include "client/cli/trace_prediction.h"
#include "client/cli/units.h"
#include "client/tracer/arm_decoder.h"
#include "client/tracer/compare.h"
#include "client/tracer/elf_file.h"

namespace perfvec::client::cli {
namespace {

using Json = nlohmann::ordered_json;
using tracer::CompareReport;

std::string FeatureName(int feature) {
  return std::string(compute::FeatureNames()[feature]);
}

struct TraceCompareOptions {
  std::string a, b, program, model;
  uint64_t instructions = std::numeric_limits<uint64_t>::max();
  double at_least_percent = 100;
};

std::string Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? "" : absl::StrFormat("%.4f %%", 100.0 * part / whole);
}

Json GroupsJson(const std::map<std::string, CompareReport::Group>& groups) {
  Json json = Json::object();
  for (const auto& [name, group] : groups) {
    json[name] = {{"aligned", group.aligned}, {"different", group.different}};
  }
  return json;
}

Json ToJson(const CompareReport& report, const TraceCompareOptions& options) {
  Json features = Json::array();
  for (int f = 0; f < compute::kFeatureCount; ++f) {
    const CompareReport::Feature& feature = report.features[f];
    if (feature.different == 0) continue;
    Json examples = Json::array();
    for (const auto& e : feature.examples) {
      examples.push_back({{"position_a", e.position_a},
                          {"position_b", e.position_b},
                          {"pc", e.pc},
                          {"value_a", e.value_a},
                          {"value_b", e.value_b}});
    }
    features.push_back({{"feature", f},
                        {"name", FeatureName(f)},
                        {"different", feature.different},
                        {"examples", examples}});
  }
  Json gaps = Json::array();
  for (const auto& gap : report.gaps) {
    gaps.push_back({{"position_a", gap.position_a},
                    {"position_b", gap.position_b},
                    {"only_a", gap.only_a},
                    {"only_b", gap.only_b},
                    {"pc_a", gap.pc_a},
                    {"pc_b", gap.pc_b}});
  }
  return {{"a", options.a},
          {"b", options.b},
          {"aligned", report.aligned},
          {"identical", report.identical},
          {"only_a", report.only_a},
          {"only_b", report.only_b},
          {"identical_share", report.identical_share()},
          {"lost", report.lost},
          {"features", features},
          {"gap_count", report.gap_count},
          {"gaps", gaps},
          {"op_classes", GroupsJson(report.op_classes)},
          {"kinds", GroupsJson(report.mnemonics)}};
}

void PrintGroups(const char* title,
                 const std::map<std::string, CompareReport::Group>& groups) {
  Table table({{title},
               {"ALIGNED", Table::kRight},
               {"DIFFERENT", Table::kRight},
               {"SHARE", Table::kRight}},
              OutputWidth());
  for (const auto& [name, group] : groups) {
    if (group.different == 0) continue;
    table.Add({name, absl::StrCat(group.aligned), absl::StrCat(group.different),
               Percent(group.different, group.aligned)});
  }
  if (table.rows() > 0) std::cout << "\n" << table.Render();
}

void Print(const CompareReport& report) {
  std::cout << RenderFields(
      {{"aligned", absl::StrCat(report.aligned)},
       {"identical", absl::StrCat(report.identical)},
       {"only in A", absl::StrCat(report.only_a)},
       {"only in B", absl::StrCat(report.only_b)},
       {"identical share",
        absl::StrFormat("%.4f %%", 100 * report.identical_share())}});
  Table features({{"FEATURE"},
                  {"DIFFERENT", Table::kRight},
                  {"AT PC", Table::kRight},
                  {"A", Table::kRight},
                  {"B", Table::kRight}},
                 OutputWidth());
  for (int f = 0; f < compute::kFeatureCount; ++f) {
    const CompareReport::Feature& feature = report.features[f];
    bool first = true;
    for (const auto& e : feature.examples) {
      features.Add({first ? absl::StrCat(f, " ", FeatureName(f)) : "",
                    first ? absl::StrCat(feature.different) : "",
                    absl::StrFormat("%x", e.pc), FormatNumber(e.value_a),
                    FormatNumber(e.value_b)});
      first = false;
    }
  }
  if (features.rows() > 0) std::cout << "\n" << features.Render();
  PrintGroups("OP CLASS", report.op_classes);
  PrintGroups("KIND", report.mnemonics);
  Table gaps({{"AT A", Table::kRight},
              {"AT B", Table::kRight},
              {"ONLY A", Table::kRight},
              {"ONLY B", Table::kRight},
              {"PC A", Table::kRight},
              {"PC B", Table::kRight}},
             OutputWidth());
  for (const auto& gap : report.gaps) {
    if (gaps.rows() == 20) break;
    gaps.Add({absl::StrCat(gap.position_a), absl::StrCat(gap.position_b),
              absl::StrCat(gap.only_a), absl::StrCat(gap.only_b),
              absl::StrFormat("%x", gap.pc_a),
              absl::StrFormat("%x", gap.pc_b)});
  }
  if (gaps.rows() > 0) std::cout << "\n" << gaps.Render();
  if (report.gap_count > gaps.rows()) {
    std::cout << report.gap_count - gaps.rows() << " more places\n";
  }
  if (report.lost) {
    std::cout << "The traces part for good there: nothing behind is "
                 "compared.\n";
  }
}

Json ToJson(const PredictedPairs& predicted) {
  Json json = Json::array();
  for (const PredictedPair& pair : predicted.pairs) {
    json.push_back({{"architecture", pair.architecture},
                    {"time_a_ns", pair.a_ns},
                    {"time_b_ns", pair.b_ns},
                    {"difference", pair.difference()}});
  }
  return json;
}

// The largest differences first.
void Print(PredictedPairs predicted) {
  auto& pairs = predicted.pairs;
  std::sort(pairs.begin(), pairs.end(), [](const auto& x, const auto& y) {
    return std::abs(x.difference()) > std::abs(y.difference());
  });
  double sum = 0;
  for (const PredictedPair& pair : pairs) sum += std::abs(pair.difference());
  std::cout << "\npredicted from " << predicted.instructions
            << " instructions: on " << pairs.size()
            << absl::StrFormat(" architectures %.4f %% apart on average\n",
                               100 * sum / pairs.size());
  Table table({{"PREDICTED ON", Table::kElastic},
               {"A", Table::kRight},
               {"B", Table::kRight},
               {"DIFFERENCE", Table::kRight}},
              OutputWidth());
  for (size_t i = 0; i < std::min<size_t>(pairs.size(), 5); ++i) {
    table.Add({pairs[i].architecture, FormatTimeNs(pairs[i].a_ns),
               FormatTimeNs(pairs[i].b_ns),
               absl::StrFormat("%+.4f %%", 100 * pairs[i].difference())});
  }
  std::cout << table.Render();
}

absl::Status Compare(Context& context, const TraceCompareOptions& options) {
  tracer::CompareOptions compare;
  compare.instructions = options.instructions;
  std::shared_ptr<tracer::ElfFile> program;
  if (!options.program.empty()) {
    auto file = tracer::ElfFile::Read(options.program);
    if (!file.ok()) return file.status();
    program = std::make_shared<tracer::ElfFile>(*std::move(file));
    auto names = std::make_shared<std::map<uint32_t, std::string>>();
    compare.mnemonic = [program, names](uint64_t pc) {
      const uint32_t word = program->WordAt(pc);
      const auto [name, added] = names->try_emplace(word);
      if (added) {
        const tracer::MacroOp op = tracer::DecodeArm(word);
        name->second =
            op.known() ? op.name : absl::StrFormat("unknown %08x", word);
      }
      return name->second;
    };
  }
  auto report = tracer::CompareTraces(options.a, options.b, compare);
  if (!report.ok()) return report.status();
  PredictedPairs predicted;
  if (!options.model.empty()) {
    auto pairs =
        PredictBoth(options.model, options.a, options.b, options.instructions);
    if (!pairs.ok()) return pairs.status();
    predicted = *std::move(pairs);
  }
  if (context.json) {
    Json json = ToJson(*report, options);
    if (!options.model.empty()) json["predictions"] = ToJson(predicted);
    std::cout << json.dump(1) << "\n";
  } else {
    Print(*report);
    if (!options.model.empty()) Print(std::move(predicted));
  }
  const bool alike = !report->lost && 100 * report->identical_share() >=
                                          options.at_least_percent;
  // As diff: 1, they differ.
  SuccessExitCode() = alike ? 0 : 1;
  return absl::OkStatus();
}

}  // namespace

void AddTraceCompareCommand(CLI::App& group, Context& context) {
  auto options = std::make_shared<TraceCompareOptions>();
  CLI::App* command = AddCommand(
      group, "compare",
      "Tell where two traces of one program differ: instruction by "
      "instruction, in each of the 51 features. Instructions are aligned by "
      "program counter; what only one trace has is counted apart. Exit code "
      "0: alike, 1: they differ",
      {"perfvec trace compare qemu.pvt gem5.pvt",
       "perfvec trace compare qemu.pvt gem5.pvt --program a.out --at-least "
       "99.9",
       "perfvec trace compare qemu.pvt gem5.pvt --model models/base"});
  for (auto [name, file, help] :
       {std::tuple{"a", &options->a, "A .pvt trace"},
        std::tuple{"b", &options->b, "Another one of the same program"}}) {
    command->add_option(name, *file, help)->type_name(kFileType)->required();
  }
  command->add_option("--instructions", options->instructions,
                      "Compare the first N of each");
  command
      ->add_option("--program", options->program,
                   "The program traced: differences are counted by kind of "
                   "instruction too")
      ->type_name(kFileType);
  command
      ->add_option("--model", options->model,
                   "Directory of a foundation model: compare the times too "
                   "that it predicts from the two, on each architecture that "
                   "it knows")
      ->type_name(kDirectoryType);
  command
      ->add_option("--at-least", options->at_least_percent,
                   "Percent of the instructions that must be identical for "
                   "exit code 0; default 100")
      ->check(CLI::Range(0, 100));
  SetAction(command, context,
            [&context, options] { return Compare(context, *options); });
}

}  // namespace perfvec::client::cli
