// ExploreDesignSpace through a whole server.
#include <cmath>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "perfvec/v1/exploration_service.grpc.pb.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

// Designs over x = 1 ... 7 whose vectors are all 20 + (x - 4)^2; of x = 4 and
// of the second parameter's larger value nothing is known.
class ExplorationTest : public ServerTest {
 protected:
  void StartWithDesigns() {
    ASSERT_NO_FATAL_FAILURE(Start());
    exploration_ = v1::ExplorationService::NewStub(channel_);
    for (int p = 0; p < 2; ++p) {
      NewJob(absl::StrCat("p", p), p + 1);
      for (int shard = 0; shard < 3; ++shard) {
        const auto lease = Lease("w");
        ASSERT_TRUE(lease.has_lease());
        ASSERT_TRUE(Complete(lease.lease(), model_.id()).ok());
      }
    }
    for (int x : {1, 2, 3, 5, 6, 7}) {
      v1::CreateArchitectureRequest request;
      v1::Architecture& design = *request.mutable_architecture();
      design.set_name(absl::StrCat("x", x));
      v1::ArchitectureVector* vector = design.add_vectors();
      vector->set_model_id(model_.id());
      for (int i = 0; i < kModelWidth; ++i) {
        vector->add_values(20 + (x - 4) * (x - 4));
      }
      v1::Architecture created;
      const grpc::Status status = architectures_->CreateArchitecture(
          Context().get(), request, &created);
      ASSERT_TRUE(status.ok()) << status.error_message();
    }
  }

  v1::ExploreDesignSpaceRequest Request() const {
    v1::ExploreDesignSpaceRequest request;
    v1::DesignParameter* x = request.add_parameters();
    x->set_name("x");
    x->set_type(v1::DesignParameter::INTEGER);
    for (int v = 1; v <= 7; ++v) x->add_values(v);
    v1::DesignParameter* policy = request.add_parameters();
    policy->set_name("policy");
    policy->add_labels("lru");
    for (int v : {1, 2, 3, 5, 6, 7}) {
      v1::DesignSample* sample = request.add_samples();
      sample->set_architecture(absl::StrCat("x", v));
      sample->add_point(v);
      sample->add_point(0);
    }
    request.add_programs()->set_program("p0");
    return request;
  }

  grpc::Status Explore(const v1::ExploreDesignSpaceRequest& request,
                       v1::ExploreDesignSpaceResponse* response) {
    return exploration_->ExploreDesignSpace(Context().get(), request, response);
  }

  std::unique_ptr<v1::ExplorationService::Stub> exploration_;
};

TEST_F(ExplorationTest, FindsTheBestDesigns) {
  ASSERT_NO_FATAL_FAILURE(StartWithDesigns());
  v1::ExploreDesignSpaceRequest request = Request();
  v1::DesignProgram* second = request.add_programs();
  second->set_program("p1");
  second->set_weight(3);
  request.set_objective("time + cost * x");
  (*request.mutable_constants())["cost"] = 1e-6;
  request.add_constraints("x != 7");
  request.add_limits("x > 1");
  request.add_front("time");
  request.add_front("x");
  request.set_limit(2);
  v1::ExploreDesignSpaceResponse response;
  grpc::Status status = Explore(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_id(), model_.id());
  EXPECT_EQ(response.designs(), 6u);
  EXPECT_EQ(response.out_of_range(), 0u);
  // The two best of x = 2 ... 6, and the front: 4, 3 and 2.
  ASSERT_EQ(response.programs_size(), 2);
  const auto& p0 = response.programs(0);
  EXPECT_EQ(p0.program(), "p0@1");
  EXPECT_EQ(p0.allowed(), 5u);
  ASSERT_EQ(p0.ranking_size(), 2);
  const auto x_of = [&](int number) { return response.points(2 * number); };
  EXPECT_EQ(x_of(p0.ranking(0)), 4);
  ASSERT_EQ(p0.front_size(), 3);
  EXPECT_EQ(x_of(p0.front(0)), 4);
  EXPECT_EQ(x_of(p0.front(2)), 2);
  // 2500 instructions, each element 1/2: 1000 ns times the vector.
  const double time = p0.time_ns(p0.ranking(0));
  EXPECT_NEAR(time, 20000, 800);
  EXPECT_NEAR(p0.objective(p0.ranking(0)), time + 4e-6, 1e-6);
  EXPECT_LT(p0.low_ns(p0.ranking(0)), time);
  ASSERT_TRUE(response.has_all());
  EXPECT_NEAR(response.all().time_ns(response.all().ranking(0)), 4 * time, 1);
  EXPECT_LT(response.left_out_error(), 0.3);

  request.set_surface(true);
  ASSERT_TRUE(Explore(request, &response).ok());
  EXPECT_EQ(response.points_size(), 12);
  EXPECT_EQ(response.programs(1).time_ns_size(), 6);
  EXPECT_EQ(response.programs(1).ranking_size(), 2);
}

