#include "client/load/load_generator.h"

#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "perfvec/v1/prediction_service.grpc.pb.h"

namespace perfvec::client {
namespace {

using Stub = v1::PredictionService::Stub;

double Exponential(std::mt19937_64& random, double mean) {
  return std::exponential_distribution<double>(1 / mean)(random);
}

}  // namespace

uint64_t LoadCallResult::sent() const {
  uint64_t sum = 0;
  for (const uint64_t count : codes) sum += count;
  return sum;
}

void LoadCallResult::Merge(const LoadCallResult& other) {
  for (size_t i = 0; i < codes.size(); ++i) codes[i] += other.codes[i];
  not_sent += other.not_sent;
  ok_latency.Merge(other.ok_latency);
  refused_latency.Merge(other.refused_latency);
}

LoadCallResult LoadResult::Total() const {
  LoadCallResult total;
  for (const LoadCallResult& one : calls) total.Merge(one);
  return total;
}

double LoadResult::FailedShare() const {
  const LoadCallResult total = Total();
  const uint64_t all = total.sent() + total.not_sent;
  return all == 0 ? 0
                  : 1 - static_cast<double>(total.codes[0]) /
                            static_cast<double>(all);
}

namespace {

// What all calls of a run share; lives until the last of them has ended.
class Recorder {
 public:
  Recorder(const LoadRun& run, absl::Time first)
      : run_(run), begin_(first + run.warm_up), end_(begin_ + run.duration) {}

  bool Counts(absl::Time intended) const {
    return intended >= begin_ && intended < end_;
  }

  // False: as many calls are open as may be.
  bool Open(LoadCall call, absl::Time intended, absl::Time now) {
    absl::MutexLock lock(&mutex_);
    if (Counts(intended)) result_.send_delay.Add(now - intended);
    if (open_ >= run_.max_in_flight || now - intended >= run_.deadline) {
      if (Counts(intended)) ++Of(call).not_sent;
      return false;
    }
    ++open_;
    result_.max_in_flight = std::max(result_.max_in_flight, open_);
    return true;
  }

  void Close(LoadCall call, absl::Time intended, const grpc::Status& status) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    --open_;
    if (status.ok() && now >= begin_ && now < end_) ++ok_in_time_;
    if (!Counts(intended)) return;
    const int code = std::clamp<int>(status.error_code(), 0, 16);
    ++Of(call).codes[code];
    if (code == grpc::StatusCode::OK) {
      Of(call).ok_latency.Add(now - intended);
    } else if (code == grpc::StatusCode::RESOURCE_EXHAUSTED) {
      Of(call).refused_latency.Add(now - intended);
    } else if (result_.first_error.empty()) {
      result_.first_error = status.error_message();
    }
  }

  LoadResult AwaitAll() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* open) { return *open == 0; }, &open_));
    result_.ok_per_s =
        static_cast<double>(ok_in_time_) / absl::ToDoubleSeconds(run_.duration);
    return std::move(result_);
  }

  absl::Time end() const { return end_; }

 private:
  LoadCallResult& Of(LoadCall call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return result_.calls[static_cast<int>(call)];
  }

  const LoadRun& run_;
  const absl::Time begin_, end_;
  absl::Mutex mutex_;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t ok_in_time_ ABSL_GUARDED_BY(mutex_) = 0;
  LoadResult result_ ABSL_GUARDED_BY(mutex_);
};

// A call that deletes itself behind its end.
struct OpenCall {
  OpenCall(Recorder* recorder, LoadCall call, absl::Time intended,
           absl::Time deadline)
      : recorder(recorder), call(call), intended(intended) {
    context.set_deadline(absl::ToChronoTime(deadline));
  }
  void End(const grpc::Status& status) {
    Recorder* const to = recorder;
    const LoadCall kind = call;
    const absl::Time start = intended;
    delete this;  // before Close: the channel may go once all are closed
    to->Close(kind, start, status);
  }
  virtual ~OpenCall() = default;

  Recorder* const recorder;
  const LoadCall call;
  const absl::Time intended;
  grpc::ClientContext context;
};

template <typename Response>
struct UnaryCall : OpenCall {
  using OpenCall::OpenCall;
  Response response;
};

struct MatrixCall final : OpenCall,
                          grpc::ClientReadReactor<v1::PredictMatrixResponse> {
  using OpenCall::OpenCall;
  void OnReadDone(bool ok) override {
    if (ok) StartRead(&response);
  }
  void OnDone(const grpc::Status& status) override { End(status); }
  v1::PredictMatrixResponse response;
};

}  // namespace

