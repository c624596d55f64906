// Chooses the intervals of an execution that stand for the whole, as SimPoint
// does (T. Sherwood et al., "Automatically characterizing large scale program
// behavior", ASPLOS 2002; G. Hamerly et al., "SimPoint 3.0", 2005): the
// intervals' basic-block vectors, normalised and projected at random into a
// few dimensions, are clustered by k-means for growing k; of the clusterings
// whose Bayesian information criterion reaches a share of the best, the one
// with the fewest clusters is taken, and of each cluster the interval nearest
// to its centre, weighted with the cluster's share of all intervals.
//
//   auto vectors = ReadBlockVectors("sort.bbv");
//   SliceChoice choice = ChooseSlices(*vectors, SliceOptions());
//   status = WriteSlices("sort", choice);       // sort.simpoints, .weights
//   auto slices = ReadSlices("sort", 1000000, 50000);
//
// Any thread; the same vectors and seed give the same choice everywhere.
#ifndef PERFVEC_CLIENT_TRACER_SLICES_H_
#define PERFVEC_CLIENT_TRACER_SLICES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/tracer/basic_block_vectors.h"
#include "client/tracer/region.h"

namespace perfvec::tracer {

struct SliceOptions {
  int most = 30;              // clusters tried
  int dimensions = 15;        // of the projection
  int restarts = 5;           // of k-means for each k
  double bic_share = 0.9;     // of the way from the worst k's to the best's
  uint64_t seed = 493575226;  // SimPoint 3.2's
};

struct SliceChoice {
  struct Representative {
    uint64_t interval = 0;
    double weight = 0;
  };
  std::vector<Representative> slices;  // by interval
  // Mean squared distance of an interval from its slice, as a share of that
  // from the mean of all; 0: each is like its slice.
  double unexplained = 0;
};

SliceChoice ChooseSlices(const std::vector<BlockVector>& vectors,
                         const SliceOptions& options);

// BASE.simpoints ("INTERVAL NUMBER" a line) and BASE.weights ("WEIGHT NUMBER").
absl::Status WriteSlices(const std::string& base, const SliceChoice& choice);

// As regions of an execution cut into intervals of `interval`
// micro-operations. Before each, up to `warm_up` are a slice of weight 0.
// Errors name file and line.
absl::StatusOr<std::vector<Slice>> ReadSlices(const std::string& base,
                                              uint64_t interval,
                                              uint64_t warm_up);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_SLICES_H_
