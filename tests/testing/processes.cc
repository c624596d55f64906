#include "tests/testing/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <regex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

extern char** environ;

namespace perfvec::testing {
namespace {

constexpr size_t kKeptBytes = 16 << 20;
constexpr size_t kPipeBytes = 64 << 10;

struct Pipe {
  int read = -1, write = -1;
  bool Open() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return false;
    read = fds[0];
    write = fds[1];
    return true;
  }
};

std::vector<std::string> Environment(
    const std::map<std::string, std::string>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    absl::string_view text(*entry);
    if (changes.count(std::string(text.substr(0, text.find('=')))) == 0) {
      result.emplace_back(text);
    }
  }
  for (const auto& [name, value] : changes) {
    if (!value.empty()) result.push_back(absl::StrCat(name, "=", value));
  }
  return result;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

absl::string_view Tail(absl::string_view text) {
  constexpr size_t kShown = 4000;
  return text.size() <= kShown ? text : text.substr(text.size() - kShown);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(
    ProcessOptions options) {
  if (options.argv.empty() || options.input.size() > kPipeBytes) {
    return absl::InvalidArgumentError("no program, or more than 64 KiB input");
  }
  Pipe in, out, err, failure;
  for (Pipe* pipe : {&in, &out, &err, &failure}) {
    if (!pipe->Open()) {
      return absl::InternalError(
          absl::StrCat("pipe for ", options.argv[0], ": ", strerror(errno)));
    }
  }
  // A program that ends without reading its input must not end the test.
  signal(SIGPIPE, SIG_IGN);
  // Everything that allocates is done before fork: the child of a threaded
  // program may call only what is safe in a signal handler.
  std::vector<std::string> environment = Environment(options.environment);
  std::vector<std::string> arguments = options.argv;
  std::vector<char*> envp = Pointers(environment), argv = Pointers(arguments);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    if (getppid() != parent) _exit(127);
    dup2(in.read, 0);
    dup2(out.write, 1);
    dup2(err.write, 2);
    if (options.working_directory.empty() ||
        chdir(options.working_directory.c_str()) == 0) {
      execvpe(argv[0], argv.data(), envp.data());
    }
    const int error = errno;
    if (write(failure.write, &error, sizeof error) < 0) _exit(126);
    _exit(127);
  }
  const int fork_error = errno;
  for (int fd : {in.read, out.write, err.write, failure.write}) close(fd);
  int error = pid < 0 ? fork_error : 0;
  if (pid > 0 && read(failure.read, &error, sizeof error) <= 0) error = 0;
  close(failure.read);
  if (error != 0) {
    for (int fd : {in.write, out.read, err.read}) close(fd);
    if (pid > 0) waitpid(pid, nullptr, 0);
    return absl::NotFoundError(
        absl::StrCat("cannot start ", options.argv[0], ": ", strerror(error)));
  }
  // If the program ended without reading, its exit code tells.
  (void)!write(in.write, options.input.data(), options.input.size());
  close(in.write);
  return std::unique_ptr<Process>(
      new Process(std::move(options), pid, out.read, err.read));
}

Process::Process(ProcessOptions options, pid_t pid, int out_fd, int err_fd)
    : options_(std::move(options)), pid_(pid) {
  streams_[0].fd = out_fd;
  streams_[1].fd = err_fd;
  reader_ = std::thread([this] { ReadStreams(); });
  reaper_ = std::thread([this] { Reap(); });
}

Process::~Process() {
  Signal(SIGKILL).IgnoreError();
  reaper_.join();
  reader_.join();
  absl::MutexLock lock(&mutex_);
  for (Stream& stream : streams_) close(stream.fd);
}

void Process::ReadStreams() {
  pollfd polled[2] = {};
  {
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < 2; ++i) polled[i] = {streams_[i].fd, POLLIN, 0};
  }
  std::vector<char> buffer(kPipeBytes);
  while (polled[0].fd >= 0 || polled[1].fd >= 0) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) break;
    for (int i = 0; i < 2; ++i) {
      if (polled[i].fd < 0 || polled[i].revents == 0) continue;
      const ssize_t n = read(polled[i].fd, buffer.data(), buffer.size());
      if (n <= 0) {
        polled[i].fd = -1;  // poll passes over it
        continue;
      }
      absl::MutexLock lock(&mutex_);
      std::string& text = streams_[i].text;
      text.append(
          buffer.data(),
          std::min<size_t>(n, kKeptBytes - std::min(kKeptBytes, text.size())));
    }
  }
  absl::MutexLock lock(&mutex_);
  streams_ended_ = true;
}

