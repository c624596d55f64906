// Tenants in the registry: names, quotas, traces that are not everybody's, and
// what a listing shows to whom.
#include "storage/tenant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "storage/reference.h"
#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(TenantNamesTest, BelongToProgramsAndArchitecturesAlone) {
  EXPECT_EQ(TenantOf("zlib@3"), "");
  EXPECT_EQ(TenantOf("lab~zlib@3"), "lab");
  for (const char* what : {"program", "architecture"}) {
    EXPECT_TRUE(ValidateName(what, "lab~zlib").ok()) << what;
    EXPECT_TRUE(ParseReference(what, "lab~zlib@2").ok()) << what;
    for (const std::string& wrong :
         {std::string("~zlib"), std::string("lab~"), std::string("a~b~c"),
          std::string("-a~b"), std::string("a~-b"), std::string("lab~zlib@a~b"),
          "lab~" + std::string(125, 'x')}) {
      EXPECT_TRUE(absl::IsInvalidArgument(ParseReference(what, wrong).status()))
          << what << " " << wrong;
    }
  }
  EXPECT_FALSE(ValidateName("model", "lab~m").ok());
  EXPECT_FALSE(ValidateAlias("lab~best").ok());
}

class TenantTest : public RegistryTest {
 protected:
  static v1::UploadRecord Upload(const std::string& id,
                                 const std::string& sha256,
                                 const std::string& tenant,
                                 uint64_t size_bytes) {
    v1::UploadRecord upload;
    upload.set_upload_id(id);
    upload.set_sha256(sha256);
    upload.set_tenant(tenant);
    upload.set_size_bytes(size_bytes);
    upload.set_chunk_size_bytes(100);
    return upload;
  }
  // RESOURCE_EXHAUSTED that names the tenant, the limit and what it would be.
  static void ExpectOver(const absl::Status& status, const std::string& tenant,
                         uint64_t most, uint64_t use) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("'", tenant, "' may have ", most)),
                      HasSubstr(absl::StrCat("this would make ", use, ":"))));
  }
  absl::Status CreateAs(const std::string& name, const std::string& trace,
                        int jobs = 0) {
    std::vector<api::Job> drafts(jobs, MakeJob("model-1"));
    return registry_->CreateProgram(MakeProgram(name, trace), drafts).status();
  }
  absl::Status CreateArchitecture(const std::string& name, double rob) {
    api::Architecture draft;
    draft.set_name(name);
    (*draft.mutable_attributes())["rob"].set_number(rob);
    return registry_->CreateArchitecture(draft).status();
  }
  bool Holds(const std::string& tenant, const std::string& trace) {
    const auto holds = registry_->HoldsTrace(tenant, trace);
    EXPECT_TRUE(holds.ok()) << holds.status();
    return holds.value_or(false);
  }
  std::vector<std::string> Gone(int64_t grace_seconds) {
    const auto gone = registry_->DeleteUnreferencedTraces(grace_seconds);
    EXPECT_TRUE(gone.ok()) << gone.status();
    return gone.value_or(std::vector<std::string>());
  }
};
PERFVEC_EVERY_ENGINE(TenantTest);

