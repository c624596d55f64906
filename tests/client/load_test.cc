// The load generator: its percentiles, and what it makes of servers that stall,
// refuse and go away.
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/load/load_generator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"
#include "tests/testing/processes.h"

namespace perfvec::client {
namespace {

namespace net = boost::asio;
namespace bhttp = boost::beast::http;

TEST(LatencyHistogramTest, PercentilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(testing::TestSeed());
  LatencyHistogram histogram, first_half, second_half;
  std::vector<double> values;
  std::lognormal_distribution<double> draw(13, 3);  // around 0.4 ms, in ns
  for (int i = 0; i < 20000; ++i) {
    const double ns = std::clamp(std::floor(draw(random)), 1.0, 1e12);
    values.push_back(ns);
    histogram.Add(absl::Nanoseconds(ns));
    (i % 2 == 0 ? first_half : second_half).Add(absl::Nanoseconds(ns));
  }
  first_half.Merge(second_half);
  std::sort(values.begin(), values.end());
  for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const size_t rank = std::max<size_t>(
        1, std::ceil(percent / 100 * static_cast<double>(values.size())));
    const double ns = absl::ToDoubleNanoseconds(histogram.Percentile(percent));
    EXPECT_GE(ns, values[rank - 1]) << percent;
    EXPECT_LE(ns, values[rank - 1] * (1 + 1.0 / 128)) << percent;
    EXPECT_EQ(first_half.Percentile(percent), histogram.Percentile(percent));
  }
  EXPECT_EQ(first_half.count(), 20000);
  EXPECT_EQ(absl::ToDoubleNanoseconds(histogram.max()), values.back());
}

TEST(LatencyHistogramTest, EmptyAndExtreme) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(99), absl::ZeroDuration());
  EXPECT_EQ(histogram.Mean(), absl::ZeroDuration());
  histogram.Add(-absl::Seconds(1));
  EXPECT_EQ(histogram.Percentile(50), absl::Nanoseconds(1));
  histogram.Add(absl::Hours(100));
  EXPECT_GT(histogram.Percentile(100), absl::Minutes(18));
}

// Answers as the test says.
class FakeService final : public v1::PredictionService::Service {
 public:
  std::function<grpc::Status(int call)> answer = [](int) {
    return grpc::Status::OK;
  };

  grpc::Status Predict(grpc::ServerContext*, const v1::PredictRequest*,
                       v1::PredictResponse*) override {
    return answer(calls_++);
  }
  grpc::Status Rank(grpc::ServerContext*, const v1::RankRequest*,
                    v1::RankResponse*) override {
    ++ranks;
    return grpc::Status::OK;
  }
  grpc::Status PredictMatrix(
      grpc::ServerContext*, const v1::PredictMatrixRequest*,
      grpc::ServerWriter<v1::PredictMatrixResponse>* writer) override {
    ++matrices;
    writer->Write(v1::PredictMatrixResponse());
    writer->Write(v1::PredictMatrixResponse());
    return grpc::Status::OK;
  }
  std::atomic<int> ranks{0}, matrices{0};

 private:
  std::atomic<int> calls_{0};
};

class LoadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                   grpc::InsecureChannelCredentials());
  }

  static LoadRun ShortRun() {
    LoadRun run;
    run.rate_per_s = 500;
    run.warm_up = absl::Milliseconds(100);
    run.duration = absl::Seconds(1);
    run.deadline = absl::Seconds(20);
    run.seed = testing::TestSeed();
    return run;
  }

  LoadResult Run(const LoadRun& run,
                 std::array<double, kLoadCalls> weights = {1, 0, 0}) {
    LoadWorkload workload;
    workload.weights = weights;
    workload.programs = {"lbm", "mcf"};
    workload.architectures = {"a15"};
    LoadGenerator load(MakeGrpcTransport({channel_}), workload);
    return load.Run(run);
  }

  absl::Notification go_on_;  // outlives the handlers that wait for it
  FakeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(LoadTest, CountsTheCallsThatFellDueBehindTheWarmUp) {
  LoadRun run = ShortRun();
  run.poisson = false;
  const LoadResult result = Run(run);
  EXPECT_THAT(static_cast<int>(result.Total().codes[0]),
              ::testing::AllOf(::testing::Ge(499), ::testing::Le(501)));
  EXPECT_EQ(result.Total().ok_latency.count(), result.Total().codes[0]);
  EXPECT_EQ(result.FailedShare(), 0);
  EXPECT_EQ(result.first_error, "");
  // 500 of a Poisson process: within six standard deviations.
  const LoadResult poisson = Run(ShortRun());
  EXPECT_NEAR(static_cast<double>(poisson.Total().sent()), 500, 6 * 22.4);
}

