#include "client/tracer/trace_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/tracer/chunk_queue.h"
#include "client/tracer/elf_file.h"
#include "client/tracer/event_ring.h"
#include "client/tracer/gem5_streams.h"
#include "client/tracer/loaded_files.h"
#include "client/tracer/watched_sink.h"

namespace perfvec::tracer {
namespace {

// As in gem5: SVE with vectors of 16 bytes (kVectorBytes).
constexpr char kProcessorLikeGem5[] = "max,sve-max-vq=1";
constexpr int kExecFailed = 127;

// "NAME" or "NAME:CALL". A program that is moved, or that loads libraries, has
// its functions nowhere before it runs.
absl::Status ParseSymbol(const ElfFile& program, const std::string& text,
                         std::string* name, uint64_t* pc, uint64_t* call) {
  if (text.empty()) return absl::OkStatus();
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() > 2 || (parts.size() == 2 &&
                           (!absl::SimpleAtoi(parts[1], call) || *call == 0))) {
    return absl::InvalidArgumentError(absl::StrCat(
        text, ": expected FUNCTION or FUNCTION:CALL, the call from 1"));
  }
  *name = parts[0];
  *pc = kNowhere;
  if (!program.fixed_address() || !program.interpreter().empty()) {
    return absl::OkStatus();
  }
  auto address = program.Symbol(*name);
  if (!address.ok()) return address.status();
  *pc = *address;
  return absl::OkStatus();
}

// The pages that are there at the program's first instruction: its own
// segments and its loader's, found by the files that the process has mapped,
// and the stack's from `sp` up.
FirstTouch PagesAtStart(pid_t pid, const ElfFile& program, uint64_t sp) {
  FirstTouch pages;
  if (program.fixed_address()) program.AddMapped(0, &pages);
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  std::string line;
  std::map<std::string, uint64_t> lowest;
  while (std::getline(maps, line)) {
    unsigned long begin, end;
    int path = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %*s %n", &begin, &end,
                    &path) < 2) {
      continue;
    }
    if (begin <= sp && sp < end) pages.AddMapped(sp, end);
    if (path > 0 && line.c_str()[path] == '/') {
      lowest.try_emplace(line.substr(path), begin);
    }
  }
  for (const auto& [path, address] : lowest) {
    const auto file = ElfFile::Read(path);
    if (!file.ok() || file->fixed_address()) continue;
    file->AddMapped(address, &pages);
  }
  return pages;
}

// The program in QEMU, as a child process.
class Child {
 public:
  static absl::StatusOr<std::unique_ptr<Child>> Start(
      const std::vector<std::string>& arguments, bool gem5_streams) {
    auto child = std::make_unique<Child>();
    std::vector<char*> argv;
    for (const std::string& a : arguments) {
      argv.push_back(const_cast<char*>(a.c_str()));
    }
    argv.push_back(nullptr);
    child->pid_ = fork();
    if (child->pid_ < 0) return absl::ErrnoToStatus(errno, "fork");
    if (child->pid_ == 0) {
      signal(SIGINT, SIG_DFL);
      signal(SIGQUIT, SIG_DFL);
      signal(SIGXFSZ, SIG_DFL);
      if (gem5_streams && !FailStreamStatus()) {
        constexpr char kError[] =
            "error: the kernel allows no seccomp filter\n";
        if (write(STDERR_FILENO, kError, sizeof(kError) - 1) < 0) _exit(1);
        _exit(1);
      }
      execvp(argv[0], argv.data());
      _exit(kExecFailed);
    }
    return child;
  }

  ~Child() { Kill(); }

  bool Alive() {
    if (!status_.has_value()) {
      int status;
      if (waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
    }
    return !status_.has_value();
  }

  void Kill() {
    if (!Alive()) return;
    kill(pid_, SIGKILL);
    Wait();
  }

  int Wait() {
    int status;
    while (!status_.has_value()) {
      if (waitpid(pid_, &status, 0) == pid_) status_ = status;
    }
    return *status_;
  }

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<int> status_;
};

// A full disk or quota, or the limit of a file's size (ulimit -f).
bool IsNoRoom(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsOutOfRange(status);
}

// What `QEMU --version` says of itself in its first line; empty: nothing.
std::string QemuVersion(const std::string& qemu) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execlp(qemu.c_str(), qemu.c_str(), "--version", nullptr);
    _exit(kExecFailed);
  }
  close(ends[1]);
  std::string said;
  char buffer[256];
  ssize_t n;
  while (pid > 0 && said.size() < 4096 &&
         (n = read(ends[0], buffer, sizeof(buffer))) > 0) {
    said.append(buffer, n);
  }
  close(ends[0]);
  if (pid > 0) waitpid(pid, nullptr, 0);
  const size_t at = said.find("version ");
  return at == std::string::npos
             ? ""
             : said.substr(at + 8, said.find_first_of(" (\n", at + 8) - at - 8);
}

