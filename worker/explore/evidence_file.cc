#include "worker/explore/evidence_file.h"

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/trace/format.h"
#include "worker/model/files.h"

namespace perfvec::explore {
namespace {

// Read by the machine that wrote it: native byte order, told by the magic.
struct Header {
  uint64_t magic = 0x3130454356505645;
  char model_id[64] = {};
  uint64_t key = 0;
  uint64_t checksum = 0;   // of what follows the header
  uint64_t sizes[4] = {};  // of the tables, in the struct's order
  double instructions = 0;
};
constexpr uint64_t kMaxBytes = uint64_t{1} << 32;

}  // namespace

absl::Status SaveEvidence(const std::string& path, const std::string& model_id,
                          uint64_t key,
                          const compute::ProgramEvidence& evidence) {
  Header header;
  std::memcpy(header.model_id, model_id.data(),
              std::min(model_id.size(), sizeof header.model_id));
  header.key = key;
  header.instructions = evidence.instructions;
  std::string body;
  const std::vector<double>* const tables[] = {&evidence.gram, &evidence.cross,
                                               &evidence.interval_sums,
                                               &evidence.interval_times};
  for (int i = 0; i < 4; ++i) {
    header.sizes[i] = tables[i]->size();
    body.append(reinterpret_cast<const char*>(tables[i]->data()),
                tables[i]->size() * sizeof(double));
  }
  header.checksum = trace::Checksum(body);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  return compute::WriteFileAtomically(path, bytes + body);
}

absl::StatusOr<std::optional<compute::ProgramEvidence>> LoadEvidence(
    const std::string& path, const std::string& model_id, uint64_t key) {
  auto bytes = compute::ReadWholeFile(path, kMaxBytes);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  if (!bytes.ok()) return bytes.status();
  Header header, expected;
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", what, "; delete it to have it made again"));
  };
  if (bytes->size() < sizeof header) return damaged("is cut short");
  std::memcpy(&header, bytes->data(), sizeof header);
  if (header.magic != expected.magic || header.key != key ||
      absl::string_view(header.model_id, sizeof header.model_id) != model_id) {
    return std::nullopt;
  }
  const absl::string_view body =
      absl::string_view(*bytes).substr(sizeof header);
  uint64_t total = 0;
  for (uint64_t size : header.sizes) {
    if (size > kMaxBytes / sizeof(double)) return damaged("has a bad size");
    total += size * sizeof(double);
  }
  if (total != body.size() || trace::Checksum(body) != header.checksum) {
    return damaged("its content is not what was written");
  }
  compute::ProgramEvidence evidence;
  evidence.instructions = header.instructions;
  std::vector<double>* const tables[] = {&evidence.gram, &evidence.cross,
                                         &evidence.interval_sums,
                                         &evidence.interval_times};
  const char* at = body.data();
  for (int i = 0; i < 4; ++i) {
    tables[i]->resize(header.sizes[i]);
    if (header.sizes[i] == 0) continue;
    std::memcpy(tables[i]->data(), at, header.sizes[i] * sizeof(double));
    at += header.sizes[i] * sizeof(double);
  }
  return evidence;
}

}  // namespace perfvec::explore
