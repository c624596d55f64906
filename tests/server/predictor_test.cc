#include "server/predictor.h"

#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/predictor_fixture.h"
#include "worker/model/calibration.h"

namespace perfvec::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class PredictorTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(
        predictor_.AddModel(ModelMessage("base", 1, "aaaa", true)).ok());
    ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 1)).ok());
    ASSERT_TRUE(
        predictor_.AddProgramVector(VectorMessage("lbm", 1, "aaaa", 10)).ok());
    ASSERT_TRUE(
        predictor_.AddArchitecture(ArchitectureMessage("a15", 1, "aaaa", 2))
            .ok());
  }

  absl::Status Predict(const std::string& program, const std::string& arch,
                       const std::string& model = "") {
    response_.Clear();
    return predictor_.Predict(program, arch, model, &response_);
  }
  // Rows that rankings see at `snapshot`, by name.
  std::vector<std::string> Shown(const Snapshot& snapshot, Kind kind) {
    std::vector<std::string> labels;
    const VectorTable& table = (*snapshot.FindModel(""))->table(kind);
    for (int64_t i = 0; i < table.size(); ++i) {
      if (table.row(i).ShownAt(snapshot.epoch())) {
        labels.push_back(table.row(i).item->label);
      }
    }
    return labels;
  }

  Predictor predictor_;
  v1::PredictResponse response_;
};

TEST_F(PredictorTest, AnswersWithUnitsAndVersions) {
  ASSERT_TRUE(Predict("lbm", "a15").ok());
  EXPECT_DOUBLE_EQ(response_.time_ns(), 0.1 * 8 * 20);
  EXPECT_EQ(response_.program(), "lbm@1");
  EXPECT_EQ(response_.architecture(), "a15@1");
  EXPECT_EQ(response_.model_id(), "aaaa");
  EXPECT_EQ(response_.instructions(), 1000);
}

TEST_F(PredictorTest, ModelsAreFoundByEveryReference) {
  for (const char* ref :
       {"", "default", "base", "base@1", "base@default", "aaaa"}) {
    EXPECT_TRUE(Predict("lbm", "a15", ref).ok()) << ref;
  }
  const absl::Status status = Predict("lbm", "a15", "bass");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("nearest: base"));
}

TEST_F(PredictorTest, TheDefaultAliasMovesBetweenModels) {
  // Ids on either side of the first model's, so that order does not help.
  for (const char* id : {"0000", "ffff"}) {
    ASSERT_TRUE(predictor_.AddModel(ModelMessage(id, 1, id, true)).ok());
    const auto model = predictor_.snapshot().FindModel("");
    ASSERT_TRUE(model.ok());
    EXPECT_EQ((*model)->model_id, id);
  }
  EXPECT_EQ(Predict("lbm", "a15", "base@default").code(),
            absl::StatusCode::kNotFound);
  predictor_.RemoveModel("ffff");
  EXPECT_EQ(Predict("lbm", "a15").code(), absl::StatusCode::kNotFound);
}

TEST_F(PredictorTest, TheLatestVersionAnswersForTheName) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 2, {"best"})).ok());
  // Known, but without a vector: not silently version 1.
  absl::Status status = Predict("lbm", "a15");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("lbm@2"),
                                      HasSubstr("perfvec program represent")));
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram),
              testing::ElementsAre("lbm@1"));

  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("lbm", 2, "aaaa", 5)).ok());
  ASSERT_TRUE(Predict("lbm", "a15").ok());
  EXPECT_EQ(response_.program(), "lbm@2");
  ASSERT_TRUE(Predict("lbm@best", "a15").ok());
  EXPECT_EQ(response_.program(), "lbm@2");
  ASSERT_TRUE(Predict("lbm@1", "a15").ok());
  EXPECT_EQ(response_.program(), "lbm@1");
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram),
              testing::ElementsAre("lbm@2"));

  // The alias moves, and goes.
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 1, {"best"})).ok());
  ASSERT_TRUE(Predict("lbm@best", "a15").ok());
  EXPECT_EQ(response_.program(), "lbm@1");
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 1)).ok());
  EXPECT_EQ(Predict("lbm@best", "a15").code(), absl::StatusCode::kNotFound);
}

