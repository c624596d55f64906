// LearnArchitecture and the intervals of predictions, through a whole server.
#include <cmath>
#include <fstream>

#include "gmock/gmock.h"
#include "perfvec/v1/learning_service.grpc.pb.h"
#include "tests/server/server_fixture.h"
#include "worker/model/calibration.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class LearningTest : public ServerTest {
 protected:
  // The model again, under the same id, with a calibration: 90 % of log times
  // within 0.2 of a program like those it was trained on, 0.4 at the limit.
  void Calibrate(double quantile = 0.2) {
    compute::Calibration c;
    c.quantiles = {{0.5, quantile / 2}, {0.9, quantile}, {0.99, quantile * 2}};
    c.growth = 1;
    c.noise = 0.05;
    c.limit = 2;
    c.neighbours = 1;
    c.mean.assign(kModelWidth, std::log(0.5 + c.floor));
    c.components.assign(kModelWidth, 0);
    c.components[0] = 1;
    c.references = {0};
    c.directions.assign(kModelWidth, 0);
    for (int i = 0; i < kModelWidth; ++i) {
      c.directions[i] = 1 / std::sqrt(kModelWidth);
    }
    compute::Manifest manifest = model_.manifest();
    manifest.calibration_json =
        compute::SerializeCalibration(c, manifest.width);
    auto text = compute::SerializeManifest(manifest);
    ASSERT_TRUE(text.ok()) << text.status();
    std::ofstream(root_ + "/model/manifest.json") << *text;
  }

  // A program of 2500 instructions whose representations are all 1/2: 10,000
  // (0.1 ns) on a0, 20,000 on a1.
  void AddProgram(const std::string& name, uint64_t seed) {
    NewJob(name, seed);
    for (int shard = 0; shard < 3; ++shard) {
      const auto lease = Lease("w");
      ASSERT_TRUE(lease.has_lease());
      ASSERT_TRUE(Complete(lease.lease(), model_.id()).ok());
    }
  }

  void StartWithPrograms() {
    ASSERT_NO_FATAL_FAILURE(Start());
    learning_ = v1::LearningService::NewStub(channel_);
    for (int p = 0; p < 3; ++p) {
      ASSERT_NO_FATAL_FAILURE(AddProgram(absl::StrCat("p", p), p + 1));
    }
  }

  grpc::Status Learn(const v1::LearnArchitectureRequest& request,
                     v1::LearnArchitectureResponse* response) {
    return learning_->LearnArchitecture(Context().get(), request, response);
  }
  static v1::LearnArchitectureRequest Request(double time_ns) {
    v1::LearnArchitectureRequest request;
    request.mutable_architecture()->set_name("lab");
    for (int p = 0; p < 3; ++p) {
      v1::RunEvidence* run = request.add_runs();
      run->set_program(absl::StrCat("p", p));
      run->add_time_ns(time_ns);
      run->add_time_ns(1.01 * time_ns);
      run->add_time_ns(0.99 * time_ns);
    }
    return request;
  }

  std::unique_ptr<v1::LearningService::Stub> learning_;
};

TEST_F(LearningTest, LearnsFromRunsAndMakesANewVersion) {
  ASSERT_NO_FATAL_FAILURE(StartWithPrograms());
  v1::LearnArchitectureRequest request = Request(3000);
  (*request.mutable_architecture()->mutable_tags())["site"] = "lab";
  request.set_dry_run(true);
  v1::LearnArchitectureResponse response;
  ASSERT_TRUE(Learn(request, &response).ok());
  EXPECT_EQ(response.architecture().version(), 0);
  v1::PredictResponse predicted;
  EXPECT_EQ(Predict("p0", "lab", &predicted).error_code(),
            grpc::StatusCode::NOT_FOUND);

  request.set_dry_run(false);
  const grpc::Status status = Learn(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.architecture().version(), 1);
  ASSERT_EQ(response.architecture().vectors_size(), 1);
  const v1::ArchitectureVector& vector = response.architecture().vectors(0);
  EXPECT_EQ(vector.origin(), "learned");
  const v1::LearnReport& report = vector.learned();
  ASSERT_EQ(report.programs_size(), 3);
  EXPECT_EQ(report.programs(1).program(), "p1@1");
  EXPECT_DOUBLE_EQ(report.programs(1).time_ns(), 3000);  // the median
  EXPECT_EQ(report.programs(1).evidence(), "run");
  EXPECT_LT(report.fit_error(), 0.01);
  EXPECT_EQ(report.known_architectures(), 2u);
  EXPECT_NEAR(report.scale_ns(), 1.2, 0.01);
  ASSERT_TRUE(Predict("p0", "lab", &predicted).ok());
  EXPECT_NEAR(predicted.time_ns(), 3000, 30);
  EXPECT_FALSE(predicted.has_low_ns());  // the model is not calibrated

  // A retry finds what is there; other times make a version that keeps the
  // tags, and the old one stays.
  ASSERT_TRUE(Learn(request, &response).ok());
  EXPECT_EQ(response.architecture().version(), 1);
  ASSERT_TRUE(Learn(Request(6000), &response).ok());
  EXPECT_EQ(response.architecture().version(), 2);
  EXPECT_EQ(response.architecture().tags().at("site"), "lab");
  ASSERT_TRUE(Predict("p0", "lab", &predicted).ok());
  EXPECT_NEAR(predicted.time_ns(), 6000, 60);
  ASSERT_TRUE(Predict("p0", "lab@1", &predicted).ok());
  EXPECT_NEAR(predicted.time_ns(), 3000, 30);

  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Predict("p0", "lab@2", &predicted).ok());
  EXPECT_NEAR(predicted.time_ns(), 6000, 60);
}

