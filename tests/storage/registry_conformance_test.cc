// What every Registry does, over each engine: names, versions, tags, aliases,
// revisions, listings. Jobs and vectors: registry_jobs_test.cc.
#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "tests/storage/registry_factory.h"

namespace perfvec::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class NamesTest : public RegistryTest {};

api::MetadataUpdate AddAlias(const std::string& alias) {
  api::MetadataUpdate update;
  update.add_add_aliases(alias);
  return update;
}

std::vector<std::string> NamesOf(const Page<api::Program>& page) {
  std::vector<std::string> names;
  for (const api::Program& program : page.items)
    names.push_back(absl::StrCat(program.name(), "@", program.version()));
  return names;
}

TEST_P(NamesTest, VersionsCountUpAndAreNeverGivenTwice) {
  EXPECT_EQ(Create("lbm", "trace-a").version(), 1);
  const api::Program second = Create("lbm", "trace-b");
  EXPECT_EQ(second.version(), 2);
  EXPECT_EQ(second.instructions(), 4096);
  EXPECT_EQ(second.isa(), "aarch64");
  EXPECT_EQ(registry_->GetProgram("lbm")->version(), 2);
  EXPECT_EQ(registry_->GetProgram("lbm@1")->trace_id(), "trace-a");
  EXPECT_EQ(registry_->GetProgram("lbm@latest")->version(), 2);

  ASSERT_TRUE(registry_->DeleteProgram("lbm", false).ok());
  EXPECT_EQ(registry_->GetProgram("lbm")->version(), 1);
  EXPECT_EQ(Create("lbm", "trace-c").version(), 3);
  ASSERT_THAT(*registry_->DeleteProgram("lbm", true), SizeIs(2));
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetProgram("lbm"));
  EXPECT_EQ(Create("lbm", "trace-a").version(), 4);
}

TEST_P(NamesTest, SameNameAndTraceIsTheSameVersionWithMetadataMerged) {
  api::Program draft = MakeProgram("lbm", "trace-a");
  (*draft.mutable_tags())["suite"] = "spec";
  const api::Program first = registry_->CreateProgram(draft, {})->program;
  EXPECT_EQ(first.revision(), 1);
  // A retry changes nothing, not even the revision.
  EXPECT_EQ(registry_->CreateProgram(draft, {})->program.revision(), 1);
  (*draft.mutable_tags())["input"] = "ref";
  draft.add_aliases("good");
  const api::Program merged = registry_->CreateProgram(draft, {})->program;
  EXPECT_EQ(merged.version(), 1);
  EXPECT_EQ(merged.revision(), 2);
  EXPECT_THAT(merged.tags(), UnorderedElementsAre(Pair("suite", "spec"),
                                                  Pair("input", "ref")));
  EXPECT_EQ(registry_->GetProgram("lbm@good")->version(), 1);
}

TEST_P(NamesTest, ProgramNeedsItsTrace) {
  auto created = registry_->CreateProgram(MakeProgram("lbm", "nowhere"), {});
  ExpectCode(absl::StatusCode::kNotFound, created);
  EXPECT_THAT(created.status().message(), HasSubstr("'nowhere'"));
}

TEST_P(NamesTest, AliasMovesInOneStep) {
  Create("lbm", "trace-a");
  Create("lbm", "trace-b");
  ASSERT_TRUE(registry_->UpdateProgram("lbm@1", AddAlias("stable")).ok());
  EXPECT_EQ(registry_->GetProgram("lbm@stable")->version(), 1);
  ASSERT_TRUE(registry_->UpdateProgram("lbm@2", AddAlias("stable")).ok());
  EXPECT_EQ(registry_->GetProgram("lbm@stable")->version(), 2);
  EXPECT_THAT(registry_->GetProgram("lbm@1")->aliases(), IsEmpty());
  EXPECT_THAT(registry_->GetProgram("lbm@2")->aliases(), ElementsAre("stable"));
  EXPECT_EQ(registry_->GetProgram("lbm@1")->revision(), 3);
  // An alias goes with its version.
  ASSERT_TRUE(registry_->DeleteProgram("lbm@stable", false).ok());
  auto gone = registry_->GetProgram("lbm@stable");
  ExpectCode(absl::StatusCode::kNotFound, gone);
  EXPECT_THAT(gone.status().message(), HasSubstr("no alias 'stable'"));
}

