// The sweep of a design space: times of all programs at all points, what they
// are worth, the best of them.
//
//   ExploreRequest request;
//   request.points = *Points(space);
//   request.objective = "(1000 + 10*l1_kb + l2_kb) * time";
//   request.programs = {{"lbm", vector, /*weight=*/2}};
//   ASSIGN result = Explore(space, model, samples, request);
//   result.programs[0].ranking[0];  // number of the best point
//
// Pure function; any thread. Errors name the expression, point or program.
#ifndef PERFVEC_WORKER_EXPLORE_EXPLORE_H_
#define PERFVEC_WORKER_EXPLORE_EXPLORE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/explore/design_model.h"
#include "worker/explore/parameter_space.h"

namespace perfvec::explore {

struct ExploredProgram {
  std::string name;
  std::vector<double> vector;  // Σ R [H]
  double weight = 1;           // how often it runs, in the weighted set
  // Standard deviation of log(predicted / true) that the program's own vector
  // brings, 0 if nothing is known of it.
  double log_deviation = 0;
};

inline constexpr size_t kMaxPrograms = 10000;
inline constexpr size_t kMaxCells = 4000000;  // points × programs

struct ExploreRequest {
  std::vector<Point> points;
  std::vector<ExploredProgram> programs;
  // Minimised; over `time` (nanoseconds), parameters and constants.
  std::string objective = "time";
  // Over the same: a design where one is 0 is left out of rankings and front,
  // for the program it is of.
  std::vector<std::string> constraints;
  // Two or more make a Pareto front: no other point is at most as much in all
  // and less in one.
  std::vector<std::string> front;
  double confidence = 0.9;  // of the intervals; in (0, 1)
  // Asked now and then; true: Explore ends with CANCELLED.
  std::function<bool()> stop;
};

// Of a program, or of the weighted set: Σ weight × time.
struct ExploredTimes {
  std::string name;
  // [points]. NaN where the predicted time is not positive; such a point is in
  // no ranking.
  std::vector<double> time_ns, low_ns, high_ns, objective;
  std::vector<size_t> ranking;  // allowed points, best first
  std::vector<size_t> front;    // ascending in the first of request.front
};

struct Exploration {
  std::vector<ExploredTimes> programs;  // of the request
  ExploredTimes all;
  size_t out_of_range = 0;  // times that are not positive
};

// `samples`: those of the model; the error of its intervals is what the network
// missed their times by when they were left out.
absl::StatusOr<Exploration> Explore(const ParameterSpace& space,
                                    const DesignModel& model,
                                    const std::vector<DesignSample>& samples,
                                    const ExploreRequest& request);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_EXPLORE_H_
