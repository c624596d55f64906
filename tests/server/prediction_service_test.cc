#include "server/prediction_service.h"

#include <grpcpp/grpcpp.h>

#include <cmath>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/predictor/matrix.h"
#include "tests/server/predictor_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class PredictionServiceTest : public testing::Test {
 protected:
  void SetUp() override { Serve({}); }

  // (Re)starts the server; the predictor stays.
  void Serve(const PredictionService::Options& options) {
    if (server_) server_->Shutdown();
    service_ =
        std::make_unique<PredictionService>(&predictor_, &pool_, options);
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::PredictionService::NewStub(server_->InProcessChannel({}));
  }

  void Fill(int programs, int architectures) {
    const uint32_t seed = 20261121;
    std::cout << "seed " << seed << "\n";
    std::mt19937 random(seed);
    std::lognormal_distribution<double> value(0, 2);
    ASSERT_TRUE(predictor_.AddModel(ModelMessage("m", 1, "id", true)).ok());
    for (int i = 0; i < programs; ++i) {
      const std::string name = absl::StrCat("p", i);
      ASSERT_TRUE(predictor_.AddProgram(ProgramMessage(name, 1)).ok());
      auto vector = VectorMessage(name, 1, "id", 0);
      for (double& v : *vector.mutable_values()) v = value(random);
      ASSERT_TRUE(predictor_.AddProgramVector(vector).ok());
    }
    for (int i = 0; i < architectures; ++i) {
      auto architecture = ArchitectureMessage(absl::StrCat("a", i), 1, "id", 0);
      for (double& v : *architecture.mutable_vectors(0)->mutable_values()) {
        v = value(random);
      }
      ASSERT_TRUE(predictor_.AddArchitecture(architecture).ok());
    }
  }

  grpc::Status Predict(const std::string& program,
                       const std::string& architecture) {
    grpc::ClientContext context;
    v1::PredictRequest request;
    request.set_program(program);
    request.set_architecture(architecture);
    return stub_->Predict(&context, request, &response_);
  }

  Predictor predictor_;
  Executor pool_{{.threads = 2, .max_queued = 8, .name = "test"}};
  std::unique_ptr<PredictionService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::PredictionService::Stub> stub_;
  v1::PredictResponse response_;
};

