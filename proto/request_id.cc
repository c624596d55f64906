#include "proto/request_id.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace perfvec {
namespace {

constexpr size_t kMaxRequestIdBytes = 64;

}  // namespace

bool IsRequestId(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

std::string NewRequestId() {
  // Told apart, not kept secret.
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return absl::StrCat(
      absl::Hex(static_cast<uint64_t>(random()), absl::kZeroPad16));
}

std::string RequestId(absl::string_view sent) {
  return IsRequestId(sent) ? std::string(sent) : NewRequestId();
}

}  // namespace perfvec
