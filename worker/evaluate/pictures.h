// Pictures of an evaluation, as SVG files in a folder:
//   representations.svg   a sample of instructions, first two principal
//                         components of their representations, by kind
//   architectures.svg     architecture vectors without their overall scale,
//                         likewise, by core type
//   errors_SPLIT.svg      error of each program of a split
//
//   RETURN_IF_ERROR(DrawPictures(evaluation, "pictures"));
#ifndef PERFVEC_WORKER_EVALUATE_PICTURES_H_
#define PERFVEC_WORKER_EVALUATE_PICTURES_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/evaluate/evaluation.h"

namespace perfvec::train {

// Rows of `x` [n][width] on their first two principal components, and the
// shares of variance of those.
struct Projection {
  std::vector<std::pair<double, double>> points;
  double first_share = 0, second_share = 0;
};
Projection Project(const std::vector<double>& x, size_t width);

// Makes the folder if it is not there.
absl::Status DrawPictures(const Evaluation& e, const std::string& directory);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_PICTURES_H_
