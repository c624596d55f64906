#include "server/ranking.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iostream>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/predictor/matrix.h"
#include "tests/server/predictor_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Program "p" has ones, so an architecture of value v takes 0.8 v ns.
class RankingTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(predictor_.AddModel(ModelMessage("m", 1, "id", true)).ok());
    v1::Program program = ProgramMessage("p", 1);
    (*program.mutable_tags())["suite"] = "spec";
    program.set_instructions(5000);
    ASSERT_TRUE(predictor_.AddProgram(program).ok());
    ASSERT_TRUE(
        predictor_.AddProgramVector(VectorMessage("p", 1, "id", 1)).ok());
    request_.set_program("p");

    Add("fast", 1, 9.0, 100.0, "out_of_order", 8);
    Add("mid", 2, 2.0, 20.0, "out_of_order", 4);
    Add("slow", 4, 0.5, std::nullopt, "in_order", 2);
    Add("free", 8, std::nullopt, 1.0, "in_order", std::nullopt);
  }

  void Add(const std::string& name, double value,
           std::optional<double> price = std::nullopt,
           std::optional<double> power = std::nullopt,
           const std::string& kind = "",
           std::optional<double> cores = std::nullopt) {
    v1::Architecture architecture = ArchitectureMessage(name, 1, "id", value);
    auto& attributes = *architecture.mutable_attributes();
    if (!kind.empty()) attributes["kind"].set_text(kind);
    if (cores) attributes["cores"].set_number(*cores);
    if (price) architecture.set_price_per_hour(*price);
    if (power) architecture.set_power_watts(*power);
    (*architecture.mutable_tags())["site"] = name == "fast" ? "7" : "east";
    ASSERT_TRUE(predictor_.AddArchitecture(architecture).ok());
  }

  void Constrain(const std::string& attribute, v1::Constraint::Operator op,
                 double number) {
    v1::Constraint* constraint = request_.add_constraints();
    constraint->set_attribute(attribute);
    constraint->set_op(op);
    constraint->mutable_value()->set_number(number);
  }
  void Constrain(const std::string& attribute, v1::Constraint::Operator op,
                 const std::string& text) {
    v1::Constraint* constraint = request_.add_constraints();
    constraint->set_attribute(attribute);
    constraint->set_op(op);
    constraint->mutable_value()->set_text(text);
  }

  absl::Status Run() {
    response_.Clear();
    return Rank(
        predictor_.snapshot(), request_, [] { return false; }, &response_);
  }
  std::vector<std::string> Names() {
    const absl::Status status = Run();
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> names;
    for (const auto& item : response_.items()) names.push_back(item.name());
    return names;
  }

  Predictor predictor_;
  v1::RankRequest request_;
  v1::RankResponse response_;
};

TEST_F(RankingTest, ByTime) {
  EXPECT_THAT(Names(), ElementsAre("fast@1", "mid@1", "slow@1", "free@1"));
  EXPECT_EQ(response_.subject(), "p@1");
  EXPECT_EQ(response_.model_id(), "id");
  EXPECT_EQ(response_.considered(), 4);
  EXPECT_DOUBLE_EQ(response_.items(1).time_ns(), 1.6);
  EXPECT_DOUBLE_EQ(response_.items(1).objective_value(), 1.6);
  EXPECT_DOUBLE_EQ(response_.items(1).relative_to_best(), 2);
}

TEST_F(RankingTest, ByCost) {
  request_.set_objective(v1::OBJECTIVE_COST);
  // Value times price: slow 2, mid 4, fast 9.
  EXPECT_THAT(Names(), ElementsAre("slow@1", "mid@1", "fast@1"));
  EXPECT_DOUBLE_EQ(response_.items(0).objective_value(), 3.2 * 0.5 / 3600e9);
  EXPECT_DOUBLE_EQ(response_.items(2).relative_to_best(), 4.5);
  EXPECT_EQ(response_.excluded_without_objective(), 1);
}

TEST_F(RankingTest, ByEnergy) {
  request_.set_objective(v1::OBJECTIVE_ENERGY);
  // Value times power: free 8, mid 40, fast 100.
  EXPECT_THAT(Names(), ElementsAre("free@1", "mid@1", "fast@1"));
  EXPECT_DOUBLE_EQ(response_.items(0).objective_value(), 6.4e-9 * 1);
}

struct ConstraintCase {
  const char* name;
  std::function<void(v1::Constraint*)> fill;
  std::vector<std::string> expected;
};

