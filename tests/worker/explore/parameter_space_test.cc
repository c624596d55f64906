#include "worker/explore/parameter_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace perfvec::explore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParameterSpace Caches() {
  ParameterSpace space;
  space.parameters = {{"l1_kb", ParameterType::kInteger, {1, 2, 4}, true, {}},
                      {"l2_kb", ParameterType::kInteger, {16, 64}, true, {}}};
  return space;
}

TEST(Points, AreAllCombinationsThatHold) {
  ParameterSpace space = Caches();
  space.constants = {{"ratio", 16}};
  space.constraints = {"l2_kb >= ratio * l1_kb"};
  const auto points = Points(space);
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_THAT(*points, ElementsAre(Point{1, 16}, Point{1, 64}, Point{2, 64},
                                   Point{4, 64}));
  EXPECT_EQ(space.Text((*points)[2]), "l1_kb=2 l2_kb=64");
}

TEST(Encode, MapsEachParameterByItsKind) {
  ParameterSpace space = Caches();
  space.parameters.push_back(
      {"width", ParameterType::kReal, {0, 1, 4}, false, {}});
  Parameter policy;
  policy.name = "policy";
  policy.type = ParameterType::kCategory;
  policy.labels = {"lru", "random"};
  space.parameters.push_back(policy);
  space.parameters.push_back({"fixed", ParameterType::kReal, {5}, false, {}});
  ASSERT_TRUE(CheckSpace(space).ok());
  EXPECT_THAT(space.Encode({2, 16, 1, 1, 5}),
              ElementsAre(testing::DoubleNear(0, 1e-12), -1, -0.5, 0, 1, 0));
  EXPECT_EQ(space.Text({1, 16, 4, 1, 5}),
            "l1_kb=1 l2_kb=16 width=4 policy=random fixed=5");
}

TEST(CheckSpace, NamesWhatIsWrong) {
  const auto refused = [](auto change, const char* message) {
    ParameterSpace space = Caches();
    change(space);
    const absl::Status status = Points(space).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  };
  using S = ParameterSpace;
  refused([](S& s) { s.parameters.clear(); }, "1 to 64 parameters");
  refused([](S& s) { s.parameters[0].name = "time"; }, "time");
  refused([](S& s) { s.parameters[0].name = "l2_kb"; }, "listed twice");
  refused([](S& s) { s.parameters[0].values = {}; }, "found 0");
  refused([](S& s) { s.parameters[0].values = {2, 2}; }, "ascending");
  refused([](S& s) { s.parameters[0].values = {0, 2}; }, "positive");
  refused(
      [](S& s) {
        s.parameters[0].values = {1, std::nan("")};
      },
      "not a number");
  refused([](S& s) { s.parameters[0].values = {1.5}; }, "integers");
  refused([](S& s) { s.parameters[0].labels = {"a"}; }, "values");
  refused([](S& s) { s.constants["l1_kb"] = 1; }, "constant l1_kb");
  refused([](S& s) { s.constants["c"] = INFINITY; }, "constant c");
  refused([](S& s) { s.constraints = {"l1_kb > 9"}; }, "no design");
  refused([](S& s) { s.constraints = {"sqrt(1 - l1_kb)"}; }, "no value");
  refused([](S& s) { s.constraints = {"l3"}; }, "it may use l1_kb, l2_kb");
  refused(
      [](S& s) {
        for (Parameter& p : s.parameters) {
          p.values.clear();
          for (int i = 1; i <= 1000; ++i) p.values.push_back(i);
        }
      },
      "combinations");
}

}  // namespace
}  // namespace perfvec::explore