// What waiting for answers before sending would hide: a stall of half a second
// delays half of the calls of a second by a quarter of a second on average.
TEST_F(LoadTest, ChargesAStallToEveryCallThatItDelayed) {
  absl::Mutex stalled;
  service_.answer = [&](int call) {
    absl::MutexLock lock(&stalled);  // one call at a time, as behind a lock
    if (call == 100) absl::SleepFor(absl::Milliseconds(500));
    return grpc::Status::OK;
  };
  LoadRun run = ShortRun();
  run.poisson = false;
  const LoadResult result = Run(run);
  EXPECT_EQ(result.FailedShare(), 0);
  EXPECT_GE(result.Total().ok_latency.max(), absl::Milliseconds(450));
  EXPECT_GE(result.Total().ok_latency.Percentile(80), absl::Milliseconds(200));
  EXPECT_GT(result.max_in_flight, 100);
}

TEST_F(LoadTest, TellsRefusalsFromFailures) {
  service_.answer = [](int call) {
    switch (call % 4) {
      case 0:
        return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
      case 1:
        return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such program");
      default:
        return grpc::Status::OK;
    }
  };
  const LoadResult result = Run(ShortRun());
  const LoadCallResult total = result.Total();
  EXPECT_GT(total.codes[8], 0u);
  EXPECT_EQ(total.refused_latency.count(), total.codes[8]);
  EXPECT_GT(total.codes[5], 0u);
  EXPECT_EQ(total.ok_latency.count(), total.codes[0]);
  EXPECT_EQ(result.first_error, "no such program");
  EXPECT_NEAR(result.FailedShare(), 0.5, 0.02);
  EXPECT_FALSE(Meets(result, {absl::Seconds(10)}));
}

TEST_F(LoadTest, BoundsWhatIsOpen) {
  service_.answer = [&](int) {
    go_on_.WaitForNotification();
    return grpc::Status::OK;
  };
  LoadRun run = ShortRun();
  run.max_in_flight = 7;
  run.deadline = absl::Seconds(3);  // what ends the seven, behind the run
  const LoadResult result = Run(run);
  go_on_.Notify();
  EXPECT_EQ(result.max_in_flight, 7);
  EXPECT_GT(result.Total().not_sent, 300u);
  EXPECT_EQ(result.FailedShare(), 1);
}

TEST_F(LoadTest, DrawsTheMix) {
  const LoadResult result = Run(ShortRun(), {2, 1, 1});
  const auto count = [&](LoadCall call) {
    return result.calls[static_cast<int>(call)].codes[0];
  };
  EXPECT_GT(count(LoadCall::kPredict), count(LoadCall::kRank));
  EXPECT_GT(count(LoadCall::kRank), 50u);
  EXPECT_GT(count(LoadCall::kMatrix), 50u);
  EXPECT_EQ(result.Total().sent(), result.Total().codes[0]);
  EXPECT_GE(service_.ranks, static_cast<int>(count(LoadCall::kRank)));
  EXPECT_GE(service_.matrices, static_cast<int>(count(LoadCall::kMatrix)));
}

TEST_F(LoadTest, AServerThatIsGoneIsAFailureNotAWait) {
  server_->Shutdown();
  const LoadResult result = Run(ShortRun());
  EXPECT_EQ(result.Total().codes[0], 0u);
  EXPECT_GT(result.Total().codes[14], 0u);
  EXPECT_EQ(result.FailedShare(), 1);
  EXPECT_NE(result.first_error, "");
}

// Answers requests as the test says; a thread for each connection.
class FakeHttp {
 public:
  using Request = bhttp::request<bhttp::string_body>;
  struct Reply {
    unsigned status = 200;
    std::string body = "{}";
    bool close = false;    // behind this answer
    bool hang_up = false;  // instead of it
  };
  using Answer = std::function<Reply(int call, const Request& request)>;

