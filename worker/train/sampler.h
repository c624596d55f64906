// What an update sees: lanes that walk through programs in pieces of `steps`
// instructions and jump to another place every `pieces_per_visit` pieces, and
// random numbers that can be saved.
//
//   Sampler sampler(data, slices, encoding, options, scaling);
//   std::vector<int> jumped = sampler.Next();  // lanes to reset
//   net.Forward(sampler.inputs(), T, B);
//
// One thread. All state is in SamplerState: a sampler that was given another's
// state goes on as that one would have.
#ifndef PERFVEC_WORKER_TRAIN_SAMPLER_H_
#define PERFVEC_WORKER_TRAIN_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "worker/model/input_encoding.h"
#include "worker/train/dataset.h"
#include "worker/train/options.h"

namespace perfvec::train {

// SplitMix64 (Steele, Lea and Flood 2014): one word of state.
class Random {
 public:
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t Next() {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

  uint64_t state;
};

// What latencies are divided by, and how much errors count.
struct Scaling {
  std::vector<double> architecture;  // 0.1 ns
  // [slices][A], mean 1 as they are drawn; 0 where nothing was simulated.
  std::vector<float> weight;
};
// For loss "scaled": each architecture's mean latency over the slices; and,
// with m a program's mean scaled latency and c that on one architecture, 1 /
// (m^program_power (c / m)^cell_power). For "mse": one scale for all, the mean
// over all architectures, and 1: plain squared error in another unit.
Scaling MakeScaling(const std::vector<Slice>& slices,
                    const TrainOptions& options);

struct Lane {
  uint64_t slice = 0;
  uint64_t position = 0;
  uint64_t pieces_left = 0;
  uint64_t skip = 0;  // outputs still in warm-up
};

struct SamplerState {
  uint64_t random = 0;
  std::vector<Lane> lanes;
};

class Sampler {
 public:
  // Every slice has at least options.steps instructions. All references
  // outlive the sampler.
  Sampler(const std::vector<Slice>& slices,
          const compute::InputEncoding& encoding, const Scaling& scaling,
          const TrainOptions& options, uint64_t seed);

  // Fills inputs, targets and keep; returns the lanes that jumped, whose state
  // is to be reset.
  const std::vector<int>& Next();

  const std::vector<float>& inputs() const { return inputs_; }    // [T*B][I]
  const std::vector<float>& targets() const { return targets_; }  // [T*B][A]
  const std::vector<float>& keep() const { return keep_; }        // [T*B]
  const std::vector<float>& weights() const { return weights_; }  // [B][A]

  // `count` different numbers below n, ascending.
  std::vector<int> Choose(int n, int count);

  const SamplerState& state() const { return state_; }
  void set_state(const SamplerState& state) { state_ = state; }

 private:
  void Jump(Lane* lane);
  // Sets the columns to 0 that the lane's visit does without.
  void DropInputs(const Lane& lane);

  const std::vector<Slice>& slices_;
  const compute::InputEncoding& encoding_;
  const Scaling& scaling_;
  const size_t lanes_, steps_, pieces_per_visit_, warm_up_, architectures_;
  const double input_dropout_;
  std::vector<double> cumulative_;  // of the weights slices are drawn by
  SamplerState state_;
  std::vector<int> jumped_;
  std::vector<float> inputs_, targets_, keep_, weights_, features_, piece_;
  std::vector<uint16_t> latency_;
};

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_SAMPLER_H_
