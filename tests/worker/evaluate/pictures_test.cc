#include "worker/evaluate/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <string>
#include <vector>

#include "worker/evaluate/svg.h"

namespace perfvec::train {
namespace {

// Every element is closed, in order: what an XML reader insists on.
void ExpectWellFormed(const std::string& svg) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z]+)([^<>]*?)(/?)>");
  for (std::sregex_iterator it(svg.begin(), svg.end(), tag), end; it != end;
       ++it) {
    const std::smatch& m = *it;
    if (m[4].length() > 0) continue;
    if (m[1].length() == 0) {
      open.push_back(m[2]);
    } else {
      ASSERT_FALSE(open.empty()) << m.str();
      EXPECT_EQ(open.back(), m[2]);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

TEST(PicturesTest, ProjectionFindsTheDirectionsOfVariance) {
  // Along (3, 4, 0), and less along (0, 0, 1).
  std::vector<double> x;
  for (int i = -10; i <= 10; ++i) {
    const double t = i, u = i % 2 == 0 ? 1 : -1;
    for (double v : {5 + 3 * t, 1 + 4 * t, u}) x.push_back(v);
  }
  const Projection p = Project(x, 3);
  ASSERT_EQ(p.points.size(), 21);
  EXPECT_GT(p.first_share, 0.99);
  EXPECT_NEAR(p.first_share + p.second_share, 1, 1e-9);
  EXPECT_NEAR(std::fabs(p.points[20].first - p.points[0].first), 100, 1e-6);
  EXPECT_TRUE(Project({}, 3).points.empty());
}

TEST(PicturesTest, ScatterPlotShowsEveryDotAndItsLegend) {
  const std::string svg =
      ScatterPlot("a < b & c", "x", "y",
                  {{"first", 0, false, 2, {{0, 0}, {1, 2}}, {}},
                   {"second", 1, true, 4, {{-3, 5}}, {"here"}}});
  ExpectWellFormed(svg);
  EXPECT_EQ(Count(svg, "<circle"), 3 + 2);  // dots and legend
  EXPECT_THAT(svg, testing::HasSubstr("a &lt; b &amp; c"));
  EXPECT_THAT(svg, testing::HasSubstr(">here<"));
  EXPECT_THAT(svg, testing::HasSubstr("first (2)"));
  EXPECT_THAT(svg, testing::HasSubstr("prefers-color-scheme: dark"));
  ExpectWellFormed(ScatterPlot("empty", "x", "y", {}));
}

TEST(PicturesTest, BarChartHasARowForEach) {
  const std::string svg =
      BarChart("errors", "share",
               {{"one", 0, 0.02, 0.05}, {"two", 1, 0.5, 0.7}}, {{"kind", 0}});
  ExpectWellFormed(svg);
  EXPECT_EQ(Count(svg, "class=\"m\""), 2);
  EXPECT_THAT(svg, testing::HasSubstr(">two<"));
  ExpectWellFormed(BarChart("none", "share", {}, {}));
}

}  // namespace
}  // namespace perfvec::train
