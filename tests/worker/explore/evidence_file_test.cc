#include "worker/explore/evidence_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/model/files.h"

namespace perfvec::explore {
namespace {

TEST(EvidenceFile, GivesBackWhatWasKeptUnderItsModelAndKey) {
  const std::string path = testing::TempDir() + "/kept";
  const std::string id(64, 'a');
  compute::ProgramEvidence e;
  e.instructions = 7;
  e.gram = {1, 2, 3, 4};
  e.interval_sums = {5, 6};
  ASSERT_TRUE(SaveEvidence(path, id, 11, e).ok());
  const auto again = LoadEvidence(path, id, 11);
  ASSERT_TRUE(again.ok() && again->has_value()) << again.status();
  EXPECT_EQ((*again)->instructions, 7);
  EXPECT_EQ((*again)->gram, e.gram);
  EXPECT_TRUE((*again)->cross.empty());
  EXPECT_EQ((*again)->interval_sums, e.interval_sums);

  EXPECT_FALSE(LoadEvidence(path, id, 12)->has_value());
  EXPECT_FALSE(LoadEvidence(path, std::string(64, 'b'), 11)->has_value());
  EXPECT_FALSE(LoadEvidence(path + "-none", id, 11)->has_value());
}

TEST(EvidenceFile, TellsDamageAtAnyByte) {
  const std::string path = testing::TempDir() + "/damaged";
  const std::string id(64, 'a');
  compute::ProgramEvidence e;
  e.gram = {1, 2};
  ASSERT_TRUE(SaveEvidence(path, id, 1, e).ok());
  const std::string bytes = *compute::ReadWholeFile(path, 1 << 20);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ASSERT_TRUE(compute::WriteFileAtomically(path, bytes.substr(0, cut)).ok());
    EXPECT_EQ(LoadEvidence(path, id, 1).status().code(),
              absl::StatusCode::kDataLoss)
        << cut;
  }
  // Sizes, checksum or content; what stands before them is the identity.
  for (size_t i = 80; i < bytes.size(); ++i) {
    if (i >= 120 && i < 128) continue;  // the number of instructions
    std::string bad = bytes;
    bad[i] ^= 0x40;
    ASSERT_TRUE(compute::WriteFileAtomically(path, bad).ok());
    EXPECT_EQ(LoadEvidence(path, id, 1).status().code(),
              absl::StatusCode::kDataLoss)
        << i;
  }
}

}  // namespace
}  // namespace perfvec::explore
