// Takes values from the front of a record of a .pvt file. After the first that
// does not fit, every call gives 0 and failed() is true.
//
//   RecordReader reader(bytes);
//   const uint32_t count = reader.U32();
//   std::string name = reader.String(kMaxStringBytes);
//   if (!reader.finished()) ...   // too short, too long, or a bound passed
#ifndef PERFVEC_STORAGE_TRACE_RECORD_READER_H_
#define PERFVEC_STORAGE_TRACE_RECORD_READER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "storage/trace/format.h"

namespace perfvec::trace {

class RecordReader {
 public:
  explicit RecordReader(absl::string_view bytes) : bytes_(bytes) {}
  uint32_t U32() {
    const absl::string_view b = Take(4);
    return b.empty() ? 0 : GetU32(b.data());
  }
  uint64_t U64() {
    const absl::string_view b = Take(8);
    return b.empty() ? 0 : GetU64(b.data());
  }
  std::string String(uint32_t max_bytes) {
    const uint32_t size = U32();
    if (size > max_bytes) failed_ = true;
    return std::string(Take(size));
  }
  absl::string_view Take(size_t size) {
    if (failed_ || size > bytes_.size()) {
      failed_ = true;
      return {};
    }
    const absl::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  size_t left() const { return bytes_.size(); }
  bool failed() const { return failed_; }
  bool finished() const { return !failed_ && bytes_.empty(); }

 private:
  absl::string_view bytes_;
  bool failed_ = false;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_RECORD_READER_H_
