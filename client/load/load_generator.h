// Calls at a rate that does not depend on the answers (open loop), and how long
// they took.
//
// Every call has an intended start, drawn in advance: exponential gaps
// (Poisson) or constant ones. Its latency runs from there, whenever it was
// sent, so that a server that stalls is charged for every call that the stall
// delayed (no coordinated omission). Calls whose intended start lies in the
// warm-up are made and not counted. A call that finds `max_in_flight` others
// open, or whose deadline has passed before it could be sent, is not sent; it
// is counted as such and as failed.
//
// One Run at a time. It sends from the calling thread; answers come on the
// transport's.
//
//   LoadGenerator load(MakeGrpcTransport(channels), workload);
//   const LoadResult result = load.Run(run);
//   result.Total().ok_latency.Percentile(99);
#ifndef PERFVEC_CLIENT_LOAD_LOAD_GENERATOR_H_
#define PERFVEC_CLIENT_LOAD_LOAD_GENERATOR_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/load/latency_histogram.h"
#include "client/load/load_transport.h"

namespace perfvec::client {

inline constexpr int kLoadCalls = 3;
inline constexpr std::array<const char*, kLoadCalls> kLoadCallNames = {
    "predict", "rank", "matrix"};

// What is asked: calls drawn at random with these weights, on programs and
// architectures drawn likewise. Neither list is empty.
struct LoadWorkload {
  std::array<double, kLoadCalls> weights = {1, 0, 0};  // by LoadCall
  std::vector<std::string> programs, architectures;
  std::string model;
  int rank_limit = 20;
  // Rows of a matrix; its columns are all architectures of the server.
  int matrix_programs = 1;
};

struct LoadRun {
  double rate_per_s = 100;
  absl::Duration warm_up = absl::Seconds(1);
  absl::Duration duration = absl::Seconds(5);  // behind the warm-up
  absl::Duration deadline = absl::Seconds(1);  // of a call
  bool poisson = true;
  uint64_t seed = 1;
  int max_in_flight = 10000;
};

struct LoadCallResult {
  std::array<uint64_t, 17> codes = {};  // calls by canonical status code
  uint64_t not_sent = 0;
  LatencyHistogram ok_latency;
  LatencyHistogram refused_latency;  // RESOURCE_EXHAUSTED

  uint64_t sent() const;
  void Merge(const LoadCallResult& other);
};

struct LoadResult {
  std::array<LoadCallResult, kLoadCalls> calls;  // by LoadCall
  double ok_per_s = 0;          // answered OK within the counted time
  LatencyHistogram send_delay;  // from intended start to sending
  int max_in_flight = 0;
  std::string first_error;  // of a call that was neither OK nor refused

  LoadCallResult Total() const;
  // Share of the calls that were not answered OK.
  double FailedShare() const;
};

class LoadGenerator {
 public:
  LoadGenerator(std::unique_ptr<LoadTransport> transport,
                LoadWorkload workload);
  ~LoadGenerator();

  LoadResult Run(const LoadRun& run);

 private:
  const std::unique_ptr<LoadTransport> transport_;
  const LoadWorkload workload_;
};

// What a rate must meet to be borne.
struct LoadAim {
  absl::Duration p99 = absl::Milliseconds(10);
  double failed_share = 0.001;
};
bool Meets(const LoadResult& result, const LoadAim& aim);

// The highest rate that meets the aim: doubles from run.rate_per_s until a rate
// fails, then halves the gap (geometrically) until it is within 5 %. A rate
// fails when it fails twice in a row: one hiccup of the machine decides
// nothing. Zero: the first rate fails, and so do
// its halves down to 1/s.
double FindHighestRate(
    const std::function<LoadResult(double rate_per_s)>& attempt,
    const LoadAim& aim, double first_rate_per_s);

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_LOAD_LOAD_GENERATOR_H_
