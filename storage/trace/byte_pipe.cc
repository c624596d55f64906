#include "storage/trace/byte_pipe.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {

class BytePipe::Source : public ByteSource {
 public:
  explicit Source(std::shared_ptr<BytePipe> pipe) : pipe_(std::move(pipe)) {}
  ~Source() override {
    absl::MutexLock lock(&pipe_->mutex_);
    pipe_->read_closed_ = true;
  }
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    BytePipe& p = *pipe_;
    absl::MutexLock lock(&p.mutex_);
    const auto ready = [&p]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(p.mutex_) {
      return p.begin_ < p.bytes_.size() || p.write_closed_;
    };
    p.mutex_.Await(absl::Condition(&ready));
    const size_t n = std::min(size, p.bytes_.size() - p.begin_);
    if (n == 0) {
      if (!p.status_.ok()) return p.status_;
      return 0;
    }
    std::memcpy(out, p.bytes_.data() + p.begin_, n);
    p.begin_ += n;
    p.consumed_bytes_ += n;
    if (p.begin_ == p.bytes_.size()) {
      p.bytes_.clear();
      p.begin_ = 0;
    }
    return n;
  }
  std::string name() const override { return pipe_->name_; }
  uint64_t consumed_bytes() const override {
    absl::MutexLock lock(&pipe_->mutex_);
    return pipe_->consumed_bytes_;
  }

 private:
  const std::shared_ptr<BytePipe> pipe_;
};

BytePipe::BytePipe(std::string name, size_t capacity_bytes)
    : name_(std::move(name)),
      capacity_bytes_(std::max<size_t>(capacity_bytes, 1)) {}

std::unique_ptr<ByteSource> BytePipe::ReadEnd(std::shared_ptr<BytePipe> pipe) {
  return std::make_unique<Source>(std::move(pipe));
}

absl::Status BytePipe::Write(absl::string_view bytes) {
  absl::MutexLock lock(&mutex_);
  // The buffer is filled only while it is empty or has room, so it holds at
  // most its capacity.
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return read_closed_ || write_closed_ || bytes_.size() < capacity_bytes_;
  };
  while (!bytes.empty()) {
    mutex_.Await(absl::Condition(&ready));
    if (write_closed_) {
      return absl::FailedPreconditionError(
          absl::StrCat(name_, ": written to after its end"));
    }
    if (read_closed_) {
      return absl::CancelledError(absl::StrCat(name_, ": nobody reads it"));
    }
    const size_t n = std::min(bytes.size(), capacity_bytes_ - bytes_.size());
    bytes_.append(bytes.data(), n);
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

void BytePipe::CloseWrite(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  write_closed_ = true;
  status_ = std::move(status);
}

}  // namespace perfvec::trace
