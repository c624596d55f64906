// Minimises a smooth function of a few hundred numbers: L-BFGS (Nocedal &
// Wright, Numerical Optimization, algorithm 7.5) with a backtracking line
// search.
//
// Pure function of its arguments; any thread.
//
//   std::vector<double> x(n);
//   Minimise([&](const std::vector<double>& x, std::vector<double>& gradient) {
//     ...; return value; }, {.iterations = 200}, x);
#ifndef PERFVEC_WORKER_EXPLORE_MINIMISE_H_
#define PERFVEC_WORKER_EXPLORE_MINIMISE_H_

#include <functional>
#include <vector>

namespace perfvec::explore {

struct MinimiseOptions {
  int iterations = 200;
  int history = 10;
  double tolerance = 1e-7;  // relative decrease that counts as none
};

// Of `x`, the start, makes the best point found; returns its value. The
// function fills `gradient` [x.size()] and returns the value.
double Minimise(const std::function<double(const std::vector<double>& x,
                                           std::vector<double>& gradient)>& f,
                const MinimiseOptions& options, std::vector<double>& x);

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_MINIMISE_H_
