// The bytes of docs/storage_format.md: a change here is a change of the schema.
#include "storage/key_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "storage/page_token.h"
#include "storage/reference.h"

namespace perfvec::storage {
namespace {

using std::string_literals::operator""s;

TEST(KeyFormat, KeysAreTheDocumentedBytes) {
  EXPECT_EQ(SchemaKey(), "!schema");
  EXPECT_EQ(CountsKey(), "!counts");
  EXPECT_EQ(RecordKey(Kind::kProgram, "lbm", 258), "prlbm\0\0\0\0\0\0\0\1\2"s);
  EXPECT_EQ(LatestKey(Kind::kArchitecture, "a15"), "ala15\0"s);
  EXPECT_EQ(CounterKey(Kind::kModel, "m"), "mcm\0"s);
  EXPECT_EQ(AliasKey(Kind::kProgram, "lbm", "x"), "palbm\0x\0"s);
  EXPECT_EQ(ModelIdKey("id"), "miid\0"s);
  EXPECT_EQ(ModelWeightsKey("id"), "mwid\0"s);
  EXPECT_EQ(DefaultModelKey(), "md");
  EXPECT_EQ(JobCounterKey(), "jc");
  EXPECT_EQ(JobKey(1), "jr\xff\xff\xff\xff\xff\xff\xff\xfe");
  EXPECT_EQ(UnfinishedJobKey(0), "ju\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_EQ(ProgramJobKey("p", 0), "jpp\0\xff\xff\xff\xff\xff\xff\xff\xff"s);
  EXPECT_EQ(LatestJobKey("p", 1, "id"), "jlp\0\0\0\0\0\0\0\0\1id\0"s);
  EXPECT_EQ(ShardKey(1, 2), "js\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2"s);
  EXPECT_EQ(VectorKey("id", "p", 1), "vrid\0p\0\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(PartsKey("id", "p", 1), "vpid\0p\0\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(TraceKey("t"), "trt\0"s);
  EXPECT_EQ(TraceProgramKey("t", "p", 1), "tpt\0p\0\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(UploadKey("u"), "uru\0"s);
  EXPECT_EQ(UploadBySha256Key("h"), "ush\0"s);
}

TEST(KeyFormat, ByteOrderIsTheOrderOfTheFields) {
  const std::vector<std::string> ordered = {
      RecordKey(Kind::kProgram, "a", 1),   RecordKey(Kind::kProgram, "a", 2),
      RecordKey(Kind::kProgram, "a", 256), RecordKey(Kind::kProgram, "a+", 1),
      RecordKey(Kind::kProgram, "a-", 1),  RecordKey(Kind::kProgram, "aa", 1),
      RecordKey(Kind::kProgram, "b", 1)};
  EXPECT_TRUE(std::is_sorted(ordered.begin(), ordered.end()));
  EXPECT_LT(JobKey(300), JobKey(299));  // newest first
  const KeyRange range = PrefixRange("ab\xff");
  EXPECT_EQ(range.end, "ac");
}

TEST(KeyFormat, ParsesWhatItWrites) {
  auto at = ParseRecordKey(RecordKey(Kind::kModel, "m.1", 1LL << 40));
  ASSERT_TRUE(at.ok()) << at.status();
  EXPECT_EQ(at->name, "m.1");
  EXPECT_EQ(at->version, 1LL << 40);
  EXPECT_EQ(*ParseLatestKey(LatestKey(Kind::kProgram, "x")), "x");
  EXPECT_EQ(*JobNumberOfKey(ProgramJobKey("p", 77)), 77);
  EXPECT_EQ(ParseJobId(JobId(12)), 12);
  for (const char* bad : {"", "job-", "job-012", "job-x", "12"})
    EXPECT_EQ(ParseJobId(bad), 0);
  for (const std::string& bad : {""s, "pr"s, "prx\0short"s}) {
    EXPECT_EQ(ParseRecordKey(bad).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(EditDistance, CountsEditsUpToALimit) {
  EXPECT_EQ(EditDistance("lbm", "lbm", 3), 0);
  EXPECT_EQ(EditDistance("LBM", "lbm", 3), 0);
  EXPECT_EQ(EditDistance("lbm", "lmb", 3), 2);
  EXPECT_EQ(EditDistance("kitten", "sitting", 5), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting", 2), 3);  // above the limit
  EXPECT_EQ(EditDistance("", "abc", 5), 3);
}

TEST(PageToken, IsBoundToItsListing) {
  const std::string key = "plname\0"s;
  const std::string token = EncodePageToken("programs", key);
  EXPECT_EQ(*DecodePageToken("programs", token), key);
  EXPECT_FALSE(DecodePageToken("models", token).ok());
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    auto decoded = DecodePageToken("programs", changed);
    EXPECT_TRUE(!decoded.ok() || *decoded == key) << i;
  }
}

}  // namespace
}  // namespace perfvec::storage