  explicit FakeHttp(Answer answer)
      : answer_(std::move(answer)),
        acceptor_(io_, {net::ip::make_address("127.0.0.1"), 0}),
        accepting_([this] { Accept(); }) {}
  ~FakeHttp() {
    closing_ = true;
    {  // wakes the thread that accepts
      net::io_context io;
      net::ip::tcp::socket socket(io);
      boost::system::error_code ignored;
      socket.connect(acceptor_.local_endpoint(), ignored);
    }
    accepting_.join();
    absl::MutexLock lock(&mutex_);
    for (const auto& socket : sockets_) {
      ::shutdown(socket->native_handle(), SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  std::string address() {
    return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  int connections() {
    absl::MutexLock lock(&mutex_);
    return static_cast<int>(sockets_.size());
  }

 private:
  void Accept() {
    while (true) {
      auto socket = std::make_shared<net::ip::tcp::socket>(io_);
      acceptor_.accept(*socket);
      if (closing_) return;
      absl::MutexLock lock(&mutex_);
      sockets_.push_back(socket);
      threads_.emplace_back([this, socket] { Serve(*socket); });
    }
  }
  void Serve(net::ip::tcp::socket& socket) {
    boost::beast::flat_buffer buffer;
    boost::system::error_code error;
    while (true) {
      Request request;
      bhttp::read(socket, buffer, request, error);
      if (error) return;
      const Reply reply = answer_(calls_++, request);
      if (reply.hang_up) break;
      bhttp::response<bhttp::string_body> response(
          static_cast<bhttp::status>(reply.status), 11);
      response.body() = reply.body;
      response.keep_alive(!reply.close);
      response.prepare_payload();
      bhttp::write(socket, response, error);
      if (error || reply.close) break;
    }
    ::shutdown(socket.native_handle(), SHUT_RDWR);
  }

  const Answer answer_;
  net::io_context io_;
  net::ip::tcp::acceptor acceptor_;
  std::atomic<bool> closing_{false};
  std::atomic<int> calls_{0};
  absl::Mutex mutex_;
  std::vector<std::shared_ptr<net::ip::tcp::socket>> sockets_;
  std::vector<std::thread> threads_;
  std::thread accepting_;
};

LoadResult RunHttp(FakeHttp& server, LoadRun run, int connections = 4,
                   std::array<double, kLoadCalls> weights = {1, 0, 0}) {
  HttpTransportOptions options;
  options.address = server.address();
  options.token = "pvs_1";
  options.connections = connections;
  auto transport = MakeHttpTransport(options);
  EXPECT_TRUE(transport.ok()) << transport.status();
  LoadWorkload workload;
  workload.weights = weights;
  workload.programs = {"a b&c"};
  workload.architectures = {"x/y"};
  workload.model = "m";
  LoadGenerator load(*std::move(transport), workload);
  return load.Run(run);
}

TEST_F(LoadTest, HttpAsksWhatGrpcAsksOverFewConnections) {
  absl::Mutex mutex;
  std::map<std::string, int> targets;
  FakeHttp server([&](int, const FakeHttp::Request& request) {
    absl::MutexLock lock(&mutex);
    ++targets[std::string(request.target()) + std::string(request.body())];
    EXPECT_EQ(request[bhttp::field::authorization], "Bearer pvs_1");
    return FakeHttp::Reply();
  });
  LoadRun run = ShortRun();
  run.poisson = false;
  const LoadResult result = RunHttp(server, run, 4, {2, 1, 1});
  EXPECT_EQ(result.FailedShare(), 0) << result.first_error;
  EXPECT_THAT(static_cast<int>(result.Total().codes[0]),
              ::testing::AllOf(::testing::Ge(499), ::testing::Le(501)));
  EXPECT_LE(server.connections(), 4);
  absl::MutexLock lock(&mutex);
  EXPECT_EQ(targets.size(), 3u);
  EXPECT_GT(targets["/v1/predict?program=a%20b%26c&architecture=x%2Fy&model=m"],
            0);
  EXPECT_GT(targets["/v1/rank?program=a%20b%26c&limit=20&model=m"], 0);
  EXPECT_GT(targets[R"(/v1/predict:matrix{"model":"m","programs":["a b&c"]})"],
            0);
}

TEST_F(LoadTest, HttpTellsRefusalsFromFailures) {
  FakeHttp server([](int call, const FakeHttp::Request&) -> FakeHttp::Reply {
    switch (call % 4) {
      case 0:
        return {429, R"({"error": {"status": "RESOURCE_EXHAUSTED"}})"};
      case 1:
        return {404, R"({"error": {"status": "NOT_FOUND", "message": "no"}})"};
      case 2:
        return {502, "<html>"};
      default:
        return {};
    }
  });
  const LoadCallResult total = RunHttp(server, ShortRun()).Total();
  for (const int code : {0, 2, 5, 8}) EXPECT_GT(total.codes[code], 0u) << code;
  EXPECT_EQ(total.refused_latency.count(), total.codes[8]);
}

// A connection carries one call at a time: a stall delays those that wait for
// it, and all of that counts.
TEST_F(LoadTest, HttpChargesAStallToEveryCallThatItDelayed) {
  FakeHttp server([](int call, const FakeHttp::Request&) {
    if (call == 100) absl::SleepFor(absl::Milliseconds(500));
    return FakeHttp::Reply();
  });
  LoadRun run = ShortRun();
  run.poisson = false;
  const LoadResult result = RunHttp(server, run, 1);
  EXPECT_EQ(result.FailedShare(), 0) << result.first_error;
  EXPECT_GE(result.Total().ok_latency.Percentile(80), absl::Milliseconds(200));
}

TEST_F(LoadTest, HttpOpensAgainWhatTheServerCloses) {
  FakeHttp server([](int call, const FakeHttp::Request&) -> FakeHttp::Reply {
    FakeHttp::Reply reply;
    reply.close = call % 3 == 0;
    reply.hang_up = call % 51 == 50;  // on a connection that was used
    return reply;
  });
  const LoadResult result = RunHttp(server, ShortRun(), 1);
  EXPECT_EQ(result.FailedShare(), 0) << result.first_error;
  EXPECT_GT(server.connections(), 100);
}

TEST_F(LoadTest, HttpKeepsDeadlinesAndNoticesNoServer) {
  std::string address;
  {
    FakeHttp server([&](int, const FakeHttp::Request&) {
      go_on_.WaitForNotification();
      return FakeHttp::Reply();
    });
    address = server.address();
    LoadRun run = ShortRun();
    run.rate_per_s = 50;
    run.deadline = absl::Milliseconds(500);
    const LoadResult result = RunHttp(server, run, 2);
    EXPECT_EQ(result.Total().codes[0], 0u);
    EXPECT_GT(result.Total().codes[4], 0u);
    go_on_.Notify();
  }
  auto transport = MakeHttpTransport({address, "", 2});
  ASSERT_TRUE(transport.ok());
  LoadWorkload workload;
  workload.programs = workload.architectures = {"a"};
  LoadGenerator load(*std::move(transport), workload);
  const LoadResult gone = load.Run(ShortRun());
  EXPECT_EQ(gone.Total().codes[0], 0u);
  EXPECT_GT(gone.Total().codes[14], 0u);
  for (const char* wrong : {"", "127.0.0.1", "127.0.0.1:http:x"}) {
    EXPECT_EQ(MakeHttpTransport({wrong, "", 2}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << wrong;
  }
}

// A server of which the test knows what it bears.
LoadResult Bears(double rate, double highest) {
  LoadResult result;
  LoadCallResult& call = result.calls[0];
  call.codes[0] = 1000;
  call.ok_latency.Add(rate <= highest ? absl::Milliseconds(1)
                                      : absl::Milliseconds(100));
  return result;
}

TEST(FindHighestRateTest, FindsItFromBelowAndAbove) {
  for (const double first : {1.0, 100.0, 1e5}) {
    const double found = FindHighestRate(
        [](double rate) { return Bears(rate, 1234); }, LoadAim(), first);
    EXPECT_LE(found, 1234) << first;
    EXPECT_GE(found, 1234 / 1.06) << first;
  }
  EXPECT_EQ(FindHighestRate([](double rate) { return Bears(rate, 0); },
                            LoadAim(), 100),
            0);
}

TEST(FindHighestRateTest, OneBadRunDecidesNothing) {
  int runs = 0;
  const double found = FindHighestRate(
      [&](double rate) { return Bears(rate, runs++ % 2 == 0 ? 0 : 1234); },
      LoadAim(), 100);
  EXPECT_GE(found, 1234 / 1.06);
}

}  // namespace
}  // namespace perfvec::client
