// Variable-length numbers: seven bits a byte, the lowest first, the top bit
// set in all but the last. Values are at most 64 bits, so ten bytes.
#ifndef PERFVEC_STORAGE_TRACE_VARINT_H_
#define PERFVEC_STORAGE_TRACE_VARINT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace perfvec::trace {

inline void PutVarint(uint64_t value, std::string* out) {
  while (value > 127) {
    out->push_back(static_cast<char>(value | 128));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

// Small numbers of either sign as small numbers: 0, -1, 1, -2, ...
inline uint64_t ZigZag(uint64_t difference) {
  return (difference << 1) ^ (0 - (difference >> 63));
}
inline uint64_t UnZigZag(uint64_t value) {
  return (value >> 1) ^ (0 - (value & 1));
}

class VarintReader {
 public:
  explicit VarintReader(absl::string_view bytes)
      : begin_(reinterpret_cast<const uint8_t*>(bytes.data())),
        position_(begin_),
        end_(begin_ + bytes.size()) {}

  // False at the end, for a number that goes past it or over 64 bits.
  bool Next(uint64_t* value) {
    if (position_ != end_ && *position_ < 128) {
      *value = *position_++;
      return true;
    }
    uint64_t result = 0;
    for (int shift = 0; shift < 64 && position_ != end_; shift += 7) {
      const uint64_t byte = *position_++;
      if (shift == 63 && byte > 1) return false;
      result |= (byte & 127) << shift;
      if (byte < 128) {
        *value = result;
        return true;
      }
    }
    return false;
  }
  // One at most `max`.
  bool Next(uint64_t max, uint64_t* value) {
    return Next(value) && *value <= max;
  }
  bool at_end() const { return position_ == end_; }
  size_t offset() const { return position_ - begin_; }

 private:
  const uint8_t* const begin_;
  const uint8_t* position_;
  const uint8_t* const end_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_TRACE_VARINT_H_