struct LoadGenerator::State {
  LoadWorkload workload;
  std::vector<std::unique_ptr<Stub>> stubs;

  template <typename T>
  static const T& Any(const std::vector<T>& of, std::mt19937_64& random) {
    return of[std::uniform_int_distribution<size_t>(0, of.size() - 1)(random)];
  }

  void Send(LoadCall kind, Stub& stub, std::mt19937_64& random,
            Recorder* recorder, absl::Time intended, absl::Time deadline) {
    switch (kind) {
      case LoadCall::kPredict: {
        v1::PredictRequest request;
        request.set_program(Any(workload.programs, random));
        request.set_architecture(Any(workload.architectures, random));
        request.set_model(workload.model);
        auto* call = new UnaryCall<v1::PredictResponse>(recorder, kind,
                                                        intended, deadline);
        // gRPC serialises the request before it returns.
        stub.async()->Predict(
            &call->context, &request, &call->response,
            [call](const grpc::Status& status) { call->End(status); });
        return;
      }
      case LoadCall::kRank: {
        v1::RankRequest request;
        request.set_program(Any(workload.programs, random));
        request.set_model(workload.model);
        request.set_limit(workload.rank_limit);
        auto* call =
            new UnaryCall<v1::RankResponse>(recorder, kind, intended, deadline);
        stub.async()->Rank(
            &call->context, &request, &call->response,
            [call](const grpc::Status& status) { call->End(status); });
        return;
      }
      case LoadCall::kMatrix: {
        v1::PredictMatrixRequest request;
        for (int i = 0; i < workload.matrix_programs; ++i) {
          request.add_programs(Any(workload.programs, random));
        }
        request.set_model(workload.model);
        auto* call = new MatrixCall(recorder, kind, intended, deadline);
        stub.async()->PredictMatrix(&call->context, &request, call);
        call->StartRead(&call->response);
        call->StartCall();
        return;
      }
    }
  }
};

LoadGenerator::LoadGenerator(
    const std::vector<std::shared_ptr<grpc::Channel>>& channels,
    LoadWorkload workload)
    : state_(std::make_unique<State>()) {
  state_->workload = std::move(workload);
  for (const auto& channel : channels) {
    state_->stubs.push_back(v1::PredictionService::NewStub(channel));
  }
}

LoadGenerator::~LoadGenerator() = default;

LoadResult LoadGenerator::Run(const LoadRun& run) {
  // Linux rounds sleeps up by 50 us unless told not to.
  prctl(PR_SET_TIMERSLACK, 1);
  std::mt19937_64 random(run.seed);
  const auto& weights = state_->workload.weights;
  std::discrete_distribution<int> kinds(weights.begin(), weights.end());
  const absl::Time first = absl::Now();
  Recorder recorder(run, first);
  const double gap_s = 1 / run.rate_per_s;
  double at_s = 0;  // summed from the start: gaps do not gather sleep's errors
  for (size_t i = 0;; ++i) {
    at_s += run.poisson ? Exponential(random, gap_s) : gap_s;
    const absl::Time intended = first + absl::Seconds(at_s);
    if (intended >= recorder.end()) break;
    absl::Time now = absl::Now();
    if (now < intended) {
      absl::SleepFor(intended - now);
      now = absl::Now();
    }
    const LoadCall kind = static_cast<LoadCall>(kinds(random));
    if (!recorder.Open(kind, intended, now)) continue;
    state_->Send(kind, *state_->stubs[i % state_->stubs.size()], random,
                 &recorder, intended, intended + run.deadline);
  }
  return recorder.AwaitAll();
}

bool Meets(const LoadResult& result, const LoadAim& aim) {
  return result.Total().sent() > 0 &&
         result.FailedShare() <= aim.failed_share &&
         result.Total().ok_latency.Percentile(99) <= aim.p99;
}

double FindHighestRate(
    const std::function<LoadResult(double rate_per_s)>& attempt,
    const LoadAim& aim, double first_rate_per_s) {
  const auto borne = [&](double rate) {
    return Meets(attempt(rate), aim) || Meets(attempt(rate), aim);
  };
  double good = 0, bad = 0;
  for (double rate = first_rate_per_s; good == 0 || bad == 0;) {
    if (borne(rate)) {
      good = rate;
      rate *= 2;
    } else {
      bad = rate;
      rate /= 2;
      if (rate < 1) return 0;
    }
  }
  while (bad / good > 1.05) {
    const double rate = std::sqrt(good * bad);
    (borne(rate) ? good : bad) = rate;
  }
  return good;
}

}  // namespace perfvec::client
