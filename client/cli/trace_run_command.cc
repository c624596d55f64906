// perfvec trace run: a trace of a real program, by QEMU.
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/trace_commands.h"
#include "client/cli/units.h"
#include "client/cli/upload_command.h"
#include "client/draft_upload.h"
#include "client/tracer/slices.h"
#include "client/tracer/trace_run.h"

namespace perfvec::client::cli {
namespace {

struct TraceRunOptions {
  tracer::RunOptions run;
  UploadCommandOptions upload;
  std::string slices;
  uint64_t interval = 0, warm_up = 0;
  std::string plugin;
  bool strict = false;
  bool no_page_faults = false;
};

// Beside the command, as it is built; or where the package puts it.
std::string FindPlugin() {
  namespace fs = std::filesystem;
  constexpr char kName[] = "libperfvec_qemu.so";
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const fs::path folder = self.parent_path();
  fs::path beside = folder / kName;
  if (fs::exists(beside, error)) return beside;
  return folder.parent_path() / PERFVEC_LIBRARY_FOLDER / "perfvec" / kName;
}

// What the trace does not tell, or not surely: on standard error.
void PrintNotes(const tracer::RunReport& report, uint32_t thread) {
  const tracer::ExpansionReport& expansion = report.expansion;
  auto note = [](uint64_t count, absl::string_view what) {
    if (count > 0) std::cerr << "note: " << count << " " << what << "\n";
  };
  note(expansion.unknown_executions,
       "executed instructions are of kinds that perfvec does not know; they "
       "are in the trace as operations without class and registers:");
  int shown = 0;
  for (const auto& [word, count] : expansion.unknown) {
    if (++shown > 10) {
      std::cerr << "  and " << expansion.unknown.size() - 10 << " more\n";
      break;
    }
    std::cerr << absl::StrFormat("  %08x executed %d times\n", word, count);
  }
  note(expansion.unknown_addresses,
       "accesses (prefetches, DC ZVA, SVE) have no address: neither QEMU nor "
       "its registers told it");
  note(expansion.cut_blocks, "blocks were ended early by a signal or fault");
  note(report.more_threads,
       absl::StrCat("threads were started after the first; the trace holds "
                    "thread ",
                    thread, " only (--thread)"));
  note(report.missed_slices,
       "slices are not in the trace: the program ended before them");
  if (!expansion.ended && !report.stopped && report.no_room.ok() &&
      WIFEXITED(report.wait_status)) {
    std::cerr << "note: the program's end was not seen: it executed another "
                 "program, which is not in the trace\n";
  }
  if (report.stopped) {
    std::cerr << "note: the program was stopped when all that was wanted had "
                 "been recorded\n";
  }
}

nlohmann::ordered_json ToJson(const tracer::RunReport& report,
                              const std::string& file) {
  const tracer::ExpansionReport& expansion = report.expansion;
  nlohmann::ordered_json unknown = nlohmann::json::object();
  for (const auto& [word, count] : expansion.unknown) {
    unknown[absl::StrFormat("%08x", word)] = count;
  }
  const int status = report.wait_status;
  nlohmann::ordered_json json = {
      {"file", file},
      {"size_bytes", report.output_bytes},
      {"instructions", report.index.instructions},
      {"executed", expansion.executed},
      {"blocks", expansion.blocks},
      {"unknown_instructions", expansion.unknown_executions},
      {"unknown_words", unknown},
      {"unknown_addresses", expansion.unknown_addresses},
      {"cut_blocks", expansion.cut_blocks},
      {"other_threads", report.more_threads},
      {"program_ended", expansion.ended},
      {"stopped", report.stopped},
      {"bbv_intervals", report.intervals},
      {"missed_slices", report.missed_slices},
      {"seconds", report.seconds}};
  if (WIFEXITED(status)) json["exit_status"] = WEXITSTATUS(status);
  if (WIFSIGNALED(status) && !report.stopped) json["signal"] = WTERMSIG(status);
  return json;
}

absl::Status Run(Context& context, TraceRunOptions options) {
  tracer::RunOptions& run = options.run;
  run.plugin_path = options.plugin.empty() ? FindPlugin() : options.plugin;
  run.page_faults = !options.no_page_faults;
  if (run.region.every != 0 && run.region.take == 0) {
    return absl::InvalidArgumentError("--every needs --take");
  }
  if (run.region.take > run.region.every) {
    return absl::InvalidArgumentError("--take must not exceed --every");
  }
  if (run.output_path.empty() && run.vectors_path.empty()) {
    return absl::InvalidArgumentError("expected -o FILE or --bbv FILE");
  }
  run.vector_interval = options.interval;
  if (!options.slices.empty()) {
    if (run.output_path.empty() || run.region.skip != 0 ||
        run.region.every != 0) {
      return absl::InvalidArgumentError(
          "--slices needs -o and goes neither with --skip nor --every");
    }
    auto slices =
        tracer::ReadSlices(options.slices, options.interval, options.warm_up);
    if (!slices.ok()) return slices.status();
    run.region.slices = *std::move(slices);
  }
  std::unique_ptr<DraftUpload> draft;
  if (!options.upload.program.empty()) {
    if (run.output_path == "-") {
      return absl::InvalidArgumentError(
          "--upload needs -o FILE: a server that is slow or away is given the "
          "trace from there");
    }
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    auto server = (*client)->GetServerStatus();  // before hours are spent
    if (!server.ok()) return server.status();
    draft =
        std::make_unique<DraftUpload>(*client, run.output_path + ".partial");
    run.written = [&draft](uint64_t bytes) { draft->Grown(bytes); };
  }
  run.header.tool = absl::StrCat("perfvec ", PERFVEC_VERSION, " trace run");
  run.header.command = absl::StrJoin(run.command, " ");
  run.header.date = absl::FormatTime(absl::Now());
  Progress progress("trace");
  run.progress = [&](uint64_t recorded) {
    progress.Instructions(recorded, run.region.instructions == tracer::kNoLimit
                                        ? 0
                                        : run.region.instructions);
  };
  auto report = tracer::RunTraced(run);
  progress.Clear();
  if (!report.ok()) return report.status();
  // Standard output is the program's.
  if (context.json) {
    std::cerr << ToJson(*report, run.output_path).dump(1) << "\n";
  } else {
    PrintNotes(*report, run.thread);
    if (!run.vectors_path.empty()) {
      std::cerr << run.vectors_path << ": " << report->intervals
                << " intervals of " << options.interval << " instructions\n";
    }
    const auto rate =
        static_cast<uint64_t>(report->expansion.executed / report->seconds);
    if (run.output_path.empty()) {
      std::cerr << FormatCount(report->expansion.executed);
    } else {
      std::cerr << run.output_path << ": "
                << FormatCount(report->index.instructions);
    }
    std::cerr << " instructions, "
              << (run.output_path.empty()
                      ? ""
                      : FormatBytes(report->output_bytes) + ", ")
              << FormatCount(rate) << " instructions/s\n";
  }
  if (!report->no_room.ok()) {
    return absl::Status(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat(report->no_room.message(),
                     "; the program was stopped, and the trace holds its "
                     "first ",
                     report->index.instructions, " recorded instructions"));
  }
  const int status = report->wait_status;
  if (WIFSIGNALED(status) && !report->stopped) {
    std::cerr << "note: the program was ended by signal " << WTERMSIG(status)
              << "; the trace holds what it did before\n";
    SuccessExitCode() = 128 + WTERMSIG(status);
  } else if (WIFEXITED(status)) {
    SuccessExitCode() = WEXITSTATUS(status);
  }
  if (options.strict && (report->expansion.unknown_executions > 0 ||
                         report->expansion.unknown_addresses > 0)) {
    return absl::InvalidArgumentError(
        "--strict: the trace holds what perfvec could not tell (above)");
  }
  if (draft == nullptr) return absl::OkStatus();
  options.upload.file = run.output_path;
  options.upload.draft = draft->End();
  if (!options.upload.draft.empty() && !context.json) {
    std::cerr << "sent while the program ran: "
              << FormatBytes(draft->committed_bytes()) << "\n";
  }
  const absl::Status sent = UploadProgram(context, options.upload, std::cerr);
  if (absl::IsUnavailable(sent) || absl::IsDeadlineExceeded(sent) ||
      absl::IsResourceExhausted(sent)) {
    std::cerr << "note: the trace is whole; this goes on where the transfer "
                 "ended: perfvec upload "
              << run.output_path << " --program " << options.upload.program
              << "\n";
  }
  return sent;
}

}  // namespace

void AddTraceRunCommand(CLI::App& group, Context& context) {
  auto options = std::make_shared<TraceRunOptions>();
  tracer::RunOptions* run = &options->run;
  CLI::App* command = AddCommand(
      group, "run",
      "Run an AArch64 Linux program in QEMU and write what it executes into a "
      "trace. The program has this command's standard streams, environment "
      "and exit status; what perfvec has to say goes to standard error. "
      "Counts are of gem5's micro-operations, as in every trace",
      {"perfvec trace run -o sort.pvt -- ./sort input.txt",
       "perfvec trace run -o a.pvt --skip 1000000 --instructions 5000000 -- "
       "./a.out",
       "perfvec trace run -o gzip.pvt --sysroot debian-arm64 -- "
       "debian-arm64/bin/gzip -k file",
       "perfvec trace run -o sort.pvt --upload sort --wait -- ./sort "
       "input.txt"});
  command->add_option("-o,--output", run->output_path, "The trace to write")
      ->type_name(kFileType);
  command->add_option("--skip", run->region.skip,
                      "Leave out the first N instructions");
  command->add_option("--instructions", run->region.instructions,
                      "Stop the program after N recorded instructions");
  command->add_option("--from-symbol", run->from_symbol,
                      "Begin where this function is called; NAME:K is its "
                      "K-th call. --skip counts from there");
  command->add_option("--to-symbol", run->to_symbol,
                      "End where this function is called; NAME:K is its K-th "
                      "call");
  command->add_option("--every", run->region.every,
                      "Record slices: the first --take of every N "
                      "instructions");
  command->add_option("--take", run->region.take, "Length of a slice");
  CLI::Option* interval = command->add_option(
      "--interval", options->interval,
      "Length of an interval of --bbv and --slices, in instructions");
  command
      ->add_option("--bbv", run->vectors_path,
                   "Write the basic-block vectors of all intervals, in "
                   "SimPoint's format; the program runs to its end")
      ->type_name(kFileType)
      ->needs(interval);
  CLI::Option* slices =
      command
          ->add_option("--slices", options->slices,
                       "Record the intervals in BASE.simpoints with the "
                       "weights in BASE.weights (perfvec trace slices); the "
                       "program runs to its end")
          ->type_name("BASE")
          ->needs(interval);
  command
      ->add_option("--warm-up", options->warm_up,
                   "Record so many instructions before each of --slices, "
                   "with weight 0")
      ->needs(slices);
  command->add_flag("--let-finish", run->let_finish,
                    "Let the program run to its end, recorded or not");
  command
      ->add_option("--sysroot", run->sysroot,
                   "Where a dynamic program finds its loader and libraries")
      ->type_name(kDirectoryType);
  command->add_option(
      "--cpu", run->processor,
      "The processor that the program sees, one of `qemu-aarch64 -cpu help`. "
      "Default: what gem5 shows, so that the C library chooses alike");
  command->add_option("--thread", run->thread,
                      "Record the N-th thread that begins after the first, "
                      "and not the first, 0");
  command->add_flag("--no-page-faults", options->no_page_faults,
                    "Leave out the operations that gem5 records when memory "
                    "is first touched");
  command->add_flag("--gem5-streams", run->gem5_streams,
                    "Let fstat() of standard streams fail, as under gem5: for "
                    "comparisons with gem5's traces");
  CLI::Option* upload =
      command
          ->add_option("--upload", options->upload.program,
                       "Send the trace to the server as it is made, and "
                       "register it as this program. Without the server the "
                       "program runs on; perfvec upload goes on with the file")
          ->type_name("NAME")
          ->needs("--output");
  AddUploadOptions(command, &options->upload, upload);
  command->add_flag("--strict", options->strict,
                    "Fail (exit code 4) if the trace holds instructions or "
                    "addresses that perfvec could not tell");
  command->add_option("--qemu", run->qemu, "The QEMU to run the program in");
  command
      ->add_option("--plugin", options->plugin,
                   "perfvec's plugin for QEMU; default: beside this "
                   "command or where it was installed")
      ->type_name(kFileType);
  command
      ->add_option("program", run->command,
                   "The program and its arguments, behind --")
      ->required();
  SetAction(command, context,
            [&context, options] { return Run(context, *options); });
}

}  // namespace perfvec::client::cli
