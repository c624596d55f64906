#include "worker/learn/cluster.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace perfvec::compute {
namespace {

std::vector<Point> Blobs(int blobs, int points, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> noise(0, 0.01);
  std::vector<Point> out;
  for (int i = 0; i < points; ++i) {
    const int blob = i % blobs;
    out.push_back({blob + noise(random), -blob + noise(random)});
  }
  return out;
}

TEST(ClusterTest, FindsBlobsAndTheirNumber) {
  for (int blobs : {1, 2, 4}) {
    const ClusterChoice choice = ChooseClusters(Blobs(blobs, 60, 5), {});
    // One cloud may be split: nothing tells its halves apart.
    if (blobs > 1) {
      EXPECT_EQ(choice.clusters.centres.size(), blobs);
    }
    for (int i = 0; i < 60; ++i) {
      for (int j = 0; j < 60; ++j) {
        if (i % blobs != j % blobs) {
          EXPECT_NE(choice.clusters.cluster[i], choice.clusters.cluster[j]);
        }
      }
    }
  }
}

TEST(ClusterTest, TheSameSeedGivesTheSameAnswer) {
  const std::vector<Point> points = Blobs(3, 40, 9);
  EXPECT_EQ(ChooseClusters(points, {}).clusters.cluster,
            ChooseClusters(points, {}).clusters.cluster);
}

TEST(ClusterTest, TakesTheNumberThatIsAskedFor) {
  ClusterOptions options;
  options.least = options.most = 5;
  const ClusterChoice choice = ChooseClusters(Blobs(2, 40, 3), options);
  EXPECT_EQ(choice.clusters.centres.size(), 5);
}

TEST(ClusterTest, PointsThatAreAllAlikeAreNoTrouble) {
  ClusterOptions options;
  options.most = 3;
  const ClusterChoice choice =
      ChooseClusters(std::vector<Point>(7, Point{1, 2}), options);
  EXPECT_EQ(choice.whole_squared_error, 0);
  EXPECT_EQ(std::set<int>(choice.clusters.cluster.begin(),
                          choice.clusters.cluster.end())
                .size(),
            1);
}

TEST(ClusterTest, ProjectionWeightsAreSpreadOverTheirRange) {
  double sum = 0, square = 0;
  for (int i = 0; i < 1000; ++i) {
    const double w = ProjectionWeight(1, i, 3);
    ASSERT_GE(w, -1);
    ASSERT_LT(w, 1);
    sum += w / 1000;
    square += w * w / 1000;
  }
  EXPECT_NEAR(sum, 0, 0.1);
  EXPECT_NEAR(square, 1.0 / 3, 0.05);
}

}  // namespace
}  // namespace perfvec::compute