void Process::Reap() {
  // Waits without reaping first, so that Signal never meets a pid that has
  // become another program's.
  siginfo_t info;
  while (waitid(P_PID, pid_, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  absl::MutexLock lock(&mutex_);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
  exit_code_ =
      WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool Process::running() const {
  absl::MutexLock lock(&mutex_);
  return !ended_;
}

absl::Status Process::Signal(int signal) {
  absl::MutexLock lock(&mutex_);
  if (ended_) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.argv[0], " has ended"));
  }
  kill(pid_, signal);
  return absl::OkStatus();
}

absl::StatusOr<int> Process::Wait(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithTimeout(absl::Condition(&ended_), timeout)) {
    return absl::DeadlineExceededError(
        absl::StrCat("did not end within ", absl::FormatDuration(timeout), ": ",
                     DescribeLocked()));
  }
  // The rest of the output; a grandchild may hold the pipes, so not for ever.
  mutex_.AwaitWithTimeout(absl::Condition(&streams_ended_), absl::Seconds(5));
  return exit_code_;
}

absl::StatusOr<std::string> Process::WaitFor(const std::string& expression,
                                             absl::Duration timeout) {
  const std::regex regex(expression);
  const absl::Time deadline = absl::Now() + timeout;
  size_t looked_at[2] = {0, 0};
  while (true) {
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < 2; ++i) {
      const std::string& text = streams_[i].text;
      for (size_t end;
           (end = text.find('\n', looked_at[i])) != std::string::npos;
           looked_at[i] = end + 1) {
        const std::string line = text.substr(looked_at[i], end - looked_at[i]);
        std::smatch match;
        if (std::regex_search(line, match, regex)) {
          return match[match.size() > 1 ? 1 : 0].str();
        }
      }
    }
    if (streams_ended_) {
      return absl::FailedPreconditionError(
          absl::StrCat("ended without a line that matches '", expression,
                       "': ", DescribeLocked()));
    }
    struct Seen {
      const Process* process;
      size_t sizes[2];
      bool Changed() const ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return process->streams_ended_ ||
               process->streams_[0].text.size() != sizes[0] ||
               process->streams_[1].text.size() != sizes[1];
      }
    } seen{this, {streams_[0].text.size(), streams_[1].text.size()}};
    if (!mutex_.AwaitWithDeadline(absl::Condition(&seen, &Seen::Changed),
                                  deadline)) {
      return absl::DeadlineExceededError(
          absl::StrCat("no line matches '", expression, "' within ",
                       absl::FormatDuration(timeout), ": ", DescribeLocked()));
    }
  }
}

std::string Process::out() const {
  absl::MutexLock lock(&mutex_);
  return streams_[0].text;
}

std::string Process::err() const {
  absl::MutexLock lock(&mutex_);
  return streams_[1].text;
}

std::string Process::Describe() const {
  absl::MutexLock lock(&mutex_);
  return DescribeLocked();
}

std::string Process::DescribeLocked() const {
  return absl::StrCat(
      absl::StrJoin(options_.argv, " "), "\n  ",
      ended_ ? absl::StrCat("ended with ", exit_code_) : "running",
      "\n--- standard output:\n", Tail(streams_[0].text),
      "\n--- standard error:\n", Tail(streams_[1].text), "\n---");
}

absl::StatusOr<CommandResult> RunCommand(ProcessOptions options,
                                         absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<Process>> process =
      Process::Start(std::move(options));
  if (!process.ok()) return process.status();
  absl::StatusOr<int> code = (*process)->Wait(timeout);
  if (!code.ok()) return code.status();
  return CommandResult{*code, (*process)->out(), (*process)->err()};
}

std::string BinaryPath(const std::string& relative_path) {
  const char* directory = getenv("PERFVEC_BINARY_DIR");
  return absl::StrCat(directory != nullptr ? directory : PERFVEC_BINARY_DIR,
                      "/", relative_path);
}

TempDir::TempDir() {
  std::string path =
      (std::filesystem::temp_directory_path() / "perfvec_test_XXXXXX").string();
  if (mkdtemp(path.data()) == nullptr) {
    fprintf(stderr, "no temporary directory %s: %s\n", path.c_str(),
            strerror(errno));
    abort();
  }
  path_ = path;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

uint64_t TestSeed() {
  const char* given = getenv("PERFVEC_TEST_SEED");
  const uint64_t seed =
      given != nullptr
          ? strtoull(given, nullptr, 10)
          : static_cast<uint64_t>(absl::ToUnixNanos(absl::Now())) % 1000000007;
  fprintf(stderr, "PERFVEC_TEST_SEED=%llu\n",
          static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace perfvec::testing