TEST_P(NamesTest, UpdateSetsAndRemovesUnderItsRevision) {
  Create("lbm", "trace-a");
  api::MetadataUpdate update;
  (*update.mutable_set_tags())["a"] = "1";
  (*update.mutable_set_tags())["b"] = "2";
  update.add_add_aliases("x");
  update.set_expected_revision(1);
  clock_.Advance(absl::Seconds(5));
  const api::Program program = *registry_->UpdateProgram("lbm", update);
  EXPECT_EQ(program.revision(), 2);
  EXPECT_EQ(program.update_time().seconds(),
            program.create_time().seconds() + 5);
  auto stale = registry_->UpdateProgram("lbm", update);
  ExpectCode(absl::StatusCode::kAborted, stale);
  EXPECT_THAT(stale.status().message(), HasSubstr("found 2"));

  api::MetadataUpdate removal;
  removal.add_remove_tags("a");
  removal.add_remove_aliases("x");
  const api::Program stripped = *registry_->UpdateProgram("lbm", removal);
  EXPECT_THAT(stripped.tags(), ElementsAre(Pair("b", "2")));
  EXPECT_THAT(stripped.aliases(), IsEmpty());
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetProgram("lbm@x"));
}

TEST_P(NamesTest, BadNamesReferencesAndTagsAreRefused) {
  for (const std::string& name :
       {std::string(), std::string("-a"), std::string("a b"),
        std::string("a\0b", 3), std::string("a@1"), std::string("ä"),
        std::string(129, 'a')}) {
    ExpectCode(absl::StatusCode::kInvalidArgument,
               registry_->CreateProgram(MakeProgram(name, "trace-a"), {}));
  }
  Create(std::string(128, 'a'), "trace-a");
  Create("lbm", "trace-a");
  for (const char* ref :
       {"lbm@", "lbm@0", "lbm@1@2", "@1", "lbm@-1", "lbm@99999999999999999999"})
    ExpectCode(absl::StatusCode::kInvalidArgument, registry_->GetProgram(ref));
  for (const char* alias : {"7", "latest", "", "a/b"})
    ExpectCode(absl::StatusCode::kInvalidArgument,
               registry_->UpdateProgram("lbm", AddAlias(alias)));
  api::MetadataUpdate update;
  (*update.mutable_set_tags())[""] = "x";
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->UpdateProgram("lbm", update));
  update.clear_set_tags();
  for (int i = 0; i < 65; ++i)
    (*update.mutable_set_tags())[absl::StrCat("t", i)] = "";
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->UpdateProgram("lbm", update));
  EXPECT_EQ(registry_->GetProgram("lbm")->revision(), 1);
}

TEST_P(NamesTest, UnknownNameIsAnsweredWithTheNearest) {
  for (const char* name : {"lbm", "lbm-small", "mcf", "xalancbmk"})
    Create(name, "trace-a");
  auto message = [&](const char* ref) {
    const absl::Status status = registry_->GetProgram(ref).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << ref;
    return std::string(status.message());
  };
  EXPECT_THAT(message("lmb"), HasSubstr("nearest: 'lbm'"));
  EXPECT_THAT(message("LBM"), HasSubstr("nearest: 'lbm'"));
  EXPECT_THAT(message("lbm-s"), HasSubstr("'lbm-small'"));
  EXPECT_THAT(message("alancbmk"), HasSubstr("'xalancbmk'"));
  EXPECT_THAT(message("zzzzzzzz"), Not(HasSubstr("nearest")));
  EXPECT_THAT(message("lbm@7"), HasSubstr("no version 7; versions: 1"));
}

