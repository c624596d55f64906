#include "worker/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/model/files.h"

namespace perfvec::compute {
namespace {

using Json = nlohmann::json;

// Tensors of more dimensions than this do not occur in any model we load.
constexpr size_t kMaxDimensions = 8;

absl::Status Malformed(absl::string_view name, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(name, ": ", what));
}

// The dtypes of the format and their sizes, to tell "of another type" from
// "not a safetensors file".
std::optional<int> ElementSize(const std::string& dtype) {
  static const std::map<std::string, int> kSizes = {
      {"BOOL", 1},    {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"I16", 2},
      {"F8_E5M2", 1}, {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},     {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
  auto it = kSizes.find(dtype);
  if (it == kSizes.end()) return std::nullopt;
  return it->second;
}

// The product of `shape` times `element_size`, or nothing if it overflows or a
// dimension is negative.
std::optional<uint64_t> SizeBytes(const std::vector<int64_t>& shape,
                                  uint64_t element_size) {
  uint64_t size = element_size;
  for (int64_t d : shape) {
    if (d < 0) return std::nullopt;
    if (d != 0 && size > std::numeric_limits<uint64_t>::max() /
                             static_cast<uint64_t>(d)) {
      return std::nullopt;
    }
    size *= static_cast<uint64_t>(d);
  }
  return size;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "tensors are copied as the file has them: little-endian");

uint64_t LoadLittleEndian64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

void StoreLittleEndian64(uint64_t value, char* to) {
  std::memcpy(to, &value, sizeof(value));
}

struct Entry {
  std::string name;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;
};

absl::StatusOr<Entry> ParseEntry(const std::string& tensor, const Json& value,
                                 uint64_t data_size, absl::string_view name) {
  const std::string label = absl::StrCat("tensor \"", tensor, "\"");
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets")) {
    return Malformed(name, absl::StrCat(label,
                                        ": expected an object of exactly "
                                        "dtype, shape and data_offsets"));
  }
  if (!value["dtype"].is_string()) {
    return Malformed(name, absl::StrCat(label, ": dtype is not a string"));
  }
  const std::string dtype = value["dtype"].get<std::string>();
  const std::optional<int> element_size = ElementSize(dtype);
  if (!element_size) {
    return Malformed(name, absl::StrCat(label, ": unknown dtype ", dtype));
  }
  Entry entry;
  entry.name = tensor;
  const Json& shape = value["shape"];
  if (!shape.is_array() || shape.size() > kMaxDimensions) {
    return Malformed(
        name, absl::StrCat(label, ": shape is not an array of ", "at most ",
                           kMaxDimensions, " dimensions"));
  }
  for (const Json& d : shape) {
    if (!d.is_number_unsigned() || d.get<uint64_t>() > kMaxSafetensorsFileBytes)
      return Malformed(name, absl::StrCat(label, ": bad dimension ", d.dump()));
    entry.shape.push_back(d.get<int64_t>());
  }
  const Json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 ||
      !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return Malformed(
        name, absl::StrCat(label, ": data_offsets is not two offsets, found ",
                           offsets.dump()));
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  if (entry.begin > entry.end || entry.end > data_size) {
    return Malformed(
        name, absl::StrCat(label, ": data_offsets ", offsets.dump(),
                           " lie outside the ", data_size, " bytes of data"));
  }
  const std::optional<uint64_t> size =
      SizeBytes(entry.shape, static_cast<uint64_t>(*element_size));
  if (!size || *size != entry.end - entry.begin) {
    return Malformed(
        name,
        absl::StrCat(label, ": ", dtype, " of shape ", ShapeString(entry.shape),
                     " expects ", size ? absl::StrCat(*size) : "too many",
                     " bytes, found ", entry.end - entry.begin));
  }
  if (dtype != "F32") {
    return absl::UnimplementedError(
        absl::StrCat(name, ": ", label, ": expected dtype F32, found ", dtype,
                     "; convert the file to float32"));
  }
  return entry;
}

// nlohmann keeps the last of two equal keys; a strict reader refuses both. The
// callback sees every key at any depth; nesting deeper than the format's own
// three levels is refused before it can grow.
absl::StatusOr<Json> ParseHeader(absl::string_view text,
                                 absl::string_view name) {
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  auto callback = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      repeated = parsed.get<std::string>();
    }
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), callback,
                          /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return Malformed(name, "the header is not a JSON object");
  }
  if (!repeated.empty()) {
    return Malformed(
        name, absl::StrCat("the header has the key \"", repeated, "\" twice"));
  }
  return json;
}

}  // namespace

