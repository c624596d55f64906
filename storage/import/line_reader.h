// Lines of a text stream without copies: a line is a view into the reader's
// buffer, valid until the next call. Memory is the buffer, whatever the size
// of the file.
//
//   LineReader lines(std::move(source));
//   absl::string_view line;
//   for (;;) {
//     absl::StatusOr<bool> more = lines.Next(&line);
//     if (!more.ok() || !*more) break;
//   }
//
// One thread.
#ifndef PERFVEC_STORAGE_IMPORT_LINE_READER_H_
#define PERFVEC_STORAGE_IMPORT_LINE_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/trace/byte_stream.h"

namespace perfvec::trace {

class LineReader {
 public:
  // A line of gem5 has a few hundred characters; one longer than this is an
  // error, so that a file of another kind cannot fill the memory.
  static constexpr size_t kMaxLineBytes = 16 << 10;

  explicit LineReader(std::unique_ptr<ByteSource> source);

  // The next line, without its newline; false at the end. The byte behind the
  // line may be read (it is a newline). A last line without a newline was cut
  // while it was written: it is not returned, and cut_last_line() says so.
  absl::StatusOr<bool> Next(absl::string_view* line) {
    const char* begin = buffer_.data() + begin_;
    const char* newline = FindNewline(begin);
    if (newline == nullptr) return Refill(line);
    *line = absl::string_view(begin, newline - begin);
    begin_ += line->size() + 1;
    ++line_number_;
    return true;
  }

  // Of the line returned last, from 1.
  uint64_t line_number() const { return line_number_; }
  bool cut_last_line() const { return cut_last_line_; }
  const ByteSource& source() const { return *source_; }

 private:
  const char* FindNewline(const char* begin) const;
  absl::StatusOr<bool> Refill(absl::string_view* line);

  const std::unique_ptr<ByteSource> source_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t line_number_ = 0;
  bool at_end_ = false;
  bool cut_last_line_ = false;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_IMPORT_LINE_READER_H_
