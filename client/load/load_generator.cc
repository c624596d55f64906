#include "client/load/load_generator.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace perfvec::client {
namespace {

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

  void Close(LoadCall call, absl::Time intended, const absl::Status& status) {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    --open_;
    if (status.ok() && now >= begin_ && now < end_) ++ok_in_time_;
    if (!Counts(intended)) return;
    const int code = std::clamp(static_cast<int>(status.code()), 0, 16);
    ++Of(call).codes[code];
    if (status.ok()) {
      Of(call).ok_latency.Add(now - intended);
    } else if (absl::IsResourceExhausted(status)) {
      Of(call).refused_latency.Add(now - intended);
    } else if (result_.first_error.empty()) {
      result_.first_error = std::string(status.message());
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

template <typename T>
const T& Any(const std::vector<T>& of, std::mt19937_64& random) {
  return of[std::uniform_int_distribution<size_t>(0, of.size() - 1)(random)];
}

LoadRequest Draw(const LoadWorkload& workload, LoadCall kind,
                 std::mt19937_64& random) {
  LoadRequest request;
  request.call = kind;
  request.model = workload.model;
  request.rank_limit = workload.rank_limit;
  const int programs = kind == LoadCall::kMatrix ? workload.matrix_programs : 1;
  for (int i = 0; i < programs; ++i) {
    request.programs.push_back(Any(workload.programs, random));
  }
  if (kind == LoadCall::kPredict) {
    request.architecture = Any(workload.architectures, random);
  }
  return request;
}

}  // namespace

LoadGenerator::LoadGenerator(std::unique_ptr<LoadTransport> transport,
                             LoadWorkload workload)
    : transport_(std::move(transport)), workload_(std::move(workload)) {}

LoadGenerator::~LoadGenerator() = default;

LoadResult LoadGenerator::Run(const LoadRun& run) {
  // Linux rounds sleeps up by 50 us unless told not to.
  prctl(PR_SET_TIMERSLACK, 1);
  std::mt19937_64 random(run.seed);
  const auto& weights = workload_.weights;
  std::discrete_distribution<int> kinds(weights.begin(), weights.end());
  const absl::Time first = absl::Now();
  Recorder recorder(run, first);
  const double gap_s = 1 / run.rate_per_s;
  double at_s = 0;  // summed from the start: gaps do not gather sleep's errors
  for (;;) {
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
    transport_->Send(Draw(workload_, kind, random), intended + run.deadline,
                     [&recorder, kind, intended](const absl::Status& outcome) {
                       recorder.Close(kind, intended, outcome);
                     });
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