std::string ShapeString(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::StatusOr<SafetensorsFile> ParseSafetensors(absl::string_view bytes,
                                                 absl::string_view name) {
  if (bytes.size() < 8) {
    return Malformed(
        name, absl::StrCat("expected at least 8 bytes, found ", bytes.size()));
  }
  const uint64_t header_size = LoadLittleEndian64(bytes.data());
  if (header_size > kMaxSafetensorsHeaderBytes ||
      header_size > bytes.size() - 8) {
    return Malformed(name,
                     absl::StrCat("the header's length is ", header_size,
                                  " bytes, but the file has ", bytes.size() - 8,
                                  " after it and ", kMaxSafetensorsHeaderBytes,
                                  " is the most allowed"));
  }
  absl::StatusOr<Json> header = ParseHeader(bytes.substr(8, header_size), name);
  if (!header.ok()) return header.status();
  const absl::string_view data = bytes.substr(8 + header_size);

  SafetensorsFile file;
  std::vector<Entry> entries;
  for (const auto& [key, value] : header->items()) {
    if (key == "__metadata__") {
      if (!value.is_object()) {
        return Malformed(name, "__metadata__ is not an object");
      }
      for (const auto& [k, v] : value.items()) {
        if (!v.is_string()) {
          return Malformed(
              name, absl::StrCat("__metadata__ \"", k, "\" is not a string"));
        }
        file.metadata[k] = v.get<std::string>();
      }
      continue;
    }
    absl::StatusOr<Entry> entry = ParseEntry(key, value, data.size(), name);
    if (!entry.ok()) return entry.status();
    entries.push_back(*std::move(entry));
  }

  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      return Malformed(
          name, absl::StrCat("tensor \"", entry.name, "\" expected at offset ",
                             covered, ", found at ", entry.begin,
                             entry.begin < covered ? ": tensors overlap"
                                                   : ": a gap before it"));
    }
    covered = entry.end;
    Tensor& tensor = file.tensors[entry.name];
    tensor.shape = entry.shape;
    tensor.values.resize((entry.end - entry.begin) / sizeof(float));
    if (!tensor.values.empty()) {
      std::memcpy(tensor.values.data(), data.data() + entry.begin,
                  entry.end - entry.begin);
    }
  }
  if (covered != data.size()) {
    return Malformed(name, absl::StrCat("the tensors cover ", covered,
                                        " bytes of data, found ", data.size()));
  }
  return file;
}

absl::StatusOr<SafetensorsFile> ReadSafetensors(const std::string& path) {
  absl::StatusOr<std::string> bytes =
      ReadWholeFile(path, kMaxSafetensorsFileBytes);
  if (!bytes.ok()) return bytes.status();
  return ParseSafetensors(*bytes, path);
}

absl::StatusOr<std::string> SerializeSafetensors(const SafetensorsFile& file) {
  Json header = Json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  uint64_t offset = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const std::optional<uint64_t> size = SizeBytes(tensor.shape, sizeof(float));
    if (!size || *size != tensor.values.size() * sizeof(float)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", name, "\" of shape ", ShapeString(tensor.shape), " has ",
          tensor.values.size(), " values"));
    }
    header[name] = {{"dtype", "F32"},
                    {"shape", tensor.shape},
                    {"data_offsets", {offset, offset + *size}}};
    offset += *size;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string bytes(8, '\0');
  StoreLittleEndian64(text.size(), bytes.data());
  bytes += text;
  for (const auto& [name, tensor] : file.tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()),
                 tensor.values.size() * sizeof(float));
  }
  return bytes;
}

}  // namespace perfvec::compute
