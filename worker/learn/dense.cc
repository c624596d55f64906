#include "worker/learn/dense.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace perfvec::compute {
namespace {

constexpr int kMaxSweeps = 60;
constexpr double kOffDiagonal = 1e-26;  // of the squared norm: converged

// Rotates rows p and q of `m` [n][n].
void RotateRows(std::vector<double>& m, size_t n, size_t p, size_t q, double c,
                double s) {
  double* const x = &m[p * n];
  double* const y = &m[q * n];
  for (size_t k = 0; k < n; ++k) {
    const double a = x[k], b = y[k];
    x[k] = c * a - s * b;
    y[k] = s * a + c * b;
  }
}

void RotateColumns(std::vector<double>& m, size_t n, size_t p, size_t q,
                   double c, double s) {
  for (size_t k = 0; k < n; ++k) {
    double& x = m[k * n + p];
    double& y = m[k * n + q];
    const double a = x, b = y;
    x = c * a - s * b;
    y = s * a + c * b;
  }
}

// a = Uᵀ U, right-looking on the upper triangle: every loop runs along rows.
bool Factor(std::vector<double>& a, size_t n, double* log_determinant) {
  if (log_determinant != nullptr) *log_determinant = 0;
  for (size_t k = 0; k < n; ++k) {
    double* const row = &a[k * n];
    if (!(row[k] > 0) || !std::isfinite(row[k])) return false;
    if (log_determinant != nullptr) *log_determinant += std::log(row[k]);
    const double scale = 1 / std::sqrt(row[k]);
    for (size_t j = k; j < n; ++j) row[j] *= scale;
    for (size_t i = k + 1; i < n; ++i) {
      const double f = row[i];
      double* const to = &a[i * n];
      for (size_t j = i; j < n; ++j) to[j] -= f * row[j];
    }
  }
  return true;
}

}  // namespace

bool CholeskyInverse(std::vector<double>& a, size_t n,
                     double* log_determinant) {
  if (!Factor(a, n, log_determinant)) return false;
  // Row i of V = U⁻¹, from the last up: V_ii = 1 / U_ii and
  // V_i = −(Σ_k>i U_ik V_k) / U_ii.
  std::vector<double> v(n * n);
  for (size_t i = n; i-- > 0;) {
    double* const to = &v[i * n];
    for (size_t k = i + 1; k < n; ++k) {
      const double f = a[i * n + k];
      for (size_t j = k; j < n; ++j) to[j] -= f * v[k * n + j];
    }
    const double scale = 1 / a[i * n + i];
    for (size_t j = i + 1; j < n; ++j) to[j] *= scale;
    to[i] = scale;
  }
  // a⁻¹ = V Vᵀ
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      a[i * n + j] = a[j * n + i] = Dot(&v[i * n + j], &v[j * n + j], n - j);
    }
  }
  return true;
}

bool CholeskySolve(std::vector<double> a, size_t n, std::vector<double>& b,
                   size_t columns, double* log_determinant) {
  if (!Factor(a, n, log_determinant)) return false;
  for (size_t k = 0; k < n; ++k) {  // Uᵀ y = b
    double* const y = &b[k * columns];
    for (size_t c = 0; c < columns; ++c) y[c] /= a[k * n + k];
    for (size_t i = k + 1; i < n; ++i) {
      const double f = a[k * n + i];
      for (size_t c = 0; c < columns; ++c) b[i * columns + c] -= f * y[c];
    }
  }
  for (size_t k = n; k-- > 0;) {  // U x = y
    double* const x = &b[k * columns];
    for (size_t i = k + 1; i < n; ++i) {
      const double f = a[k * n + i];
      for (size_t c = 0; c < columns; ++c) x[c] -= f * b[i * columns + c];
    }
    for (size_t c = 0; c < columns; ++c) x[c] /= a[k * n + k];
  }
  return true;
}

Eigen SymmetricEigen(std::vector<double> a, size_t n) {
  std::vector<double> v(n * n);
  for (size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  const double norm = std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    double off = 0;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) off += a[p * n + q] * a[p * n + q];
    }
    if (!(off > kOffDiagonal * norm)) break;
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        const double apq = a[p * n + q];
        if (apq == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
        const double t = std::copysign(1.0, theta) /
                         (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        RotateColumns(a, n, p, q, c, s);
        RotateRows(a, n, p, q, c, s);
        RotateRows(v, n, p, q, c, s);
      }
    }
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t x, size_t y) { return a[x * n + x] > a[y * n + y]; });
  Eigen eigen;
  for (size_t i : order) {
    eigen.values.push_back(a[i * n + i]);
    eigen.vectors.insert(eigen.vectors.end(), v.begin() + i * n,
                         v.begin() + (i + 1) * n);
  }
  return eigen;
}

}  // namespace perfvec::compute
