// perfvec represent: a program vector without a server.
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"
#include "storage/trace/byte_stream.h"
#include "worker/model/files.h"
#include "worker/model/foundation_model.h"
#include "worker/represent/cpu_representer.h"
#include "worker/represent/represent_trace.h"

namespace perfvec::client::cli {
namespace {

struct RepresentOptions {
  std::string file, model, output, precision = "fp32";
  int threads = 0;
};

absl::StatusOr<int> ParseThreads(absl::string_view text) {
  int threads;
  if (!absl::SimpleAtoi(text, &threads) || threads < 1 || threads > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected a number from 1 to 4096"));
  }
  return threads;
}

absl::Status Represent(Context& context, const RepresentOptions& options) {
  auto loaded = compute::FoundationModel::Load(options.model);
  if (!loaded.ok()) return loaded.status();
  auto model =
      std::make_shared<const compute::FoundationModel>(*std::move(loaded));
  auto precision = compute::ParsePrecision(options.precision);
  if (!precision.ok()) return precision.status();
  auto back_end = compute::MakeCpuRepresenter(
      model, {.threads = options.threads, .precision = *precision});
  if (!back_end.ok()) return back_end.status();
  auto source = trace::OpenFileSource(options.file);
  if (!source.ok()) return source.status();

  InterruptGuard interrupts("interrupted; no vector was written", "");
  Progress progress("represent");
  compute::RepresentTraceOptions represent;
  represent.progress = [&](const compute::TraceProgress& now) {
    progress.Bytes(now.bytes_read, now.bytes_total);
    return absl::OkStatus();
  };
  const absl::Time start = absl::Now();
  auto sum =
      compute::RepresentTrace(*std::move(source), back_end->get(), represent);
  progress.Clear();
  if (!sum.ok()) return sum.status();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);

  nlohmann::ordered_json json = {{"model_id", sum->model_id()},
                                 {"instructions", sum->instructions()},
                                 {"back_end", (*back_end)->Description()},
                                 {"program_vector", sum->Vector()}};
  const std::string text = json.dump(1) + "\n";
  if (!options.output.empty()) {
    absl::Status written = compute::WriteFileAtomically(options.output, text);
    if (!written.ok()) return written;
  }
  if (context.json) {
    std::cout << text;
    return absl::OkStatus();
  }
  std::cout << RenderFields(
      {{"trace", options.file},
       {"instructions", absl::StrCat(sum->instructions())},
       {"model", sum->model_id()},
       {"took",
        absl::StrCat(
            FormatTimeNs(seconds * 1e9), ", ",
            FormatCount(static_cast<uint64_t>(sum->instructions() / seconds)),
            " instructions/s on ", (*back_end)->Description())},
       {"vector", options.output.empty()
                      ? absl::StrCat(sum->width(),
                                     " elements; -o FILE keeps it, --json "
                                     "prints it")
                      : options.output}});
  return absl::OkStatus();
}

}  // namespace

void AddRepresentCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<RepresentOptions>();
  CLI::App* command = AddCommand(
      app, "represent",
      "Compute the program vector of a .pvt trace here, without a server; the "
      "same bits as the server's workers (of one --precision)",
      {"perfvec represent lbm.pvt --model models/base -o lbm.json",
       "perfvec represent lbm.pvt --model models/base --json"});
  command
      ->add_option("file", options->file, "The .pvt trace; - is standard input")
      ->type_name(kFileType)
      ->required();
  command
      ->add_option("--model", options->model,
                   "Directory with manifest.json and model.safetensors")
      ->type_name(kDirectoryType)
      ->required();
  command
      ->add_option("-o,--output", options->output,
                   "Write the vector to this JSON file")
      ->type_name(kFileType);
  command
      ->add_option("--threads", options->threads, "Processors to use; else all")
      ->check(Parses(&ParseThreads))
      ->type_name("N");
  command
      ->add_option("--precision", options->precision,
                   "Of the network's products: fp32, the same bits on every "
                   "CPU; bf16, twice as fast on a CPU with AVX512_BF16; auto: "
                   "bf16 where the CPU has it")
      ->check(CLI::IsMember({"fp32", "bf16", "auto"}))
      ->capture_default_str();
  SetAction(command, context,
            [&context, options] { return Represent(context, *options); });
}

}  // namespace perfvec::client::cli
