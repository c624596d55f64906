#include "client/cli/load_command.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/cli/units.h"
#include "client/load/load_generator.h"
#include "proto/channel.h"

namespace perfvec::client::cli {
namespace {

using Json = nlohmann::ordered_json;
using Weights = std::array<double, kLoadCalls>;

constexpr size_t kMaxNames = 1000;  // of programs and of architectures
constexpr int kGrpcConnections = 4;

struct LoadOptions {
  double rate_per_s = 100;
  bool highest = false;
  std::vector<double> shares_percent = {50, 80, 95};
  std::string p99 = "10ms", duration = "5s", warm_up = "1s", deadline = "1s";
  std::string arrivals = "poisson", mix = "predict=1";
  int connections = 0;  // 0: 4, over HTTP 64
  std::string http;     // empty: over gRPC
  LoadWorkload workload;
  LoadRun run;
};

// "predict=90,rank=10"
absl::StatusOr<Weights> ParseMix(absl::string_view text) {
  Weights weights = {};
  double sum = 0;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto* name =
        std::find(kLoadCallNames.begin(), kLoadCallNames.end(), pair.first);
    double weight;
    if (name == kLoadCallNames.end() ||
        !absl::SimpleAtod(pair.second, &weight) || !(weight >= 0) ||
        weight > 1e6) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part,
                       "\": expected predict=, rank= or matrix= with a weight "
                       "from 0 to 1e6"));
    }
    weights[name - kLoadCallNames.begin()] += weight;
    sum += weight;
  }
  if (sum == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected a weight above 0"));
  }
  return weights;
}

// All that have a vector, unless the command line names some; these must have
// one.
absl::Status FillNames(Client& client, LoadWorkload* workload) {
  api::PredictMatrixRequest request;
  request.set_model(workload->model);
  for (const auto& name : workload->programs) request.add_programs(name);
  for (const auto& name : workload->architectures) {
    request.add_architectures(name);
  }
  std::vector<std::string> programs, architectures;
  const absl::Status status = client.PredictMatrix(
      request, [&](const api::PredictMatrixResponse& answer) {
        for (const auto& name : answer.architectures()) {
          if (architectures.size() < kMaxNames) architectures.push_back(name);
        }
        for (const auto& name : answer.programs()) {
          if (programs.size() < kMaxNames) programs.push_back(name);
        }
        return programs.size() < kMaxNames ? absl::OkStatus()
                                           : absl::CancelledError("enough");
      });
  if (!status.ok() && !absl::IsCancelled(status)) return status;
  if (programs.empty() || architectures.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the server has ", programs.size(), " programs and ",
        architectures.size(),
        " architectures with a vector; load needs one of each: perfvec upload "
        "TRACE --program NAME --wait"));
  }
  if (workload->programs.empty()) workload->programs = std::move(programs);
  if (workload->architectures.empty()) {
    workload->architectures = std::move(architectures);
  }
  return absl::OkStatus();
}

// Each with a connection of its own; secured as those of other commands are.
absl::StatusOr<std::vector<std::shared_ptr<grpc::Channel>>> MakeChannels(
    const Context& context, int connections) {
  ChannelSecurity security = {context.tls_ca, context.tls_certificate,
                              context.tls_key, "", context.token_file};
  const char* token = std::getenv("PERFVEC_TOKEN");
  if (token != nullptr && context.token_file.empty()) security.token = token;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < connections; ++i) {
    auto channel = MakeChannel(context.server, security, arguments);
    if (!channel.ok()) return channel.status();
    channels.push_back(*std::move(channel));
  }
  return channels;
}

absl::StatusOr<std::unique_ptr<LoadTransport>> MakeTransport(
    const Context& context, const LoadOptions& options) {
  if (options.http.empty()) {
    auto channels =
        MakeChannels(context, options.connections > 0 ? options.connections
                                                      : kGrpcConnections);
    if (!channels.ok()) return channels.status();
    return MakeGrpcTransport(*channels);
  }
  if (!context.tls_ca.empty() || !context.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--http: expected no --tls-ca and no --token-file; load over HTTP is "
        "without TLS, and its token is PERFVEC_TOKEN");
  }
  HttpTransportOptions http;
  http.address = options.http;
  if (options.connections > 0) http.connections = options.connections;
  const char* token = std::getenv("PERFVEC_TOKEN");
  if (token != nullptr) http.token = token;
  return MakeHttpTransport(std::move(http));
}

double Ms(absl::Duration time) { return absl::ToDoubleMilliseconds(time); }