TEST_P(NamesTest, ListsLatestVersionsOrAllInPages) {
  for (const char* name : {"a", "b", "b2", "c"}) {
    Create(name, "trace-a");
    Create(name, "trace-b");
  }
  api::PageRequest request;
  request.set_page_size(3);
  auto page = registry_->ListPrograms(request);
  EXPECT_THAT(NamesOf(*page), ElementsAre("a@2", "b@2", "b2@2"));
  request.set_page_token(page->next_page_token);
  page = registry_->ListPrograms(request);
  EXPECT_THAT(NamesOf(*page), ElementsAre("c@2"));
  EXPECT_THAT(page->next_page_token, IsEmpty());

  api::PageRequest all;
  all.set_all_versions(true);
  all.set_name_prefix("b");
  EXPECT_THAT(NamesOf(*registry_->ListPrograms(all)),
              ElementsAre("b@1", "b@2", "b2@1", "b2@2"));
}

TEST_P(NamesTest, PageTokensHoldUnderInsertsAndAreChecked) {
  for (const char* name : {"b", "d", "f"}) Create(name, "trace-a");
  api::PageRequest request;
  request.set_page_size(2);
  auto page = registry_->ListPrograms(request);
  EXPECT_THAT(NamesOf(*page), ElementsAre("b@1", "d@1"));
  for (const char* name : {"a", "c", "e"}) Create(name, "trace-a");
  ASSERT_TRUE(registry_->DeleteProgram("d", true).ok());  // the token's name
  request.set_page_token(page->next_page_token);
  EXPECT_THAT(NamesOf(*registry_->ListPrograms(request)),
              ElementsAre("e@1", "f@1"));

  api::PageRequest other = request;
  other.set_name_prefix("e");  // a token of another listing
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->ListPrograms(other));
  for (std::string token : {std::string("x"), std::string(5000, 'A'),
                            page->next_page_token + "A", std::string("%%")}) {
    request.set_page_token(token);
    ExpectCode(absl::StatusCode::kInvalidArgument,
               registry_->ListPrograms(request));
  }
  request.set_page_token(page->next_page_token);
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->ListModels(request));
  request.set_page_size(-1);
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->ListPrograms(request));
}

TEST_P(NamesTest, PageOfLargeRecordsFitsAMessage) {
  api::MetadataUpdate large;
  for (int i = 0; i < 64; ++i)
    (*large.mutable_set_tags())[absl::StrCat("t", i)] = std::string(1024, 'x');
  constexpr int kPrograms = 70;
  for (int i = 0; i < kPrograms; ++i) {
    const std::string name = absl::StrCat("p", i);
    Create(name, "trace-a");
    ASSERT_TRUE(registry_->UpdateProgram(name, large).ok());
  }
  api::PageRequest request;
  request.set_page_size(1000);
  size_t listed = 0, pages = 0;
  do {
    auto page = registry_->ListPrograms(request);
    ASSERT_TRUE(page.ok()) << page.status();
    size_t size_bytes = 0;
    for (const api::Program& program : page->items)
      size_bytes += program.ByteSizeLong();
    EXPECT_LT(size_bytes, 3 << 20);
    listed += page->items.size();
    ++pages;
    request.set_page_token(page->next_page_token);
  } while (!request.page_token().empty());
  EXPECT_EQ(listed, kPrograms);
  EXPECT_GT(pages, 1);
}