TEST_F(PredictorTest, AVectorOfAnOlderVersionThatComesLateIsNotShown) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("x", 1)).ok());
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("x", 2)).ok());
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("x", 2, "aaaa", 5)).ok());
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("x", 1, "aaaa", 6)).ok());
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram),
              testing::ElementsAre("lbm@1", "x@2"));
  ASSERT_TRUE(Predict("x@1", "a15").ok());
}

TEST_F(PredictorTest, DeletingTheLatestBringsBackTheOneBefore) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 2)).ok());
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("lbm", 2, "aaaa", 5)).ok());
  const Snapshot before = predictor_.snapshot();
  predictor_.RemoveProgram("lbm", 2);
  ASSERT_TRUE(Predict("lbm", "a15").ok());
  EXPECT_EQ(response_.program(), "lbm@1");
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram),
              testing::ElementsAre("lbm@1"));
  EXPECT_THAT(Shown(before, Kind::kProgram), testing::ElementsAre("lbm@2"));
  EXPECT_EQ(Predict("lbm@2", "a15").code(), absl::StatusCode::kNotFound);

  predictor_.RemoveProgram("lbm", 1);
  EXPECT_EQ(Predict("lbm", "a15").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram), testing::IsEmpty());
  predictor_.RemoveProgram("lbm", 1);  // again: nothing
}

TEST_F(PredictorTest, UnknownNamesNameTheNearest) {
  absl::Status status = Predict("lmb", "a15");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("program \"lmb\""), HasSubstr("nearest: lbm")));
  status = Predict("lbm@7", "a15");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("the latest is lbm@1"));
  status = Predict("lbm", "a16");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("nearest: a15"));
  EXPECT_EQ(Predict("", "a15").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Predict(std::string(300, 'x'), "a15").code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(PredictorTest, AVectorOfAnotherModelNamesBoth) {
  ASSERT_TRUE(predictor_.AddModel(ModelMessage("other", 1, "bbbb")).ok());
  const absl::Status status = Predict("lbm", "a15", "other");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("\"other@1\" (bbbb)"),
                    HasSubstr("\"base@1\" (aaaa)"), HasSubstr("do not mix")));
}

TEST_F(PredictorTest, AMissingVectorNamesItsJob) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("new", 1)).ok());
  v1::Job job;
  job.set_job_id("j-17");
  job.set_program_name("new");
  job.set_program_version(1);
  job.set_model_id("aaaa");
  job.set_state(v1::JOB_STATE_RUNNING);
  predictor_.NoteJob(job);
  absl::Status status = Predict("new", "a15");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("running"), HasSubstr("perfvec job watch j-17")));
  job.set_state(v1::JOB_STATE_FAILED);
  job.set_error("trace is cut");
  predictor_.NoteJob(job);
  status = Predict("new", "a15");
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("job j-17 failed: trace is cut"),
                    Not(HasSubstr("watch"))));
}

TEST_F(PredictorTest, NothingThatIsNotFiniteGetsIn) {
  for (double bad :
       {std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    auto vector = VectorMessage("lbm", 1, "aaaa", 1);
    vector.set_values(3, bad);
    absl::Status status = predictor_.AddProgramVector(vector);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("lbm@1"), HasSubstr("element 3")));
    auto architecture = ArchitectureMessage("a15", 2, "aaaa", 1);
    architecture.mutable_vectors(0)->set_values(3, bad);
    status = predictor_.AddArchitecture(architecture);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  }
  auto wide = VectorMessage("lbm", 1, "aaaa", 1);
  wide.add_values(1);
  EXPECT_EQ(predictor_.AddProgramVector(wide).code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Predict("lbm", "a15").ok());
  EXPECT_EQ(response_.architecture(), "a15@1");
}

TEST_F(PredictorTest, ATimeThatIsNotPositiveIsOutOfRange) {
  ASSERT_TRUE(
      predictor_.AddArchitecture(ArchitectureMessage("bad", 1, "aaaa", -1))
          .ok());
  const absl::Status status = Predict("lbm", "bad");
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("lbm@1"), HasSubstr("bad@1")));
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("huge", 1)).ok());
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("huge", 1, "aaaa", 3e38)).ok());
  EXPECT_EQ(Predict("huge", "a15").code(), absl::StatusCode::kOutOfRange);
}

