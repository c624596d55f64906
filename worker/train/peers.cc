// LibTorch's c10d over gloo. The only file that calls it: its exceptions end
// here.
#include "worker/train/peers.h"

#include <chrono>
#include <csignal>
#include <exception>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace perfvec::train {
namespace {

// The first line; c10 appends a stack trace.
std::string FirstLine(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

class GlooPeers : public Peers {
 public:
  GlooPeers(const PeersOptions& options,
            c10::intrusive_ptr<c10d::ProcessGroupGloo> group)
      : options_(options), group_(std::move(group)) {}

  int rank() const override { return options_.rank; }
  int size() const override { return options_.world_size; }
  absl::Status Sum(float* values, size_t n) override {
    return SumTensor(at::from_blob(values, {static_cast<int64_t>(n)}));
  }
  absl::Status Sum(double* values, size_t n) override {
    return SumTensor(
        at::from_blob(values, {static_cast<int64_t>(n)}, at::kDouble));
  }

 private:
  absl::Status SumTensor(at::Tensor tensor) {
    try {
      std::vector<at::Tensor> tensors = {std::move(tensor)};
      group_->allreduce(tensors)->wait();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return absl::UnavailableError(
          absl::StrCat("process ", options_.rank, " of ", options_.world_size,
                       ": another process of this run has ended or does not "
                       "answer (",
                       FirstLine(error),
                       "); start all again, they go on from their "
                       "checkpoints"));
    }
  }

  const PeersOptions options_;
  const c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

absl::StatusOr<c10::intrusive_ptr<c10d::Store>> MakeStore(
    const PeersOptions& options) {
  absl::string_view address = options.rendezvous;
  if (!absl::ConsumePrefix(&address, "tcp://")) {
    return c10::make_intrusive<c10d::FileStore>(options.rendezvous,
                                                options.world_size);
  }
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 ||
      port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("option rendezvous: expected tcp://HOST:PORT, found ",
                     options.rendezvous));
  }
  c10d::TCPStoreOptions tcp;
  tcp.port = port;
  tcp.isServer = options.rank == 0;
  tcp.numWorkers = options.world_size;
  tcp.timeout = std::chrono::seconds(options.timeout_seconds);
  return c10::make_intrusive<c10d::TCPStore>(
      std::string(address.substr(0, colon)), tcp);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Peers>> JoinPeers(const PeersOptions& options) {
  if (options.world_size < 1 || options.rank < 0 ||
      options.rank >= options.world_size || options.timeout_seconds < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "options world_size, rank, peer_timeout: expected a rank "
        "below the size, and a second or more, found ",
        options.world_size, ", ", options.rank, ", ", options.timeout_seconds));
  }
  if (options.rendezvous.empty()) {
    return absl::InvalidArgumentError(
        "option rendezvous: several processes need it: tcp://HOST:PORT or a "
        "file");
  }
  // gloo writes to a peer that has died as to any other; the error that comes
  // back is told, the signal would end this process without a word.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    auto store = MakeStore(options);
    if (!store.ok()) return store.status();
    const std::chrono::milliseconds timeout =
        std::chrono::seconds(options.timeout_seconds);
    (*store)->setTimeout(timeout);
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    gloo->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
    gloo->threads = 1;
    auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(
        *store, options.rank, options.world_size, gloo);
    return std::make_unique<GlooPeers>(options, std::move(group));
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("process ", options.rank, " of ", options.world_size,
                     ": the others were not found at ", options.rendezvous,
                     " (", FirstLine(error), ")"));
  }
}

}  // namespace perfvec::train