TEST_F(LearningTest, LearnsFromSumsOfInstructionsAndIntervals) {
  ASSERT_NO_FATAL_FAILURE(StartWithPrograms());
  v1::LearnArchitectureRequest request = Request(3000);
  v1::TraceEvidence* trace = request.add_traces();
  trace->set_model_id(model_.id());
  trace->set_program("traced");
  trace->set_instructions(100);
  v1::TraceEvidence::Column* column = trace->add_columns();
  for (int k = 0; k < 2; ++k) {
    column->add_interval_times(600);  // 0.1 ns, of 50 instructions
    for (int i = 0; i < kModelWidth; ++i) trace->add_interval_sums(25);
  }
  v1::LearnArchitectureResponse response;
  grpc::Status status = Learn(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto& intervals =
      response.architecture().vectors(0).learned().programs(3);
  EXPECT_EQ(intervals.evidence(), "intervals");
  EXPECT_DOUBLE_EQ(intervals.time_ns(), 120);

  for (int i = 0; i < kModelWidth; ++i) {
    column->add_cross(600);
    for (int j = i; j < kModelWidth; ++j) trace->add_gram(25);
  }
  status = Learn(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.architecture().vectors(0).learned().programs(3).evidence(),
            "instructions");
  EXPECT_NEAR(
      response.architecture().vectors(0).learned().programs(3).fitted_ns(), 120,
      2);

  trace->mutable_gram()->RemoveLast();
  EXPECT_THAT(Learn(request, &response).error_message(),
              HasSubstr("program traced: expected an upper triangle of 36"));
  trace->set_model_id("other");
  EXPECT_THAT(Learn(request, &response).error_message(),
              HasSubstr("expected sums of model"));
}

TEST_F(LearningTest, RefusesWhatMakesNoSense) {
  ASSERT_NO_FATAL_FAILURE(StartWithPrograms());
  const auto message = [&](const v1::LearnArchitectureRequest& request,
                           grpc::StatusCode code) {
    v1::LearnArchitectureResponse response;
    const grpc::Status status = Learn(request, &response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    return status.error_message();
  };
  v1::LearnArchitectureRequest request = Request(3000);
  request.clear_runs();
  EXPECT_THAT(message(request, grpc::StatusCode::INVALID_ARGUMENT),
              HasSubstr("expected evidence"));
  for (double time : std::vector<double>{0, -5, NAN, INFINITY}) {
    request = Request(3000);
    request.mutable_runs(1)->set_time_ns(0, time);
    EXPECT_THAT(message(request, grpc::StatusCode::INVALID_ARGUMENT),
                HasSubstr("program p1@1: expected 1 to 1000 positive times"));
  }
  request = Request(3000);
  request.mutable_runs(0)->set_program("p9");
  EXPECT_THAT(message(request, grpc::StatusCode::NOT_FOUND),
              HasSubstr("\"p9\" is unknown"));
  NewJob("queued", 99);
  request.mutable_runs(0)->set_program("queued");
  EXPECT_THAT(message(request, grpc::StatusCode::FAILED_PRECONDITION),
              HasSubstr("perfvec job watch"));
  request = Request(3000);
  request.mutable_architecture()->set_name("no/name");
  EXPECT_THAT(message(request, grpc::StatusCode::INVALID_ARGUMENT),
              HasSubstr("no/name"));
  // Learning a0 anew leaves one known architecture only.
  request = Request(3000);
  request.mutable_architecture()->set_name("a0");
  EXPECT_THAT(message(request, grpc::StatusCode::FAILED_PRECONDITION),
              HasSubstr("has 1 trained architectures here"));
}

TEST_F(LearningTest, PredictionsCarryIntervals) {
  Calibrate();
  ASSERT_NO_FATAL_FAILURE(StartWithPrograms());
  v1::PredictResponse trained;
  ASSERT_TRUE(Predict("p0", "a0", &trained).ok());
  EXPECT_DOUBLE_EQ(trained.confidence(), 0.9);
  EXPECT_NEAR(trained.low_ns(), trained.time_ns() * std::exp(-0.2), 1);
  EXPECT_NEAR(trained.high_ns(), trained.time_ns() * std::exp(0.2), 1);
  EXPECT_FALSE(trained.program_out_of_distribution());

  // A learned vector is less sure.
  v1::LearnArchitectureResponse response;
  v1::LearnArchitectureRequest request = Request(3000);
  ASSERT_TRUE(Learn(request, &response).ok());
  EXPECT_EQ(response.architecture().vectors(0).uncertainty().factors_size(),
            kModelWidth);
  v1::PredictResponse learned;
  ASSERT_TRUE(Predict("p0", "lab", &learned).ok());
  EXPECT_GT(learned.high_ns() / learned.time_ns(), std::exp(0.2));
  EXPECT_LT(learned.high_ns() / learned.time_ns(), std::exp(0.4));

  v1::PredictRequest predict;
  predict.set_program("p0");
  predict.set_architecture("a0");
  predict.set_confidence(0.5);
  v1::PredictResponse half;
  ASSERT_TRUE(predictions_->Predict(Context().get(), predict, &half).ok());
  EXPECT_NEAR(half.high_ns(), half.time_ns() * std::exp(0.1), 1);
  for (double confidence : std::vector<double>{-0.5, 1, 0.999, NAN}) {
    predict.set_confidence(confidence);
    const grpc::Status status =
        predictions_->Predict(Context().get(), predict, &half);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("up to 0.99"));
  }

  // Rankings and matrices carry the same intervals.
  v1::RankRequest rank;
  rank.set_program("p0");
  v1::RankResponse ranked;
  ASSERT_TRUE(predictions_->Rank(Context().get(), rank, &ranked).ok());
  EXPECT_DOUBLE_EQ(ranked.confidence(), 0.9);
  ASSERT_EQ(ranked.items_size(), 3);
  EXPECT_EQ(ranked.items(0).name(), "a0@1");
  EXPECT_EQ(ranked.items(0).low_ns(), trained.low_ns());
  EXPECT_EQ(ranked.items(2).name(), "lab@1");
  EXPECT_EQ(ranked.items(2).high_ns(), learned.high_ns());
  EXPECT_EQ(ranked.items(2).architecture_out_of_distribution(),
            learned.architecture_out_of_distribution());
  rank.set_architecture("lab");
  rank.set_confidence(1);
  EXPECT_EQ(predictions_->Rank(Context().get(), rank, &ranked).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  rank.clear_confidence();
  ASSERT_TRUE(predictions_->Rank(Context().get(), rank, &ranked).ok());
  EXPECT_EQ(ranked.items(0).high_ns(), learned.high_ns());

  v1::PredictMatrixRequest matrix;
  matrix.add_programs("p1");
  matrix.add_programs("p0");
  matrix.add_architectures("lab");
  matrix.add_architectures("a0");
  const auto read = [&] {
    v1::PredictMatrixResponse message, all;
    auto context = Context();
    auto reader = predictions_->PredictMatrix(context.get(), matrix);
    while (reader->Read(&message)) all.MergeFrom(message);
    EXPECT_TRUE(reader->Finish().ok());
    return all;
  };
  EXPECT_EQ(read().low_ns_size(), 0);
  matrix.set_intervals(true);
  const v1::PredictMatrixResponse all = read();
  ASSERT_EQ(all.high_ns_size(), 4);
  EXPECT_EQ(all.high_ns(2), learned.high_ns());
  EXPECT_EQ(all.low_ns(3), trained.low_ns());
  EXPECT_DOUBLE_EQ(all.confidence(), 0.9);
  EXPECT_EQ(all.program_out_of_distribution_size(), 2);
  EXPECT_EQ(all.architecture_out_of_distribution_size(), 2);

  // Another calibration of the same model counts from the next start.
  Calibrate(0.3);
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Predict("p0", "a0", &trained).ok());
  EXPECT_NEAR(trained.high_ns(), trained.time_ns() * std::exp(0.3), 1);
}

}  // namespace
}  // namespace perfvec::server
