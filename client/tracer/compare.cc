#include "client/tracer/compare.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "client/tracer/arm_rules.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "worker/features/feature_extractor.h"

namespace perfvec::tracer {
namespace {

using compute::kFeatureCount;

constexpr size_t kWindow = 1 << 15;  // the longest detour, instructions
constexpr size_t kAgreement = 24;    // that must agree after a detour
constexpr size_t kMaxGaps = 100;

struct Record {
  uint64_t pc;
  int16_t op_class;
  uint32_t flags;
  std::array<float, kFeatureCount> features;

  // A retried access after a page fault has the pc of the first try.
  bool SamePlace(const Record& o) const {
    return pc == o.pc && op_class == o.op_class &&
           ((flags ^ o.flags) & trace::kFault) == 0;
  }
};

// A trace with the features of its instructions, and a window on it.
class Stream {
 public:
  static absl::StatusOr<std::unique_ptr<Stream>> Open(const std::string& file,
                                                      uint64_t limit) {
    auto source = trace::OpenFileSource(file);
    if (!source.ok()) return source.status();
    auto reader = trace::TraceReader::Open(*std::move(source));
    if (!reader.ok()) return reader.status();
    auto stream = std::make_unique<Stream>();
    stream->reader_ = *std::move(reader);
    stream->limit_ = limit;
    return stream;
  }

  // Reads until the window holds `count` or the trace ends.
  absl::Status Fill(size_t count) {
    while (window_.size() < count && !ended_) {
      auto more = reader_->Next(&chunk_);
      if (!more.ok()) return more.status();
      if (!*more) {
        ended_ = true;
        break;
      }
      const trace::InstructionBlock& block = chunk_.block;
      features_.resize(block.size() * kFeatureCount);
      if (absl::Status status = extractor_.Extract(block, features_.data());
          !status.ok()) {
        return status;
      }
      for (size_t i = 0; i < block.size() && !ended_; ++i) {
        const auto& instruction = block.statics[block.static_index[i]];
        Record record;
        record.pc = instruction.pc;
        record.op_class = instruction.op_class;
        record.flags = instruction.flags;
        std::copy_n(features_.data() + i * kFeatureCount, kFeatureCount,
                    record.features.begin());
        window_.push_back(record);
        ended_ = ++read_ == limit_;
      }
    }
    return absl::OkStatus();
  }

  void Drop(size_t count) {
    window_.erase(window_.begin(), window_.begin() + count);
    position_ += count;
  }

  const std::deque<Record>& window() const { return window_; }
  uint64_t position() const { return position_; }

 private:
  std::unique_ptr<trace::TraceReader> reader_;
  compute::FeatureExtractor extractor_;
  trace::TraceChunk chunk_;
  std::vector<float> features_;
  std::deque<Record> window_;
  uint64_t position_ = 0, read_ = 0, limit_ = 0;
  bool ended_ = false;
};

bool Agree(const std::deque<Record>& a, size_t i, const std::deque<Record>& b,
           size_t j) {
  const size_t count = std::min({kAgreement, a.size() - i, b.size() - j});
  if (count == 0) return false;
  for (size_t k = 0; k < count; ++k) {
    if (!a[i + k].SamePlace(b[j + k])) return false;
  }
  return true;
}

// The detour (instructions of a, of b) with the smallest sum.
bool FindDetour(const std::deque<Record>& a, const std::deque<Record>& b,
                size_t* skip_a, size_t* skip_b) {
  // For each place in b its positions, so that the search is not quadratic.
  std::map<uint64_t, std::vector<size_t>> places;
  for (size_t j = 0; j < b.size(); ++j) {
    auto& list = places[b[j].pc];
    if (list.size() < 64) list.push_back(j);
  }
  size_t best = std::numeric_limits<size_t>::max();
  for (size_t i = 0; i < a.size() && i < best; ++i) {
    const auto place = places.find(a[i].pc);
    if (place == places.end()) continue;
    for (const size_t j : place->second) {
      if (i + j >= best) break;
      if (!Agree(a, i, b, j)) continue;
      best = i + j;
      *skip_a = i;
      *skip_b = j;
      break;
    }
  }
  return best != std::numeric_limits<size_t>::max();
}

void Count(const Record& a, const Record& b, const Stream& stream_a,
           const Stream& stream_b, const CompareOptions& options,
           CompareReport* report) {
  bool same = true;
  for (int f = 0; f < kFeatureCount; ++f) {
    if (a.features[f] == b.features[f]) continue;
    same = false;
    CompareReport::Feature& feature = report->features[f];
    ++feature.different;
    if (static_cast<int>(feature.examples.size()) < options.examples) {
      feature.examples.push_back({stream_a.position(), stream_b.position(),
                                  a.pc, a.features[f], b.features[f]});
    }
  }
  ++report->aligned;
  report->identical += same;
  auto count = [same](CompareReport::Group& group) {
    ++group.aligned;
    group.different += !same;
  };
  count(report->op_classes[OpClassName(a.op_class)]);
  if (options.mnemonic) count(report->mnemonics[options.mnemonic(a.pc)]);
}

}  // namespace

double CompareReport::identical_share() const {
  const uint64_t all = aligned + only_a + only_b;
  return all == 0 ? 1 : static_cast<double>(identical) / all;
}

absl::StatusOr<CompareReport> CompareTraces(const std::string& file_a,
                                            const std::string& file_b,
                                            const CompareOptions& options) {
  auto a = Stream::Open(file_a, options.instructions);
  if (!a.ok()) return a.status();
  auto b = Stream::Open(file_b, options.instructions);
  if (!b.ok()) return b.status();
  Stream& stream_a = **a;
  Stream& stream_b = **b;
  CompareReport report;
  auto fill = [&](size_t count) {
    const absl::Status status = stream_a.Fill(count);
    return status.ok() ? stream_b.Fill(count) : status;
  };
  for (;;) {
    if (stream_a.window().empty() || stream_b.window().empty()) {
      if (absl::Status status = fill(1); !status.ok()) return status;
    }
    if (stream_a.window().empty() || stream_b.window().empty()) break;
    const Record& first_a = stream_a.window().front();
    const Record& first_b = stream_b.window().front();
    if (first_a.SamePlace(first_b)) {
      Count(first_a, first_b, stream_a, stream_b, options, &report);
      stream_a.Drop(1);
      stream_b.Drop(1);
      continue;
    }
    if (absl::Status status = fill(kWindow); !status.ok()) return status;
    size_t skip_a = stream_a.window().size();
    size_t skip_b = stream_b.window().size();
    if (!FindDetour(stream_a.window(), stream_b.window(), &skip_a, &skip_b)) {
      report.lost = true;
    }
    ++report.gap_count;
    if (report.gaps.size() < kMaxGaps) {
      report.gaps.push_back({stream_a.position(), stream_b.position(), skip_a,
                             skip_b, stream_a.window().front().pc,
                             stream_b.window().front().pc});
    }
    report.only_a += skip_a;
    report.only_b += skip_b;
    stream_a.Drop(skip_a);
    stream_b.Drop(skip_b);
    if (report.lost) break;
  }
  if (!report.lost) {
    // What follows when the other trace has ended is no difference.
    report.instructions_a = stream_a.position();
    report.instructions_b = stream_b.position();
  }
  return report;
}

}  // namespace perfvec::tracer
