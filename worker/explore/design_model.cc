#include "worker/explore/design_model.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/explore/design_network.h"
#include "worker/explore/parallel.h"
#include "worker/learn/dense.h"

namespace perfvec::explore {

struct DesignModel::Basis {
  std::vector<double> mean;                     // [H]
  std::vector<std::vector<double>> directions;  // [outputs][H]

  std::vector<double> Vector(const std::vector<double>& z) const {
    std::vector<double> m = mean;
    for (size_t r = 0; r < z.size(); ++r) {
      for (size_t i = 0; i < m.size(); ++i) m[i] += z[r] * directions[r][i];
    }
    return m;
  }
};

namespace {

using Matrix = std::vector<double>;

// Less than this of the largest component's square is rounding.
constexpr double kLeastComponent = 1e-10;
constexpr size_t kMaxComponents = 24, kMaxFolds = 20;
constexpr int kTrialMembers = 2;

std::vector<double> Times(const Matrix& a, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double* row = &a[i * x.size()];
    double sum = 0;
    for (size_t k = 0; k < x.size(); ++k) sum += row[k] * x[k];
    y[i] = sum;
  }
  return y;
}

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// A sample with 1 / (Mᵀ A M), the scale of its metric.
struct Scaled {
  std::vector<double> inputs;
  const std::vector<double>* vector;
  const Matrix* metric;
  double scale;

  double Loss(const std::vector<double>& guess) const {
    std::vector<double> d = guess;
    for (size_t i = 0; i < d.size(); ++i) d[i] -= (*vector)[i];
    return scale * Dot(d, Times(*metric, d));
  }
};

absl::StatusOr<std::vector<Scaled>> Scale(
    const ParameterSpace& space, const std::vector<DesignSample>& samples) {
  if (samples.size() < kMinSamples || samples.size() > kMaxSamples) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected ", kMinSamples, " to ", kMaxSamples,
                     " sampled designs, found ", samples.size()));
  }
  std::vector<Scaled> scaled;
  std::set<Point> points;
  const size_t h = samples[0].vector.size();
  for (const DesignSample& s : samples) {
    if (s.point.size() != space.parameters.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("sampled design: expected ", space.parameters.size(),
                       " parameters, found ", s.point.size()));
    }
    const std::string name =
        absl::StrCat("sampled design ", space.Text(s.point));
    if (!points.insert(s.point).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": is there twice"));
    }
    if (h == 0 || s.vector.size() != h || s.metric == nullptr ||
        s.metric->size() != h * h) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": expected a vector of ", h,
                       " elements and its metric, found ", s.vector.size(),
                       " and ", s.metric == nullptr ? 0 : s.metric->size()));
    }
    const double size = Dot(s.vector, Times(*s.metric, s.vector));
    if (!(size > 0) || !std::isfinite(size)) {
      return absl::InvalidArgumentError(absl::StrCat(
          name,
          ": expected a metric that gives its vector a positive size, "
          "found ",
          size));
    }
    scaled.push_back(
        {space.Encode(s.point), &s.vector, s.metric.get(), 1 / size});
    for (double x : scaled.back().inputs) {
      if (!std::isfinite(x)) {
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": has a parameter off its scale"));
      }
    }
  }
  return scaled;
}

// The principal components of the samples' vectors under their mean metric,
// each of unit size in it, and the samples in those coordinates.
std::pair<DesignModel::Basis, NetworkTask> Project(
    const std::vector<const Scaled*>& samples) {
  const size_t k = samples.size(), h = samples[0]->vector->size();
  DesignModel::Basis basis;
  basis.mean.assign(h, 0);
  Matrix metric(h * h);
  for (const Scaled* s : samples) {
    for (size_t i = 0; i < h; ++i) basis.mean[i] += (*s->vector)[i] / k;
    const double share = s->scale / k;
    for (size_t i = 0; i < h * h; ++i) metric[i] += share * (*s->metric)[i];
  }
  std::vector<std::vector<double>> off, carried;
  for (const Scaled* s : samples) {
    off.push_back(*s->vector);
    for (size_t i = 0; i < h; ++i) off.back()[i] -= basis.mean[i];
    carried.push_back(Times(metric, off.back()));
  }
  Matrix gram(k * k);
  for (size_t a = 0; a < k; ++a) {
    for (size_t b = 0; b < k; ++b) gram[a * k + b] = Dot(off[a], carried[b]);
  }
  const compute::Eigen eigen = compute::SymmetricEigen(std::move(gram), k);
  NetworkTask task;
  task.targets.resize(k);
  for (size_t r = 0; r < std::min(k, kMaxComponents); ++r) {
    const double size = eigen.values[r];
    if (!(size > kLeastComponent * eigen.values[0]) || !(size > 0)) break;
    std::vector<double> direction(h);
    for (size_t a = 0; a < k; ++a) {
      const double u = eigen.vectors[r * k + a];
      for (size_t i = 0; i < h; ++i) {
        direction[i] += u * off[a][i] / std::sqrt(size);
      }
      task.targets[a].push_back(u * std::sqrt(size));
    }
    basis.directions.push_back(std::move(direction));
  }
  task.inputs = samples[0]->inputs.size();
  task.outputs = basis.directions.size();
  for (const Scaled* s : samples) {
    task.x.push_back(s->inputs);
    Matrix q(task.outputs * task.outputs);
    for (size_t r = 0; r < task.outputs; ++r) {
      const std::vector<double> row = Times(*s->metric, basis.directions[r]);
      for (size_t c = 0; c < task.outputs; ++c) {
        q[r * task.outputs + c] = s->scale * Dot(row, basis.directions[c]);
      }
    }
    task.metrics.push_back(std::move(q));
  }
  return {std::move(basis), std::move(task)};
}

}  // namespace