TEST_P(NamesTest, ListsByTags) {
  for (int i = 0; i < 6; ++i) {
    api::Program draft = MakeProgram(absl::StrCat("p", i), "trace-a");
    (*draft.mutable_tags())["parity"] = i % 2 == 0 ? "even" : "odd";
    (*draft.mutable_tags())["n"] = absl::StrCat(i);
    ASSERT_TRUE(registry_->CreateProgram(draft, {}).ok());
  }
  api::PageRequest request;
  (*request.mutable_tags())["parity"] = "odd";
  request.set_page_size(2);
  auto page = registry_->ListPrograms(request);
  EXPECT_THAT(NamesOf(*page), ElementsAre("p1@1", "p3@1"));
  request.set_page_token(page->next_page_token);
  EXPECT_THAT(NamesOf(*registry_->ListPrograms(request)), ElementsAre("p5@1"));
  request.clear_page_token();
  (*request.mutable_tags())["n"] = "3";
  EXPECT_THAT(NamesOf(*registry_->ListPrograms(request)), ElementsAre("p3@1"));
}

TEST_P(NamesTest, ListingWhileOthersInsertMissesNothingThatWasThere) {
  std::set<std::string> before;
  for (int i = 0; i < 60; ++i) {
    const std::string name = absl::StrCat("k", 10 + i);
    before.insert(absl::StrCat(name, "@1"));
    Create(name, "trace-a");
  }
  std::thread writer([&] {
    for (int i = 0; i < 60; ++i)
      Create(absl::StrCat("k", 10 + i, "x"), "trace-a");
  });
  api::PageRequest request;
  request.set_page_size(7);
  std::vector<std::string> seen;
  do {
    auto page = registry_->ListPrograms(request);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const std::string& name : NamesOf(*page)) seen.push_back(name);
    request.set_page_token(page->next_page_token);
  } while (!request.page_token().empty());
  writer.join();
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  for (const std::string& name : seen) before.erase(name);
  EXPECT_THAT(before, IsEmpty());
}

TEST_P(NamesTest, ManyThreadsGetDistinctVersionsAndJobs) {
  constexpr int kThreads = 4, kEach = 10;
  for (int i = 0; i < kThreads * kEach; ++i)
    ASSERT_TRUE(registry_->PutTrace(MakeTrace(absl::StrCat("t", i)), "").ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        auto created = registry_->CreateProgram(
            MakeProgram("shared", absl::StrCat("t", t * kEach + i)),
            {MakeJob("model-1")});
        EXPECT_TRUE(created.ok()) << created.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  api::PageRequest all;
  all.set_all_versions(true);
  std::set<std::string> traces;
  auto page = registry_->ListPrograms(all);
  ASSERT_THAT(page->items, SizeIs(kThreads * kEach));
  for (const api::Program& program : page->items)
    traces.insert(program.trace_id());
  EXPECT_THAT(traces, SizeIs(kThreads * kEach));
  EXPECT_EQ(page->items.back().version(), kThreads * kEach);
  EXPECT_EQ(registry_->GetCounts()->jobs_queued, kThreads * kEach);
  EXPECT_THAT(*registry_->UnfinishedJobs(), SizeIs(kThreads * kEach));
}

TEST_P(NamesTest, ModelsGoByIdAndByTheOneDefault) {
  EXPECT_EQ(registry_->GetModel("m")->model_id(), "model-1");
  EXPECT_EQ(registry_->GetModel("model-1")->name(), "m");
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetModel(""));
  ASSERT_TRUE(registry_->UpdateModel("m", AddAlias("default")).ok());
  EXPECT_EQ(registry_->GetModel("")->model_id(), "model-1");
  EXPECT_EQ(registry_->GetModel("default")->model_id(), "model-1");
  // The alias moves from one model to another of another name.
  api::Model other = MakeModel("n", "model-2");
  other.add_aliases("default");
  ASSERT_TRUE(
      registry_
          ->CreateModel(other, {std::string(32, 'w'), std::string(32, 'v')})
          .ok());
  EXPECT_EQ(registry_->GetModel("")->model_id(), "model-2");
  EXPECT_THAT(registry_->GetModel("m")->aliases(), IsEmpty());
  EXPECT_THAT(*registry_->GetModelWeightsChunks("model-2"),
              ElementsAre(std::string(32, 'w'), std::string(32, 'v')));
  // The same again: what is there. The same under another name: refused.
  EXPECT_EQ(registry_->CreateModel(other, {})->version(), 1);
  other.set_name("o");
  ExpectCode(absl::StatusCode::kAlreadyExists,
             registry_->CreateModel(other, {}));
  ASSERT_TRUE(registry_->DeleteModel("n").ok());
  ExpectCode(absl::StatusCode::kNotFound, registry_->GetModel(""));
  ExpectCode(absl::StatusCode::kNotFound,
             registry_->GetModelWeightsChunks("model-2"));
  EXPECT_THAT(registry_->ListModels({})->items, SizeIs(1));
  EXPECT_THAT(registry_->ListModels({})->items[0].manifest_json(), IsEmpty());
}