TEST_P(TenantTest, ProgramsArchitecturesAndJobsAreBoundedForEach) {
  TenantQuota quota;
  quota.programs = 2;
  quota.jobs = 1;
  registry_->SetTenantQuota(quota);
  EXPECT_TRUE(CreateAs("lab~a", "trace-a").ok());
  EXPECT_TRUE(CreateAs("lab~a", "trace-b").ok());  // its second version
  ExpectOver(CreateAs("lab~b", "trace-a"), "lab", 2, 3);
  EXPECT_TRUE(CreateAs("lab~a", "trace-b").ok());  // it is there
  EXPECT_FALSE(registry_->GetProgram("lab~b").ok());
  // Neither another tenant nor what is everybody's is in the way.
  EXPECT_TRUE(CreateAs("labs~a", "trace-a").ok());
  for (const char* name : {"p", "q", "r"}) {
    EXPECT_TRUE(CreateAs(name, "trace-a", 1).ok());
  }
  ASSERT_TRUE(registry_->DeleteProgram("lab~a@1", false).ok());
  EXPECT_TRUE(CreateAs("lab~b", "trace-a").ok());

  EXPECT_TRUE(CreateArchitecture("lab~x", 1).ok());
  EXPECT_TRUE(CreateArchitecture("lab~x", 2).ok());
  ExpectOver(CreateArchitecture("lab~x", 3), "lab", 2, 3);
  EXPECT_TRUE(CreateArchitecture("lab~x", 2).ok());

  api::Job draft = MakeJob("model-1");
  draft.set_program_name("lab~a");
  const auto job = registry_->CreateJob(draft);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(registry_->CreateJob(draft).ok());  // the same one
  draft.set_program_name("lab~b");
  ExpectOver(registry_->CreateJob(draft).status(), "lab", 1, 2);
  draft.set_program_name("labs~a");
  EXPECT_TRUE(registry_->CreateJob(draft).ok());
  api::Job ended = *job;
  ended.set_state(api::JOB_STATE_CANCELLED);
  ASSERT_TRUE(registry_->UpdateJob(ended).ok());
  draft.set_program_name("lab~b");
  const auto next = registry_->CreateJob(draft);
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_TRUE(registry_->FinishJob(*next, MakeVector(*next)).ok());
  draft.set_program_name("lab~a");
  EXPECT_TRUE(registry_->CreateJob(draft).ok());
  // All or nothing: over the quota of jobs there is no program either.
  ASSERT_TRUE(registry_->DeleteProgram("lab~b", false).ok());
  ExpectOver(CreateAs("lab~c", "trace-c", 1), "lab", 1, 2);
  EXPECT_FALSE(registry_->GetProgram("lab~c").ok());
}

TEST_P(TenantTest, BytesAreThoseOfUploadsAndTracesAndAreCountedOnce) {
  TenantQuota quota;
  quota.stored_bytes = 3000;
  quota.uploads = 2;
  registry_->SetTenantQuota(quota);
  EXPECT_TRUE(registry_->PutUpload(Upload("u1", "t1", "lab", 1000)).ok());
  ExpectOver(registry_->PutUpload(Upload("u2", "t2", "lab", 2001)), "lab", 3000,
             3001);
  EXPECT_TRUE(registry_->PutUpload(Upload("u2", "t2", "lab", 2000)).ok());
  ExpectOver(registry_->PutUpload(Upload("u3", "t3", "lab", 1)), "lab", 2, 3);
  EXPECT_TRUE(registry_->PutUpload(Upload("v1", "t1", "labs", 3000)).ok());
  EXPECT_TRUE(registry_->PutUpload(Upload("w1", "t1", "", 1 << 30)).ok());
  // Each has its own upload of the same content.
  EXPECT_EQ(registry_->FindUpload("t1", "lab")->upload_id(), "u1");
  EXPECT_EQ(registry_->FindUpload("t1", "labs")->upload_id(), "v1");
  EXPECT_EQ(registry_->FindUpload("t1")->upload_id(), "w1");

  ASSERT_TRUE(registry_->PutTrace(MakeTrace("t1"), "u1", "lab").ok());
  ExpectOver(registry_->PutUpload(Upload("u3", "t3", "lab", 1)), "lab", 3000,
             3001);
  ASSERT_TRUE(registry_->DeleteUpload("u2").ok());
  EXPECT_TRUE(registry_->PutUpload(Upload("u3", "t3", "lab", 1000)).ok());
  // A program of a trace that is everybody's keeps it, and is charged for it.
  EXPECT_TRUE(CreateAs("lab~a", "trace-a").ok());
  ExpectOver(CreateAs("lab~b", "trace-b"), "lab", 3000, 4000);
  EXPECT_TRUE(CreateAs("lab~c", "trace-a").ok());

  // A draft counts what it has; its pieces go over, and are not counted twice.
  ASSERT_TRUE(registry_->DeleteUpload("u3").ok());
  v1::UploadRecord draft = Upload("draft", "draft", "lab", 1 << 30);
  for (int i = 0; i < 10; ++i) draft.add_chunk_sha256(std::string(32, 'c'));
  EXPECT_TRUE(registry_->PutUpload(draft).ok());
  draft.add_chunk_sha256(std::string(32, 'c'));
  ExpectOver(registry_->PutUpload(draft), "lab", 3000, 3100);
  EXPECT_TRUE(
      registry_->PutUpload(Upload("u4", "t4", "lab", 1000), "draft").ok());
  EXPECT_TRUE(registry_->DeleteUpload("draft").ok());
  ExpectOver(registry_->PutUpload(Upload("u5", "t5", "lab", 1)), "lab", 3000,
             3001);
}

