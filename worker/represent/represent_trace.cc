#include "worker/represent/represent_trace.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "storage/trace/reader.h"
#include "worker/features/feature_extractor.h"

namespace perfvec::compute {
namespace {

// Blocks of features (of up to 13 MB) that may wait for the back end.
constexpr size_t kMaxWaiting = 2;

// Features of the instructions from `first` on.
struct Piece {
  int64_t first = 0;
  std::vector<float> features;
  std::vector<std::vector<uint32_t>> latency;  // [column][instruction]
};

// Latencies wait here until the back end has run their instructions.
class Latencies {
 public:
  // Of the instructions behind those added before.
  void Add(int64_t first, const std::vector<std::vector<uint32_t>>& columns) {
    if (columns.empty()) return;
    if (rows_.empty()) first_ = first;
    width_ = columns.size();
    for (size_t i = 0; i < columns[0].size(); ++i) {
      for (const std::vector<uint32_t>& column : columns) {
        rows_.push_back(static_cast<float>(column[i]));
      }
    }
  }

  // Rows from instruction `first` on; those before it are dropped.
  const float* From(int64_t first) {
    if (width_ == 0) return nullptr;
    rows_.erase(rows_.begin(),
                rows_.begin() + static_cast<size_t>(first - first_) * width_);
    first_ = first;
    return rows_.data();
  }

 private:
  std::vector<float> rows_;
  size_t width_ = 0;
  int64_t first_ = 0;
};

// Hands pieces from the reading thread to the computing one, and the memory of
// used pieces back.
class PieceQueue {
 public:
  // False if nobody wants more.
  bool Put(Piece piece) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &PieceQueue::MayPut));
    if (stopped_) return false;
    pieces_.push_back(std::move(piece));
    return true;
  }

  // What the reading thread ended with, once.
  void Close(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    status_ = std::move(status);
  }

  // False at the end.
  absl::StatusOr<bool> Take(Piece* piece) {
    absl::MutexLock lock(&mutex_);
    if (piece->features.capacity() > 0) {
      spare_.push_back(std::move(piece->features));
    }
    mutex_.Await(absl::Condition(this, &PieceQueue::MayTake));
    if (pieces_.empty()) {
      if (!status_.ok()) return status_;
      return false;
    }
    *piece = std::move(pieces_.front());
    pieces_.pop_front();
    return true;
  }

  std::vector<float> SpareMemory() {
    absl::MutexLock lock(&mutex_);
    if (spare_.empty()) return {};
    std::vector<float> memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }

  void Stop() {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }

 private:
  bool MayPut() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || pieces_.size() < kMaxWaiting;
  }
  bool MayTake() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return closed_ || !pieces_.empty();
  }

  absl::Mutex mutex_;
  std::deque<Piece> pieces_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::vector<float>> spare_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Reads the trace up to `end`, and puts the features from `first` on into the
// queue, whole chunks at a time. An end inside a segment must be the trace's:
// then one more chunk is an error.
absl::Status ReadFeatures(trace::TraceReader* reader, int64_t first,
                          int64_t end, bool end_is_boundary,
                          const FeatureSchema& schema,
                          std::atomic<uint64_t>* bytes_read,
                          PieceQueue* queue) {
  FeatureExtractor extractor(schema);
  trace::TraceChunk chunk;
  for (int64_t at = 0; at < end || !end_is_boundary;) {
    absl::StatusOr<bool> more = reader->Next(&chunk);
    if (!more.ok()) return more.status();
    if (!*more) break;
    bytes_read->store(reader->source().consumed_bytes());
    const int64_t count = static_cast<int64_t>(chunk.block.size());
    if (!end_is_boundary && at + count > end) {
      return absl::InvalidArgumentError(absl::StrCat(
          "instruction range: expected an end at a segment boundary or at the "
          "end of ",
          reader->source().name(), ", found ", end));
    }
    if (at + count <= first) {
      if (absl::Status s = extractor.Skip(chunk.block); !s.ok()) return s;
    } else {
      Piece piece;
      piece.first = at;
      piece.features = queue->SpareMemory();
      piece.features.resize(chunk.block.size() * schema.count());
      absl::Status s = extractor.Extract(chunk.block, piece.features.data());
      if (!s.ok()) return s;
      piece.latency = std::move(chunk.latency_tenth_ns);
      if (!queue->Put(std::move(piece))) break;
    }
    at += count;
  }
  return absl::OkStatus();
}

absl::Status FeedAll(PieceQueue* queue, int64_t end, int64_t width,
                     StreamRepresenter* stream, Latencies* latencies) {
  Piece piece;
  for (;;) {
    absl::StatusOr<bool> more = queue->Take(&piece);
    if (!more.ok()) return more.status();
    if (!*more) return absl::OkStatus();
    const int64_t piece_end =
        piece.first + static_cast<int64_t>(piece.features.size()) / width;
    latencies->Add(piece.first, piece.latency);
    const int64_t from = stream->next_instruction();
    absl::Status s =
        stream->Feed(piece.features.data() + (from - piece.first) * width,
                     static_cast<size_t>(std::min(piece_end, end) - from));
    if (!s.ok()) return s;
  }
}

}  // namespace

absl::StatusOr<ProgramVectorAccumulator> RepresentTrace(
    std::unique_ptr<trace::ByteSource> source, Representer* back_end,
    const RepresentTraceOptions& options) {
  const uint64_t bytes_total = source->total_bytes();
  std::atomic<uint64_t> bytes_read{0};
  StreamOptions stream_options;
  if (options.progress) {
    stream_options.progress = [&](int64_t done) {
      return options.progress({done, bytes_read.load(), bytes_total});
    };
  }
  Latencies latencies;
  if (options.rows) {
    stream_options.outputs = [&](int64_t first, size_t count,
                                 const float* outputs) {
      return options.rows({first, count, outputs, latencies.From(first)});
    };
  }
  absl::StatusOr<StreamRepresenter> stream = StreamRepresenter::Create(
      back_end, options.range, std::move(stream_options));
  if (!stream.ok()) return stream.status();
  absl::StatusOr<std::unique_ptr<trace::TraceReader>> reader =
      trace::TraceReader::Open(std::move(source), {false, options.columns});
  if (!reader.ok()) return reader.status();

  const FeatureSchema& schema = back_end->model()->manifest().schema();
  const InstructionRange range = options.range;
  const bool end_is_boundary =
      range.end == kEndOfTrace ||
      range.end % back_end->model()->manifest().segment_length == 0;
  PieceQueue queue;
  std::thread reading([&] {
    queue.Close(ReadFeatures(reader->get(), stream->first_instruction(),
                             range.end, end_is_boundary, schema, &bytes_read,
                             &queue));
  });
  const absl::Status fed =
      FeedAll(&queue, range.end, schema.count(), &*stream, &latencies);
  queue.Stop();
  reading.join();
  if (!fed.ok()) return fed;
  return stream->Finish();
}

}  // namespace perfvec::compute
