#include "worker/explore/surface_svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace perfvec::explore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ParameterSpace Space() {
  ParameterSpace space;
  space.parameters = {{"a", ParameterType::kInteger, {1, 2}, false, {}},
                      {"b", ParameterType::kInteger, {1, 2, 3}, false, {}}};
  return space;
}

size_t Count(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

TEST(DrawSurfaces, DrawsACellForEachPointTwice) {
  const ParameterSpace space = Space();
  const auto svg =
      DrawSurfaces("o < 1 & more", space, *Points(space),
                   {{"p", {6, 5, 4, 3, 2, std::nan("")}, {1, 2, 3, 4, 5, 6}}});
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_THAT(*svg, HasSubstr("o &lt; 1 &amp; more"));
  EXPECT_THAT(*svg, HasSubstr("simulated"));
  EXPECT_THAT(*svg, HasSubstr(">3.00<"));  // 6 over 2, the least predicted
  // Ground, five predicted, six simulated; the chosen one outlined in both.
  EXPECT_EQ(Count(*svg, "<rect"), 12);
  EXPECT_EQ(Count(*svg, "stroke-width"), 2);
  EXPECT_THAT(*svg, Not(HasSubstr("nan")));
}

TEST(DrawSurfaces, DrawsOneParameterAsARow) {
  ParameterSpace space = Space();
  space.constraints = {"a == 2"};
  const auto svg =
      DrawSurfaces("t", space, *Points(space), {{"p", {1, 2, 3}, {}}});
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_EQ(Count(*svg, "<rect"), 4);
}

TEST(DrawSurfaces, RefusesWhatHasNoMap) {
  ParameterSpace space = Space();
  EXPECT_FALSE(DrawSurfaces("t", space, *Points(space), {}).ok());
  EXPECT_FALSE(DrawSurfaces("t", space, *Points(space), {{"p", {1}, {}}}).ok());
  space.parameters.push_back({"c", ParameterType::kReal, {0, 1}, false, {}});
  const absl::Status status =
      DrawSurfaces("t", space, *Points(space),
                   {{"p", std::vector<double>(12, 1), {}}})
          .status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("hold the others"));
}

}  // namespace
}  // namespace perfvec::explore