Json LatencyJson(const LatencyHistogram& of) {
  return {{"mean", Ms(of.Mean())},
          {"p50", Ms(of.Percentile(50))},
          {"p90", Ms(of.Percentile(90))},
          {"p99", Ms(of.Percentile(99))},
          {"p99.9", Ms(of.Percentile(99.9))},
          {"max", Ms(of.max())}};
}

Json CallJson(const std::string& name, const LoadCallResult& result) {
  Json codes = Json::object();
  for (size_t code = 0; code < result.codes.size(); ++code) {
    if (result.codes[code] == 0) continue;
    codes[absl::StatusCodeToString(static_cast<absl::StatusCode>(code))] =
        result.codes[code];
  }
  Json json = {{"call", name},
               {"codes", codes},
               {"not_sent", result.not_sent},
               {"latency_ms", LatencyJson(result.ok_latency)}};
  if (result.refused_latency.count() > 0) {
    json["refused_latency_ms"] = LatencyJson(result.refused_latency);
  }
  return json;
}

Json RunJson(double rate_per_s, const LoadResult& result) {
  Json calls = Json::array();
  for (int i = 0; i < kLoadCalls; ++i) {
    const LoadCallResult& one = result.calls[i];
    if (one.sent() + one.not_sent > 0) {
      calls.push_back(CallJson(kLoadCallNames[i], one));
    }
  }
  calls.push_back(CallJson("all", result.Total()));
  return {{"rate_per_s", rate_per_s},
          {"ok_per_s", result.ok_per_s},
          {"failed_share", result.FailedShare()},
          {"max_in_flight", result.max_in_flight},
          {"send_delay_ms", LatencyJson(result.send_delay)},
          {"calls", std::move(calls)}};
}

Table NewTable() {
  return Table({{"RATE/S", Table::kRight},
                {"CALL"},
                {"OK", Table::kRight},
                {"REFUSED", Table::kRight},
                {"FAILED", Table::kRight},
                {"UNSENT", Table::kRight},
                {"P50", Table::kRight},
                {"P99", Table::kRight},
                {"P99.9", Table::kRight},
                {"MAX", Table::kRight}},
               OutputWidth());
}

void AddRows(double rate_per_s, const LoadResult& result, Table* table) {
  constexpr int kRefused =
      static_cast<int>(absl::StatusCode::kResourceExhausted);
  const auto add = [&](const std::string& name, const LoadCallResult& one) {
    const uint64_t ok = one.codes[0], refused = one.codes[kRefused];
    const auto time = [](absl::Duration t) {
      return FormatTimeNs(absl::ToDoubleNanoseconds(t));
    };
    table->Add({absl::StrFormat("%.0f", rate_per_s), name, absl::StrCat(ok),
                absl::StrCat(refused), absl::StrCat(one.sent() - ok - refused),
                absl::StrCat(one.not_sent), time(one.ok_latency.Percentile(50)),
                time(one.ok_latency.Percentile(99)),
                time(one.ok_latency.Percentile(99.9)),
                time(one.ok_latency.max())});
  };
  int kinds = 0;
  for (int i = 0; i < kLoadCalls; ++i) {
    const LoadCallResult& one = result.calls[i];
    if (one.sent() + one.not_sent == 0) continue;
    add(kLoadCallNames[i], one);
    ++kinds;
  }
  if (kinds != 1) add("all", result.Total());
}

