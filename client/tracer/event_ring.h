// The reader's end of the ring of words through which the QEMU plugin tells
// what a program does (plugin/event_stream.h).
//
//   auto ring = EventRing::Create();
//   // start QEMU with (*ring)->fd() open, then
//   uint64_t word;
//   while ((*ring)->Next(&word)) Use(word);
//
// Next() waits for the writer; it ends when `alive` says that the writer is
// gone and all it wrote has been read. One thread.
#ifndef PERFVEC_CLIENT_TRACER_EVENT_RING_H_
#define PERFVEC_CLIENT_TRACER_EVENT_RING_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "client/tracer/plugin/event_stream.h"

namespace perfvec::tracer {

class EventRing {
 public:
  static absl::StatusOr<std::unique_ptr<EventRing>> Create();
  ~EventRing();
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // Of the shared memory; QEMU inherits it and the plugin closes it.
  int fd() const { return fd_; }

  // Asked about once a second while there is nothing to read.
  void set_alive(std::function<bool()> alive) { alive_ = std::move(alive); }

  bool Next(uint64_t* word) {
    if (read_ == available_ && !Wait()) return false;
    *word = words_[read_ % PERFVEC_RING_WORDS];
    if (++read_ % PERFVEC_RING_BATCH == 0) Release();
    return true;
  }

  // After the first registers: the writer holds the program until then.
  void LetRun();

  // The writer need not write any more: it drops what comes.
  void Stop();

  uint32_t more_threads() const;
  bool has_registers() const;

 private:
  EventRing(int fd, perfvec_ring* ring);
  bool Wait();
  void Release();

  const int fd_;
  perfvec_ring* const ring_;
  const uint64_t* const words_;
  uint32_t read_ = 0;
  uint32_t available_ = 0;
  bool writer_dead_ = false;
  std::function<bool()> alive_ = [] { return true; };
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_EVENT_RING_H_
