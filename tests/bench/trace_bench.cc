// Row "trace": a program's run to a finished .pvt by `perfvec trace run`,
// against the same QEMU with a plugin that only counts instructions and memory
// accesses, in line: the least that any tracer does. Row "trace_features": the
// same with the 51 features of every instruction computed from the file.
// Rates are of micro-operations and of wall time, as the run is of two
// processes and three threads; "ours_cpu_ns" is what all of them use for one.
//
//   trace_bench [--pairs N] [PROGRAM [ARGUMENT...]]
//
// Without a program: tests/client/tracer/behaviours.elf long, 44 M
// micro-operations, every eleventh an access at a random address. Then also
// row "trace_memory": the peak of a tenth of it against that of all of it.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "tests/bench/pairs.h"
#include "worker/features/feature_extractor.h"

namespace {

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "trace_bench: %s\n", what.c_str());
  std::exit(1);
}

struct Run {
  double seconds = 0, cpu_seconds = 0;
  double peak_mib = 0;  // of the largest of its processes
};

Run Execute(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& a : command) argv.push_back(const_cast<char*>(&a[0]));
  argv.push_back(nullptr);
  const auto begin = std::chrono::steady_clock::now();
  const pid_t pid = fork();
  if (pid == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (wait4(pid, &status, 0, &usage) != pid || status != 0) {
    Fail(command[0] + " did not run; is qemu-user installed?");
  }
  auto seconds = [](const timeval& t) { return t.tv_sec + 1e-6 * t.tv_usec; };
  Run run;
  run.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  run.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  run.peak_mib = usage.ru_maxrss / 1024.0;
  return run;
}

// Reads the trace and, if wanted, computes the features; gives the number of
// instructions.
uint64_t Features(const std::string& path, bool extract) {
  auto source = perfvec::trace::OpenFileSource(path);
  if (!source.ok()) Fail(source.status().ToString());
  auto reader = perfvec::trace::TraceReader::Open(*std::move(source));
  if (!reader.ok()) Fail(reader.status().ToString());
  perfvec::compute::FeatureExtractor extractor;
  std::vector<float> features;
  perfvec::trace::TraceChunk chunk;
  for (;;) {
    const auto more = (*reader)->Next(&chunk);
    if (!more.ok()) Fail(more.status().ToString());
    if (!*more) return (*reader)->instructions();
    if (!extract) continue;
    features.resize(chunk.block.size() * extractor.schema().count());
    const auto status = extractor.Extract(chunk.block, features.data());
    if (!status.ok()) Fail(status.ToString());
  }
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  perfvec::bench::PairOptions options;
  options.unit = "M instr/s";
  options.pairs = 7;
  std::vector<std::string> program(argv + 1, argv + argc);
  if (program.size() > 1 && program[0] == "--pairs") {
    options.pairs = std::atoi(program[1].c_str());
    program.erase(program.begin(), program.begin() + 2);
  }
  const bool bundled = program.empty();
  if (bundled) {
    program = {PERFVEC_SOURCE_DIR "/tests/client/tracer/behaviours.elf",
               "long"};
  }
  const fs::path build = fs::read_symlink("/proc/self/exe")
                             .parent_path()   // bench
                             .parent_path()   // tests
                             .parent_path();  // the build
  const std::string plugin =
      (build / "tests/bench/libperfvec_counting.so").string();
  const std::string trace =
      (fs::temp_directory_path() / ("trace_bench." + std::to_string(getpid())))
          .string();
  auto ours = [&](const std::vector<std::string>& more) {
    std::vector<std::string> command = {(build / "client/perfvec").string(),
                                        "trace", "run", "-o", trace};
    command.insert(command.end(), more.begin(), more.end());
    command.push_back("--");
    command.insert(command.end(), program.begin(), program.end());
    return Execute(command);
  };
  std::vector<std::string> counting = {"qemu-aarch64", "-cpu",
                                       "max,sve-max-vq=1", "-plugin", plugin};
  counting.insert(counting.end(), program.begin(), program.end());

  const Run first = ours({});
  const double millions = 1e-6 * Features(trace, false);
  const double counted_cpu = Execute(counting).cpu_seconds;
  const nlohmann::json extra = {
      {"program", fs::path(program[0]).filename().string()},
      {"m_instructions", millions},
      {"ours_cpu_ns", 1000 * first.cpu_seconds / millions},
      {"rival_cpu_ns", 1000 * counted_cpu / millions},
      {"pvt_bytes_per_instruction", 1e-6 * fs::file_size(trace) / millions}};
  auto rival = [&] { return millions / Execute(counting).seconds; };
  options.row = "trace";
  RunPairs(
      options, [&] { return millions / ours({}).seconds; }, rival, extra);
  options.row = "trace_features";
  RunPairs(
      options,
      [&] {
        const auto begin = std::chrono::steady_clock::now();
        ours({});
        Features(trace, true);
        const std::chrono::duration<double> seconds =
            std::chrono::steady_clock::now() - begin;
        return millions / seconds.count();
      },
      rival, extra);
  if (bundled) {
    const std::string tenth =
        std::to_string(static_cast<uint64_t>(1e5 * millions));
    options.row = "trace_memory";
    options.unit = "MiB";
    options.higher_is_better = false;
    options.pairs = 3;
    RunPairs(
        options, [&] { return ours({}).peak_mib; },
        [&] {
          return ours({"--instructions", tenth}).peak_mib;
        },
        extra);
  }
  fs::remove(trace);
  return 0;
}
