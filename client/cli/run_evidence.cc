#include "client/cli/run_evidence.h"

#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;

constexpr double kMaxTimeNs = 1e18;  // thirty years
constexpr size_t kMaxLineBytes = 1 << 16;

absl::StatusOr<double> ParseTimeNs(absl::string_view text, double ghz) {
  absl::string_view number = text;
  double value = 0;
  if (absl::ConsumeSuffix(&number, "cycles") &&
      absl::SimpleAtod(absl::StripAsciiWhitespace(number), &value)) {
    if (!(ghz > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", text, "\": cycles are a time only with --frequency"));
    }
    value /= ghz;
  } else if (absl::Duration duration; absl::ParseDuration(text, &duration)) {
    value = absl::ToDoubleNanoseconds(duration);
  }
  if (!(value > 0) || !(value <= kMaxTimeNs)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\": expected a time such as 12.3ms, 1m2.5s "
                     "or, with --frequency, 28.1e6cycles"));
  }
  return value;
}

}  // namespace

absl::StatusOr<double> ParseFrequency(absl::string_view text) {
  absl::string_view number = text;
  double scale = 0, value = 0;
  if (absl::ConsumeSuffix(&number, "GHz")) {
    scale = 1;
  } else if (absl::ConsumeSuffix(&number, "MHz")) {
    scale = 1e-3;
  }
  if (scale == 0 ||
      !absl::SimpleAtod(absl::StripAsciiWhitespace(number), &value) ||
      !(value * scale > 1e-6) || !(value * scale < 1e3)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\": expected a frequency such as 2.4GHz or 800MHz"));
  }
  return value * scale;
}

absl::StatusOr<api::RunEvidence> ParseRun(absl::string_view text,
                                          double frequency_ghz) {
  const size_t at = text.find('=');
  if (at == absl::string_view::npos || at == 0 || at + 1 == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\": expected PROGRAM=TIME[,TIME...][+-SPREAD], such as "
                     "lbm=12.3ms or lbm=12.1ms,12.4ms"));
  }
  api::RunEvidence run;
  run.set_program(std::string(absl::StripAsciiWhitespace(text.substr(0, at))));
  absl::string_view times = text.substr(at + 1);
  if (const size_t spread = times.find("+-");
      spread != absl::string_view::npos) {
    auto value = ParseTimeNs(
        absl::StripAsciiWhitespace(times.substr(spread + 2)), frequency_ghz);
    if (!value.ok()) return value.status();
    run.set_spread_ns(*value);
    times = times.substr(0, spread);
  }
  for (absl::string_view one : absl::StrSplit(times, ',')) {
    auto value = ParseTimeNs(absl::StripAsciiWhitespace(one), frequency_ghz);
    if (!value.ok()) return value.status();
    run.add_time_ns(*value);
  }
  return run;
}

absl::StatusOr<std::vector<api::RunEvidence>> ReadRuns(std::istream& in,
                                                       const std::string& label,
                                                       double frequency_ghz) {
  std::vector<api::RunEvidence> runs;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    absl::string_view text = absl::StripAsciiWhitespace(
        absl::string_view(line).substr(0, line.find('#')));
    if (text.empty()) continue;
    const size_t gap = text.find_first_of("= \t");
    absl::StatusOr<api::RunEvidence> run = absl::InvalidArgumentError(
        absl::StrCat("expected PROGRAM TIME[,TIME...] of at most ",
                     kMaxLineBytes, " characters"));
    if (gap != absl::string_view::npos && text.size() <= kMaxLineBytes) {
      run = ParseRun(
          absl::StrCat(text.substr(0, gap), "=",
                       absl::StripAsciiWhitespace(text.substr(gap + 1))),
          frequency_ghz);
    }
    if (!run.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(label, ":", number, ": ", run.status().message()));
    }
    runs.push_back(*std::move(run));
  }
  return runs;
}

}  // namespace perfvec::client::cli
