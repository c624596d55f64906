// Small dense symmetric problems, a few hundred rows at most, without LAPACK:
// the compute library stands alone.
//
// Row-major, double precision; pure functions, any thread.
//
//   std::vector<double> x = b;                        // [n][columns]
//   if (!CholeskySolve(a, n, x, columns)) ...         // not positive definite
//   Eigen e = SymmetricEigen(a, n);                   // e.values[0] largest
#ifndef PERFVEC_WORKER_LEARN_DENSE_H_
#define PERFVEC_WORKER_LEARN_DENSE_H_

#include <cstddef>
#include <vector>

namespace perfvec::compute {

inline double Dot(const double* a, const double* b, size_t n) {
  // Eight sums, so that an addition need not wait for the one before.
  double sums[8] = {}, rest = 0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t k = 0; k < 8; ++k) sums[k] += a[i + k] * b[i + k];
  }
  for (; i < n; ++i) rest += a[i] * b[i];
  for (double s : sums) rest += s;
  return rest;
}

// Solves a x = b in place of b, [n][columns]. False, b undefined, if `a` [n][n]
// is not positive definite or not finite. `log_determinant`, if given, gets
// log |a|.
bool CholeskySolve(std::vector<double> a, size_t n, std::vector<double>& b,
                   size_t columns, double* log_determinant = nullptr);

// a⁻¹ in place of a, under the same conditions; a third of the arithmetic of
// solving for the identity.
bool CholeskyInverse(std::vector<double>& a, size_t n,
                     double* log_determinant = nullptr);

struct Eigen {
  std::vector<double> values;   // [n], descending
  std::vector<double> vectors;  // [n][n], row i belongs to value i; unit length
};
// Cyclic Jacobi rotations (Golub & Van Loan, section 8.5).
Eigen SymmetricEigen(std::vector<double> a, size_t n);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_DENSE_H_
