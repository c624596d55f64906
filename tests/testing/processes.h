// Real programs run by a test: started, watched, killed, their output kept.
//
// A Process reads its program's standard output and error in a thread of its
// own, so a wait for a line or for the end is a wait on a condition, never a
// sleep. The program dies with the Process object, and with the thread that
// started it (PR_SET_PDEATHSIG): start programs from the test's main thread.
//
// Any thread may call a Process once it is started.
//
//   auto server = Process::Start(
//       {{BinaryPath("server/perfvec-server"), "--data-dir", dir.path()}});
//   auto port = (*server)->WaitFor("listening on [0-9.]+:([0-9]+)",
//                                  absl::Seconds(20));
//   ASSERT_TRUE(port.ok()) << port.status();   // shows the program's output
//   (*server)->Signal(SIGKILL);
//
//   auto result = RunCommand({{BinaryPath("client/perfvec"), "--help"}},
//                            absl::Seconds(20));
//   EXPECT_EQ(result->exit_code, 0) << result->err;
#ifndef PERFVEC_TESTS_TESTING_PROCESSES_H_
#define PERFVEC_TESTS_TESTING_PROCESSES_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace perfvec::testing {

struct ProcessOptions {
  std::vector<std::string> argv = {};
  // Added to the test's own environment; an empty value removes the variable.
  std::map<std::string, std::string> environment = {};
  // Written to standard input, which is then closed. At most 64 KiB (what a
  // pipe holds), so that nobody waits.
  std::string input = {};
  std::string working_directory = {};  // empty: the test's own
};

class Process {
 public:
  static absl::StatusOr<std::unique_ptr<Process>> Start(ProcessOptions options);
  ~Process();  // SIGKILL, and waits for the end
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  bool running() const;
  // FAILED_PRECONDITION once the program has ended.
  absl::Status Signal(int signal);
  // The exit code, or 128 + the signal that ended it.
  absl::StatusOr<int> Wait(absl::Duration timeout);

  // Waits until a line of either stream contains a match of the ECMAScript
  // expression, and returns its first group (the whole match without one).
  // Looks at the output from the start. An error tells the program's output:
  // DEADLINE_EXCEEDED, or FAILED_PRECONDITION if the program ended before.
  absl::StatusOr<std::string> WaitFor(const std::string& expression,
                                      absl::Duration timeout);

  // What was written so far; past 16 MiB a stream is read and thrown away.
  std::string out() const;
  std::string err() const;
  // Command, state, and the end of both streams, for messages.
  std::string Describe() const;

 private:
  struct Stream {
    int fd = -1;
    std::string text;
  };
  Process(ProcessOptions options, pid_t pid, int out_fd, int err_fd);
  void ReadStreams();
  void Reap();
  std::string DescribeLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const ProcessOptions options_;
  const pid_t pid_;
  mutable absl::Mutex mutex_;
  Stream streams_[2] ABSL_GUARDED_BY(mutex_);
  bool streams_ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  int exit_code_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread reader_, reaper_;
};

struct CommandResult {
  int exit_code = 0;
  std::string out, err;
};
// Runs a program to its end; DEADLINE_EXCEEDED (and it is killed) past
// `timeout`.
absl::StatusOr<CommandResult> RunCommand(ProcessOptions options,
                                         absl::Duration timeout);

// A program of this build: below the environment variable PERFVEC_BINARY_DIR if
// it is set, else below the build directory the test comes from.
std::string BinaryPath(const std::string& relative_path);

// A fresh directory, removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

// The seed of a randomised test: PERFVEC_TEST_SEED, else from the clock.
// Prints it, so that a failure can be run again.
uint64_t TestSeed();

}  // namespace perfvec::testing

#endif  // PERFVEC_TESTS_TESTING_PROCESSES_H_
