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
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Solves a x = b in place of b, [n][columns]. False, b undefined, if `a` [n][n]
// is not positive definite or not finite.
bool CholeskySolve(std::vector<double> a, size_t n, std::vector<double>& b,
                   size_t columns);

struct Eigen {
  std::vector<double> values;   // [n], descending
  std::vector<double> vectors;  // [n][n], row i belongs to value i; unit length
};
// Cyclic Jacobi rotations (Golub & Van Loan, section 8.5).
Eigen SymmetricEigen(std::vector<double> a, size_t n);

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_LEARN_DENSE_H_