TEST_P(TenantTest, ConcurrentUploadsDoNotPassTheQuotaTogether) {
  TenantQuota quota;
  quota.stored_bytes = 10'000;
  registry_->SetTenantQuota(quota);
  std::atomic<int> accepted{0}, refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string id = absl::StrCat("u", t, "-", i);
        const absl::Status put =
            registry_->PutUpload(Upload(id, "of " + id, "lab", 1000));
        ++(put.ok() ? accepted : refused);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(accepted, 10);
  EXPECT_EQ(refused, 30);
}

TEST_P(TenantTest, ATraceIsTheirsWhoUploadedItUntilItIsEverybodys) {
  EXPECT_TRUE(Holds("", "trace-a"));  // as of a server without tenants
  EXPECT_TRUE(Holds("lab", "trace-a"));
  EXPECT_FALSE(Holds("lab", "none"));
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("t"), "", "lab").ok());
  EXPECT_TRUE(Holds("lab", "t"));
  EXPECT_FALSE(Holds("labs", "t"));
  EXPECT_FALSE(Holds("", "t"));
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("t"), "", "labs").ok());
  EXPECT_TRUE(Holds("labs", "t"));
  EXPECT_FALSE(Holds("", "t"));
  EXPECT_EQ(registry_->GetCounts()->trace_bytes, 4000);  // stored once
  // Whoever may register it for everybody shares it.
  ASSERT_TRUE(CreateAs("shared", "t").ok());
  EXPECT_TRUE(Holds("", "t"));
  EXPECT_TRUE(Holds("third", "t"));

  ASSERT_TRUE(registry_->PutTrace(MakeTrace("s"), "", "lab").ok());
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("s"), "", "").ok());
  EXPECT_TRUE(Holds("labs", "s"));
}

TEST_P(TenantTest, WhatATenantNoLongerNamesIsNoLongerItsOwn) {
  TenantQuota quota;
  quota.stored_bytes = 2000;
  registry_->SetTenantQuota(quota);
  for (const char* tenant : {"lab", "labs"}) {
    ASSERT_TRUE(registry_->PutTrace(MakeTrace("t"), "", tenant).ok());
    ASSERT_TRUE(CreateAs(absl::StrCat(tenant, "~p"), "t").ok());
  }
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("s"), "", "lab").ok());
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_TRUE(
        CreateAs(absl::StrCat("of-", id), absl::StrCat("trace-", id)).ok());
  }
  clock_.Advance(absl::Hours(2));
  // Uploaded again: as young as if it came now.
  ASSERT_TRUE(registry_->PutTrace(MakeTrace("s"), "", "lab").ok());
  EXPECT_THAT(Gone(3600), ElementsAre());
  ASSERT_TRUE(registry_->DeleteProgram("lab~p", true).ok());
  EXPECT_THAT(Gone(3600), ElementsAre());
  EXPECT_FALSE(Holds("lab", "t"));
  EXPECT_TRUE(Holds("labs", "t"));
  ExpectOver(registry_->PutUpload(Upload("u", "x", "lab", 1001)), "lab", 2000,
             2001);
  EXPECT_TRUE(registry_->PutUpload(Upload("u", "x", "lab", 1000)).ok());
  ASSERT_TRUE(registry_->DeleteProgram("labs~p", true).ok());
  EXPECT_THAT(Gone(3600), ElementsAre("t"));
  EXPECT_TRUE(Holds("lab", "s"));
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(Gone(3600), ElementsAre("s"));
  EXPECT_EQ(registry_->GetCounts()->trace_bytes, 3000);
}

