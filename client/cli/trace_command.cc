// perfvec trace check|info|merge; run, slices and compare are in files of their
// own.
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/trace_commands.h"
#include "client/cli/units.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/check.h"
#include "storage/trace/merge.h"

namespace perfvec::client::cli {
namespace {

using Json = nlohmann::ordered_json;

// Texts in a trace come from anywhere: what is no UTF-8 is replaced.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace);
}

Json InfoJson(const std::string& file, const trace::TraceInfo& info) {
  Json latencies = Json::array();
  for (size_t c = 0; c < info.header.latency_columns.size(); ++c) {
    latencies.push_back(
        {{"architecture", info.header.latency_columns[c]},
         {"total_time_ns", 0.1 * info.index.total_time_tenth_ns[c]}});
  }
  Json marks = Json::array();
  for (const auto& mark : info.index.marks) {
    marks.push_back({{"instruction", mark.instruction}, {"label", mark.label}});
  }
  const trace::TraceExtras& extras = info.index.extras;
  for (size_t i = 0; i < extras.weights.size(); ++i) {
    marks[i]["weight"] = extras.weights[i];
  }
  Json files = Json::array(), functions = Json::array();
  for (const trace::LoadedFile& loaded : extras.files) {
    files.push_back({{"path", loaded.path},
                     {"begin", loaded.begin},
                     {"end", loaded.end},
                     {"bias", loaded.bias}});
  }
  for (const trace::FunctionSymbol& function : extras.functions) {
    functions.push_back({{"address", function.address},
                         {"size_bytes", function.bytes},
                         {"name", function.name}});
  }
  return {{"file", file},
          {"size_bytes", info.file_bytes},
          {"format_version", info.header.version},
          {"isa", info.header.isa},
          {"tool", info.header.tool},
          {"command", info.header.command},
          {"date", info.header.date},
          {"instructions", info.index.instructions},
          {"chunks", info.index.chunks.size()},
          {"latency_columns", latencies},
          {"interval_marks", marks},
          {"whole_instructions", extras.whole_instructions},
          {"loaded_files", files},
          {"functions", functions}};
}

void PrintInfo(const std::string& file, const trace::TraceInfo& info) {
  const auto& [header, index, file_bytes] = info;
  const trace::TraceExtras& extras = index.extras;
  std::string size = FormatBytes(file_bytes);
  if (index.instructions > 0) {
    absl::StrAppendFormat(&size, ", %.2f bytes an instruction",
                          static_cast<double>(file_bytes) /
                              static_cast<double>(index.instructions));
  }
  std::cout << RenderFields(
      {{"file", file},
       {"size", size},
       {"format", absl::StrCat("version ", header.version)},
       {"isa", header.isa},
       {"tool", header.tool},
       {"command", header.command},
       {"date", header.date},
       {"instructions", absl::StrCat(index.instructions)},
       {"chunks", absl::StrCat(index.chunks.size())},
       {"interval marks",
        index.marks.empty() ? "" : absl::StrCat(index.marks.size())},
       {"stands for", extras.weights.empty()
                          ? ""
                          : absl::StrCat(extras.whole_instructions,
                                         " instructions, by its weights")},
       {"functions named", extras.functions.empty()
                               ? ""
                               : absl::StrCat(extras.functions.size())}});
  if (!extras.files.empty()) {
    Table files({{"CODE FROM", Table::kElastic}, {"AT"}}, OutputWidth());
    for (const trace::LoadedFile& loaded : extras.files) {
      files.Add({loaded.path, absl::StrFormat("%#x", loaded.begin)});
    }
    std::cout << "\n" << files.Render();
  }
  if (!extras.weights.empty()) {
    Table weights({{"FROM INSTRUCTION", Table::kRight},
                   {"WEIGHT", Table::kRight},
                   {"INTERVAL", Table::kElastic}},
                  OutputWidth());
    for (size_t i = 0; i < extras.weights.size(); ++i) {
      weights.Add({absl::StrCat(index.marks[i].instruction),
                   absl::StrFormat("%.4f", extras.weights[i]),
                   index.marks[i].label});
    }
    std::cout << "\n" << weights.Render();
  }
  if (header.latency_columns.empty()) return;
  Table table({{"LATENCIES ON", Table::kElastic}, {"TIME", Table::kRight}},
              OutputWidth());
  for (size_t c = 0; c < header.latency_columns.size(); ++c) {
    table.Add({header.latency_columns[c],
               FormatTimeNs(0.1 * index.total_time_tenth_ns[c])});
  }
  std::cout << "\n" << table.Render();
}

absl::Status Info(Context& context, const std::string& file) {
  auto info = trace::ReadTraceInfo(file);
  if (!info.ok()) return info.status();
  if (context.json) {
    std::cout << Dump(InfoJson(file, *info)) << "\n";
  } else {
    PrintInfo(file, *info);
  }
  return absl::OkStatus();
}

absl::Status Check(Context& context, const std::string& file) {
  auto source = trace::OpenFileSource(file);
  if (!source.ok()) return source.status();
  Progress progress("check");
  auto contents = trace::CheckTrace(*std::move(source),
                                    [&](uint64_t bytes, uint64_t of_bytes) {
                                      progress.Bytes(bytes, of_bytes);
                                    });
  progress.Clear();
  if (!contents.ok()) return contents.status();
  const std::vector<std::pair<const char*, uint64_t>> kinds = {
      {"loads", contents->loads},
      {"stores", contents->stores},
      {"with_address", contents->with_address},
      {"branches", contents->branches},
      {"conditional_branches", contents->conditional_branches},
      {"taken_branches", contents->taken_branches},
      {"micro_operations", contents->micro_operations},
      {"faults", contents->faults},
      {"placeholders", contents->placeholders}};
  if (context.json) {
    Json json = InfoJson(file, contents->info);
    json["valid"] = true;
    for (const auto& [kind, count] : kinds) json[kind] = count;
    std::cout << Dump(json) << "\n";
    return absl::OkStatus();
  }
  const uint64_t instructions = contents->info.index.instructions;
  std::cout << file << ": good, " << instructions << " instructions\n";
  Table table({{"OF THEM"}, {"COUNT", Table::kRight}, {"SHARE", Table::kRight}},
              OutputWidth());
  for (const auto& [kind, count] : kinds) {
    if (count == 0) continue;
    std::string name = kind;
    for (char& c : name) c = c == '_' ? ' ' : c;
    table.Add({name, absl::StrCat(count),
               absl::StrFormat("%.2f %%", 100.0 * count / instructions)});
  }
  if (table.rows() > 0) std::cout << table.Render();
  return absl::OkStatus();
}

absl::Status Merge(Context& context, trace::MergeOptions options) {
  options.tool = absl::StrCat("perfvec ", PERFVEC_VERSION, " trace merge");
  const bool to_stdout = options.output == "-";
  InterruptGuard interrupts(
      "interrupted; no trace was written",
      to_stdout ? "" : absl::StrCat(options.output, ".partial"));
  Progress progress("merge");
  options.progress = [&](uint64_t done, uint64_t of) {
    progress.Instructions(done, of);
  };
  auto report = trace::MergeTraces(options);
  progress.Clear();
  if (!report.ok()) return report.status();
  if (to_stdout) return absl::OkStatus();  // the output is the trace
  if (context.json) {
    std::cout << Dump({{"file", options.output},
                       {"size_bytes", report->output_bytes},
                       {"instructions", report->index.instructions},
                       {"latency_columns", report->header.latency_columns},
                       {"left_out", report->left_out},
                       {"placeholders", report->placeholders}})
              << "\n";
    return absl::OkStatus();
  }
  std::cout << options.output << ": " << FormatCount(report->index.instructions)
            << " instructions, " << report->header.latency_columns.size()
            << " latency columns, " << FormatBytes(report->output_bytes)
            << "\n";
  if (report->left_out > 0) {
    std::cerr << "note: " << report->left_out
              << " instructions at the end are left out: not all traces have "
                 "them\n";
  }
  if (report->placeholders > 0) {
    std::cerr << "note: " << report->placeholders
              << " placeholders stand for instructions that "
              << options.inputs[0] << " has\n";
  }
  return absl::OkStatus();
}

void AddMerge(CLI::App& group, Context& context) {
  auto options = std::make_shared<trace::MergeOptions>();
  CLI::App* merge = AddCommand(
      group, "merge",
      "Put the latency columns of traces of one execution, simulated on "
      "different architectures, into one trace. The instructions are the first "
      "file's; the others must have the same (store-exclusives that an "
      "in-order "
      "core left out aside), up to the end of the shortest",
      {"perfvec trace merge big.pvt little.pvt -o lbm.pvt"});
  merge->add_option("files", options->inputs, "Two or more .pvt traces")
      ->type_name(kFileType)
      ->required();
  merge
      ->add_option("-o,--output", options->output,
                   "Where the merged trace goes; - is standard output")
      ->type_name(kFileType)
      ->required();
  merge->add_flag("--shortest", options->allow_loss,
                  "Cut to the shortest trace even where more than 1 % of the "
                  "longest is lost; else that is an error");
  SetAction(merge, context,
            [&context, options] { return Merge(context, *options); });
}

}  // namespace

void AddTraceCommands(CLI::App& app, Context& context) {
  auto file = std::make_shared<std::string>();
  CLI::App* group = AddGroup(app, "trace", ".pvt trace files");
  auto add_file = [file](CLI::App* command) {
    command->add_option("file", *file, "The .pvt trace; - is standard input")
        ->type_name(kFileType)
        ->required();
  };
  CLI::App* check = AddCommand(
      *group, "check",
      "Read a whole trace and verify every checksum and count. Exit code 5: "
      "cut or damaged, and where; 4: no trace; 6: of another version",
      {"perfvec trace check lbm.pvt"});
  add_file(check);
  SetAction(check, context, [&context, file] { return Check(context, *file); });
  CLI::App* info = AddCommand(
      *group, "info", "Show what a trace holds, from its header and index",
      {"perfvec trace info lbm.pvt", "perfvec trace info lbm.pvt --json"});
  add_file(info);
  SetAction(info, context, [&context, file] { return Info(context, *file); });
  AddMerge(*group, context);
  AddTraceRunCommand(*group, context);
  AddTraceSlicesCommand(*group, context);
  AddTraceCompareCommand(*group, context);
}

}  // namespace perfvec::client::cli
