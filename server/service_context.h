// What the service shells work on. The shells hold no state of their own.
//
// Owned by ServerCore, which outlives the services. Any thread.
#ifndef PERFVEC_SERVER_SERVICE_CONTEXT_H_
#define PERFVEC_SERVER_SERVICE_CONTEXT_H_

#include <array>
#include <functional>
#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::storage {
class ChunkStore;
class Registry;
}  // namespace perfvec::storage

namespace perfvec::server {

class Executor;
class JobManager;
class Metrics;
class Predictor;
class ScopeGate;
class StreamLimits;
class UploadManager;

// One writer per name at a time, so that the predictor hears of changes in the
// order in which they were stored.
class NameLocks {
 public:
  absl::Mutex& For(absl::string_view name) {
    return locks_[absl::HashOf(name) % locks_.size()];
  }

 private:
  std::array<absl::Mutex, 64> locks_;
};

struct ServiceContext {
  storage::Registry* registry = nullptr;
  storage::ChunkStore* chunks = nullptr;
  Predictor* predictor = nullptr;
  JobManager* jobs = nullptr;
  UploadManager* uploads = nullptr;
  Metrics* metrics = nullptr;
  Executor* pool = nullptr;  // registry work: milliseconds
  Executor* bulk = nullptr;  // hashing, streaming from disk: seconds
  NameLocks* names = nullptr;
  StreamLimits* streams = nullptr;
  const ScopeGate* gate = nullptr;        // null: everybody may do everything
  std::function<void()> collect_garbage;  // soon, not now
  std::string temporary_directory;
  std::string backup_root;  // backups are made under it only
};

// `from` into a response message.
template <typename T>
absl::Status MoveTo(absl::StatusOr<T> from, T* to) {
  if (!from.ok()) return from.status();
  *to = *std::move(from);
  return absl::OkStatus();
}

// The name of a reference "name", "name@3", "name@alias".
inline absl::string_view RefName(absl::string_view ref) {
  return ref.substr(0, ref.find('@'));
}

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SERVICE_CONTEXT_H_
