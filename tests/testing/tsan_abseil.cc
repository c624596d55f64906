// Tells ThreadSanitizer what abseil's mutexes order. Linked into everything
// that is built with it, and into nothing else.
//
// The distribution's abseil is built without ThreadSanitizer, whose eyes its
// Mutex, CondVar, Notification and BlockingCounter therefore escape: every
// field they guard would be reported as a race. The linker sends our calls of
// them
// (--wrap, see cmake/PerfvecTargets.cmake) through here, where taking a lock is
// an acquire and giving it back a release of the mutex's address. A reader's
// lock counts as a writer's: that can hide a race between two readers that
// write, and invents none.
//
// The names are those of abseil 20220623 as Debian mangles them; with another
// abseil the link fails here, and the names are to be looked up with nm.
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

extern "C" {

void __tsan_acquire(void* address);
void __tsan_release(void* address);

using Mutex = absl::Mutex;
using Condition = absl::Condition;

#define PERFVEC_LOCK(name, parameters, arguments) \
  void __real_##name parameters;                  \
  void __wrap_##name parameters {                 \
    __real_##name arguments;                      \
    __tsan_acquire(mutex);                        \
  }
#define PERFVEC_TRY(name, parameters, arguments)        \
  bool __real_##name parameters;                        \
  bool __wrap_##name parameters {                       \
    const bool locked = __real_##name arguments;        \
    __tsan_acquire(mutex); /* the lock, or its trial */ \
    return locked;                                      \
  }
#define PERFVEC_UNLOCK(name)         \
  void __real_##name(Mutex* mutex);  \
  void __wrap_##name(Mutex* mutex) { \
    __tsan_release(mutex);           \
    __real_##name(mutex);            \
  }
#define PERFVEC_WAIT(result, name, parameters, arguments) \
  result __real_##name parameters;                        \
  result __wrap_##name parameters {                       \
    __tsan_release(mutex);                                \
    struct Acquire {                                      \
      Mutex* mutex;                                       \
      ~Acquire() { __tsan_acquire(mutex); }               \
    } acquire{mutex};                                     \
    return __real_##name arguments;                       \
  }

PERFVEC_LOCK(_ZN4absl7debian35Mutex4LockEv, (Mutex * mutex), (mutex))
PERFVEC_LOCK(_ZN4absl7debian35Mutex10ReaderLockEv, (Mutex * mutex), (mutex))
PERFVEC_LOCK(_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE,
             (Mutex * mutex, const Condition& condition), (mutex, condition))
PERFVEC_LOCK(_ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE,
             (Mutex * mutex, const Condition& condition), (mutex, condition))
PERFVEC_TRY(_ZN4absl7debian35Mutex7TryLockEv, (Mutex * mutex), (mutex))
PERFVEC_TRY(_ZN4absl7debian35Mutex13ReaderTryLockEv, (Mutex * mutex), (mutex))
PERFVEC_TRY(
    _ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE,
    (Mutex * mutex, const Condition& condition, absl::Duration timeout),
    (mutex, condition, timeout))
PERFVEC_TRY(
    _ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE,
    (Mutex * mutex, const Condition& condition, absl::Time deadline),
    (mutex, condition, deadline))
PERFVEC_UNLOCK(_ZN4absl7debian35Mutex6UnlockEv)
PERFVEC_UNLOCK(_ZN4absl7debian35Mutex12ReaderUnlockEv)
PERFVEC_WAIT(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE,
             (Mutex * mutex, const Condition& condition), (mutex, condition))
PERFVEC_WAIT(
    bool,
    _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
    (Mutex * mutex, const Condition& condition, absl::Duration timeout),
    (mutex, condition, timeout))
PERFVEC_WAIT(
    bool, _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE,
    (Mutex * mutex, const Condition& condition, absl::Time deadline),
    (mutex, condition, deadline))
PERFVEC_WAIT(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE,
             (absl::CondVar * variable, Mutex* mutex), (variable, mutex))
PERFVEC_WAIT(
    bool, _ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE,
    (absl::CondVar * variable, Mutex* mutex, absl::Duration timeout),
    (variable, mutex, timeout))
PERFVEC_WAIT(bool,
             _ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE,
             (absl::CondVar * variable, Mutex* mutex, absl::Time deadline),
             (variable, mutex, deadline))

// Its first member is the mutex.
void __real__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(Mutex** lock);
void __wrap__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(Mutex** lock) {
  __tsan_release(*lock);
  return __real__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(lock);
}

void __real__ZN4absl7debian312Notification6NotifyEv(
    absl::Notification* notification);
void __wrap__ZN4absl7debian312Notification6NotifyEv(
    absl::Notification* notification) {
  __tsan_release(notification);
  return __real__ZN4absl7debian312Notification6NotifyEv(notification);
}

void __real__ZNK4absl7debian312Notification19WaitForNotificationEv(
    absl::Notification* notification);
void __wrap__ZNK4absl7debian312Notification19WaitForNotificationEv(
    absl::Notification* notification) {
  __real__ZNK4absl7debian312Notification19WaitForNotificationEv(notification);
  __tsan_acquire(notification);
}

bool __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
    absl::Notification* notification, absl::Duration timeout);
bool __wrap__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
    absl::Notification* notification, absl::Duration timeout) {
  const bool seen =
      __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
          notification, timeout);
  __tsan_acquire(notification);
  return seen;
}

bool __real__ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE(
    absl::Notification* notification, absl::Time deadline);
bool __wrap__ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE(
    absl::Notification* notification, absl::Time deadline) {
  const bool seen =
      __real__ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE(
          notification, deadline);
  __tsan_acquire(notification);
  return seen;
}

bool __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(
    absl::BlockingCounter* counter);
bool __wrap__ZN4absl7debian315BlockingCounter14DecrementCountEv(
    absl::BlockingCounter* counter) {
  __tsan_release(counter);
  return __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(counter);
}

void __real__ZN4absl7debian315BlockingCounter4WaitEv(
    absl::BlockingCounter* counter);
void __wrap__ZN4absl7debian315BlockingCounter4WaitEv(
    absl::BlockingCounter* counter) {
  __real__ZN4absl7debian315BlockingCounter4WaitEv(counter);
  __tsan_acquire(counter);
}

}  // extern "C"