TEST_F(PredictorTest, ARemovedModelIsGoneAndMayComeBack) {
  predictor_.RemoveModel("aaaa");
  EXPECT_EQ(Predict("lbm", "a15").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(predictor_.AddModel(ModelMessage("base", 1, "aaaa", true)).ok());
  EXPECT_EQ(Predict("lbm", "a15").code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(
      predictor_.AddProgramVector(VectorMessage("lbm", 1, "aaaa", 1)).ok());
  ASSERT_TRUE(
      predictor_.AddArchitecture(ArchitectureMessage("a15", 1, "aaaa", 2))
          .ok());
  EXPECT_TRUE(Predict("lbm", "a15").ok());
}

TEST_F(PredictorTest, CompactionKeepsWhatIsAlive) {
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 1, {"best"})).ok());
  ASSERT_TRUE(predictor_.AddProgram(ProgramMessage("lbm", 2)).ok());
  const Snapshot before = predictor_.snapshot();
  for (int i = 0; i < 20000; ++i) {
    ASSERT_TRUE(
        predictor_.AddProgramVector(VectorMessage("lbm", 1, "aaaa", 1 + i))
            .ok());
  }
  EXPECT_GE(predictor_.stats().compactions, 2);
  EXPECT_LT(predictor_.stats().vectors, 10000);
  ASSERT_TRUE(Predict("lbm@best", "a15", "base@default").ok());
  EXPECT_DOUBLE_EQ(response_.time_ns(), 0.1 * 8 * 2 * 20000);
  EXPECT_EQ(Predict("lbm", "a15").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Shown(predictor_.snapshot(), Kind::kProgram),
              testing::ElementsAre("lbm@1"));
  // An old snapshot still shows its own instant.
  EXPECT_THAT(Shown(before, Kind::kProgram), testing::ElementsAre("lbm@1"));
  EXPECT_DOUBLE_EQ(
      (*before.FindVector(Kind::kArchitecture, "a15", **before.FindModel("")))
          ->values[0],
      2);
}

