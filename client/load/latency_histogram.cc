#include "client/load/latency_histogram.h"

#include <algorithm>
#include <cmath>

#include "absl/numeric/bits.h"

namespace perfvec::client {
namespace {

// Values below 2^8 have a bucket each, an octave above has 2^7 of them.
constexpr int kSubBits = 7;
constexpr int kMaxBits = 40;
constexpr int64_t kMaxNs = (int64_t{1} << kMaxBits) - 1;

size_t BucketOf(int64_t ns) {
  const int width = absl::bit_width(static_cast<uint64_t>(ns));
  const int shift = std::max(0, width - kSubBits - 1);
  return (static_cast<size_t>(shift) << kSubBits) + (ns >> shift);
}

// The largest value of the bucket.
int64_t EndOf(size_t bucket) {
  const size_t octave = bucket >> kSubBits;
  const int shift = octave == 0 ? 0 : static_cast<int>(octave) - 1;
  const int64_t mantissa = bucket - (static_cast<int64_t>(shift) << kSubBits);
  return ((mantissa + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : buckets_(BucketOf(kMaxNs) + 1) {}

void LatencyHistogram::Add(absl::Duration latency) {
  const int64_t ns =
      std::clamp<int64_t>(absl::ToInt64Nanoseconds(latency), 1, kMaxNs);
  ++buckets_[BucketOf(ns)];
  ++count_;
  max_ns_ = std::max(max_ns_, ns);
  sum_ns_ += ns;
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
  sum_ns_ += other.sum_ns_;
}

absl::Duration LatencyHistogram::Mean() const {
  return count_ == 0 ? absl::ZeroDuration()
                     : absl::Nanoseconds(sum_ns_ / count_);
}

absl::Duration LatencyHistogram::Percentile(double percent) const {
  const uint64_t rank = std::clamp<uint64_t>(
      static_cast<uint64_t>(std::ceil(percent / 100 * count_)), 1, count_ + 1);
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= rank) {
      return absl::Nanoseconds(std::min(EndOf(bucket), max_ns_));
    }
  }
  return absl::Nanoseconds(max_ns_);
}

}  // namespace perfvec::client
