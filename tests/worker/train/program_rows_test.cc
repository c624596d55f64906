#include "worker/train/program_rows.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "storage/trace/byte_stream.h"

namespace perfvec::train {
namespace {

// Columns of every kind: constant, bytes, shorts, floats, and what looks like
// an integer but is not (-0, NaN, halves, above 65535).
struct Arrays {
  static constexpr size_t kFeatures = 8, kArchitectures = 3;
  explicit Arrays(size_t n) : instructions(n) {
    std::mt19937 random(7);
    for (size_t i = 0; i < n; ++i) {
      const float row[kFeatures] = {3.5f,
                                    float(random() % 256),
                                    float(random() % 65536),
                                    float(random()) / 7,
                                    i % 2 ? 0.0f : -0.0f,
                                    i == n / 2 ? NAN : 1.0f,
                                    float(random() % 2) / 2,
                                    i % 5 ? 2.0f : 1e8f};
      features.insert(features.end(), row, row + kFeatures);
      for (size_t a = 0; a < kArchitectures; ++a) latency.push_back(random());
    }
  }
  size_t instructions;
  std::vector<float> features;
  std::vector<uint16_t> latency;
};

std::string Bytes(const Arrays& arrays, uint64_t key = 5) {
  std::string bytes;
  ProgramRowsWriter writer(std::make_unique<trace::StringSink>(&bytes),
                           Arrays::kFeatures, Arrays::kArchitectures, key);
  // In uneven pieces.
  for (size_t at = 0, n = 1; at < arrays.instructions; at += n, n = n * 3 + 1) {
    n = std::min(n, arrays.instructions - at);
    EXPECT_TRUE(writer
                    .Append(&arrays.features[at * Arrays::kFeatures],
                            &arrays.latency[at * Arrays::kArchitectures], n)
                    .ok());
  }
  EXPECT_TRUE(writer.Finish().ok());
  return bytes;
}

TEST(ProgramRowsTest, GivesBackEveryBitFromAnyPlace) {
  const Arrays arrays(10000);
  auto rows = ProgramRows::FromBytes(Bytes(arrays));
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ((*rows)->instructions(), 10000);
  constexpr size_t kF = Arrays::kFeatures, kA = Arrays::kArchitectures;
  for (const auto& [begin, n] : std::vector<std::pair<size_t, size_t>>{
           {0, 10000}, {4090, 20}, {4096, 4096}, {9999, 1}, {17, 5000}}) {
    std::vector<float> features(n * kF);
    (*rows)->Features(begin, n, features.data());
    EXPECT_EQ(std::memcmp(features.data(), &arrays.features[begin * kF],
                          n * kF * sizeof(float)),
              0)
        << begin << " " << n;
    std::vector<uint16_t> latency(n * kA);
    (*rows)->Latency(begin, n, latency.data());
    EXPECT_TRUE(std::equal(latency.begin(), latency.end(),
                           &arrays.latency[begin * kA]));
    std::vector<double> sums(kA);
    for (size_t i = 0; i < n; ++i) {
      for (size_t a = 0; a < kA; ++a) sums[a] += latency[i * kA + a];
    }
    EXPECT_EQ((*rows)->LatencySums(begin, begin + n), sums);
  }
}

TEST(ProgramRowsTest, NoticesEveryCutAndFlippedByte) {
  const std::string good = Bytes(Arrays(300));
  ASSERT_TRUE(ProgramRows::FromBytes(good).ok());
  for (size_t size = 0; size < good.size(); size += 97) {
    EXPECT_EQ(ProgramRows::FromBytes(good.substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss);
  }
  for (size_t at = 0; at < good.size(); at += 13) {
    std::string bad = good;
    bad[at] ^= 0x10;
    EXPECT_EQ(ProgramRows::FromBytes(bad).status().code(),
              absl::StatusCode::kDataLoss)
        << at;
  }
}

TEST(ProgramRowsTest, OpensOnlyWhatTheKeyNames) {
  const std::string path =
      testing::TempDir() + "/rows." + std::to_string(getpid());
  EXPECT_EQ(ProgramRows::Open(path, 5).status().code(),
            absl::StatusCode::kNotFound);
  std::ofstream(path, std::ios::binary) << "";
  EXPECT_EQ(ProgramRows::Open(path, 5).status().code(),
            absl::StatusCode::kDataLoss);
  std::ofstream(path, std::ios::binary) << Bytes(Arrays(5000));
  auto rows = ProgramRows::Open(path, 5);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)->instructions(), 5000);
  EXPECT_EQ(ProgramRows::Open(path, 6).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace perfvec::train
