// Row "recurrence": how much of the network's work on real traces is the same
// as before to the last bit, so that it could be looked up.
//
// For each trace, two shares of the steps of all segments (warm-up included):
// those of segments all of whose encoded input rows occurred before, in order,
// in a segment of the same trace ("segments"); and those of the longest
// beginnings that occurred before ("beginnings": state from zero is the same as
// long as the inputs are). Rows are compared by a 128-bit hash of the sequence.
//
//   recurrence_bench [--model DIR] [--program NAME]
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "tests/bench/real_traces.h"
#include "worker/features/feature_extractor.h"
#include "worker/model/foundation_model.h"

namespace perfvec::compute {
namespace {

template <class T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) bench::Die(std::string(value.status().message()));
  return *std::move(value);
}

using Hash = std::array<uint64_t, 2>;

// MD5 serves as a hash of 128 bits; nobody plans collisions here.
Hash HashOf(const void* data, size_t size) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  EVP_Digest(data, size, digest, nullptr, EVP_md5(), nullptr);
  Hash hash;
  std::memcpy(hash.data(), digest, sizeof hash);
  return hash;
}

std::vector<Hash> RowHashes(const bench::Trace& trace, const Manifest& m) {
  auto reader = OrDie(trace::TraceReader::Open(
      std::make_unique<trace::StringSource>(trace.pvt, trace.name)));
  FeatureExtractor extractor(m.schema());
  trace::TraceChunk chunk;
  std::vector<Hash> hashes;
  while (OrDie(reader->Next(&chunk))) {
    const size_t n = chunk.block.size();
    std::vector<float> features(n * m.schema().count());
    const absl::Status s = extractor.Extract(chunk.block, features.data());
    if (!s.ok()) bench::Die(std::string(s.message()));
    std::vector<float> inputs(n * m.inputs.width());
    m.inputs.Encode(features.data(), n, inputs.data());
    for (size_t i = 0; i < n; ++i) {
      hashes.push_back(HashOf(&inputs[i * m.inputs.width()],
                              m.inputs.width() * sizeof(float)));
    }
  }
  return hashes;
}

struct Counts {
  int64_t steps = 0, in_segments = 0, in_beginnings = 0;
};

Counts Count(const std::vector<Hash>& rows, const Manifest& m) {
  Counts counts;
  std::set<Hash> beginnings;  // of every length, as the length is hashed too
  const int64_t size = static_cast<int64_t>(rows.size());
  for (int64_t at = 0; at < size; at += m.segment_length) {
    const int64_t begin = std::max<int64_t>(0, at - m.warm_up);
    const int64_t end = std::min(size, at + m.segment_length);
    std::array<uint64_t, 4> chain = {0, 0, 0, 0};
    int64_t known = 0;
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(&chain[2], rows[i].data(), sizeof(Hash));
      const Hash hash = HashOf(chain.data(), sizeof chain);
      std::memcpy(chain.data(), hash.data(), sizeof hash);
      known += !beginnings.insert(hash).second;
    }
    counts.steps += end - begin;
    counts.in_beginnings += known;
    if (known == end - begin) counts.in_segments += known;
  }
  return counts;
}

void Print(const std::string& name, const Counts& counts) {
  const double steps = static_cast<double>(counts.steps);
  std::printf(
      "%s\n",
      nlohmann::json{
          {"row", "recurrence"},
          {"program", name},
          {"steps", counts.steps},
          {"segments", static_cast<double>(counts.in_segments) / steps},
          {"beginnings", static_cast<double>(counts.in_beginnings) / steps}}
          .dump()
          .c_str());
  std::fflush(stdout);
}

int Main(const std::string& directory, const std::string& program) {
  const FoundationModel model = OrDie(FoundationModel::Load(directory));
  Counts all;
  for (const bench::Trace& trace : bench::LoadTraces(program)) {
    const Counts counts =
        Count(RowHashes(trace, model.manifest()), model.manifest());
    Print(trace.name, counts);
    all.steps += counts.steps;
    all.in_segments += counts.in_segments;
    all.in_beginnings += counts.in_beginnings;
  }
  Print("all", all);
  return 0;
}

}  // namespace
}  // namespace perfvec::compute

int main(int argc, char** argv) {
  std::string model = PERFVEC_SOURCE_DIR "/deploy/models/default", program;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--model") model = argv[i + 1];
    if (flag == "--program") program = argv[i + 1];
  }
  return perfvec::compute::Main(model, program);
}
