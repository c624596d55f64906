#include "client/cli/units.h"

#include <cmath>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;

// Three significant digits of a value that is below 1000 or has no larger unit.
std::string ThreeDigits(double value) {
  const double size = std::abs(value);
  if (size >= 99.95) return absl::StrFormat("%.0f", value);
  if (size >= 9.995) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.2f", value);
}

struct Unit {
  double size;
  const char* name;
};

// In the largest unit of which there is at least one; 0.9995 would be printed
// as 1.00 (and 999.5 as 1000), so it counts as one.
template <size_t n>
std::string InUnits(double value, const Unit (&units)[n]) {
  if (!std::isfinite(value)) return absl::StrCat(value);
  size_t k = n - 1;
  while (k > 0 && std::abs(value) < units[k].size * 0.9995) --k;
  return absl::StrCat(ThreeDigits(value / units[k].size), " ", units[k].name);
}

bool ParseNumber(absl::string_view text, double* number) {
  return absl::SimpleAtod(text, number) && std::isfinite(*number);
}

}  // namespace

std::string FormatTimeNs(double time_ns) {
  static constexpr Unit kUnits[] = {
      {1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}, {3.6e12, "h"}};
  return InUnits(time_ns, kUnits);
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr Unit kUnits[] = {{1, "B"},
                                    {1024, "KiB"},
                                    {1048576, "MiB"},
                                    {1073741824, "GiB"},
                                    {1099511627776, "TiB"}};
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  return InUnits(static_cast<double>(bytes), kUnits);
}

std::string FormatCount(uint64_t count) {
  static constexpr Unit kUnits[] = {
      {1e3, "k"}, {1e6, "M"}, {1e9, "G"}, {1e12, "T"}};
  if (count < 10000) return absl::StrCat(count);
  return InUnits(static_cast<double>(count), kUnits);
}

std::string FormatNumber(double value) {
  return absl::StrFormat("%.6g", value);
}

std::string FormatJoules(double joules) {
  static constexpr Unit kUnits[] = {{1e-9, "nJ"}, {1e-6, "uJ"}, {1e-3, "mJ"},
                                    {1, "J"},     {1e3, "kJ"},  {3.6e6, "kWh"}};
  return InUnits(joules, kUnits);
}

std::string FormatSeconds(absl::Duration time) {
  const int64_t seconds = absl::ToInt64Seconds(time);
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) {
    return absl::StrFormat("%d min %02d s", seconds / 60, seconds % 60);
  }
  if (seconds < 48 * 3600) {
    return absl::StrFormat("%d h %02d min", seconds / 3600, seconds / 60 % 60);
  }
  return absl::StrCat(seconds / 86400, " days");
}

std::string FormatDate(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0 && time.nanos() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M",
                          absl::FromUnixSeconds(time.seconds()),
                          absl::LocalTimeZone());
}

std::string FormatAttribute(const api::AttributeValue& value) {
  return value.has_number() ? FormatNumber(value.number()) : value.text();
}

std::string FormatJobState(api::JobState state) {
  if (state == api::JOB_STATE_UNSPECIFIED || !api::JobState_IsValid(state)) {
    return "unknown";
  }
  std::string name = absl::AsciiStrToLower(api::JobState_Name(state));
  return name.substr(sizeof("JOB_STATE_") - 1);
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) ||
      duration <= absl::ZeroDuration() || duration > absl::Hours(24 * 365)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected a positive duration such as ",
                     "500ms, 30s or 1h30m"));
  }
  return duration;
}

absl::StatusOr<api::Constraint> ParseConstraint(absl::string_view text) {
  static constexpr std::pair<const char*, api::Constraint::Operator>
      kOperators[] = {// Longer ones first.
                      {">=", api::Constraint::GREATER_OR_EQUAL},
                      {"<=", api::Constraint::LESS_OR_EQUAL},
                      {"!=", api::Constraint::NOT_EQUAL},
                      {"==", api::Constraint::EQUAL},
                      {"=", api::Constraint::EQUAL},
                      {"<", api::Constraint::LESS},
                      {">", api::Constraint::GREATER}};
  const size_t at = text.find_first_of("<>=!");
  if (at != absl::string_view::npos && at > 0) {
    for (const auto& [spelling, op] : kOperators) {
      absl::string_view rest = text.substr(at);
      if (!absl::StartsWith(rest, spelling)) continue;
      rest = absl::StripAsciiWhitespace(
          rest.substr(absl::string_view(spelling).size()));
      const absl::string_view attribute =
          absl::StripAsciiWhitespace(text.substr(0, at));
      if (attribute.empty() || rest.empty()) break;
      api::Constraint constraint;
      constraint.set_attribute(std::string(attribute));
      constraint.set_op(op);
      *constraint.mutable_value() = ParseAttributeValue(rest);
      return constraint;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\": expected ATTRIBUTE OPERATOR VALUE with one of ",
      "= != < <= > >=, such as core.numROBEntries>=128"));
}

absl::StatusOr<std::pair<std::string, std::string>> ParseKeyValue(
    absl::string_view text) {
  const size_t at = text.find('=');
  if (at == absl::string_view::npos || at == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected KEY=VALUE"));
  }
  return std::make_pair(std::string(text.substr(0, at)),
                        std::string(text.substr(at + 1)));
}

api::AttributeValue ParseAttributeValue(absl::string_view text) {
  api::AttributeValue value;
  double number;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    value.set_text(std::string(text.substr(1, text.size() - 2)));
  } else if (ParseNumber(text, &number)) {
    value.set_number(number);
  } else {
    value.set_text(std::string(text));
  }
  return value;
}

absl::StatusOr<api::Objective> ParseObjective(absl::string_view text) {
  if (text == "time") return api::OBJECTIVE_TIME;
  if (text == "cost") return api::OBJECTIVE_COST;
  if (text == "energy") return api::OBJECTIVE_ENERGY;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\": expected time, cost or energy"));
}

}  // namespace perfvec::client::cli