TEST_P(NamesTest, ArchitecturesAgreeOrMakeAVersion) {
  api::Architecture draft = MakeArchitecture("a15", "model-1");
  const api::Architecture first = *registry_->CreateArchitecture(draft);
  EXPECT_EQ(first.version(), 1);
  EXPECT_EQ(registry_->CreateArchitecture(draft)->revision(), 1);
  // A price given later is kept when the same architecture comes again.
  api::UpdateArchitectureRequest priced;
  priced.set_price_per_hour(2.5);
  ASSERT_TRUE(registry_->UpdateArchitecture("a15", priced).ok());
  EXPECT_EQ(registry_->CreateArchitecture(draft)->price_per_hour(), 2.5);
  // Vectors under another model are added to the same version.
  ASSERT_TRUE(registry_->CreateModel(MakeModel("n", "model-2"), {}).ok());
  auto both = registry_->CreateArchitecture(MakeArchitecture("a15", "model-2"));
  EXPECT_EQ(both->version(), 1);
  EXPECT_THAT(both->vectors(), SizeIs(2));
  // Other values: another version.
  draft.mutable_vectors(0)->set_values(0, 99);
  EXPECT_EQ(registry_->CreateArchitecture(draft)->version(), 2);
  draft.mutable_vectors(0)->mutable_values()->RemoveLast();
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->CreateArchitecture(draft));
  draft.mutable_vectors(0)->add_values(NAN);
  ExpectCode(absl::StatusCode::kInvalidArgument,
             registry_->CreateArchitecture(draft));
  draft.mutable_vectors(0)->set_model_id("model-9");
  ExpectCode(absl::StatusCode::kNotFound, registry_->CreateArchitecture(draft));
  EXPECT_THAT(registry_->ListArchitectures({})->items, SizeIs(1));
  EXPECT_THAT(registry_->ListArchitectures({})->items[0].vectors(), IsEmpty());
  // Deleting a model takes its vectors along, here too.
  ASSERT_TRUE(registry_->DeleteModel("n").ok());
  EXPECT_THAT(registry_->GetArchitecture("a15@1")->vectors(), SizeIs(1));
}

TEST_P(NamesTest, CountsFollow) {
  Create("lbm", "trace-a");
  Create("lbm", "trace-b");
  Create("mcf", "trace-a");
  ASSERT_TRUE(
      registry_->CreateArchitecture(MakeArchitecture("a15", "model-1")).ok());
  Registry::Counts counts = *registry_->GetCounts();
  EXPECT_EQ(counts.programs, 2);
  EXPECT_EQ(counts.architectures, 1);
  EXPECT_EQ(counts.models, 1);
  EXPECT_EQ(counts.trace_bytes, 3000);
  ASSERT_TRUE(registry_->DeleteProgram("lbm", true).ok());
  ASSERT_TRUE(registry_->DeleteArchitecture("a15", false).ok());
  counts = *registry_->GetCounts();
  EXPECT_EQ(counts.programs, 1);
  EXPECT_EQ(counts.architectures, 0);
}

PERFVEC_EVERY_ENGINE(NamesTest);

}  // namespace
}  // namespace perfvec::storage
