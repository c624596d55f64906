// Run-time choice between the baseline and AVX2 (with BMI and POPCNT).
//
// A hot loop is an always-inline function, wrapped once plain and once as
// PERFVEC_TARGET_AVX2. Both give the same bits: integers, and floats that are
// only converted and copied. AVX-512 was measured to give nothing more but to
// the reference cores.
//
//   PERFVEC_TARGET_AVX2 void LoopAvx2(...) { Loop(...); }
//   if (CpuHasAvx2()) LoopAvx2(...); else Loop(...);
#ifndef PERFVEC_WORKER_FEATURES_CPU_DISPATCH_H_
#define PERFVEC_WORKER_FEATURES_CPU_DISPATCH_H_

#if defined(__x86_64__)
#define PERFVEC_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))
#else
#define PERFVEC_TARGET_AVX2
#endif

namespace perfvec::compute {

inline bool CpuHasAvx2() {
#if defined(__x86_64__)
  static const bool kHas =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
      __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  return kHas;
#else
  return false;
#endif
}

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_CPU_DISPATCH_H_
