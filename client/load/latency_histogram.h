// Counts of latencies in buckets whose width grows with the value: any
// percentile to within 1/128 of itself, in 36 kB whatever the number of values.
//
// Not safe for use by several threads at once.
//
//   LatencyHistogram latencies;
//   latencies.Add(absl::Microseconds(120));
//   latencies.Percentile(99.9);
#ifndef PERFVEC_CLIENT_LOAD_LATENCY_HISTOGRAM_H_
#define PERFVEC_CLIENT_LOAD_LATENCY_HISTOGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace perfvec::client {

class LatencyHistogram {
 public:
  LatencyHistogram();

  // Below a nanosecond counts as one; above 18 minutes as 18 minutes.
  void Add(absl::Duration latency);
  void Merge(const LatencyHistogram& other);

  uint64_t count() const { return count_; }
  absl::Duration max() const { return absl::Nanoseconds(max_ns_); }
  absl::Duration Mean() const;  // zero if empty
  // The least bucket's end that `percent` of the values do not exceed (nearest
  // rank), never above max(). 0 to 100; zero if empty.
  absl::Duration Percentile(double percent) const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  int64_t max_ns_ = 0;
  double sum_ns_ = 0;
};

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_LOAD_LATENCY_HISTOGRAM_H_
