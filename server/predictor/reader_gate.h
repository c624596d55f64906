// Lets readers use an object that a writer may replace, without ever waiting:
// the writer waits until the readers of the old one have left.
//
// Readers count themselves in and out of one of many cache lines, so that
// threads do not share a line in the common case. A reader that found the old
// object had counted itself in before it was replaced; once the writer has
// seen each counter at zero after the replacement, no such reader is left. Two
// phases keep newcomers from holding a counter above zero for ever: the writer
// turns the newcomers to the other phase and waits for the one they left.
//
// Enter, Leave: any thread, wait-free, never nested across Synchronize in the
// same thread. Synchronize: one writer at a time; it yields between looks.
//
//   {
//     ReaderGate::Scope scope(gate);
//     Use(*current.load());
//   }
//   old = current.exchange(fresh); gate.Synchronize(); delete old;
#ifndef PERFVEC_SERVER_PREDICTOR_READER_GATE_H_
#define PERFVEC_SERVER_PREDICTOR_READER_GATE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>

namespace perfvec::server {

class ReaderGate {
 public:
  class Scope {
   public:
    explicit Scope(ReaderGate& gate) : counter_(gate.Enter()) {}
    ~Scope() { counter_.fetch_sub(1, std::memory_order_release); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::atomic<int64_t>& counter_;
  };

  // Returns when every reader that entered before the call has left.
  void Synchronize() {
    for (int turn = 0; turn < 2; ++turn) {
      const uint32_t left = phase_.fetch_xor(1, std::memory_order_seq_cst);
      for (Shard& shard : shards_) {
        while (shard.inside[left].load(std::memory_order_seq_cst) != 0) {
          std::this_thread::yield();
        }
      }
    }
  }

 private:
  struct alignas(64) Shard {
    std::atomic<int64_t> inside[2] = {};
  };

  std::atomic<int64_t>& Enter() {
    static std::atomic<uint32_t> next_thread{0};
    thread_local const uint32_t mine =
        next_thread.fetch_add(1, std::memory_order_relaxed);
    const uint32_t phase = phase_.load(std::memory_order_seq_cst);
    std::atomic<int64_t>& counter =
        shards_[mine % shards_.size()].inside[phase];
    counter.fetch_add(1, std::memory_order_seq_cst);
    return counter;
  }

  std::atomic<uint32_t> phase_{0};
  std::array<Shard, 64> shards_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_READER_GATE_H_