TEST_F(ExplorationTest, RefusesWhatMakesNoSense) {
  ASSERT_NO_FATAL_FAILURE(StartWithDesigns());
  const auto message = [&](const v1::ExploreDesignSpaceRequest& request,
                           grpc::StatusCode code) {
    v1::ExploreDesignSpaceResponse response;
    const grpc::Status status = Explore(request, &response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    return status.error_message();
  };
  const auto bad = grpc::StatusCode::INVALID_ARGUMENT;
  EXPECT_THAT(message({}, bad), HasSubstr("programs: expected one"));
  v1::ExploreDesignSpaceRequest request = Request();
  request.clear_parameters();
  EXPECT_THAT(message(request, bad), HasSubstr("expected 1 to 64 parameters"));
  request = Request();
  request.set_objective("time * y");
  EXPECT_THAT(message(request, bad), HasSubstr("it may use x, policy, time"));
  request = Request();
  request.mutable_samples()->DeleteSubrange(0, 3);
  EXPECT_THAT(message(request, bad), HasSubstr("samples: expected 4 to 500"));
  request = Request();
  request.mutable_samples(0)->mutable_point()->RemoveLast();
  EXPECT_THAT(message(request, bad), HasSubstr("expected 2 parameters"));
  for (double v : std::vector<double>{1, -1, 0.5, NAN}) {
    request = Request();
    request.mutable_samples(0)->set_point(1, v);
    EXPECT_THAT(message(request, bad), HasSubstr("number of a label"));
  }
  request = Request();
  request.mutable_samples(0)->set_point(0, INFINITY);
  EXPECT_THAT(message(request, bad), HasSubstr("off its scale"));
  request = Request();
  request.mutable_programs(0)->set_weight(NAN);
  EXPECT_THAT(message(request, bad), HasSubstr("expected a weight"));
  request = Request();
  request.set_confidence(1);
  EXPECT_THAT(message(request, bad), HasSubstr("up to 0.99"));
  request = Request();
  request.set_limit(-1);
  EXPECT_THAT(message(request, bad), HasSubstr("limit is -1"));
  request = Request();
  for (int p = 1; p < 2000; ++p) request.add_programs()->set_program("p0");
  EXPECT_THAT(message(request, bad), HasSubstr("ask for fewer programs"));
  request = Request();
  request.mutable_parameters(0)->clear_values();
  for (int v = 0; v < 1000; ++v) request.mutable_parameters(0)->add_values(v);
  v1::DesignParameter* third = request.add_parameters();
  third->set_name("z");
  for (int v = 0; v < 100; ++v) third->add_values(v);
  for (auto& sample : *request.mutable_samples()) sample.add_point(0);
  for (int p = 1; p < 11; ++p) request.add_programs()->set_program("p0");
  EXPECT_THAT(message(request, bad), HasSubstr("give fewer values"));
  request = Request();
  request.mutable_programs(0)->set_program("p9");
  EXPECT_THAT(message(request, grpc::StatusCode::NOT_FOUND),
              HasSubstr("\"p9\" is unknown"));
  request = Request();
  request.mutable_samples(0)->set_architecture("x9");
  EXPECT_THAT(message(request, grpc::StatusCode::NOT_FOUND),
              HasSubstr("\"x9\" is unknown"));
}

// As many as run at a time, each worth minutes: a third is refused only while
// both are at work, and again taken once they have stopped.
TEST_F(ExplorationTest, ACancelledCallStopsTheWork) {
  ASSERT_NO_FATAL_FAILURE(StartWithDesigns());
  constexpr int kLabels = 60;
  v1::ExploreDesignSpaceRequest large = Request();
  for (int i = 1; i < kLabels; ++i) {
    large.mutable_parameters(1)->add_labels(absl::StrCat("policy", i));
  }
  large.clear_samples();
  for (int i = 0; i < 500; ++i) {
    v1::DesignSample* sample = large.add_samples();
    sample->set_architecture(absl::StrCat("x", i % 3 + 1));
    sample->add_point(1 + i * 0.01);
    sample->add_point(i % kLabels);
  }
  for (int p = 0; p < 30; ++p) large.add_programs()->set_program("p1");
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    grpc::Status status;
    std::thread thread;
  };
  Call calls[2];
  absl::Mutex mutex;
  bool leaving = false;
  const auto begin = [&](Call& call) {
    absl::MutexLock lock(&mutex);
    if (!leaving) call.context = Context();
    return !leaving;
  };
  for (Call& call : calls) {
    call.thread = std::thread([&] {
      v1::ExploreDesignSpaceResponse response;
      // The small ones below may be in the way.
      do {
        if (!begin(call)) return;
        call.status = exploration_->ExploreDesignSpace(call.context.get(),
                                                       large, &response);
      } while (call.status.error_code() ==
               grpc::StatusCode::RESOURCE_EXHAUSTED);
    });
  }
  const auto small = [&] {
    v1::ExploreDesignSpaceResponse response;
    return Explore(Request(), &response).error_code();
  };
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  while (small() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
    ASSERT_LT(absl::Now(), deadline) << "the two were not taken";
  }
  {
    absl::MutexLock lock(&mutex);
    leaving = true;
    for (Call& call : calls) call.context->TryCancel();
  }
  for (Call& call : calls) {
    call.thread.join();
    EXPECT_EQ(call.status.error_code(), grpc::StatusCode::CANCELLED)
        << call.status.error_message();
  }
  while (small() != grpc::StatusCode::OK) {
    ASSERT_LT(absl::Now(), deadline) << "the work goes on";
  }
}

}  // namespace
}  // namespace perfvec::server
