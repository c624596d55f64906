// Pictures of explored spaces: for each program a map of the objective over two
// parameters, every value relative to the least, beside a second map of the
// simulated truth where it is known.
//
// Pure function; any thread.
//
//   ASSIGN svg = DrawSurfaces("Designs", space, points,
//                             {{"lbm", predicted, simulated}});
#ifndef PERFVEC_WORKER_EXPLORE_SURFACE_SVG_H_
#define PERFVEC_WORKER_EXPLORE_SURFACE_SVG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/explore/parameter_space.h"

namespace perfvec::explore {

struct Surface {
  std::string name;
  std::vector<double> predicted;  // [points] objective; NaN: not allowed
  std::vector<double> simulated;  // [points], or empty: not known
};

inline constexpr size_t kMaxSurfaces = 100;

// INVALID_ARGUMENT unless one or two parameters have more than one value among
// the points, at most 40 each, and there are 1 to kMaxSurfaces surfaces.
absl::StatusOr<std::string> DrawSurfaces(absl::string_view title,
                                         const ParameterSpace& space,
                                         const std::vector<Point>& points,
                                         const std::vector<Surface>& surfaces);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_SURFACE_SVG_H_