TEST_F(RankingTest, Constraints) {
  using C = v1::Constraint;
  const auto number = [](const char* attribute, C::Operator op, double value) {
    return [=](C* c) {
      c->set_attribute(attribute);
      c->set_op(op);
      c->mutable_value()->set_number(value);
    };
  };
  const auto text = [](const char* attribute, C::Operator op,
                       const char* value) {
    return [=](C* c) {
      c->set_attribute(attribute);
      c->set_op(op);
      c->mutable_value()->set_text(value);
    };
  };
  const std::vector<ConstraintCase> cases = {
      {"at least",
       number("cores", C::GREATER_OR_EQUAL, 4),
       {"fast@1", "mid@1"}},
      {"less", number("cores", C::LESS, 4), {"slow@1"}},
      {"greater", number("cores", C::GREATER, 4), {"fast@1"}},
      {"at most", number("cores", C::LESS_OR_EQUAL, 4), {"mid@1", "slow@1"}},
      {"equal", number("cores", C::EQUAL, 4), {"mid@1"}},
      {"not equal leaves out who lacks it",
       number("cores", C::NOT_EQUAL, 4),
       {"fast@1", "slow@1"}},
      {"a text that reads as a number",
       text("cores", C::EQUAL, "4"),
       {"mid@1"}},
      {"text", text("kind", C::EQUAL, "in_order"), {"slow@1", "free@1"}},
      {"text differs",
       text("kind", C::NOT_EQUAL, "in_order"),
       {"fast@1", "mid@1"}},
      {"number against text", number("kind", C::NOT_EQUAL, 1), {}},
      {"tag",
       text("tag.site", C::EQUAL, "east"),
       {"mid@1", "slow@1", "free@1"}},
      {"tag that reads as a number",
       number("tag.site", C::GREATER, 6),
       {"fast@1"}},
      {"name", text("name", C::EQUAL, "mid"), {"mid@1"}},
      {"price", number("price_per_hour", C::LESS, 1), {"slow@1"}},
      {"power",
       number("power_watts", C::LESS_OR_EQUAL, 20),
       {"mid@1", "free@1"}},
  };
  for (const ConstraintCase& one : cases) {
    SCOPED_TRACE(one.name);
    request_.clear_constraints();
    one.fill(request_.add_constraints());
    EXPECT_EQ(Names(), one.expected);
    EXPECT_EQ(response_.excluded_by_constraints(), 4 - one.expected.size());
  }
  request_.clear_constraints();
  Constrain("kind", C::EQUAL, "out_of_order");
  Constrain("cores", C::LESS, 8);
  EXPECT_THAT(Names(), ElementsAre("mid@1"));
}

TEST_F(RankingTest, BadConstraintsAreRefused) {
  Constrain("core", v1::Constraint::LESS, 4);
  absl::Status status = Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("\"core\""), HasSubstr("nearest: cores")));
  request_.clear_constraints();
  Constrain("cores", v1::Constraint::OPERATOR_UNSPECIFIED, 4);
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.clear_constraints();
  Constrain("cores", v1::Constraint::LESS, std::nan(""));
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.mutable_constraints(0)->clear_value();
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RankingTest, AnAttributeGoesWithItsLastArchitecture) {
  Add("odd", 3);
  v1::Architecture odd = ArchitectureMessage("odd", 1, "id", 3);
  (*odd.mutable_attributes())["rare"].set_number(1);
  ASSERT_TRUE(predictor_.AddArchitecture(odd).ok());
  Constrain("rare", v1::Constraint::EQUAL, 1);
  EXPECT_THAT(Names(), ElementsAre("odd@1"));
  predictor_.RemoveArchitecture("odd", 1);
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RankingTest, DeadlineLimitAndCandidates) {
  request_.set_deadline_ns(1.6);  // as long is in time
  EXPECT_THAT(Names(), ElementsAre("fast@1", "mid@1"));
  EXPECT_EQ(response_.excluded_by_deadline(), 2);
  request_.clear_deadline_ns();
  request_.set_limit(1);
  EXPECT_THAT(Names(), ElementsAre("fast@1"));
  EXPECT_EQ(response_.considered(), 4);
  request_.clear_limit();
  for (const char* ref : {"slow", "mid@1", "mid"}) {
    request_.add_candidates(ref);
  }
  EXPECT_THAT(Names(), ElementsAre("mid@1", "slow@1"));
  EXPECT_EQ(response_.considered(), 2);
  request_.add_candidates("nosuch");
  EXPECT_EQ(Run().code(), absl::StatusCode::kNotFound);
}

TEST_F(RankingTest, BadRequestsAreRefused) {
  request_.set_limit(-1);
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.set_limit(kMaxRankLimit + 1);
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.set_limit(0);
  request_.set_deadline_ns(-1);
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.clear_deadline_ns();
  request_.clear_subject();
  EXPECT_EQ(Run().code(), absl::StatusCode::kInvalidArgument);
  request_.set_program("q");
  EXPECT_EQ(Run().code(), absl::StatusCode::kNotFound);
}

TEST_F(RankingTest, ATimeOutOfRangeIsNeverTheBest) {
  Add("bad", -5);
  EXPECT_THAT(Names(), ElementsAre("fast@1", "mid@1", "slow@1", "free@1"));
  EXPECT_EQ(response_.excluded_out_of_range(), 1);
}

TEST_F(RankingTest, EqualValuesAreOrderedByName) {
  for (const char* name : {"z", "a", "m"}) Add(name, 0.5);
  request_.set_limit(2);
  EXPECT_THAT(Names(), ElementsAre("a@1", "m@1"));
  request_.set_objective(v1::OBJECTIVE_COST);
  for (const char* name : {"z", "a", "m"}) Add(name, 0.5, 0.0);
  EXPECT_THAT(Names(), ElementsAre("a@1", "m@1"));
  EXPECT_EQ(response_.items(1).relative_to_best(), 1);  // both cost nothing
}

