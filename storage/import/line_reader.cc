#include "storage/import/line_reader.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {

LineReader::LineReader(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(256 << 10) {}

const char* LineReader::FindNewline(const char* begin) const {
  return static_cast<const char*>(
      std::memchr(begin, '\n', buffer_.data() + end_ - begin));
}

absl::StatusOr<bool> LineReader::Refill(absl::string_view* line) {
  size_t searched = end_ - begin_;
  std::memmove(buffer_.data(), buffer_.data() + begin_, searched);
  begin_ = 0;
  end_ = searched;
  while (!at_end_) {
    if (end_ > kMaxLineBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          source_->name(), " line ", line_number_ + 1, ": longer than ",
          kMaxLineBytes, " bytes; this is no gem5 trace"));
    }
    absl::StatusOr<size_t> n =
        source_->Read(buffer_.data() + end_, buffer_.size() - end_);
    if (!n.ok()) return n.status();
    at_end_ = *n == 0;
    end_ += *n;
    const char* newline = FindNewline(buffer_.data() + searched);
    if (newline != nullptr) {
      *line = absl::string_view(buffer_.data(), newline - buffer_.data());
      begin_ = line->size() + 1;
      ++line_number_;
      return true;
    }
    searched = end_;
  }
  cut_last_line_ = begin_ < end_;
  return false;
}

}  // namespace perfvec::trace
