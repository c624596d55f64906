#include "worker/explore/minimise.h"

#include <cmath>
#include <deque>
#include <numeric>
#include <utility>

namespace perfvec::explore {
namespace {

using Vector = std::vector<double>;

double Dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

struct Pair {
  Vector step, change;  // of x and of the gradient
  double product = 0;
};

// The two-loop recursion: an approximate inverse Hessian times the gradient.
Vector Direction(const std::deque<Pair>& pairs, const Vector& gradient) {
  Vector d = gradient;
  Vector weights(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    weights[i] = Dot(pairs[i].step, d) / pairs[i].product;
    for (size_t k = 0; k < d.size(); ++k) {
      d[k] -= weights[i] * pairs[i].change[k];
    }
  }
  const double scale =
      pairs.empty() ? 1 / std::max(1.0, std::sqrt(Dot(gradient, gradient)))
                    : pairs.back().product /
                          Dot(pairs.back().change, pairs.back().change);
  for (double& v : d) v *= scale;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double back = Dot(pairs[i].change, d) / pairs[i].product;
    for (size_t k = 0; k < d.size(); ++k) {
      d[k] += (weights[i] - back) * pairs[i].step[k];
    }
  }
  for (double& v : d) v = -v;
  return d;
}

}  // namespace

double Minimise(const std::function<double(const Vector&, Vector&)>& f,
                const MinimiseOptions& options, Vector& x) {
  constexpr double kSufficient = 1e-4;  // of the decrease the slope promises
  constexpr int kHalvings = 20;
  Vector gradient(x.size());
  double value = f(x, gradient);
  std::deque<Pair> pairs;
  for (int i = 0; i < options.iterations; ++i) {
    Vector d = Direction(pairs, gradient);
    double slope = Dot(d, gradient);
    if (!(slope < 0)) {
      if (pairs.empty()) break;
      pairs.clear();
      continue;
    }
    double rate = 1, next_value = value;
    Vector next(x.size()), next_gradient(x.size());
    int halvings = 0;
    for (; halvings < kHalvings; ++halvings, rate /= 2) {
      for (size_t k = 0; k < x.size(); ++k) next[k] = x[k] + rate * d[k];
      next_value = f(next, next_gradient);
      if (next_value <= value + kSufficient * rate * slope) break;
    }
    if (halvings == kHalvings) break;
    Pair pair;
    pair.step.resize(x.size());
    pair.change.resize(x.size());
    for (size_t k = 0; k < x.size(); ++k) {
      pair.step[k] = next[k] - x[k];
      pair.change[k] = next_gradient[k] - gradient[k];
    }
    pair.product = Dot(pair.step, pair.change);
    if (pair.product > 1e-300) pairs.push_back(std::move(pair));
    if (pairs.size() > static_cast<size_t>(options.history)) pairs.pop_front();
    const double decrease = value - next_value;
    x.swap(next);
    gradient.swap(next_gradient);
    value = next_value;
    if (decrease <= options.tolerance * std::fabs(value)) break;
  }
  return value;
}

}  // namespace perfvec::explore
