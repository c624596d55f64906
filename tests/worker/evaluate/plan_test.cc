#include "worker/evaluate/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace perfvec::train {
namespace {

using testing::HasSubstr;

DataFolder Folder() {
  DataFolder f;
  f.directory = "data";
  f.programs = {{"trained", "fam", Split::kSeen, 50000},
                {"trained2", "lib", Split::kSeen, 50000},
                {"left", "other", Split::kSeen, 50000},
                {"sibling", "fam", Split::kSeen, 50000},
                {"fresh", "new", Split::kUnseen, 50000},
                {"fresh2", "lib", Split::kUnseen, 9000}};
  f.architectures = {{"known", Split::kSeen, ""},
                     {"hidden", Split::kUnseen, ""},
                     {"known2", Split::kSeen, ""}};
  return f;
}

compute::Manifest Manifest(bool tails = true) {
  compute::Manifest m;
  m.architectures = {{"known", "{}"}, {"known2", "{}"}};
  m.provenance_json = R"({"training_programs": ["trained", "trained2"])";
  if (tails)
    m.provenance_json += R"(, "held_out_tails": {"trained": [45000, 50000]})";
  m.provenance_json += "}";
  return m;
}

absl::StatusOr<Plan> Make(PlanOptions options,
                          const compute::Manifest& m = Manifest()) {
  return MakePlan(m, {Folder()}, options);
}

std::vector<std::string> SplitNames(const Plan& plan) {
  std::vector<std::string> names;
  for (const PlannedSplit& s : plan.splits) names.push_back(s.name);
  return names;
}

std::set<std::string> Programs(const Plan& plan, const PlannedSplit& split) {
  std::set<std::string> names;
  for (size_t p : split.programs) names.insert(plan.programs[p].entry.name);
  return names;
}

const PlannedProgram* Find(const Plan& plan, const std::string& name) {
  for (const PlannedProgram& p : plan.programs) {
    if (p.entry.name == name) return &p;
  }
  return nullptr;
}

TEST(PlanTest, WithoutTheFlagNothingUnseenIsOpened) {
  PlanOptions options;
  options.learn_from = {"trained"};
  auto plan = Make(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(SplitNames(*plan),
            (std::vector<std::string>{kTailSplit, kLeftOutSplit}));
  EXPECT_EQ(Programs(*plan, plan->splits[0]), std::set<std::string>{"trained"});
  EXPECT_EQ(Programs(*plan, plan->splits[1]),
            (std::set<std::string>{"left", "sibling"}));
  for (const PlannedProgram& p : plan->programs) {
    EXPECT_EQ(p.entry.split, Split::kSeen) << p.entry.name;
    EXPECT_EQ(p.rows, (std::vector<size_t>{0, 2})) << p.entry.name;
  }
}

TEST(PlanTest, TheFlagOpensTheFiveSplits) {
  PlanOptions options;
  options.learn_from = {"trained"};
  options.open_unseen = true;
  auto plan = Make(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(
      SplitNames(*plan),
      (std::vector<std::string>{kTailSplit, kLeftOutSplit, kUnseenProgramsSplit,
                                kUnseenArchitecturesSplit, kUnseenBothSplit}));
  // fresh2 is all start-up; programs learned from are not tried.
  EXPECT_EQ(Programs(*plan, plan->splits[2]), std::set<std::string>{"fresh"});
  EXPECT_EQ(Programs(*plan, plan->splits[3]),
            (std::set<std::string>{"trained2", "left", "sibling"}));
  EXPECT_EQ(plan->splits[3].architectures, std::vector<size_t>{1});
  EXPECT_THAT(plan->notes, testing::Contains(HasSubstr("fresh2")));
  EXPECT_TRUE(plan->architectures[1].learned);
  EXPECT_FALSE(plan->architectures[0].learned);
  EXPECT_EQ(Find(*plan, "fresh")->rows, (std::vector<size_t>{0, 1, 2}));
}

TEST(PlanTest, RangesAndFamilies) {
  PlanOptions options;
  auto plan = Make(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedProgram& trained = *Find(*plan, "trained");
  EXPECT_EQ(trained.tail.begin, 45000);
  EXPECT_EQ(trained.tail.end, 50000);
  EXPECT_EQ(trained.training.begin, 10000);
  EXPECT_EQ(trained.training.end, 45000 - 512);
  EXPECT_EQ(trained.represent_from, 45000);
  const PlannedProgram& left = *Find(*plan, "left");
  EXPECT_EQ(left.headline.begin, 10000);
  EXPECT_EQ(left.represent_from, 0);  // the whole trace comes second
  EXPECT_FALSE(left.family_shared);
  EXPECT_TRUE(Find(*plan, "sibling")->family_shared);
  // Read for the rivals alone.
  EXPECT_FALSE(Find(*plan, "trained2")->evaluated);
  options.rivals = false;
  plan = Make(options);
  EXPECT_EQ(Find(*plan, "trained2"), nullptr);
}

TEST(PlanTest, ProgramsCanBeChosen) {
  PlanOptions options;
  options.programs = {"left"};
  options.rivals = false;
  auto plan = Make(options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(SplitNames(*plan), std::vector<std::string>{kLeftOutSplit});
  EXPECT_EQ(plan->programs.size(), 1);
}

TEST(PlanTest, SaysWhatIsMissing) {
  const auto message = [](PlanOptions options,
                          const compute::Manifest& m = Manifest()) {
    auto plan = Make(options, m);
    EXPECT_FALSE(plan.ok());
    return std::string(plan.status().message());
  };
  PlanOptions o;
  o.splits = {"nonsense"};
  EXPECT_THAT(message(o), HasSubstr("expected one of tail, left-out"));
  for (const char* split : {kUnseenProgramsSplit, kUnseenBothSplit}) {
    o.splits = {split};
    EXPECT_THAT(message(o), HasSubstr("--open-unseen"));
  }
  o.splits = {kUnseenArchitecturesSplit};
  EXPECT_THAT(message(o), HasSubstr("hidden"));
  o.open_unseen = true;
  EXPECT_THAT(message(o), HasSubstr("--learn-from"));
  o = {};
  o.splits = {kTailSplit};
  EXPECT_THAT(message(o, Manifest(false)), HasSubstr("held-out tails"));
  o = {};
  o.programs = {"absent"};
  EXPECT_THAT(message(o), HasSubstr("absent"));
  o = {};
  o.learn_from = {"absent"};
  EXPECT_THAT(message(o), HasSubstr("absent"));
  o.learn_from = {"fresh"};
  EXPECT_THAT(message(o), HasSubstr("expected a seen program"));
  o = {};
  compute::Manifest stranger = Manifest();
  stranger.architectures = {{"elsewhere", "{}"}};
  EXPECT_THAT(message(o, stranger), HasSubstr("nothing to evaluate"));
  EXPECT_THAT(message(o, stranger), HasSubstr("--learn-from"));
}

TEST(PlanTest, UnknownSeenArchitecturesNeedNoFlag) {
  compute::Manifest m = Manifest();
  m.architectures = {{"known", "{}"}};
  PlanOptions o;
  auto plan = Make(o, m);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->notes, testing::Contains(HasSubstr("known2")));
  o.learn_from = {"trained", "trained2"};
  plan = Make(o, m);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->splits.back().name, kUnseenArchitecturesSplit);
  EXPECT_EQ(plan->splits.back().architectures, std::vector<size_t>{2});
  for (const PlannedProgram& p : plan->programs) {
    EXPECT_EQ(std::count(p.rows.begin(), p.rows.end(), 1), 0);
  }
}

TEST(PlanTest, FoldersMustNotContradictEachOther) {
  DataFolder second = Folder();
  second.directory = "more";
  auto plan = MakePlan(Manifest(), {Folder(), second}, {});
  EXPECT_THAT(std::string(plan.status().message()),
              HasSubstr("trained is in both data and more"));
  second.programs = {{"extra", "extra", Split::kSeen, 20000}};
  plan = MakePlan(Manifest(), {Folder(), second}, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_NE(Find(*plan, "extra"), nullptr);
  second.architectures[0].split = Split::kUnseen;
  EXPECT_FALSE(MakePlan(Manifest(), {Folder(), second}, {}).ok());
}

TEST(PlanTest, DamagedProvenanceIsNoRecord) {
  compute::Manifest m = Manifest();
  for (const char* text :
       {"[]", "{\"training_programs\": 7, \"held_out_tails\": []}",
        "{\"training_programs\": [1], \"held_out_tails\": {\"a\": [1]}}",
        "{\"held_out_tails\": {\"a\": [-1, 2], \"b\": \"x\", \"c\": [1.5, "
        "2]}}"}) {
    m.provenance_json = text;
    const TrainingRecord record = ReadTrainingRecord(m);
    EXPECT_TRUE(record.programs.empty() && record.tail_begins.empty()) << text;
  }
}

}  // namespace
}  // namespace perfvec::train
