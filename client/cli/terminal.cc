#include "client/cli/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/table.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
constexpr char kEraseLine[] = "\r\x1b[K";

// Read by the signal handler, which may call neither new nor a mutex.
char interrupt_message[1024];
char interrupt_file[4096];

void OnInterrupt(int signal) {
  if (interrupt_file[0] != '\0') unlink(interrupt_file);
  if (write(STDERR_FILENO, interrupt_message, strlen(interrupt_message)) < 0) {
    // Nobody reads it; the exit code says it too.
  }
  _exit(128 + signal);
}

int TerminalWidth(int descriptor) {
  if (!isatty(descriptor)) return 0;
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

}  // namespace

int OutputWidth() { return TerminalWidth(STDOUT_FILENO); }

Progress::Progress(std::string label)
    : label_(std::move(label)), enabled_(isatty(STDERR_FILENO)) {}

void Progress::SetLabel(std::string label) {
  if (label == label_) return;
  label_ = std::move(label);
  started_ = false;
}

void Progress::Bytes(uint64_t done, uint64_t total) {
  Show(done, total, &FormatBytes);
}

void Progress::Instructions(uint64_t done, uint64_t total) {
  Show(done, total, &FormatCount);
}

void Progress::Show(uint64_t done, uint64_t total,
                    std::string (*format)(uint64_t)) {
  if (!enabled_) return;
  const absl::Time now = absl::Now();
  if (!started_) {
    started_ = true;
    start_ = now;
    start_done_ = done;
  }
  if (now < next_) return;
  next_ = now + absl::Milliseconds(100);
  const std::string line = ProgressLine(label_, done, total, now - start_,
                                        done - std::min(done, start_done_),
                                        format, TerminalWidth(STDERR_FILENO));
  fprintf(stderr, "%s%s", kEraseLine, line.c_str());
  fflush(stderr);
  shown_ = true;
}

void Progress::Clear() {
  if (!shown_) return;
  fputs(kEraseLine, stderr);
  fflush(stderr);
  shown_ = false;
}

std::string ProgressLine(const std::string& label, uint64_t done,
                         uint64_t total, absl::Duration elapsed,
                         uint64_t done_since_start,
                         std::string (*format)(uint64_t), int width) {
  std::string text;
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const double rate = seconds > 0 ? done_since_start / seconds : 0;
  if (total > 0) {
    done = std::min(done, total);
    absl::StrAppendFormat(&text, " %3d%%  %s of %s",
                          static_cast<int>(100.0 * done / total), format(done),
                          format(total));
  } else {
    absl::StrAppend(&text, "  ", format(done));
  }
  // The first second says little about the rate.
  if (seconds > 1 && rate > 0) {
    absl::StrAppend(&text, "  ", format(static_cast<uint64_t>(rate)), "/s");
    if (total > done) {
      absl::StrAppend(&text, "  ",
                      FormatSeconds(absl::Seconds((total - done) / rate)),
                      " left");
    }
  }
  std::string line = Printable(label);
  // A bar takes what is left of the line, if that is worth it. One column
  // stays free: some terminals wrap when the last one is written.
  const int room = width - 1 - static_cast<int>(line.size() + text.size()) - 3;
  if (total > 0 && room >= 10) {
    const int cells = std::min(room, 30);
    const int full = static_cast<int>(double(cells) * done / total);
    absl::StrAppend(&line, " [", std::string(full, '#'),
                    std::string(cells - full, '.'), "]");
  }
  absl::StrAppend(&line, text);
  const size_t limit = static_cast<size_t>(std::max(width - 1, 1));
  if (line.size() > limit) line.resize(limit);
  return line;
}

InterruptGuard::InterruptGuard(const std::string& message,
                               const std::string& remove_file) {
  const std::string text = absl::StrCat(isatty(STDERR_FILENO) ? kEraseLine : "",
                                        "perfvec: ", message, "\n");
  // A path that does not fit is not removed rather than cut to another one.
  snprintf(interrupt_message, sizeof interrupt_message, "%s", text.c_str());
  if (remove_file.size() < sizeof interrupt_file) {
    snprintf(interrupt_file, sizeof interrupt_file, "%s", remove_file.c_str());
  }
  for (int number : kSignals) signal(number, &OnInterrupt);
}

InterruptGuard::~InterruptGuard() {
  for (int number : kSignals) signal(number, SIG_DFL);
  interrupt_file[0] = '\0';
}

}  // namespace perfvec::client::cli
