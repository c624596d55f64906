#include "storage/trace/extras.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/trace/record_reader.h"

namespace perfvec::trace {
namespace {

constexpr uint32_t kFilesTag = 0x454c4946;      // "FILE"
constexpr uint32_t kFunctionsTag = 0x434e5546;  // "FUNC"
constexpr uint32_t kWeightsTag = 0x54484757;    // "WGHT"

void PutString(absl::string_view value, std::string* out) {
  PutU32(value.size(), out);
  out->append(value.data(), value.size());
}

void PutSection(uint32_t tag, const std::string& bytes, std::string* out) {
  PutU32(tag, out);
  PutString(bytes, out);
}

// The last of `ordered` that begins at or before `pc`.
template <typename T, typename Begin>
const T* LastAt(const std::vector<T>& ordered, uint64_t pc, Begin begin) {
  const auto after =
      std::partition_point(ordered.begin(), ordered.end(),
                           [&](const T& item) { return item.*begin <= pc; });
  return after == ordered.begin() ? nullptr : &*(after - 1);
}

void ParseFiles(RecordReader* reader, TraceExtras* extras) {
  while (!reader->failed() && reader->left() > 0) {
    LoadedFile file;
    file.begin = reader->U64();
    file.end = reader->U64();
    file.bias = reader->U64();
    file.path = reader->String(kMaxNameBytes);
    extras->files.push_back(std::move(file));
  }
}

void ParseFunctions(RecordReader* reader, TraceExtras* extras) {
  while (!reader->failed() && reader->left() > 0) {
    FunctionSymbol function;
    function.address = reader->U64();
    function.bytes = reader->U64();
    function.name = reader->String(kMaxNameBytes);
    extras->functions.push_back(std::move(function));
  }
}

void ParseWeights(RecordReader* reader, TraceExtras* extras) {
  extras->whole_instructions = reader->U64();
  while (!reader->failed() && reader->left() > 0) {
    const uint64_t bits = reader->U64();
    double weight;
    std::memcpy(&weight, &bits, sizeof(weight));
    extras->weights.push_back(weight);
  }
}

}  // namespace

const FunctionSymbol* TraceExtras::FunctionAt(uint64_t pc) const {
  const FunctionSymbol* found = LastAt(functions, pc, &FunctionSymbol::address);
  if (found == nullptr ||
      pc - found->address >= std::max<uint64_t>(found->bytes, 1)) {
    return nullptr;
  }
  return found;
}

const LoadedFile* TraceExtras::FileAt(uint64_t pc) const {
  const LoadedFile* found = LastAt(files, pc, &LoadedFile::begin);
  return found != nullptr && pc < found->end ? found : nullptr;
}

absl::Status CheckExtras(const TraceExtras& extras, size_t marks) {
  for (size_t i = 0; i < extras.files.size(); ++i) {
    const LoadedFile& file = extras.files[i];
    if (file.begin >= file.end || file.path.size() > kMaxNameBytes ||
        (i > 0 && extras.files[i - 1].end > file.begin)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "loaded file ", i, ": expected files in the order of their ",
          "addresses, none empty, and paths of at most ", kMaxNameBytes,
          " bytes"));
    }
  }
  for (size_t i = 0; i < extras.functions.size(); ++i) {
    const FunctionSymbol& function = extras.functions[i];
    if (function.name.size() > kMaxNameBytes ||
        (i > 0 && extras.functions[i - 1].address >= function.address)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "function ", i, ": expected functions in the order of their ",
          "addresses and names of at most ", kMaxNameBytes, " bytes"));
    }
  }
  if (!extras.weights.empty() && extras.weights.size() != marks) {
    return absl::InvalidArgumentError(absl::StrCat(
        extras.weights.size(), " weights for ", marks, " interval marks"));
  }
  for (const double weight : extras.weights) {
    if (!(weight >= 0 && weight <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "an interval's weight should be from 0 to 1, found ", weight));
    }
  }
  return absl::OkStatus();
}

void EncodeExtras(const TraceExtras& extras, std::string* out) {
  const bool has[] = {!extras.files.empty(), !extras.functions.empty(),
                      !extras.weights.empty()};
  PutU32(has[0] + has[1] + has[2], out);
  std::string bytes;
  for (const LoadedFile& file : extras.files) {
    PutU64(file.begin, &bytes);
    PutU64(file.end, &bytes);
    PutU64(file.bias, &bytes);
    PutString(file.path, &bytes);
  }
  if (has[0]) PutSection(kFilesTag, bytes, out);
  bytes.clear();
  for (const FunctionSymbol& function : extras.functions) {
    PutU64(function.address, &bytes);
    PutU64(function.bytes, &bytes);
    PutString(function.name, &bytes);
  }
  if (has[1]) PutSection(kFunctionsTag, bytes, out);
  bytes.clear();
  PutU64(extras.whole_instructions, &bytes);
  for (const double weight : extras.weights) {
    uint64_t bits;
    std::memcpy(&bits, &weight, sizeof(bits));
    PutU64(bits, &bytes);
  }
  if (has[2]) PutSection(kWeightsTag, bytes, out);
}

absl::Status ParseExtras(absl::string_view bytes, size_t marks,
                         TraceExtras* extras) {
  *extras = TraceExtras();
  RecordReader reader(bytes);
  const uint32_t sections = reader.U32();
  std::vector<uint32_t> tags;
  bool good = sections <= kMaxExtras;
  for (uint32_t i = 0; good && i < sections && !reader.failed(); ++i) {
    const uint32_t tag = reader.U32();
    RecordReader section(reader.Take(reader.U32()));
    good = std::find(tags.begin(), tags.end(), tag) == tags.end();
    tags.push_back(tag);
    if (tag == kFilesTag) {
      ParseFiles(&section, extras);
    } else if (tag == kFunctionsTag) {
      ParseFunctions(&section, extras);
    } else if (tag == kWeightsTag) {
      ParseWeights(&section, extras);
    } else {
      continue;  // of a newer program
    }
    good &= section.finished();
  }
  if (!good || !reader.finished()) {
    return absl::DataLossError(
        "the index's extra sections contradict each other; the program that "
        "wrote the file is wrong");
  }
  const absl::Status status = CheckExtras(*extras, marks);
  return status.ok() ? status : absl::DataLossError(status.message());
}

}  // namespace perfvec::trace
