// The foundation models a worker can compute with, by model id.
//
// A model comes from a directory named at start, from the cache on disk, or
// from the server, which then fills the cache. Whatever its way, its id is
// computed from its content before use: a model that is not the one asked for
// is an error, a damaged one in the cache is fetched anew. Holds at most
// `held_models` fetched ones in memory and `cached_models` on disk; those
// unused for longest go. Several workers may share a cache directory.
//
// One thread at a time.
//
//   auto store = ModelStore::Open({.directories = {"deploy/models/default"},
//                                  .cache_directory = "/var/cache/perfvec"});
//   auto model = (*store)->Get(lease.model_id(), &server, &interrupt);
#ifndef PERFVEC_WORKER_AGENT_MODEL_STORE_H_
#define PERFVEC_WORKER_AGENT_MODEL_STORE_H_

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/agent/interrupt.h"
#include "worker/agent/server_connection.h"
#include "worker/model/foundation_model.h"

namespace perfvec::worker {

struct ModelStoreOptions {
  std::vector<std::string> directories = {};
  std::string cache_directory = {};  // empty: nothing is kept on disk
  size_t held_models = 4;
  size_t cached_models = 16;
};

class ModelStore {
 public:
  using ModelPtr = std::shared_ptr<const compute::FoundationModel>;

  // Loads every directory; an error names the one that is not a model.
  static absl::StatusOr<std::unique_ptr<ModelStore>> Open(
      ModelStoreOptions options);

  // NOT_FOUND: the server does not know it. DATA_LOSS: what the server sent is
  // not that model. A server that is away is waited for, up to five minutes.
  absl::StatusOr<ModelPtr> Get(const std::string& model_id,
                               ServerConnection* server, Interrupt* interrupt);

 private:
  explicit ModelStore(ModelStoreOptions options)
      : options_(std::move(options)) {}
  absl::StatusOr<ModelPtr> LoadCached(const std::string& model_id);
  absl::StatusOr<ModelPtr> Fetch(const std::string& model_id,
                                 ServerConnection* server,
                                 Interrupt* interrupt);
  void SaveCached(const compute::FoundationModel& model);

  const ModelStoreOptions options_;
  std::vector<ModelPtr> given_;
  std::list<ModelPtr> held_;  // the one used last first
};

}  // namespace perfvec::worker

#endif  // PERFVEC_WORKER_AGENT_MODEL_STORE_H_
