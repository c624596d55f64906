#include "worker/agent/run_command.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "proto/log.h"
#include "worker/agent/agent.h"

namespace perfvec::worker {
namespace {

struct RunFlags {
  AgentOptions agent;
  double drain_seconds = 10;
  std::string log_level = "info", log_format = "text";
  std::string precision = "fp32";
};

std::string DefaultWorkerId() {
  char host[256] = "worker";
  gethostname(host, sizeof host - 1);
  return absl::StrCat(host, "-", getpid(), "-",
                      absl::Hex(std::random_device{}(), absl::kZeroPad8));
}

std::string DefaultCacheDirectory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') {
    return absl::StrCat(cache, "/perfvec/models");
  }
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') {
    return absl::StrCat(home, "/.cache/perfvec/models");
  }
  return "";
}

// The first signal: finish the shard in hand, for at most drain_seconds. The
// second, or the end of that time: give it back.
class SignalWatch {
 public:
  SignalWatch(Agent* agent, double drain_seconds)
      : agent_(agent),
        drain_(std::chrono::milliseconds(
            static_cast<int64_t>(1000 * drain_seconds))) {
    Await();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~SignalWatch() {
    context_.stop();
    thread_.join();
  }

 private:
  void Await() {
    signals_.async_wait([this](boost::system::error_code error, int signal) {
      if (error) return;
      if (!stopping_) {
        stopping_ = true;
        spdlog::info("signal {}: no more work; {} s for the shard in hand",
                     signal, std::chrono::duration<double>(drain_).count());
        agent_->Stop();
        timer_.expires_after(drain_);
        timer_.async_wait([this](boost::system::error_code e) {
          if (!e) agent_->Abandon();
        });
        Await();
      } else {
        agent_->Abandon();
      }
    });
  }

  Agent* const agent_;
  const std::chrono::milliseconds drain_;
  boost::asio::io_context context_;
  boost::asio::signal_set signals_{context_, SIGTERM, SIGINT};
  boost::asio::steady_timer timer_{context_};
  bool stopping_ = false;
  std::thread thread_;
};

int Run(RunFlags flags) {
  if (flags.log_format == "json") UseLog("worker", LogFormat::kJson);
  spdlog::set_level(spdlog::level::from_str(flags.log_level));
  if (flags.agent.worker_id.empty()) flags.agent.worker_id = DefaultWorkerId();
  // Not an option: command lines are seen by all users of a machine.
  ChannelSecurity& security = flags.agent.server.security;
  const char* token = std::getenv("PERFVEC_TOKEN");
  if (token != nullptr && security.token_file.empty()) security.token = token;
  // Its value has been checked when the command line was read.
  flags.agent.back_end.precision = *compute::ParsePrecision(flags.precision);
  auto agent = Agent::Create(flags.agent);
  absl::Status status = agent.status();
  if (status.ok()) {
    SignalWatch watch(agent->get(), flags.drain_seconds);
    status = (*agent)->Run();
  }
  if (status.ok()) return 0;
  spdlog::error("{}", std::string(status.message()));
  return 1;
}

}  // namespace

void AddRunCommand(CLI::App* app, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  flags->agent.models.cache_directory = DefaultCacheDirectory();
  CLI::App* run = app->add_subcommand(
      "run", "Compute program vectors for a server, until SIGTERM");
  AgentOptions& agent = flags->agent;
  run->add_option("--server", agent.server.address, "HOST:PORT of the server")
      ->envname("PERFVEC_SERVER")
      ->capture_default_str();
  ChannelSecurity& security = agent.server.security;
  run->add_option("--tls-ca", security.tls_ca,
                  "PEM: who may sign the server's certificate; \"system\": as "
                  "this machine trusts; empty: no TLS")
      ->envname("PERFVEC_TLS_CA");
  run->add_option("--tls-cert", security.tls_certificate,
                  "PEM: the worker's certificate, where the server wants one")
      ->envname("PERFVEC_TLS_CERT");
  run->add_option("--tls-key", security.tls_key, "PEM: its key")
      ->envname("PERFVEC_TLS_KEY");
  run->add_option("--token-file", security.token_file,
                  "File with the worker's token; else PERFVEC_TOKEN")
      ->envname("PERFVEC_TOKEN_FILE");
  run->add_option("--model", agent.models.directories,
                  "Directory of a foundation model that need not be fetched; "
                  "may be repeated")
      ->type_name("DIR")
      ->allow_extra_args(false);
  run->add_option("--model-cache", agent.models.cache_directory,
                  "Directory for fetched models; empty: none is kept")
      ->type_name("DIR")
      ->capture_default_str();
  run->add_option("--threads", agent.back_end.threads,
                  "Threads of the network; 0: one per processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  run->add_option("--device", agent.back_end.device, "Where the network runs")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  run->add_option("--precision", flags->precision,
                  "Of the network's products on a CPU; bf16: twice as fast, "
                  "other bits than fp32; auto: bf16 where the CPU has it")
      ->check(CLI::IsMember({"fp32", "bf16", "auto"}))
      ->capture_default_str();
  run->add_option("--worker-id", agent.worker_id,
                  "Name in the server's logs and leases, unique; default: "
                  "host, process and a random number");
  run->add_option("--drain-seconds", flags->drain_seconds,
                  "After SIGTERM, how long the shard in hand may go on before "
                  "it is given back")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  run->add_option("--log-level", flags->log_level)
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
  run->add_option("--log-format", flags->log_format,
                  "text, or json: an object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  run->callback([flags, exit_code] { *exit_code = Run(*flags); });
}

}  // namespace perfvec::worker
