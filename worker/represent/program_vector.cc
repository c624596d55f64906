#include "worker/represent/program_vector.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace perfvec::compute {
namespace {

constexpr char kMagic[4] = {'P', 'V', 'A', 'C'};
constexpr uint16_t kVersion = 1;
constexpr size_t kModelIdBytes = 32;
// magic, version u16, width u16, instructions u64, model id.
constexpr size_t kHeaderBytes = 4 + 2 + 2 + 8 + kModelIdBytes;
constexpr size_t kElementBytes = 16;
constexpr int kFractionBits = 52;
constexpr int kMaxAccumulatorWidth = 4096;
constexpr int kMaxOutputLog2 = 12;
static_assert(ProgramVectorAccumulator::kMaxOutput == 1 << kMaxOutputLog2);

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the layout is copied from memory: little-endian");

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("program vector sum: ", what));
}

}  // namespace

ProgramVectorAccumulator::ProgramVectorAccumulator(std::string model_id,
                                                   int width)
    : model_id_(std::move(model_id)), units_(static_cast<size_t>(width), 0) {}

absl::Status ProgramVectorAccumulator::AddSegment(const double* sums,
                                                  uint64_t instructions) {
  if (instructions > kMaxInstructions - instructions_) {
    return absl::OutOfRangeError(absl::StrCat(
        "program vector sum: more than ", kMaxInstructions, " instructions"));
  }
  for (size_t i = 0; i < units_.size(); ++i) {
    const double most = kMaxOutput * static_cast<double>(instructions);
    if (!(sums[i] >= 0 && sums[i] <= most)) {
      return absl::OutOfRangeError(
          absl::StrCat("program vector sum: expected element ", i, " in [0, ",
                       most, "], found ", sums[i]));
    }
  }
  for (size_t i = 0; i < units_.size(); ++i) {
    // Scaling by a power of two is exact; the rounding is to nearest even, and
    // none above 2^53, where the conversion is exact.
    units_[i] +=
        static_cast<Units>(std::nearbyint(std::ldexp(sums[i], kFractionBits)));
  }
  instructions_ += instructions;
  return absl::OkStatus();
}

absl::Status ProgramVectorAccumulator::Merge(
    const ProgramVectorAccumulator& other) {
  if (other.model_id_ != model_id_ || other.width() != width()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "program vector sum: expected one of model ", model_id_, ", width ",
        width(), ", found model ", other.model_id_, ", width ", other.width()));
  }
  if (other.instructions_ > kMaxInstructions - instructions_) {
    return absl::OutOfRangeError(absl::StrCat(
        "program vector sum: more than ", kMaxInstructions, " instructions"));
  }
  for (size_t i = 0; i < units_.size(); ++i) units_[i] += other.units_[i];
  instructions_ += other.instructions_;
  return absl::OkStatus();
}

std::vector<double> ProgramVectorAccumulator::Vector() const {
  std::vector<double> out(units_.size());
  for (size_t i = 0; i < units_.size(); ++i) {
    out[i] = std::ldexp(static_cast<double>(units_[i]), -kFractionBits);
  }
  return out;
}

std::string ProgramVectorAccumulator::Serialize() const {
  const uint16_t width16 = static_cast<uint16_t>(units_.size());
  std::string id = absl::HexStringToBytes(model_id_);
  id.resize(kModelIdBytes, '\0');
  std::string out(kMagic, sizeof(kMagic));
  out.append(reinterpret_cast<const char*>(&kVersion), sizeof(kVersion));
  out.append(reinterpret_cast<const char*>(&width16), sizeof(width16));
  out.append(reinterpret_cast<const char*>(&instructions_),
             sizeof(instructions_));
  out += id;
  out.append(reinterpret_cast<const char*>(units_.data()),
             units_.size() * kElementBytes);
  return out;
}

absl::StatusOr<ProgramVectorAccumulator> ProgramVectorAccumulator::Parse(
    absl::string_view bytes) {
  if (bytes.size() < kHeaderBytes) {
    return Damaged(absl::StrCat("expected at least ", kHeaderBytes,
                                " bytes, found ", bytes.size()));
  }
  if (std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    return Damaged("it does not start with PVAC");
  }
  uint16_t version, width;
  uint64_t instructions;
  std::memcpy(&version, bytes.data() + 4, sizeof(version));
  std::memcpy(&width, bytes.data() + 6, sizeof(width));
  std::memcpy(&instructions, bytes.data() + 8, sizeof(instructions));
  if (version != kVersion) {
    return Damaged(
        absl::StrCat("expected version ", kVersion, ", found ", version));
  }
  if (width == 0 || width > kMaxAccumulatorWidth) {
    return Damaged(absl::StrCat("expected a width from 1 to ",
                                kMaxAccumulatorWidth, ", found ", width));
  }
  const size_t expected = kHeaderBytes + width * kElementBytes;
  if (bytes.size() != expected) {
    return Damaged(
        absl::StrCat("expected ", expected, " bytes, found ", bytes.size()));
  }
  if (instructions > kMaxInstructions) {
    return Damaged(absl::StrCat("expected at most ", kMaxInstructions,
                                " instructions, found ", instructions));
  }
  ProgramVectorAccumulator out(
      absl::BytesToHexString(bytes.substr(16, kModelIdBytes)), width);
  out.instructions_ = instructions;
  std::memcpy(out.units_.data(), bytes.data() + kHeaderBytes,
              width * kElementBytes);
  const Units most = static_cast<Units>(instructions)
                     << (kFractionBits + kMaxOutputLog2);
  for (size_t i = 0; i < width; ++i) {
    if (out.units_[i] < 0 || out.units_[i] > most) {
      return Damaged(absl::StrCat("element ", i, " is outside [0, ", kMaxOutput,
                                  " * ", instructions, "]"));
    }
  }
  return out;
}

}  // namespace perfvec::compute