TEST_F(PredictionServiceTest, PredictAnswersAndRefuses) {
  Fill(2, 2);
  const grpc::Status ok = Predict("p0", "a1");
  ASSERT_TRUE(ok.ok()) << ok.error_message();
  EXPECT_GT(response_.time_ns(), 0);
  EXPECT_EQ(response_.program(), "p0@1");
  const grpc::Status unknown = Predict("p0", "b1");
  EXPECT_EQ(unknown.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(unknown.error_message(), HasSubstr("nearest: a1"));
}

TEST_F(PredictionServiceTest, EveryCallGivesTheSameBits) {
  Fill(40, 50);
  grpc::ClientContext matrix_context;
  v1::PredictMatrixRequest matrix_request;
  auto reader = stub_->PredictMatrix(&matrix_context, matrix_request);
  v1::PredictMatrixResponse header, message;
  ASSERT_TRUE(reader->Read(&header));
  ASSERT_EQ(header.architectures_size(), 50);
  EXPECT_EQ(header.programs_size(), 0);
  std::map<std::pair<std::string, std::string>, double> times;
  while (reader->Read(&message)) {
    EXPECT_LE(message.ByteSizeLong(), 1u << 20);
    ASSERT_EQ(message.time_ns_size(), message.programs_size() * 50);
    for (int i = 0; i < message.programs_size(); ++i) {
      for (int j = 0; j < 50; ++j) {
        times[{message.programs(i), header.architectures(j)}] =
            message.time_ns(i * 50 + j);
      }
    }
  }
  ASSERT_TRUE(reader->Finish().ok());
  ASSERT_EQ(times.size(), 2000);

  v1::PredictBatchRequest batch;
  for (int i = 0; i < 40; ++i) {
    grpc::ClientContext context;
    v1::RankRequest request;
    request.set_program(absl::StrCat("p", i));
    request.set_limit(50);
    v1::RankResponse ranked;
    ASSERT_TRUE(stub_->Rank(&context, request, &ranked).ok());
    ASSERT_EQ(ranked.items_size(), 50);
    for (const auto& item : ranked.items()) {
      EXPECT_EQ(item.time_ns(), (times[{ranked.subject(), item.name()}]));
    }
    for (int j = 0; j < 50; ++j) {
      ASSERT_TRUE(Predict(absl::StrCat("p", i), absl::StrCat("a", j)).ok());
      EXPECT_EQ(response_.time_ns(),
                (times[{response_.program(), response_.architecture()}]));
      auto* one = batch.add_requests();
      one->set_program(absl::StrCat("p", i));
      one->set_architecture(absl::StrCat("a", j));
    }
  }
  grpc::ClientContext context;
  v1::PredictBatchResponse answers;
  ASSERT_TRUE(stub_->PredictBatch(&context, batch, &answers).ok());
  ASSERT_EQ(answers.items_size(), 2000);
  for (const auto& item : answers.items()) {
    ASSERT_EQ(item.code(), 0);
    EXPECT_EQ(item.prediction().time_ns(),
              (times[{item.prediction().program(),
                      item.prediction().architecture()}]));
  }
}

TEST_F(PredictionServiceTest, ABatchKeepsOrderAndFailsItemByItem) {
  Fill(2, 2);
  v1::PredictBatchRequest batch;
  for (int i = 0; i < 40; ++i) {
    auto* one = batch.add_requests();
    one->set_program(i % 2 == 0 ? "p1" : "p9");
    one->set_architecture("a0");
  }
  grpc::ClientContext context;
  v1::PredictBatchResponse answers;
  ASSERT_TRUE(stub_->PredictBatch(&context, batch, &answers).ok());
  ASSERT_EQ(answers.items_size(), 40);
  for (int i = 0; i < 40; ++i) {
    const auto& item = answers.items(i);
    if (i % 2 == 0) {
      EXPECT_EQ(item.prediction().program(), "p1@1");
    } else {
      EXPECT_EQ(item.code(), grpc::NOT_FOUND);
      EXPECT_FALSE(item.has_prediction());
      EXPECT_THAT(item.message(), HasSubstr("p9"));
    }
  }
}

TEST_F(PredictionServiceTest, AnOversizeBatchIsRefused) {
  Fill(1, 1);
  v1::PredictBatchRequest batch;
  for (int i = 0; i < 10001; ++i) batch.add_requests()->set_program("p0");
  grpc::ClientContext context;
  v1::PredictBatchResponse answers;
  const grpc::Status status = stub_->PredictBatch(&context, batch, &answers);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("10000"));
}

TEST_F(PredictionServiceTest, AFullPoolRefusesLargeWorkAndAnswersSmall) {
  Fill(1, 2000);
  Serve({.inline_rows = 100});
  // Both threads and the whole queue are held.
  absl::Notification release;
  absl::BlockingCounter held(2);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pool_
                    .Submit([&] {
                      held.DecrementCount();
                      release.WaitForNotification();
                    })
                    .ok());
  }
  held.Wait();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(pool_.Submit([] {}).ok());
  v1::RankRequest request;
  request.set_program("p0");
  v1::RankResponse ranked;
  grpc::ClientContext first;
  EXPECT_EQ(stub_->Rank(&first, request, &ranked).error_code(),
            grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(first.GetServerTrailingMetadata().count("retry-after-ms"), 1);
  EXPECT_TRUE(Predict("p0", "a0").ok());
  grpc::ClientContext matrix_context;
  auto reader = stub_->PredictMatrix(&matrix_context, {});
  v1::PredictMatrixResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(matrix_context.GetServerTrailingMetadata().count("retry-after-ms"),
            1);
  release.Notify();
  pool_.Stop();
}

