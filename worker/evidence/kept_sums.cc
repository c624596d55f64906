#include "worker/evidence/kept_sums.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "storage/trace/format.h"
#include "worker/model/files.h"

namespace perfvec::evidence {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSumsBytes = uint64_t{1} << 30;

struct Header {
  uint64_t magic = 0x30315347'43465650;
  char model_id[64] = {};
  uint64_t digest = 0, precision = 0, width = 0, trace_instructions = 0;
  uint64_t skip = 0, interval = 0;
};

Header HeaderOf(const SumsKey& key) {
  Header header;
  std::memcpy(header.model_id, key.rows.model_id.data(),
              std::min(key.rows.model_id.size(), sizeof header.model_id));
  header.digest = key.rows.digest;
  header.precision = key.rows.bf16;
  header.width = key.rows.width;
  header.trace_instructions = key.rows.instructions;
  header.skip = key.skip;
  header.interval = key.interval;
  return header;
}

void AppendDoubles(const double* values, size_t count, std::string* out) {
  out->append(reinterpret_cast<const char*>(values), count * sizeof(double));
}

}  // namespace

std::string SumsKey::PathIn(const std::string& directory) const {
  const std::string of = rows.PathIn(directory);  // ends with ".rows"
  return absl::StrCat(of.substr(0, of.rfind('.')), "-", skip, "-", interval,
                      ".sums");
}

bool ReadKeptSums(const std::string& path, const SumsKey& key,
                  compute::ProgramEvidence* evidence) {
  const auto bytes = compute::ReadWholeFile(path, kMaxSumsBytes);
  if (!bytes.ok()) return false;
  const Header expected = HeaderOf(key);
  const uint64_t width = key.rows.width;
  const size_t fixed = sizeof expected + sizeof(double) * (1 + width * width);
  uint64_t checksum = 0;
  if (bytes->size() < fixed + sizeof checksum) return false;
  const absl::string_view content(bytes->data(),
                                  bytes->size() - sizeof checksum);
  std::memcpy(&checksum, content.data() + content.size(), sizeof checksum);
  const size_t sums = content.size() - fixed;
  if (std::memcmp(content.data(), &expected, sizeof expected) != 0 ||
      sums % (width * sizeof(double)) != 0 ||
      trace::Checksum(content) != checksum) {
    return false;
  }
  const char* from = content.data() + sizeof expected;
  std::memcpy(&evidence->instructions, from, sizeof(double));
  evidence->gram.resize(width * width);
  std::memcpy(evidence->gram.data(), from + sizeof(double),
              width * width * sizeof(double));
  evidence->interval_sums.resize(sums / sizeof(double));
  std::memcpy(evidence->interval_sums.data(), content.data() + fixed, sums);
  return true;
}

absl::Status WriteKeptSums(const std::string& path, const SumsKey& key,
                           const compute::ProgramEvidence& evidence) {
  const Header header = HeaderOf(key);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  AppendDoubles(&evidence.instructions, 1, &bytes);
  AppendDoubles(evidence.gram.data(), evidence.gram.size(), &bytes);
  AppendDoubles(evidence.interval_sums.data(), evidence.interval_sums.size(),
                &bytes);
  const uint64_t checksum = trace::Checksum(bytes);
  bytes.append(reinterpret_cast<const char*>(&checksum), sizeof checksum);
  return compute::WriteFileAtomically(path, bytes);
}

void TouchKept(const std::string& path) {
  std::error_code ignored;
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
}

bool PruneCache(const std::string& directory, uint64_t limit_bytes,
                const std::vector<std::string>& spare) {
  struct Kept {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Kept> files;
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!absl::EndsWith(name, ".rows") && !absl::EndsWith(name, ".sums")) {
      continue;
    }
    // Another process may have removed it meanwhile.
    std::error_code gone;
    const uint64_t bytes = it->file_size(gone);
    const auto used = it->last_write_time(gone);
    if (gone) continue;
    total += bytes;
    files.push_back({used, bytes, it->path()});
  }
  std::sort(files.begin(), files.end(),
            [](const Kept& a, const Kept& b) { return a.used < b.used; });
  for (const Kept& file : files) {
    if (total <= limit_bytes) break;
    if (std::find(spare.begin(), spare.end(), file.path.string()) !=
        spare.end()) {
      continue;
    }
    std::error_code gone;
    fs::remove(file.path, gone);
    total -= file.bytes;
  }
  return total <= limit_bytes;
}

}  // namespace perfvec::evidence
