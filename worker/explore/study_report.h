// A study as text for people and as JSON.
#ifndef PERFVEC_WORKER_EXPLORE_STUDY_REPORT_H_
#define PERFVEC_WORKER_EXPLORE_STUDY_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "worker/explore/study.h"

namespace perfvec::explore {

std::string StudyText(const Study& study);
// Everything the text says, and every time and objective.
nlohmann::json StudyJson(const Study& study);
// Predicted and simulated objective of every program.
absl::StatusOr<std::string> StudyPicture(const Study& study);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_STUDY_REPORT_H_