// Readers run while versions come and go: each answer is that of a version
// that was current, and a snapshot always shows exactly one.
TEST_F(PredictorTest, ReadersSeeWholeWritesOnly) {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> reads{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&, t] {
      v1::PredictResponse response;
      while (!stop.load()) {
        if (t == 0) {
          const Snapshot snapshot = predictor_.snapshot();
          ASSERT_EQ(Shown(snapshot, Kind::kArchitecture).size(), 1u);
          ASSERT_EQ(Shown(snapshot, Kind::kArchitecture),
                    Shown(snapshot, Kind::kArchitecture));
        } else {
          ASSERT_TRUE(predictor_.Predict("lbm", "a15", "", &response).ok());
          const int64_t version = std::stoll(response.architecture().substr(4));
          // Version v has the value v + 1.
          ASSERT_DOUBLE_EQ(response.time_ns(),
                           0.1 * (8.0 * 10 * (version + 1)));
        }
        reads.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (int64_t version = 2; version < 4000 || reads.load() < 1000; ++version) {
    ASSERT_TRUE(predictor_
                    .AddArchitecture(ArchitectureMessage("a15", version, "aaaa",
                                                         version + 1))
                    .ok());
    predictor_.RemoveArchitecture("a15", version - 1);
  }
  stop.store(true);
  for (auto& reader : readers) reader.join();
  EXPECT_GE(predictor_.stats().compactions, 1);
}

TEST(NameBookTest, EditDistance) {
  EXPECT_EQ(EditDistance("lbm", "lbm", 3), 0);
  EXPECT_EQ(EditDistance("lbm", "LBM", 3), 0);
  EXPECT_EQ(EditDistance("lbm", "lmb", 3), 1);
  EXPECT_EQ(EditDistance("lbm", "lbn", 3), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting", 5), 3);
  EXPECT_EQ(EditDistance("kitten", "sitting", 2), 3);
  EXPECT_EQ(EditDistance("", "ab", 2), 2);
}

TEST(NameBookTest, NearestAmongManyIsBounded) {
  NameBook book;
  for (int i = 0; i < 20000; ++i) book.Add(absl::StrCat("program-", i));
  EXPECT_THAT(book.Nearest("program-1999x", 3),
              testing::Contains("program-19990"));
  book.Remove("program-5");
  EXPECT_FALSE(book.Has("program-5"));
  EXPECT_THAT(book.Nearest("entirely-else", 3), testing::IsEmpty());
}

TEST(RefIndexTest, GrowsUnderReaders) {
  RefIndex<const int> index;
  static const int kTarget = 7;
  absl::Notification done;
  index.Set("0", &kTarget);
  std::thread reader([&] {
    do {
      ASSERT_EQ(index.Find("0"), &kTarget);
      ASSERT_EQ(index.Find("none"), nullptr);
    } while (!done.HasBeenNotified());
  });
  for (int i = 0; i < 50000; ++i) index.Set(absl::StrCat(i), &kTarget);
  done.Notify();
  reader.join();
  for (int i = 0; i < 50000; ++i) {
    ASSERT_EQ(index.Find(absl::StrCat(i)), &kTarget);
  }
}

std::string ManifestWith(compute::Calibration c) {
  c.quantiles = {{0.5, 0.1}, {0.9, 0.2}, {0.99, 0.4}};
  c.neighbours = 1;
  c.mean.assign(kTestWidth, 0);
  c.components.assign(kTestWidth, 0);
  c.components[0] = 1;
  c.references = {0};
  c.directions = c.components;
  return absl::StrCat(
      "{\"calibration\": ", compute::SerializeCalibration(c, kTestWidth), "}");
}

// The same calibration, but for what errors it expects of any architecture.
std::string ManifestWithNoise(double noise) {
  compute::Calibration c;
  c.noise = noise;
  c.limit = 1000;
  return ManifestWith(std::move(c));
}

TEST_F(PredictorTest, FlagsMoreWhereAnArchitectureIsHardToPredict) {
  compute::Calibration c;
  c.noise = 0.1;
  // At a distance of 4.6: log(10 / 1000 + floor), seen from 0.
  c.limit = 6;
  c.error_factors = {{"hard", 2}, {"lab", 2}};
  v1::Model model = ModelMessage("base", 1, "aaaa", true);
  model.set_manifest_json(ManifestWith(c));
  ASSERT_TRUE(predictor_.AddModel(model).ok());
  for (const char* name : {"hard", "easy", "lab"}) {
    auto message = ArchitectureMessage(name, 1, "aaaa", 2);
    // The factor is of the trained vector, not of the name alone.
    message.mutable_vectors(0)->set_origin(
        name == std::string("lab") ? "learned" : "trained");
    ASSERT_TRUE(predictor_.AddArchitecture(message).ok());
  }
  const auto flagged = [&](const char* name) {
    EXPECT_TRUE(Predict("lbm", name).ok());
    EXPECT_FALSE(response_.architecture_out_of_distribution());
    return response_.program_out_of_distribution();
  };
  EXPECT_TRUE(flagged("hard"));
  EXPECT_FALSE(flagged("easy"));
  EXPECT_FALSE(flagged("lab"));
  // Another calibration of the same model counts at once.
  c.error_factors = {{"hard", 0.5}, {"easy", 1.5}};
  model.set_manifest_json(ManifestWith(c));
  ASSERT_TRUE(predictor_.AddModel(model).ok());
  EXPECT_FALSE(flagged("hard"));
  EXPECT_TRUE(flagged("easy"));
  c.limit = 4;
  model.set_manifest_json(ManifestWith(c));
  ASSERT_TRUE(predictor_.AddModel(model).ok());
  EXPECT_TRUE(flagged("lab"));
  EXPECT_FALSE(flagged("hard"));
}

TEST_F(PredictorTest, AnotherCalibrationCountsForWhatIsKnownAlready) {
  auto lab = ArchitectureMessage("lab", 1, "aaaa", 2);
  lab.mutable_vectors(0)->mutable_learned()->set_noise(0.5);
  ASSERT_TRUE(predictor_.AddArchitecture(lab).ok());
  ASSERT_TRUE(Predict("lbm", "lab").ok());
  EXPECT_FALSE(response_.has_high_ns());

  v1::Model model = ModelMessage("base", 1, "aaaa", true);
  const auto deviation = [&](double noise) {
    model.set_manifest_json(ManifestWithNoise(noise));
    EXPECT_TRUE(predictor_.AddModel(model).ok());
    EXPECT_TRUE(Predict("lbm", "lab").ok());
    EXPECT_TRUE(response_.has_high_ns());
    return std::log(response_.high_ns() / response_.time_ns());
  };
  // As much noise as the model expects of any, and more.
  const double z = 1.6448536269514722;
  EXPECT_NEAR(deviation(0.5), 0.2, 1e-6);
  EXPECT_NEAR(deviation(0.3), std::hypot(0.2, z * 0.4), 1e-6);
  EXPECT_NEAR(deviation(0.6), 0.2, 1e-6);
}

}  // namespace
}  // namespace perfvec::server