absl::Status NothingRan(const RunOptions& options, int wait_status) {
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == kExecFailed) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot run ", options.qemu));
  }
  const std::string version = QemuVersion(options.qemu);
  return absl::FailedPreconditionError(absl::StrCat(
      options.qemu,
      version.empty() ? "" : absl::StrCat(" is of version ", version, " and"),
      " ended before the program's first instruction; expected QEMU 6 to 8 "
      "with plugins (Debian's qemu-user, not qemu-user-static); what it said "
      "stands above"));
}

}  // namespace

absl::StatusOr<RunReport> RunTraced(const RunOptions& given) {
  RunOptions options = given;
  if (options.command.empty()) {
    return absl::InvalidArgumentError("no program to trace");
  }
  auto path = FindProgram(options.command[0]);
  if (!path.ok()) return path.status();
  auto program = ElfFile::Read(*path);
  if (!program.ok()) return program.status();
  if (!FindProgram(options.qemu).ok()) {
    return absl::NotFoundError(
        absl::StrCat(options.qemu, ": not found; apt-get install qemu-user"));
  }
  if (access(options.plugin_path.c_str(), R_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(
        options.plugin_path, ": perfvec's QEMU plugin is not there"));
  }
  RegionOptions& region = options.region;
  std::string from, to;
  absl::Status status = ParseSymbol(*program, options.from_symbol, &from,
                                    &region.from_pc, &region.from_call);
  if (status.ok()) {
    status = ParseSymbol(*program, options.to_symbol, &to, &region.to_pc,
                         &region.to_call);
  }
  if (!status.ok()) return status;

  options.header.version = 2;
  std::string nothing;
  absl::StatusOr<std::unique_ptr<trace::ByteSink>> sink =
      std::make_unique<trace::StringSink>(&nothing);
  if (options.output_path.empty()) {
    region.instructions = 0;
  } else {
    sink = trace::CreateFileSink(options.output_path);
  }
  if (!sink.ok()) return sink.status();
  if (options.written) {
    sink = std::make_unique<WatchedSink>(*std::move(sink), options.written);
  }
  std::unique_ptr<BlockVectorWriter> vectors;
  if (!options.vectors_path.empty()) {
    auto created = BlockVectorWriter::Create(options.vectors_path,
                                             options.vector_interval);
    if (!created.ok()) return created.status();
    vectors = *std::move(created);
  }
  auto writer = trace::TraceWriter::Create(*std::move(sink), options.header,
                                           options.compression_level);
  if (!writer.ok()) return writer.status();
  auto ring = EventRing::Create();
  if (!ring.ok()) return ring.status();

  std::vector<std::string> arguments = {options.qemu};
  const bool like_gem5 = options.processor.empty();
  arguments.push_back("-cpu");
  arguments.push_back(like_gem5 ? kProcessorLikeGem5 : options.processor);
  arguments.push_back("-plugin");
  arguments.push_back(absl::StrCat(options.plugin_path, ",fd=", (*ring)->fd(),
                                   ",thread=", options.thread,
                                   like_gem5 ? ",like_gem5=on" : ""));
  if (!options.sysroot.empty()) {
    arguments.push_back("-L");
    arguments.push_back(options.sysroot);
  }
  arguments.push_back(*path);
  arguments.insert(arguments.end(), options.command.begin() + 1,
                   options.command.end());

  // Ctrl-C is the program's: the trace ends when the program does.
  const auto old_interrupt = signal(SIGINT, SIG_IGN);
  const auto old_quit = signal(SIGQUIT, SIG_IGN);
  const auto old_size = signal(SIGXFSZ, SIG_IGN);  // an error of write()
  const auto restore = absl::MakeCleanup([&] {
    signal(SIGINT, old_interrupt);
    signal(SIGQUIT, old_quit);
    signal(SIGXFSZ, old_size);
  });
  const auto begin = std::chrono::steady_clock::now();
  auto child = Child::Start(arguments, options.gem5_streams);
  if (!child.ok()) return child.status();
  (*ring)->set_alive([&] { return (*child)->Alive(); });

  ChunkWriter queue(writer->get());
  std::vector<trace::IntervalMark> marks;
  trace::TraceExtras extras;
  uint64_t recorded = 0;
  BlockExpander expander(
      region,
      [&](trace::TraceChunk&& chunk) {
        recorded += chunk.block.size();
        if (options.progress) options.progress(recorded);
        return queue.Append(std::move(chunk));
      },
      [&](uint64_t instruction, Slice slice) {
        if (marks.size() == trace::kMaxMarks) return;
        marks.push_back({instruction, std::move(slice.label)});
        if (!region.slices.empty()) extras.weights.push_back(slice.weight);
      });
  if (vectors != nullptr || !region.slices.empty()) {
    expander.CountToTheEnd(vectors.get());
  }
  if (options.page_faults && options.thread == 0) {
    expander.set_first_touch([&](uint64_t sp) {
      return PagesAtStart((*child)->pid(), *program, sp);
    });
  }
  LoadedFiles files;
  auto find_symbols = [&] {
    for (auto [name, pc, set] :
         {std::make_tuple(&from, &region.from_pc, &Region::set_from_pc),
          std::make_tuple(&to, &region.to_pc, &Region::set_to_pc)}) {
      if (*pc != kNowhere) continue;
      const auto found = files.Symbol(*name);
      if (!found.ok()) continue;
      *pc = *found;
      (expander.region().*set)(*found);
    }
  };
  expander.set_started([&] {
    const std::string& loader = program->interpreter();
    files.AddAtStart((*child)->pid(),
                     {*path, loader, absl::StrCat(options.sysroot, loader)});
    find_symbols();
  });
  expander.set_mapped([&](const MappedFile& mapped) {
    files.AddMapped(mapped);
    find_symbols();
  });
  status = expander.Run(ring->get());
  const absl::Status written = queue.Join();
  if (!written.ok()) status = written;  // what made Run() fail
  RunReport report;
  if (IsNoRoom(status)) {
    std::swap(report.no_room, status);
    (*child)->Kill();
  }
  if (!status.ok()) return status;

  report.expansion = expander.report();
  report.stopped = !report.expansion.ended && (*child)->Alive();
  if (report.stopped && !options.let_finish) (*child)->Kill();
  report.wait_status = (*child)->Wait();
  report.more_threads = (*ring)->more_threads();
  report.has_registers = (*ring)->has_registers();
  if (report.expansion.blocks == 0 && options.thread > 0) {
    return absl::NotFoundError(absl::StrCat(
        path->c_str(), ": thread ", options.thread, " never began; there were ",
        report.more_threads, " threads after the first"));
  }
  if (report.expansion.blocks == 0) {
    return NothingRan(options, report.wait_status);
  }
  for (auto [name, pc] : {std::make_pair(from, region.from_pc),
                          std::make_pair(to, region.to_pc)}) {
    if (pc == kNowhere) return files.Symbol(name).status();
  }
  for (trace::IntervalMark& mark : marks) {
    status = (*writer)->Mark(mark.instruction, std::move(mark.label));
    if (!status.ok()) return status;
  }
  if (vectors != nullptr) {
    status = vectors->Finish();
    if (!status.ok()) return status;
    report.intervals = vectors->intervals();
  }
  files.Describe(expander.BlockAddresses(), &extras);
  if (!region.slices.empty()) {
    extras.whole_instructions = expander.region().position();
    report.missed_slices = region.slices.size() - marks.size();
  }
  status = (*writer)->SetExtras(std::move(extras));
  if (!status.ok()) return status;
  auto index = report.no_room.ok()
                   ? (*writer)->Finish()
                   : absl::StatusOr<trace::TraceIndex>(report.no_room);
  if (IsNoRoom(index.status())) {
    report.no_room = index.status();
    index = (*writer)->FinishShortened();
  }
  if (!index.ok()) return index.status();
  report.index = *std::move(index);
  report.output_bytes = (*writer)->written_bytes();
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  return report;
}

}  // namespace perfvec::tracer
