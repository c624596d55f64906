// k-means with k chosen by the Bayesian information criterion, as SimPoint
// clusters the intervals of an execution (G. Hamerly et al., "SimPoint 3.0",
// 2005): of the clusterings whose criterion reaches a share of the best, the
// one with the fewest clusters.
//
//   std::vector<Point> points = ...;          // all of one length
//   ClusterChoice choice = ChooseClusters(points, {.most = 10});
//   choice.clusters.cluster[i];               // of point i
//
// Pure functions; the same points and seed give the same answer everywhere.
#ifndef PERFVEC_WORKER_LEARN_CLUSTER_H_
#define PERFVEC_WORKER_LEARN_CLUSTER_H_

#include <cstdint>
#include <limits>
#include <vector>

namespace perfvec::compute {

using Point = std::vector<double>;

double SquaredDistance(const Point& a, const Point& b);

struct Clustering {
  std::vector<Point> centres;
  std::vector<int> cluster;  // of each point
  double squared_error = std::numeric_limits<double>::infinity();
};

// Lloyd's algorithm from centres chosen as in k-means++. 1 <= k; points not
// empty.
Clustering KMeans(const std::vector<Point>& points, int k, uint64_t seed);

struct ClusterOptions {
  int least = 1, most = 30;   // clusters tried
  int restarts = 5;           // of k-means for each k
  double bic_share = 0.9;     // of the way from the worst k's to the best's
  uint64_t seed = 493575226;  // SimPoint 3.2's
};
struct ClusterChoice {
  Clustering clusters;
  double whole_squared_error = 0;  // of one cluster
};
// Points must not be empty.
ClusterChoice ChooseClusters(const std::vector<Point>& points,
                             const ClusterOptions& options);

// A number in [-1, 1) for each (seed, coordinate, dimension): the matrix of a
// random projection, without a table.
double ProjectionWeight(uint64_t seed, uint64_t coordinate, int dimension);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_CLUSTER_H_
