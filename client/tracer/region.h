// Which part of an execution is written down.
//
//   Region region(options);
//   for each micro-operation: switch (region.Next()) ...
//
// Positions count micro-operations from the program's first. Plain state
// machine, one thread.
#ifndef PERFVEC_CLIENT_TRACER_REGION_H_
#define PERFVEC_CLIENT_TRACER_REGION_H_

#include <cstdint>
#include <limits>
#include <string>

namespace perfvec::tracer {

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// A from_pc or to_pc that no block begins at.
inline constexpr uint64_t kNowhere = kNoLimit;

struct RegionOptions {
  // From there on positions count: where the block at `from_pc` begins to run
  // for the from_call-th time; 0: where the program begins.
  uint64_t from_pc = 0;
  uint64_t from_call = 1;
  // And the end, likewise; 0: none.
  uint64_t to_pc = 0;
  uint64_t to_call = 1;
  uint64_t skip = 0;                 // before the first instruction recorded
  uint64_t instructions = kNoLimit;  // recorded in all
  // Slices: the first `take` of every `every`; 0: all.
  uint64_t every = 0;
  uint64_t take = 0;
};

class Region {
 public:
  explicit Region(RegionOptions options) : options_(options) {
    if (options_.from_pc == 0) started_ = true;
  }

  // Sets what was not known when the program began (kNowhere).
  void set_from_pc(uint64_t pc) { options_.from_pc = pc; }
  void set_to_pc(uint64_t pc) { options_.to_pc = pc; }

  // A block begins to run. False: nothing more is wanted.
  bool BlockBegins(uint64_t pc) {
    if (!started_ && pc == options_.from_pc &&
        ++from_calls_ == options_.from_call) {
      started_ = true;
    }
    if (started_ && options_.to_pc != 0 && pc == options_.to_pc &&
        ++to_calls_ == options_.to_call) {
      return false;
    }
    return !done();
  }

  // Whether the next `count` operations are all left out; if so they have
  // been passed.
  bool Pass(uint64_t count) {
    if (!started_) return true;
    if (position_ + count <= options_.skip) {
      position_ += count;
      return true;
    }
    if (options_.every != 0 && position_ >= options_.skip) {
      const uint64_t in_slice = (position_ - options_.skip) % options_.every;
      if (in_slice >= options_.take && in_slice + count <= options_.every) {
        position_ += count;
        return true;
      }
    }
    return false;
  }

  // Whether the next operation is recorded. *begins: a slice begins with it.
  bool Next(bool* begins) {
    const uint64_t at = position_++;
    *begins = false;
    if (at < options_.skip || done()) return false;
    if (options_.every != 0) {
      const uint64_t in_slice = (at - options_.skip) % options_.every;
      if (in_slice >= options_.take) return false;
      *begins = in_slice == 0;
    }
    ++recorded_;
    return true;
  }

  bool done() const { return recorded_ >= options_.instructions; }
  uint64_t recorded() const { return recorded_; }
  uint64_t position() const { return position_; }

 private:
  RegionOptions options_;
  bool started_ = false;
  uint64_t from_calls_ = 0;
  uint64_t to_calls_ = 0;
  uint64_t position_ = 0;
  uint64_t recorded_ = 0;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_REGION_H_