absl::Status Load(Context& context, LoadOptions options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  absl::Status named = FillNames(**client, &options.workload);
  if (!named.ok()) return named;
  auto transport = MakeTransport(context, options);
  if (!transport.ok()) return transport.status();
  LoadGenerator load(*std::move(transport), options.workload);
  const auto run = [&](double rate_per_s) {
    options.run.rate_per_s = rate_per_s;
    return load.Run(options.run);
  };

  Json json;
  std::vector<double> rates = {options.rate_per_s};
  if (options.highest) {
    const LoadAim aim = {*ParseDuration(options.p99)};
    Progress progress("searching");
    std::string error;
    const double highest = FindHighestRate(
        [&](double rate) {
          progress.SetLabel(absl::StrFormat("trying %.0f/s", rate));
          progress.Bytes(0, 0);
          LoadResult result = run(rate);
          if (error.empty()) error = result.first_error;
          return result;
        },
        aim, options.rate_per_s);
    progress.Clear();
    if (highest == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "not even a call a second is answered with a 99th percentile of ",
          options.p99, error.empty() ? "" : ": ", error));
    }
    rates.clear();
    for (const double share : options.shares_percent) {
      rates.push_back(highest * share / 100);
    }
    json["highest_rate_per_s"] = highest;
    if (!context.json) {
      std::cout << absl::StrFormat(
          "highest rate with a p99 of %s and 99.9 %% answered: %.0f/s\n",
          options.p99, highest);
    }
  }
  json["runs"] = Json::array();
  Table table = NewTable();
  for (const double rate : rates) {
    const LoadResult result = run(rate);
    if (context.json) {
      json["runs"].push_back(RunJson(rate, result));
    } else {
      AddRows(rate, result, &table);
      std::cout << table.Render() << std::flush;
    }
    if (!result.first_error.empty()) {
      std::cerr << "first failure: " << Printable(result.first_error) << "\n";
    }
  }
  if (context.json) std::cout << json.dump(2) << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddLoadCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<LoadOptions>();
  CLI::App* command = AddCommand(
      app, "load",
      "Call a server at a given rate, whatever it answers, and tell how long "
      "its answers took from when each call was due",
      {"perfvec load --rate 500 --duration 30s",
       "perfvec load --highest --p99 5ms --shares 50,80,95",
       "perfvec load --mix predict=90,rank=9,matrix=1 --json"});
  const auto time = [&](const std::string& name, std::string* value,
                        const std::string& help) {
    command->add_option(name, *value, absl::StrCat(help, " [", *value, "]"))
        ->check(Parses(&ParseDuration))
        ->type_name("TIME");
  };
  command
      ->add_option("--rate", options->rate_per_s,
                   "Calls a second; with --highest the first one tried [100]")
      ->check(CLI::Range(0.1, 1e6))
      ->type_name("N");
  auto* highest = command->add_flag(
      "--highest", options->highest,
      "Find the highest rate at which 99.9 % are answered and the 99th "
      "percentile keeps to --p99, to within 5 %; then run at --shares of it");
  time("--p99", &options->p99, "The aim of --highest");
  command
      ->add_option("--shares", options->shares_percent,
                   "Percentages of the highest rate [50,80,95]")
      ->delimiter(',')
      ->check(CLI::Range(0.1, 10000.))
      ->needs(highest)
      ->type_name("LIST");
  time("--duration", &options->duration, "Of a run, behind its warm-up");
  time("--warm-up", &options->warm_up, "Calls that are made and not counted");
  time("--deadline", &options->deadline, "Of a call, from when it was due");
  command
      ->add_option("--arrivals", options->arrivals,
                   "poisson: gaps at random; constant [poisson]")
      ->check(CLI::IsMember({"poisson", "constant"}))
      ->type_name("KIND");
  command
      ->add_option("--mix", options->mix,
                   "Which calls, with weights, of predict, rank and matrix "
                   "[predict=1]")
      ->check(Parses(&ParseMix))
      ->type_name("LIST");
  command
      ->add_option("--program", options->workload.programs,
                   "Ask about this one; may be repeated. Without it: any of "
                   "the first 1000 that have a vector")
      ->type_name(kProgramType)
      ->allow_extra_args(false);
  command
      ->add_option("--architecture", options->workload.architectures,
                   "Likewise")
      ->type_name(kArchitectureType)
      ->allow_extra_args(false);
  command
      ->add_option("--model", options->workload.model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command
      ->add_option("--rank-limit", options->workload.rank_limit,
                   "Length of a ranking [20]")
      ->check(CLI::Range(1, 10000))
      ->type_name("N");
  command
      ->add_option("--matrix-programs", options->workload.matrix_programs,
                   "Rows of a matrix, on all architectures [1]")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  command
      ->add_option("--http", options->http,
                   "Send the calls as JSON over HTTP to this port of the "
                   "server; what they are about is asked from --server")
      ->type_name("HOST:PORT");
  command
      ->add_option("--connections", options->connections,
                   "That the calls are spread over; over HTTP at most so many "
                   "are open, and a call waits for a free one [4; HTTP: 64]")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  command
      ->add_option("--max-in-flight", options->run.max_in_flight,
                   "Calls open at a time; past it calls are not sent, and "
                   "counted as unsent [10000]")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  command->add_option("--seed", options->run.seed, "Of what is drawn [1]")
      ->type_name("N");
  SetAction(command, context, [&context, options]() -> absl::Status {
    options->workload.weights = *ParseMix(options->mix);
    options->run.duration = *ParseDuration(options->duration);
    options->run.warm_up = *ParseDuration(options->warm_up);
    options->run.deadline = *ParseDuration(options->deadline);
    options->run.poisson = options->arrivals == "poisson";
    return Load(context, *options);
  });
}

}  // namespace perfvec::client::cli
