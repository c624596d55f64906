#include "client/tracer/event_ring.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "absl/status/status.h"

namespace perfvec::tracer {
namespace {

constexpr size_t kRingBytes =
    sizeof(perfvec_ring) + sizeof(uint64_t) * PERFVEC_RING_WORDS;
static_assert(sizeof(perfvec_ring) == 4096, "the plugin counts on a page");

void Futex(uint32_t* word, int operation, uint32_t value,
           const timespec* timeout) {
  syscall(SYS_futex, word, operation, value, timeout, nullptr, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventRing>> EventRing::Create() {
  const int fd = memfd_create("perfvec-trace", 0);
  if (fd < 0) return absl::ErrnoToStatus(errno, "memory to share with QEMU");
  void* memory = MAP_FAILED;
  if (ftruncate(fd, kRingBytes) == 0) {
    memory =
        mmap(nullptr, kRingBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (memory == MAP_FAILED) {
    const int error = errno;
    close(fd);
    return absl::ErrnoToStatus(error, "memory to share with QEMU");
  }
  auto* ring = static_cast<perfvec_ring*>(memory);
  ring->magic = PERFVEC_RING_MAGIC;
  ring->words = PERFVEC_RING_WORDS;
  return std::unique_ptr<EventRing>(new EventRing(fd, ring));
}

EventRing::EventRing(int fd, perfvec_ring* ring)
    : fd_(fd),
      ring_(ring),
      words_(reinterpret_cast<const uint64_t*>(ring + 1)) {}

EventRing::~EventRing() {
  Stop();
  munmap(ring_, kRingBytes);
  close(fd_);
}

void EventRing::Release() {
  __atomic_store_n(&ring_->read, read_, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&ring_->writer_waits, __ATOMIC_SEQ_CST)) {
    Futex(&ring_->read, FUTEX_WAKE, 1, nullptr);
  }
}

bool EventRing::Wait() {
  Release();
  if (writer_dead_) return false;
  for (;;) {
    available_ = __atomic_load_n(&ring_->written, __ATOMIC_SEQ_CST);
    if (available_ != read_) return true;
    if (!alive_()) {
      // What the writer had not published when it died.
      writer_dead_ = true;
      available_ = __atomic_load_n(&ring_->cursor, __ATOMIC_SEQ_CST);
      return available_ != read_;
    }
    const timespec tenth = {0, 100'000'000};
    __atomic_store_n(&ring_->reader_waits, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ring_->written, __ATOMIC_SEQ_CST) == read_) {
      Futex(&ring_->written, FUTEX_WAIT, read_, &tenth);
    }
    __atomic_store_n(&ring_->reader_waits, 0, __ATOMIC_SEQ_CST);
  }
}

void EventRing::LetRun() {
  __atomic_store_n(&ring_->may_run, 1, __ATOMIC_SEQ_CST);
  Futex(&ring_->may_run, FUTEX_WAKE, 1, nullptr);
}

void EventRing::Stop() {
  __atomic_store_n(&ring_->reader_gone, 1, __ATOMIC_SEQ_CST);
  LetRun();
  Futex(&ring_->read, FUTEX_WAKE, 1, nullptr);
}

uint32_t EventRing::more_threads() const {
  return __atomic_load_n(&ring_->more_threads, __ATOMIC_RELAXED);
}

bool EventRing::has_registers() const {
  return __atomic_load_n(&ring_->has_registers, __ATOMIC_RELAXED) != 0;
}

}  // namespace perfvec::tracer
