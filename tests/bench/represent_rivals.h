// What the network of represent_bench is measured against: LibTorch's nn::LSTM
// and oneDNN's LSTM primitive over the same segments in batches, and the rates
// the CPU reaches without any memory.
//
// A rival starts from encoded inputs and adds in whatever order it likes: all
// the easier for it. One thread at a time.
#ifndef PERFVEC_TESTS_BENCH_REPRESENT_RIVALS_H_
#define PERFVEC_TESTS_BENCH_REPRESENT_RIVALS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "worker/model/foundation_model.h"

namespace perfvec::bench {

// LSTM-2-256 over segments of kLength with a warm-up of kWarmUp, features and
// the same encoded.
inline constexpr int kWidth = 256, kWarmUp = 255, kLength = 1024;
struct Work {
  std::shared_ptr<const compute::FoundationModel> model;
  std::vector<float> features;
  std::vector<float> inputs;
  int columns = 0;
  int64_t instructions = 0;
};

// A way to run `batch` segments together, `steps` steps in a call.
class Rival {
 public:
  virtual ~Rival() = default;
  virtual std::string name() const = 0;
  // The program vector.
  std::vector<double> Run(int batch, int steps);

 protected:
  explicit Rival(const Work& work) : work_(work) {}
  // Zero state for so many lanes; in one lane.
  virtual void Start(int lanes) = 0;
  virtual void ZeroLane(int lane) = 0;
  // input: [steps][lanes][columns]. Adds max(0, h) of all to `sum`, if given.
  virtual void Forward(const std::vector<float>& input, int steps,
                       std::vector<double>* sum) = 0;

  const Work& work_;
};

std::unique_ptr<Rival> MakeTorchRival(const Work& work);
// Null where this build has no oneDNN, or it has no such primitive here.
std::unique_ptr<Rival> MakeOneDnnRival(const Work& work, bool bf16);

// GFLOP/s of one thread that does nothing but multiply and add in registers; 0
// where the CPU lacks it.
struct Peak {
  double fma = 0, bf16 = 0;  // AVX-512
};
Peak MeasurePeak();
// Of a product of 1536 x 1536, the best of three, by processor time.
double SgemmGflops(int threads);
// The same by oneDNN; 0 without it.
double OneDnnGemmGflops(int threads, bool bf16);

struct Time {
  double wall = 0, cpu = 0;
};
Time Now();
template <class F>
Time Measure(const F& f) {
  const Time start = Now();
  f();
  const Time end = Now();
  return {end.wall - start.wall, end.cpu - start.cpu};
}

}  // namespace perfvec::bench

#endif  // PERFVEC_TESTS_BENCH_REPRESENT_RIVALS_H_