std::vector<NetworkSize> DesignModelOptions::DefaultSizes() {
  std::vector<NetworkSize> sizes;
  for (int hidden : {0, 4, 8, 16}) {
    for (double penalty : {1e-2, 1e-3, 1e-4, 1e-5}) {
      sizes.push_back({hidden, penalty});
    }
  }
  return sizes;
}

absl::StatusOr<DesignModel> DesignModel::Fit(
    const ParameterSpace& space, const std::vector<DesignSample>& samples,
    const DesignModelOptions& options) {
  absl::Status status = CheckSpace(space);
  if (!status.ok()) return status;
  if (options.sizes.empty() || options.members < 1 || options.iterations < 1) {
    return absl::InvalidArgumentError(
        "expected a network size to try, and at least one member and "
        "iteration");
  }
  auto scaled = Scale(space, samples);
  if (!scaled.ok()) return scaled.status();
  const size_t k = scaled->size(), tries = options.sizes.size();
  const size_t folds = std::min(
      k, options.folds == 0 ? kMaxFolds : std::max<size_t>(2, options.folds));
  const auto stopped = [&] { return options.stop && options.stop(); };
  const absl::Status cancelled =
      absl::CancelledError("the training of the network was stopped");
  // Sample a is left out in fold a % folds; the basis, too, is the others'.
  std::vector<std::vector<std::vector<double>>> guesses(
      tries, std::vector<std::vector<double>>(k));
  Parallel(folds, options.threads, [&](size_t fold) {
    std::vector<const Scaled*> rest;
    for (size_t a = 0; a < k; ++a) {
      if (a % folds != fold) rest.push_back(&(*scaled)[a]);
    }
    if (stopped()) return;
    const auto [basis, task] = Project(rest);
    for (size_t t = 0; t < tries; ++t) {
      for (int m = 0; m < kTrialMembers; ++m) {
        if (stopped()) return;
        const Network network =
            TrainNetwork(task, options.sizes[t], options.iterations,
                         options.seed + 1000 * fold + m);
        for (size_t a = fold; a < k; a += folds) {
          std::vector<double> guess =
              basis.Vector(network.Output((*scaled)[a].inputs));
          std::vector<double>& mean = guesses[t][a];
          mean.resize(guess.size());
          for (size_t i = 0; i < guess.size(); ++i) {
            mean[i] += guess[i] / kTrialMembers;
          }
        }
        if (options.sizes[t].hidden == 0) {  // convex: one start will do
          for (size_t a = fold; a < k; a += folds) {
            for (double& v : guesses[t][a]) v *= kTrialMembers;
          }
          break;
        }
      }
    }
  });
  if (stopped()) return cancelled;
  DesignModel model;
  model.space_ = space;
  for (size_t t = 0; t < tries; ++t) {
    double loss = 0;
    for (size_t a = 0; a < k; ++a) {
      loss += (*scaled)[a].Loss(guesses[t][a]) / k;
    }
    model.tried_.push_back({options.sizes[t], loss});
    if (loss < model.tried_[model.chosen_].loss) model.chosen_ = t;
  }
  if (!std::isfinite(model.chosen().loss)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "network: no size fits the samples; the loss on one left out is ",
        model.chosen().loss));
  }
  model.held_out_ = std::move(guesses[model.chosen_]);

  std::vector<const Scaled*> all;
  for (const Scaled& s : *scaled) all.push_back(&s);
  auto [basis, task] = Project(all);
  const int members = model.chosen().size.hidden == 0 ? 1 : options.members;
  model.members_.resize(members);
  Parallel(members, options.threads, [&, &task = task](size_t m) {
    if (stopped()) return;
    model.members_[m] = std::make_shared<const Network>(TrainNetwork(
        task, model.chosen().size, options.iterations, options.seed + m));
  });
  if (stopped()) return cancelled;
  model.basis_ = std::make_shared<const Basis>(std::move(basis));
  return model;
}

std::vector<double> DesignModel::Vector(const Point& point) const {
  const std::vector<double> inputs = space_.Encode(point);
  std::vector<double> mean(basis_->directions.size());
  for (const auto& member : members_) {
    const std::vector<double> z = member->Output(inputs);
    for (size_t r = 0; r < z.size(); ++r) mean[r] += z[r] / members_.size();
  }
  return basis_->Vector(mean);
}

}  // namespace perfvec::explore