TEST_F(RankingTest, ProgramsOnAnArchitecture) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("q", 1)).ok());
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("q", 1, "id", 0.5)).ok());
  request_.set_architecture("mid");
  EXPECT_THAT(Names(), ElementsAre("q@1", "p@1"));
  EXPECT_EQ(response_.subject(), "mid@1");
  Constrain("tag.suite", v1::Constraint::EQUAL, "spec");
  EXPECT_THAT(Names(), ElementsAre("p@1"));
  request_.set_objective(v1::OBJECTIVE_COST);
  EXPECT_THAT(Names(), ElementsAre("p@1"));
  EXPECT_DOUBLE_EQ(response_.items(0).objective_value(), 1.6 * 2 / 3600e9);
  request_.set_architecture("free");
  absl::Status status = Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("free@1"), HasSubstr("price_per_hour")));
}

TEST_F(RankingTest, NothingToRankSaysSo) {
  for (const char* name : {"fast", "mid", "slow", "free"}) {
    predictor_.RemoveArchitecture(name, 1);
  }
  EXPECT_EQ(Run().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RankingTest, StopsWhenAsked) {
  EXPECT_EQ(
      Rank(
          predictor_.snapshot(), request_, [] { return true; }, &response_)
          .code(),
      absl::StatusCode::kCancelled);
}

// Against sorting everything, and bit for bit against Predict.
TEST_F(RankingTest, TheBestOfAHundredThousand) {
  constexpr int kCount = 100000;
  const uint32_t seed = 20261121;
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(1, 5000);  // many ties
  std::vector<std::pair<double, std::string>> all;
  const auto model = *predictor_.snapshot().FindModel("");
  for (int i = 0; i < kCount; ++i) {
    const std::string name = absl::StrCat("a", i);
    const double v = value(random) * 0.37;
    ASSERT_TRUE(
        predictor_.AddArchitecture(ArchitectureMessage(name, 1, "id", v)).ok());
    v1::PredictResponse one;
    if (i % 1000 == 0) {
      ASSERT_TRUE(predictor_.Predict("p", name, "", &one).ok());
    }
    const auto vector =
        predictor_.snapshot().FindVector(Kind::kArchitecture, name, *model);
    float sum = 0;
    for (int k = 0; k < kTestWidth; ++k) sum += (*vector)->values[0];
    if (i % 1000 == 0) {
      ASSERT_EQ(one.time_ns(), 0.1 * sum);
    }
    all.emplace_back(0.1 * sum, name);
  }
  for (const char* name : {"fast", "mid", "slow", "free"}) {
    predictor_.RemoveArchitecture(name, 1);
  }
  std::sort(all.begin(), all.end());
  request_.set_limit(1000);
  ASSERT_TRUE(Run().ok());
  EXPECT_EQ(response_.considered(), kCount);
  ASSERT_EQ(response_.items_size(), 1000);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(response_.items(i).time_ns(), all[i].first) << i;
    ASSERT_EQ(response_.items(i).name(), absl::StrCat(all[i].second, "@1"));
  }
}

// Rankings and matrices of one instant while architectures come and go; the
// writer stays on the same panels as the readers.
TEST_F(RankingTest, OneInstantWhileVectorsArrive) {
  std::atomic<bool> stop{false};
  std::atomic<int> done{0};
  std::thread ranks([&] {
    while (!stop.load()) {
      const Snapshot snapshot = predictor_.snapshot();
      v1::RankResponse response;
      ASSERT_TRUE(Rank(
                      snapshot, request_, [] { return false; }, &response)
                      .ok());
      // Versions of "mid" follow one another; one is always shown.
      ASSERT_EQ(response.considered(), 4);
      for (const auto& item : response.items()) ASSERT_GT(item.time_ns(), 0);
      done.fetch_add(1);
    }
  });
  std::thread matrices([&] {
    while (!stop.load()) {
      auto cursor = MatrixCursor::Start(predictor_.snapshot(), {});
      ASSERT_TRUE(cursor.ok());
      v1::PredictMatrixResponse message;
      ASSERT_TRUE((*cursor)->Next(&message));
      ASSERT_EQ(message.architectures_size(), 4);
      ASSERT_TRUE((*cursor)->Next(&message));
      for (double time_ns : message.time_ns()) ASSERT_GT(time_ns, 0);
      done.fetch_add(1);
    }
  });
  for (int version = 2; version < 1000 || done.load() < 200; ++version) {
    ASSERT_TRUE(
        predictor_
            .AddArchitecture(ArchitectureMessage("mid", version, "id", version))
            .ok());
    if (version > 10) predictor_.RemoveArchitecture("mid", version - 10);
  }
  stop.store(true);
  ranks.join();
  matrices.join();
}

}  // namespace
}  // namespace perfvec::server
