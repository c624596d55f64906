// An evaluation for people (a table) and for programs (JSON); the fields of the
// JSON are described in docs/evaluation.md.
//
//   std::fputs(TextReport(evaluation).c_str(), stdout);
//   WriteFile(path, JsonReport(evaluation).dump(1));
#ifndef PERFVEC_WORKER_EVALUATE_REPORT_H_
#define PERFVEC_WORKER_EVALUATE_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "worker/evaluate/evaluation.h"

namespace perfvec::train {

std::string TextReport(const Evaluation& e, const EvaluationOptions& options);
// Numbers that are not defined (an interval of one program) are null.
nlohmann::json JsonReport(const Evaluation& e,
                          const EvaluationOptions& options);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_REPORT_H_
