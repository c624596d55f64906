// Which part of an execution is written down.
//
//   Region region(options);
//   for each block that runs: if (region.Pass(operations)) continue; else
//     for each micro-operation: if (region.Next(&begins)) Record(...);
//
// Positions count micro-operations from the program's first, without those
// that stand for page faults. Plain state machine, one thread.
#ifndef PERFVEC_CLIENT_TRACER_REGION_H_
#define PERFVEC_CLIENT_TRACER_REGION_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace perfvec::tracer {

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// A from_pc or to_pc that no block begins at.
inline constexpr uint64_t kNowhere = kNoLimit;

// Positions [begin, end), and what they stand for (docs/tracing.md).
struct Slice {
  uint64_t begin = 0, end = 0;
  std::string label;
  double weight = 0;
};

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
  // Or these, in order and without overlap, in place of skip and every.
  std::vector<Slice> slices;
};

class Region {
 public:
  explicit Region(RegionOptions options) : options_(std::move(options)) {
    started_ = options_.from_pc == 0;
    NextSlice();
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
      ended_ = true;
    }
    return !done();
  }

  // Whether the next `count` operations are all left out; if so they have
  // been passed.
  bool Pass(uint64_t count) {
    if (!started_ || ended_) return true;
    if (done()) {
      position_ += count;
      return true;
    }
    if (position_ >= end_) NextSlice();
    if (position_ >= begin_ || count > begin_ - position_) return false;
    position_ += count;
    return true;
  }

  // Whether the next operation is recorded; it has then been passed.
  // *begins: a slice begins with it.
  bool Next(bool* begins) {
    if (position_ >= end_) NextSlice();
    *begins = false;
    const bool recorded = Recording();
    ++position_;
    if (recorded) Count(1, begins);
    return recorded;
  }

  // The same for an operation that has no position of its own: a page fault.
  bool NextFault(bool* begins) {
    if (position_ >= end_) NextSlice();
    *begins = false;
    if (!Recording()) return false;
    Count(1, begins);
    return true;
  }

  // How many operations from here on are all recorded, none the first of a
  // slice; Record() passes so many or fewer.
  uint64_t Room() const {
    if (!Recording() || at_begin_) return 0;
    return std::min(end_ - position_, options_.instructions - recorded_);
  }
  void Record(uint64_t count) {
    position_ += count;
    recorded_ += count;
  }

  bool done() const {
    return ended_ || recorded_ >= options_.instructions || begin_ == kNoLimit;
  }
  uint64_t position() const { return position_; }
  // Positions are counted: the region has begun, and not ended at to_pc.
  bool counts() const { return started_ && !ended_; }
  // That which begins, where Next() has just said so.
  Slice slice() const {
    if (!options_.slices.empty()) return options_.slices[slice_ - 1];
    return {begin_, end_, "at " + std::to_string(begin_), 0};
  }

 private:
  bool Recording() const {
    return started_ && !done() && position_ >= begin_ && position_ < end_;
  }
  void Count(uint64_t count, bool* begins) {
    recorded_ += count;
    *begins = at_begin_ && (options_.every != 0 || !options_.slices.empty());
    at_begin_ = false;
  }
  // Begins where there is none left: nowhere.
  void NextSlice() {
    at_begin_ = true;
    if (!options_.slices.empty()) {
      const bool any = slice_ < options_.slices.size();
      begin_ = any ? options_.slices[slice_].begin : kNoLimit;
      end_ = any ? options_.slices[slice_].end : kNoLimit;
    } else if (options_.every != 0) {
      begin_ = options_.skip + slice_ * options_.every;
      end_ = begin_ + options_.take;
    } else {
      begin_ = slice_ == 0 ? options_.skip : kNoLimit;
      end_ = kNoLimit;
    }
    ++slice_;
  }

  RegionOptions options_;
  bool started_ = false;
  bool ended_ = false;
  uint64_t from_calls_ = 0;
  uint64_t to_calls_ = 0;
  uint64_t position_ = 0;
  uint64_t recorded_ = 0;
  uint64_t slice_ = 0;  // begun so far
  uint64_t begin_ = 0, end_ = 0;
  bool at_begin_ = true;  // nothing of the slice has been recorded
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_REGION_H_