TEST_P(TenantTest, ListingsShowWhatTheViewerSeesAndTokensNameNothingElse) {
  for (const char* name : {"aa", "lab~one", "lab~two", "labs~secret", "mid",
                           "other~hidden", "zz"}) {
    ASSERT_TRUE(CreateAs(name, "trace-a", 1).ok());
    ASSERT_TRUE(CreateArchitecture(name, 1).ok());
  }
  for (const bool all_versions : {false, true}) {
    api::PageRequest request;
    request.set_all_versions(all_versions);
    const auto names = [&](Viewer viewer) {
      std::vector<std::string> found, same;
      request.set_page_size(1);
      request.clear_page_token();
      do {
        const auto page = registry_->ListPrograms(request, viewer);
        EXPECT_TRUE(page.ok()) << page.status();
        if (!page.ok()) break;
        for (const auto& item : page->items) found.push_back(item.name());
        std::string token;
        absl::WebSafeBase64Unescape(page->next_page_token, &token);
        if (viewer) {
          EXPECT_THAT(token, Not(HasSubstr("secret")));
          EXPECT_THAT(token, Not(HasSubstr("other")));
        }
        request.set_page_token(page->next_page_token);
      } while (!request.page_token().empty());
      request.set_page_size(0);
      const auto architectures = registry_->ListArchitectures(request, viewer);
      for (const auto& item : architectures->items) same.push_back(item.name());
      EXPECT_EQ(found, same);
      return found;
    };
    EXPECT_THAT(names("lab"),
                ElementsAre("aa", "lab~one", "lab~two", "mid", "zz"));
    EXPECT_THAT(names(""), ElementsAre("aa", "mid", "zz"));
    EXPECT_EQ(names(std::nullopt).size(), 7);
  }
  api::PageRequest prefixed;
  prefixed.set_name_prefix("other~");
  EXPECT_TRUE(registry_->ListPrograms(prefixed, "lab")->items.empty());
  std::vector<std::string> of;
  const auto jobs = registry_->ListJobs({}, "lab");
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  for (const auto& job : jobs->items) of.push_back(job.program_name());
  EXPECT_THAT(of, ElementsAre("zz", "mid", "lab~two", "lab~one", "aa"));
  EXPECT_EQ(registry_->ListJobs({})->items.size(), 7);
}

TEST_P(TenantTest, HintsNameNothingOfOtherTenants) {
  for (const char* name : {"lab~zlib", "labs~zlib", "zlib"}) {
    ASSERT_TRUE(CreateAs(name, "trace-a").ok());
  }
  const std::string of_lab(
      registry_->GetProgram("lab~zlip").status().message());
  EXPECT_THAT(of_lab, HasSubstr("'lab~zlib'"));
  EXPECT_THAT(of_lab, Not(HasSubstr("labs~")));
  const std::string of_all(registry_->GetProgram("zlip").status().message());
  EXPECT_THAT(of_all, HasSubstr("'zlib'"));
  EXPECT_THAT(of_all, Not(HasSubstr("~")));
}

TEST(TenantDurabilityTest, UseOutlivesARestart) {
  TemporaryDirectory directory;
  FakeClock clock;
  TenantQuota quota;
  quota.stored_bytes = 2500;
  {
    auto registry = MakeRegistry("rocksdb", directory.path(), clock);
    ASSERT_NE(registry, nullptr);
    registry->SetTenantQuota(quota);
    v1::UploadRecord upload;
    upload.set_upload_id("u");
    upload.set_sha256("t");
    upload.set_tenant("lab");
    upload.set_size_bytes(1000);
    ASSERT_TRUE(registry->PutUpload(upload).ok());
    ASSERT_TRUE(registry->PutTrace(MakeTrace("t"), "u", "lab").ok());
    upload.set_upload_id("v");
    upload.set_sha256("s");
    ASSERT_TRUE(registry->PutUpload(upload).ok());
  }
  auto registry = MakeRegistry("rocksdb", directory.path(), clock);
  ASSERT_NE(registry, nullptr);
  registry->SetTenantQuota(quota);
  EXPECT_TRUE(*registry->HoldsTrace("lab", "t"));
  EXPECT_FALSE(*registry->HoldsTrace("", "t"));
  v1::UploadRecord upload;
  upload.set_upload_id("w");
  upload.set_sha256("r");
  upload.set_tenant("lab");
  upload.set_size_bytes(501);
  EXPECT_TRUE(absl::IsResourceExhausted(registry->PutUpload(upload)));
  upload.set_size_bytes(500);
  EXPECT_TRUE(registry->PutUpload(upload).ok());
}

}  // namespace
}  // namespace perfvec::storage