TEST_F(PredictionServiceTest, MatrixErrorsCarryTheirReason) {
  Fill(2, 2);
  v1::PredictMatrixRequest request;
  request.add_programs("p0");
  request.add_programs("q");
  grpc::ClientContext context;
  auto reader = stub_->PredictMatrix(&context, request);
  v1::PredictMatrixResponse message;
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), grpc::NOT_FOUND);
}

TEST_F(PredictionServiceTest, AMatrixShowsOneInstantAndTimesOutOfRangeAsNan) {
  Fill(1000, 3);
  ASSERT_TRUE(
      predictor_.AddArchitecture(ArchitectureMessage("bad", 1, "id", -1)).ok());
  auto cursor = MatrixCursor::Start(predictor_.snapshot(), {});
  ASSERT_TRUE(cursor.ok());
  v1::PredictMatrixResponse message;
  ASSERT_TRUE((*cursor)->Next(&message));
  ASSERT_EQ(message.architectures_size(), 4);
  EXPECT_EQ(message.architectures(3), "bad@1");
  for (int i = 0; i < 1000; i += 2) {
    predictor_.RemoveProgram(absl::StrCat("p", i), 1);
  }
  int programs = 0;
  while ((*cursor)->Next(&message)) {
    for (int i = 0; i < message.programs_size(); ++i) {
      EXPECT_EQ(message.programs(i), absl::StrCat("p", programs++, "@1"));
      EXPECT_TRUE(std::isnan(message.time_ns(i * 4 + 3)));
      EXPECT_GT(message.time_ns(i * 4), 0);
    }
  }
  EXPECT_EQ(programs, 1000);
}

// A matrix of 80 MB to a client that takes two messages: the server must wait,
// then cut the call.
TEST_F(PredictionServiceTest, AClientThatStopsReadingIsCutOff) {
  Fill(10000, 1000);
  Serve({.max_matrix_streams = 1, .stall_timeout = absl::Milliseconds(100)});
  grpc::ClientContext context;
  auto reader = stub_->PredictMatrix(&context, {});
  v1::PredictMatrixResponse message;
  ASSERT_TRUE(reader->Read(&message));
  // While it runs, another is refused; that it ends is known from the refusal
  // ending.
  int refused = 0;
  for (;;) {
    grpc::ClientContext other;
    v1::PredictMatrixRequest small;
    small.add_programs("p0");
    auto second = stub_->PredictMatrix(&other, small);
    while (second->Read(&message)) {
    }
    const grpc::Status status = second->Finish();
    if (status.ok()) break;
    ASSERT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
    ++refused;
  }
  EXPECT_GT(refused, 0);
  int messages = 0;
  while (reader->Read(&message)) ++messages;
  EXPECT_LT(messages, 70);  // far from all
  EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
}

TEST_F(PredictionServiceTest, ACancelledMatrixEnds) {
  Fill(10000, 1000);
  Serve({.max_matrix_streams = 1});
  grpc::ClientContext context;
  auto reader = stub_->PredictMatrix(&context, {});
  v1::PredictMatrixResponse message;
  ASSERT_TRUE(reader->Read(&message));
  context.TryCancel();
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::CANCELLED);
  // Its place is free again once the server has noticed.
  for (;;) {
    grpc::ClientContext other;
    v1::PredictMatrixRequest small;
    small.add_programs("p0");
    auto second = stub_->PredictMatrix(&other, small);
    while (second->Read(&message)) {
    }
    const grpc::Status status = second->Finish();
    if (status.ok()) break;
    ASSERT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  }
}

TEST_F(PredictionServiceTest, ADeadlineEndsAMatrix) {
  Fill(10000, 1000);
  const absl::Time deadline = absl::Now() + absl::Milliseconds(200);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  auto reader = stub_->PredictMatrix(&context, {});
  v1::PredictMatrixResponse message;
  ASSERT_TRUE(reader->Read(&message));
  while (absl::Now() < deadline) ASSERT_TRUE(Predict("p0", "a0").ok());
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::DEADLINE_EXCEEDED);
}

}  // namespace
}  // namespace perfvec::server
