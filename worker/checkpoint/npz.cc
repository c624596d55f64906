#include "worker/checkpoint/npz.h"

#include <cstdint>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "worker/checkpoint/zip_archive.h"

namespace perfvec::checkpoint {
namespace {

constexpr absl::string_view kMagic("\x93NUMPY", 6);
// A member has a header of at most 64 kB beside its elements.
constexpr uint64_t kMaxHeaderBytes = 1 << 16;

absl::Status Bad(absl::string_view label, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(label, ": ", what));
}

// The text of `key` in a header such as
//   {'descr': '<f8', 'fortran_order': False, 'shape': (51,), }
// up to the comma that ends it; empty if there is none.
absl::string_view Field(absl::string_view header, absl::string_view key) {
  const std::string quoted = absl::StrCat("'", key, "':");
  const size_t at = header.find(quoted);
  if (at == header.npos) return "";
  absl::string_view value = header.substr(at + quoted.size());
  const bool tuple =
      absl::StartsWith(absl::StripLeadingAsciiWhitespace(value), "(");
  size_t end = value.find(tuple ? ')' : ',');
  if (end == value.npos) return "";
  return absl::StripAsciiWhitespace(value.substr(0, end + (tuple ? 1 : 0)));
}

}  // namespace

absl::StatusOr<std::vector<double>> ParseNpy(absl::string_view bytes,
                                             absl::string_view label,
                                             size_t max_elements) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(label, ": ", what));
  };
  if (!absl::ConsumePrefix(&bytes, kMagic) || bytes.size() < 4) {
    return damaged("expected a .npy file, found none");
  }
  const int version = static_cast<uint8_t>(bytes[0]);
  if (version < 1 || version > 3) {
    return Bad(label,
               absl::StrCat("expected .npy version 1 to 3, found ", version));
  }
  const size_t size_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < 2 + size_bytes) return damaged("the header is cut");
  uint32_t header_size = 0;
  std::memcpy(&header_size, bytes.data() + 2, size_bytes);
  bytes.remove_prefix(2 + size_bytes);
  if (bytes.size() < header_size) return damaged("the header is cut");
  const absl::string_view header = bytes.substr(0, header_size);
  bytes.remove_prefix(header_size);

  const absl::string_view type = Field(header, "descr");
  if (type != "'<f4'" && type != "'<f8'") {
    return Bad(label,
               absl::StrCat("expected little-endian float32 or float64 ('<f4', "
                            "'<f8'), found ",
                            absl::CHexEscape(type.substr(0, 40))));
  }
  // The order of a single dimension does not matter.
  absl::string_view shape = Field(header, "shape");
  uint64_t count = 0;
  if (!absl::ConsumePrefix(&shape, "(") || !absl::ConsumeSuffix(&shape, ",)") ||
      !absl::SimpleAtoi(shape, &count)) {
    return Bad(
        label,
        absl::StrCat("expected one dimension, found the shape ",
                     absl::CHexEscape(Field(header, "shape").substr(0, 40))));
  }
  const uint64_t element = type == "'<f4'" ? 4 : 8;
  if (count > max_elements) {
    return Bad(label, absl::StrCat("expected at most ", max_elements,
                                   " elements, found ", count));
  }
  if (bytes.size() != count * element) {
    return damaged(absl::StrCat("expected ", count * element,
                                " bytes of elements, found ", bytes.size()));
  }
  std::vector<double> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    float single = 0;
    if (element == 4) {
      std::memcpy(&single, bytes.data() + 4 * i, 4);
      values[i] = double{single};
    } else {
      std::memcpy(&values[i], bytes.data() + 8 * i, 8);
    }
  }
  return values;
}

absl::StatusOr<std::map<std::string, std::vector<double>>> ReadNpz(
    absl::string_view bytes, const std::string& label, size_t max_elements) {
  auto archive = ZipArchive::Open(bytes, label);
  if (!archive.ok()) return archive.status();
  std::map<std::string, std::vector<double>> arrays;
  for (const std::string& member : (*archive)->names()) {
    absl::string_view name = member;
    if (!absl::ConsumeSuffix(&name, ".npy")) {
      return Bad(label, absl::StrCat("expected members NAME.npy, found \"",
                                     absl::CHexEscape(member), "\""));
    }
    auto npy = (*archive)->Read(member, kMaxHeaderBytes + 8 * max_elements);
    if (!npy.ok()) return npy.status();
    auto values =
        ParseNpy(*npy, absl::StrCat(label, ": ", absl::CHexEscape(member)),
                 max_elements);
    if (!values.ok()) return values.status();
    if (!arrays.emplace(std::string(name), *std::move(values)).second) {
      return Bad(label, absl::StrCat("two members \"", absl::CHexEscape(member),
                                     "\""));
    }
  }
  return arrays;
}

}  // namespace perfvec::checkpoint
