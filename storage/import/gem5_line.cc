#include "storage/import/gem5_line.h"

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {
namespace {

constexpr int kLeadFields = 9;
constexpr int kFieldsBeforeRegisters = 39 + 2;  // from op_class to n_dst

constexpr const char* kLeadNames[kLeadFields] = {
    "fault",  "sq_index", "fetch_tick", "rob_exit", "commit",
    "decode", "rename",   "dispatch",   "issue"};
constexpr const char* kRestNames[kFieldsBeforeRegisters] = {
    "op_class", "micro_op", "cond_branch", "uncond_branch", "direct",
    "squash_after", "serialize_after", "serialize_before", "atomic",
    "store_conditional", "read_barrier", "write_barrier", "quiesce",
    "non_speculative",
    //
    "has_address", "address", "size", "level", "walk_depth", "walk_depth",
    "walk_depth", "walk_address", "walk_address", "walk_address", "writebacks",
    "writebacks", "writebacks",
    //
    "pc", "taken", "mispredicted", "fetch_level", "fetch_walk_depth",
    "fetch_walk_depth", "fetch_walk_depth", "fetch_walk_address",
    "fetch_walk_address", "fetch_walk_address", "fetch_writebacks",
    "fetch_writebacks",
    //
    "n_src", "n_dst"};

constexpr char kExtraField[] = "the line should end before it";

// The flags from micro_op to non_speculative are consecutive bits.
constexpr int kFlagFields = 13;
static_assert(kNonSpeculative == kMicroOp << (kFlagFields - 1), "");

// Reads numbers from left to right. After the first bad one every call
// returns 0 and the place and the reason are kept, so that a line is checked
// once, at its end.
class FieldReader {
 public:
  explicit FieldReader(absl::string_view text)
      : position_(text.data()), end_(text.data() + text.size()) {}

  bool AtEnd() {
    while (position_ != end_ && (*position_ == ' ' || *position_ == '\r')) {
      ++position_;
    }
    return position_ == end_;
  }

  uint64_t Unsigned(uint64_t max = std::numeric_limits<uint64_t>::max()) {
    while (*position_ == ' ' && position_ != end_) ++position_;
    const char* const begin = position_;
    uint64_t value = 0;
    unsigned digit = static_cast<unsigned char>(*position_) - '0';
    if (digit > 9) return Fail(begin, "expected a number from 0");
    do {
      value = value * 10 + digit;
      digit = static_cast<unsigned char>(*++position_) - '0';
    } while (digit <= 9);
    // 19 digits cannot overflow; more are rare enough to be checked slowly.
    if (position_ - begin > 19 && Overflows(begin)) {
      return Fail(begin, "expected a number below 2^64");
    }
    if (value > max) return Fail(begin, "is too large");
    if (*position_ != ' ' && position_ != end_ && *position_ != '\r') {
      return Fail(begin, "expected a number from 0");
    }
    return value;
  }

  int64_t Signed() {
    while (*position_ == ' ' && position_ != end_) ++position_;
    const char* const begin = position_;
    if (*position_ == '-') {
      ++position_;
      if (*position_ == ' ') return Fail(begin, "expected a number");
      const uint64_t magnitude = Unsigned(1ull << 62);
      if (failed()) failure_ = begin;
      return -static_cast<int64_t>(magnitude);
    }
    return static_cast<int64_t>(Unsigned(1ull << 62));
  }

  // One character, 0 or 1.
  uint32_t Bit() {
    while (*position_ == ' ' && position_ != end_) ++position_;
    const unsigned bit = static_cast<unsigned char>(*position_) - '0';
    const char next = position_ == end_ ? '\0' : position_[1];
    if (bit > 1 || (next != ' ' && next != '\n' && next != '\r')) {
      return Fail(position_, "expected 0 or 1");
    }
    ++position_;
    return bit;
  }

  // Skips fields that read just so: nearly every line has the same ones.
  template <size_t size>
  bool Skip(const char (&text)[size]) {
    const size_t length = size - 1;
    if (end_ - position_ < length ||
        std::memcmp(position_, text, length) != 0) {
      return false;
    }
    position_ += length - 1;  // the last blank belongs to the next field
    return true;
  }

  // The third field from here is the op_class of a store. Where no store times
  // stand it would be a flag, which is 0 or 1.
  bool StoreIsThird() const {
    const char* p = position_;
    for (int field = 0; field < 2; ++field) {
      while (p != end_ && *p == ' ') ++p;
      while (p != end_ && *p != ' ') ++p;
    }
    while (p != end_ && *p == ' ') ++p;
    return end_ - p > 3 && p[0] == '4' && p[1] == '8' && p[2] == ' ';
  }

  // Four fields of 0 or 1 behind single blanks, at once: the first is the
  // lowest bit. False, with nothing taken, for anything else.
  bool FourBits(uint32_t* bits) {
    constexpr uint64_t kZeros = 0x3020302030203020;  // " 0 0 0 0"
    constexpr uint64_t kOnes = 0x0100010001000100;
    uint64_t word;
    if (end_ - position_ < sizeof word) return false;
    std::memcpy(&word, position_, sizeof word);
    word ^= kZeros;
    // The byte behind must end the last field.
    if ((word & ~kOnes) != 0 || position_[sizeof word] > ' ') return false;
    position_ += sizeof word;
    // Bits 8, 24, 40 and 56 to the top four.
    *bits = word * 0x10002000400080 >> 60;
    return true;
  }

  uint64_t Fail(const char* where, const char* reason) {
    if (failure_ == nullptr) {
      failure_ = where;
      reason_ = reason;
    }
    position_ = end_;
    return 0;
  }

  bool failed() const { return failure_ != nullptr; }
  const char* failure() const { return failure_; }
  const char* reason() const { return reason_; }
  const char* position() const { return position_; }

 private:
  bool Overflows(const char* begin) const {
    while (*begin == '0') ++begin;
    const absl::string_view digits(begin, position_ - begin);
    return digits.size() > 20 ||
           (digits.size() == 20 && digits > "18446744073709551615");
  }

  const char* position_;
  const char* const end_;
  const char* failure_ = nullptr;
  const char* reason_ = nullptr;
};

uint32_t ParseFlags(FieldReader* reader) {
  uint32_t flags = 0;
  for (int i = 0; i < kFlagFields;) {
    uint32_t bits = 0;
    if (i + 4 <= kFlagFields && reader->FourBits(&bits)) {
      flags |= bits << i;
      i += 4;
    } else {
      flags |= reader->Bit() << i++;
    }
  }
  return flags * kMicroOp;
}

void ParseRegisters(FieldReader* reader, StaticInstruction* s) {
  s->source_count = reader->Unsigned(kMaxSourceRegisters);
  s->destination_count = reader->Unsigned(kMaxDestinationRegisters);
  const auto parse = [reader](Register* r) {
    r->register_class = reader->Unsigned(kMaxRegisterClass);
    r->index = reader->Unsigned(std::numeric_limits<uint16_t>::max() - 1);
  };
  for (int i = 0; i < s->source_count; ++i) parse(&s->sources[i]);
  for (int i = 0; i < s->destination_count; ++i) parse(&s->destinations[i]);
}

std::string Describe(absl::string_view text, const FieldReader& reader,
                     bool has_store_ticks) {
  int number = 1;  // of the field that starts at the failure
  bool in_field = false;
  for (const char* p = text.data(); p < reader.failure(); ++p) {
    const bool blank = *p == ' ';
    if (in_field && blank) ++number;
    in_field = !blank;
  }
  if (in_field) ++number;  // the line ends behind the field before
  const char* const end = text.data() + text.size();
  const char* value_end = reader.failure();
  while (value_end < end && *value_end != ' ') ++value_end;
  const std::string name = absl::StrCat(
      "field ", number, " (",
      reader.reason() == kExtraField ? "extra"
                                     : Gem5FieldName(number, has_store_ticks),
      ")");
  if (reader.failure() >= end) {
    return absl::StrCat("the line ends before ", name);
  }
  const absl::string_view value =
      absl::string_view(reader.failure(), value_end - reader.failure())
          .substr(0, 40);
  return absl::StrCat(name, ": ", reader.reason(), ", found '", value, "'");
}

}  // namespace

std::string Gem5FieldName(int number, bool has_store_ticks) {
  int i = number - 1;
  if (i < kLeadFields) return kLeadNames[i];
  i -= kLeadFields;
  if (has_store_ticks) {
    if (i < 2) return i == 0 ? "store" : "store_queue_exit";
    i -= 2;
  }
  if (i < kFieldsBeforeRegisters) return kRestNames[i];
  return (i - kFieldsBeforeRegisters) % 2 == 0 ? "register class"
                                               : "register index";
}

bool ParseGem5Line(absl::string_view text, Gem5File file, Gem5Line* line,
                   std::string* error) {
  FieldReader reader(text);
  line->fault = reader.Bit();
  line->sq_index = reader.Signed();
  for (int64_t& tick : line->ticks_ps) tick = reader.Signed();
  line->has_store_ticks = false;
  line->whole = false;
  StaticInstruction& s = line->instruction;
  if (!reader.failed() && (file == Gem5File::kStores || !reader.AtEnd())) {
    line->whole = true;
    // In the trace, the in-order cores print the store times of an atomic or
    // exclusive behind the leading numbers. With an index that is certain;
    // without one it shows by the operation standing two fields late.
    line->has_store_ticks =
        file == Gem5File::kStores ||
        (!line->fault && (line->sq_index != -1 || reader.StoreIsThird()));
    line->store_ps = line->has_store_ticks ? reader.Signed() : 0;
    line->store_queue_exit_ps = line->has_store_ticks ? reader.Signed() : 0;

    s = StaticInstruction();
    s.op_class = reader.Unsigned(std::numeric_limits<int16_t>::max());
    uint32_t flags =
        (line->fault * kFault) | ((line->sq_index != -1) * kHasStoreQueueIndex);
    flags |= ParseFlags(&reader);
    const bool has_address = reader.Bit();
    line->address = reader.Unsigned();
    s.access_size = reader.Unsigned(std::numeric_limits<uint32_t>::max());
    if (has_address) {
      flags |= kHasAddress;
    } else {
      line->address = 0;
      s.access_size = 0;
    }
    s.flags = flags;
    reader.Signed();  // level
    if (!reader.Skip(" -1 -1 -1 0 0 0 0 0 0 ")) {
      for (int i = 0; i < 9; ++i) reader.Signed();  // walks and writebacks
    }
    s.pc = reader.Unsigned();
    line->taken = reader.Bit();
    reader.Signed();  // mispredicted
    reader.Signed();  // fetch_level
    if (!reader.Skip(" -1 -1 -1 0 0 0 0 0 ")) {
      for (int i = 0; i < 8; ++i) reader.Signed();  // walks and writebacks
    }
    ParseRegisters(&reader, &s);
    if (!reader.failed() && !reader.AtEnd()) {
      reader.Fail(reader.position(), kExtraField);
    }
  }
  if (!reader.failed()) return true;
  *error = Describe(text, reader, line->has_store_ticks);
  return false;
}

}  // namespace perfvec::trace
