// Numbers for people, and what people write on a command line.
//
// Free functions; any thread.
//
//   FormatTimeNs(12345678) == "12.3 ms";
//   ParseConstraint("core.numROBEntries>=128");
#ifndef PERFVEC_CLIENT_CLI_UNITS_H_
#define PERFVEC_CLIENT_CLI_UNITS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "perfvec/v1/resources.pb.h"

namespace perfvec::client::cli {

// Three significant digits and a unit.
std::string FormatTimeNs(double time_ns);  // "812 ns", "12.3 ms", "2.10 h"
std::string FormatBytes(uint64_t bytes);   // "517 B", "4.00 MiB"
std::string FormatCount(uint64_t count);   // "9321", "1.20 M"
std::string FormatNumber(double value);    // "0.00123", "40"
std::string FormatJoules(double joules);   // "3.20 mJ"
std::string FormatSeconds(absl::Duration time);  // "12 s", "3 min 05 s"
// Local date and minute; "-" if it is not set.
std::string FormatDate(const google::protobuf::Timestamp& time);
std::string FormatAttribute(const perfvec::v1::AttributeValue& value);
// "queued", "running", ...
std::string FormatJobState(perfvec::v1::JobState state);

// All of these: INVALID_ARGUMENT with the text and the form expected.

// "10ms", "2s", "1m30s"; positive.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);
// "attribute>=value" with = == != < <= > >=. The value is a number where it
// reads as one, unless it stands in double quotes.
absl::StatusOr<perfvec::v1::Constraint> ParseConstraint(absl::string_view text);
// "key=value"; the value may be empty.
absl::StatusOr<std::pair<std::string, std::string>> ParseKeyValue(
    absl::string_view text);
// A number where it reads as one, else (or within double quotes) a text.
perfvec::v1::AttributeValue ParseAttributeValue(absl::string_view text);
// "time", "cost", "energy".
absl::StatusOr<perfvec::v1::Objective> ParseObjective(absl::string_view text);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_UNITS_H_
