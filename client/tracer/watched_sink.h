// A sink that tells how many bytes are in it, after each change: who follows
// the file knows how far it may read.
//
//   WatchedSink sink(std::move(file), [](uint64_t bytes) { ... });
#ifndef PERFVEC_CLIENT_TRACER_WATCHED_SINK_H_
#define PERFVEC_CLIENT_TRACER_WATCHED_SINK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::tracer {

class WatchedSink : public trace::ByteSink {
 public:
  WatchedSink(std::unique_ptr<trace::ByteSink> inner,
              std::function<void(uint64_t)> changed)
      : inner_(std::move(inner)), changed_(std::move(changed)) {}

  absl::Status Write(absl::string_view bytes) override {
    absl::Status status = inner_->Write(bytes);
    if (status.ok()) changed_(bytes_ += bytes.size());
    return status;
  }
  absl::Status Truncate(uint64_t bytes) override {
    // Told first: what is taken back must not be read.
    if (bytes < bytes_) changed_(bytes_ = bytes);
    return inner_->Truncate(bytes);
  }
  absl::Status Close() override { return inner_->Close(); }

 private:
  const std::unique_ptr<trace::ByteSink> inner_;
  const std::function<void(uint64_t)> changed_;
  uint64_t bytes_ = 0;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_WATCHED_SINK_H_
