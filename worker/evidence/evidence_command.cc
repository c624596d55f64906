#include "worker/evidence/evidence_command.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "worker/evidence/trace_evidence.h"
#include "worker/represent/back_end.h"

namespace perfvec::evidence {
namespace {

struct Command {
  TraceEvidenceOptions evidence;
  compute::BackEndOptions back_end;
  std::string trace, model, output, precision = "fp32";
  uint64_t cache_gib = 64;
};

absl::Status Run(const Command& command) {
  auto loaded = compute::FoundationModel::Load(command.model);
  if (!loaded.ok()) return loaded.status();
  compute::BackEndOptions options = command.back_end;
  auto precision = compute::ParsePrecision(command.precision);
  if (!precision.ok()) return precision.status();
  options.precision = *precision;
  auto back_end = compute::MakeRepresenter(
      std::make_shared<const compute::FoundationModel>(*std::move(loaded)),
      options);
  if (!back_end.ok()) return back_end.status();
  const auto start = std::chrono::steady_clock::now();
  TraceEvidenceOptions evidence = command.evidence;
  evidence.cache_bytes = command.cache_gib << 30;
  auto made = MakeTraceEvidence(command.trace, back_end->get(), evidence);
  if (!made.ok()) return made.status();
  absl::Status status = WriteTraceEvidence(command.output, *made);
  if (!status.ok()) return status;
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  std::printf(
      "%s: %.0f instructions of %s, %d intervals, %d architectures; %.1f s on "
      "%s\n",
      command.output.c_str(), made->instructions(), made->program().c_str(),
      made->columns(0).interval_times_size(), made->columns_size(),
      took.count(), (*back_end)->Description().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddEvidenceCommand(CLI::App* app, int* exit_code) {
  auto command = std::make_shared<Command>();
  TraceEvidenceOptions& e = command->evidence;
  CLI::App* sub = app->add_subcommand(
      "evidence",
      "What a trace with latencies says of the architectures it ran on, for "
      "`perfvec arch learn --trace`");
  sub->add_option("trace", command->trace, "A .pvt file with latency columns")
      ->required();
  sub->add_option("--model", command->model, "Model directory")->required();
  sub->add_option("-o,--output", command->output, "JSON file to write")
      ->required();
  sub->add_option("--latencies", e.columns,
                  "Only these columns (architectures) of the trace")
      ->delimiter(',');
  sub->add_option("--program", e.program,
                  "Its name in reports; else the file's");
  sub->add_option("--skip", e.skip, "Leave so many first instructions out");
  sub->add_option("--interval", e.interval,
                  "Instructions of an interval; longer above 16 intervals")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->capture_default_str();
  sub->add_option("--cache", e.cache,
                  "Folder that keeps representations, 1 kB an instruction at "
                  "width 256: further latencies cost no pass of the network");
  sub->add_option("--cache-gib", command->cache_gib,
                  "Room for the files of --cache; the longest unused go first")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 20))
      ->capture_default_str();
  sub->add_flag("--totals", e.totals_only,
                "Times of intervals only, not of single instructions");
  sub->add_option("--device", command->back_end.device,
                  "auto, cpu, cuda, cuda:N or libtorch-cpu")
      ->capture_default_str();
  sub->add_option("--precision", command->precision, "fp32, bf16 or auto")
      ->capture_default_str();
  sub->add_option("--threads", command->back_end.threads, "0: all cores")
      ->check(CLI::Range(0, 1024));
  sub->callback([command, exit_code] {
    const absl::Status status = Run(*command);
    if (!status.ok()) {
      std::fprintf(stderr, "perfvec-worker evidence: %s\n",
                   std::string(status.message()).c_str());
      *exit_code = 1;
    }
  });
}

}  // namespace perfvec::evidence
