// What depends on a terminal: its width, progress lines, Ctrl-C.
//
// One thread.
//
//   Progress progress("upload");
//   progress.Bytes(done, total);      // any number of times
//   progress.Clear();                 // or the destructor
#ifndef PERFVEC_CLIENT_CLI_TERMINAL_H_
#define PERFVEC_CLIENT_CLI_TERMINAL_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace perfvec::client::cli {

// Columns of the terminal that standard output is; 0 if it is none.
int OutputWidth();

// One line on standard error that is written over again, at most ten times a
// second. Writes nothing where standard error is no terminal.
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  bool enabled() const { return enabled_; }
  void SetLabel(std::string label);
  // `total` 0: not known.
  void Bytes(uint64_t done, uint64_t total);
  void Instructions(uint64_t done, uint64_t total);
  void Clear();

 private:
  void Show(uint64_t done, uint64_t total, std::string (*format)(uint64_t));

  std::string label_;
  const bool enabled_;
  absl::Time start_;
  uint64_t start_done_ = 0;
  bool started_ = false;
  absl::Time next_ = absl::InfinitePast();
  bool shown_ = false;
};

// The text of a progress line of `width` columns.
std::string ProgressLine(const std::string& label, uint64_t done,
                         uint64_t total, absl::Duration elapsed,
                         uint64_t done_since_start,
                         std::string (*format)(uint64_t), int width);

// While it lives, SIGINT, SIGTERM and SIGHUP print `message` and end the
// process with 128 + the signal's number, after `remove_file` (if not empty)
// is removed. At most one at a time.
class InterruptGuard {
 public:
  InterruptGuard(const std::string& message, const std::string& remove_file);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_TERMINAL_H_
