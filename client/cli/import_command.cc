// perfvec import: a simulator's text to a .pvt trace.
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"
#include "client/local_file.h"
#include "storage/import/import.h"

namespace perfvec::client::cli {
namespace {

struct ImportCommandOptions {
  trace::ImportOptions import;
  std::string architectures;
};

// The names of the rows of a latency matrix: an array of objects with "name",
// or of strings.
absl::StatusOr<std::vector<std::string>> ReadNames(const std::string& file) {
  auto text = ReadWholeFile(file, 64 << 20);
  if (!text.ok()) return text.status();
  std::vector<std::string> names;
  try {
    const auto json = nlohmann::json::parse(*text);
    for (const auto& item : json) {
      names.push_back(item.is_string() ? item.get<std::string>()
                                       : item.at("name").get<std::string>());
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": expected an array of names or of objects with a name: ",
        error.what()));
  }
  return names;
}

void PrintReport(const trace::ImportReport& report, const std::string& output) {
  const auto& text = report.text;
  const uint64_t instructions = report.index.instructions;
  std::cout << output << ": " << FormatCount(instructions) << " instructions, "
            << FormatBytes(report.output_bytes);
  if (instructions > 0) {
    std::cout << " ("
              << FormatNumber(static_cast<double>(report.output_bytes) /
                              static_cast<double>(instructions))
              << " bytes each)";
  }
  std::cout << "\n";
  if (text.has_timing) {
    std::cout << "the trace's own time: "
              << FormatTimeNs(0.1 * text.total_time_tenth_ns) << "\n";
  }
  // What of the text is not in the trace, and why.
  auto note = [](uint64_t count, const char* what) {
    if (count > 0) std::cerr << "note: " << count << " " << what << "\n";
  };
  note(text.placeholders, "placeholders stand for missing store-exclusives");
  note(text.dropped_instructions,
       "instructions at the end are left out: a store before them had not "
       "left the queue");
  note(text.dropped_stores, "stores at the end have no instruction");
  note(text.cut_trace_line, "last line of the trace was cut and is left out");
  note(text.cut_store_line,
       "last line of the store trace was cut and is left out");
}

nlohmann::json ReportJson(const trace::ImportReport& report,
                          const std::string& output) {
  const auto& text = report.text;
  return {{"file", output},
          {"size_bytes", report.output_bytes},
          {"instructions", report.index.instructions},
          {"stores", text.stores},
          {"placeholders", text.placeholders},
          {"dropped_instructions", text.dropped_instructions},
          {"dropped_stores", text.dropped_stores},
          {"cut_trace_line", text.cut_trace_line},
          {"cut_store_line", text.cut_store_line},
          {"has_timing", text.has_timing},
          {"total_time_ns", 0.1 * text.total_time_tenth_ns}};
}

absl::Status Import(Context& context, ImportCommandOptions options) {
  trace::ImportOptions& import = options.import;
  if (!options.architectures.empty()) {
    auto names = ReadNames(options.architectures);
    if (!names.ok()) return names.status();
    import.latency_matrix_names = *std::move(names);
  }
  import.header.tool =
      absl::StrCat("perfvec ", PERFVEC_VERSION, " import of a gem5 text pair");
  const bool to_stdout = import.output_path == "-";
  InterruptGuard interrupts(
      "interrupted; no trace was written",
      to_stdout ? "" : absl::StrCat(import.output_path, ".partial"));
  Progress progress("import");
  import.progress = [&](const trace::ImportProgress& now) {
    progress.Bytes(now.consumed_bytes, now.total_bytes);
};
auto report = trace::ImportGem5(import);
progress.Clear();
if (!report.ok()) return report.status();
if (to_stdout) return absl::OkStatus();  // the output is the trace
if (context.json) {
  std::cout << ReportJson(*report, import.output_path).dump(1) << "\n";
} else {
  PrintReport(*report, import.output_path);
}
return absl::OkStatus();
}  // namespace

}  // namespace perfvec::client::cli

void AddImportCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<ImportCommandOptions>();
  trace::ImportOptions* import = &options->import;
  CLI::App* command = AddCommand(
      app, "import",
      "Make a .pvt trace from the two text files of the PerfVec authors' gem5",
      {"perfvec import --trace trace.txt.zst --store trace.sq.txt.zst "
       "-o lbm.pvt",
       "gem5.opt run.py; perfvec import --trace trace.txt -o lbm.pvt",
       "zcat trace.txt.gz | perfvec import --trace - --store trace.sq.txt "
       "-o lbm.pvt"});
  command
      ->add_option("--trace", import->trace_path,
                   "The instruction trace, plain or zstd; - is standard input")
      ->type_name(kFileType)
      ->required();
  command
      ->add_option("--store", import->stores_path,
                   "The store queue trace; else the one beside the trace "
                   "(trace.sq.txt, with or without .zst)")
      ->type_name(kFileType);
  command
      ->add_option("-o,--output", import->output_path,
                   "Where the .pvt trace goes; - is standard output")
      ->type_name(kFileType)
      ->required();
  command
      ->add_option("--isa", import->header.isa,
                   "Instruction set of the trace [aarch64]")
      ->type_name("NAME");
  command
      ->add_option("--tool-command", import->header.command,
                   "The command that made the text files, kept as provenance")
      ->type_name("TEXT");
  command
      ->add_option("--date", import->header.date,
                   "When they were made (RFC 3339), kept as provenance")
      ->type_name("TIME");
  command
      ->add_option("--latency-name", import->latency_name,
                   "Architecture of the trace's own timing, a latency column; "
                   "none leaves it out [traced]")
      ->type_name("NAME");
  auto* matrix =
      command
          ->add_option("--latency-matrix", import->latency_matrix_path,
                       "Latencies on several architectures (u16, 0.1 ns, plain "
                       "or zstd) in place of the trace's own")
          ->type_name(kFileType);
  auto* names =
      command
          ->add_option("--architectures", options->architectures,
                       "JSON array with the names of the matrix's rows")
          ->type_name(kFileType)
          ->needs(matrix);
  matrix->needs(names);
  command
      ->add_option("--interval", import->interval_instructions,
                   "Mark an interval every so many instructions")
      ->type_name("N");
  command->add_flag("--placeholders", import->insert_placeholders,
                    "Insert a marked placeholder where gem5 left a "
                    "store-exclusive out of the store trace; else that is an "
                    "error");
  SetAction(command, context,
            [&context, options] { return Import(context, *options); });
}

}  // namespace perfvec::client::cli
