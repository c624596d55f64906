#include "worker/evaluate/low_rank.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "worker/learn/dense.h"

namespace perfvec::train {
namespace {

constexpr size_t kFolds = 5;
constexpr double kLeastNoise = 1e-9;

using Rows = std::vector<std::vector<double>>;

// Mean, loadings and noise of complete rows.
LowRank FitComplete(const Rows& rows, size_t columns, int rank) {
  LowRank fit;
  fit.rank = rank;
  fit.mean.assign(columns, 0);
  for (const auto& row : rows) {
    for (size_t a = 0; a < columns; ++a) fit.mean[a] += row[a] / rows.size();
  }
  std::vector<double> covariance(columns * columns);
  for (const auto& row : rows) {
    for (size_t a = 0; a < columns; ++a) {
      const double d = (row[a] - fit.mean[a]) / rows.size();
      for (size_t b = 0; b < columns; ++b) {
        covariance[a * columns + b] += d * (row[b] - fit.mean[b]);
      }
    }
  }
  const compute::Eigen e = compute::SymmetricEigen(covariance, columns);
  double left = 0;
  for (size_t i = rank; i < columns; ++i) left += std::max(0.0, e.values[i]);
  fit.noise = std::max(kLeastNoise, left / std::max<size_t>(1, columns - rank));
  fit.loadings.assign(columns * rank, 0);
  for (int r = 0; r < rank; ++r) {
    const double scale = std::sqrt(std::max(0.0, e.values[r] - fit.noise));
    for (size_t a = 0; a < columns; ++a) {
      fit.loadings[a * rank + r] = scale * e.vectors[r * columns + a];
    }
  }
  return fit;
}

double Covariance(const LowRank& fit, size_t a, size_t b) {
  double sum = a == b ? fit.noise : 0;
  for (int r = 0; r < fit.rank; ++r) {
    sum += fit.loadings[a * fit.rank + r] * fit.loadings[b * fit.rank + r];
  }
  return sum;
}

double SquaredError(const LowRank& fit, const Rows& rows) {
  double sum = 0;
  for (const auto& row : rows) {
    const std::vector<double> guess = Complete(fit, row);
    for (size_t a = 0; a < row.size(); ++a) {
      sum += (guess[a] - row[a]) * (guess[a] - row[a]);
    }
  }
  return sum;
}

// Fits of one rank with each fold left out, and the rows of the fold.
std::vector<std::pair<LowRank, Rows>> FoldFits(const Rows& rows, size_t columns,
                                               int rank) {
  std::vector<std::pair<LowRank, Rows>> out;
  for (size_t f = 0; f < kFolds; ++f) {
    Rows in, left;
    for (size_t i = 0; i < rows.size(); ++i) {
      (i % kFolds == f ? left : in).push_back(rows[i]);
    }
    if (in.empty() || left.empty()) continue;
    out.emplace_back(FitComplete(in, columns, rank), std::move(left));
  }
  return out;
}

// Scores of a complete row: the conditional mean of z in x = mean + W z.
std::vector<double> Scores(const LowRank& fit, const std::vector<double>& row) {
  const size_t r = fit.rank;
  std::vector<double> normal(r * r), right(r);
  for (size_t i = 0; i < r; ++i) normal[i * r + i] = fit.noise;
  for (size_t a = 0; a < row.size(); ++a) {
    const double* w = &fit.loadings[a * r];
    for (size_t i = 0; i < r; ++i) {
      right[i] += w[i] * (row[a] - fit.mean[a]);
      for (size_t j = 0; j < r; ++j) normal[i * r + j] += w[i] * w[j];
    }
  }
  compute::CholeskySolve(normal, r, right, 1);
  return right;
}

// Mean and loadings (b = [mean, w]) of a column from few rows: Bayesian linear
// regression on [1, z] with the complete columns' mean and covariance as prior.
std::vector<double> FitColumn(const LowRank& fit, const Rows& scores,
                              const std::vector<double>& values) {
  const size_t columns = fit.mean.size(), d = fit.rank + 1;
  const auto entry = [&](size_t a, size_t i) {
    return i == 0 ? fit.mean[a] : fit.loadings[a * fit.rank + i - 1];
  };
  std::vector<double> prior(d), spread(d * d), identity(d * d);
  for (size_t a = 0; a < columns; ++a) {
    for (size_t i = 0; i < d; ++i) prior[i] += entry(a, i) / columns;
  }
  for (size_t a = 0; a < columns; ++a) {
    for (size_t i = 0; i < d; ++i) {
      for (size_t j = 0; j < d; ++j) {
        spread[i * d + j] +=
            (entry(a, i) - prior[i]) * (entry(a, j) - prior[j]) / columns;
      }
    }
  }
  for (size_t i = 0; i < d; ++i) {
    spread[i * d + i] += kLeastNoise;
    identity[i * d + i] = 1;
  }
  compute::CholeskySolve(spread, d, identity, d);  // now the precision
  std::vector<double> normal = identity, right(d);
  for (size_t k = 0; k < values.size(); ++k) {
    std::vector<double> x = {1};
    x.insert(x.end(), scores[k].begin(), scores[k].end());
    double residual = values[k];
    for (size_t i = 0; i < d; ++i) residual -= x[i] * prior[i];
    for (size_t i = 0; i < d; ++i) {
      right[i] += x[i] * residual / fit.noise;
      for (size_t j = 0; j < d; ++j) {
        normal[i * d + j] += x[i] * x[j] / fit.noise;
      }
    }
  }
  compute::CholeskySolve(normal, d, right, 1);
  for (size_t i = 0; i < d; ++i) right[i] += prior[i];
  return right;
}

}  // namespace

std::vector<double> Complete(const LowRank& fit,
                             const std::vector<double>& row) {
  const size_t k = fit.given.size();
  std::vector<double> known(k * k), right(k);
  for (size_t i = 0; i < k; ++i) {
    right[i] = row[fit.given[i]] - fit.mean[fit.given[i]];
    for (size_t j = 0; j < k; ++j) {
      known[i * k + j] = Covariance(fit, fit.given[i], fit.given[j]);
    }
  }
  std::vector<double> out = fit.mean;
  if (!compute::CholeskySolve(known, k, right, 1)) return out;
  for (size_t a = 0; a < out.size(); ++a) {
    for (size_t i = 0; i < k; ++i) {
      const double shared = a == fit.given[i]
                                ? Covariance(fit, a, a) - fit.noise
                                : Covariance(fit, a, fit.given[i]);
      out[a] += shared * right[i];
    }
  }
  return out;
}

LowRank FitLowRank(const LogTimeTable& table, size_t reference) {
  // Complete columns first; the others hang on them.
  std::vector<size_t> complete;
  for (size_t a = 0; a < table.columns; ++a) {
    if (std::none_of(table.rows.begin(), table.rows.end(),
                     [&](const auto& row) { return std::isnan(row[a]); })) {
      complete.push_back(a);
    }
  }
  Rows rows;
  for (const auto& row : table.rows) {
    rows.emplace_back();
    for (size_t a : complete) rows.back().push_back(row[a]);
  }
  const size_t n = complete.size();
  const size_t first =
      std::find(complete.begin(), complete.end(), reference) - complete.begin();
  LowRank best;
  double least = INFINITY;
  for (int rank = 1; rank <= std::min<int>(kMaxCompletionRank, n); ++rank) {
    auto folds = FoldFits(rows, n, rank);
    std::vector<size_t> given = {first};
    double error = INFINITY;
    while (given.size() < std::min(kGivenMachines, n)) {
      size_t choice = n;
      error = INFINITY;
      for (size_t a = 0; a < n; ++a) {
        if (std::count(given.begin(), given.end(), a) > 0) continue;
        double sum = 0;
        for (auto& [fit, left] : folds) {
          fit.given = given;
          fit.given.push_back(a);
          sum += SquaredError(fit, left);
        }
        if (choice == n || sum < error) {
          error = sum;
          choice = a;
        }
      }
      given.push_back(choice);
    }
    if (best.rank == 0 || error < least) {
      least = error;
      best.rank = rank;
      best.given = given;
    }
  }
  LowRank fit = FitComplete(rows, n, best.rank);
  Rows scores;
  for (const auto& row : rows) scores.push_back(Scores(fit, row));

  LowRank out;
  out.rank = fit.rank;
  out.noise = fit.noise;
  out.mean.resize(table.columns);
  out.loadings.resize(table.columns * fit.rank);
  for (size_t a = 0; a < table.columns; ++a) {
    const auto it = std::find(complete.begin(), complete.end(), a);
    std::vector<double> column;
    if (it != complete.end()) {
      const size_t c = it - complete.begin();
      column = {fit.mean[c]};
      column.insert(column.end(), &fit.loadings[c * fit.rank],
                    &fit.loadings[c * fit.rank] + fit.rank);
    } else {
      Rows known;
      std::vector<double> values;
      for (size_t p = 0; p < table.rows.size(); ++p) {
        if (std::isnan(table.rows[p][a])) continue;
        known.push_back(scores[p]);
        values.push_back(table.rows[p][a]);
      }
      column = FitColumn(fit, known, values);
    }
    out.mean[a] = column[0];
    std::copy(column.begin() + 1, column.end(), &out.loadings[a * fit.rank]);
  }
  for (size_t c : best.given) out.given.push_back(complete[c]);
  return out;
}

}  // namespace perfvec::train
