// The Registry over an OrderedStore: what memory_registry and rocksdb_registry
// both are. Reads go through snapshots and wait for nobody; writes are
// transactions of the committer. See registry.h for the contract.
//
//   auto registry = KvRegistry::Open(NewMemoryStore(), absl::Now);
#ifndef PERFVEC_STORAGE_KV_REGISTRY_H_
#define PERFVEC_STORAGE_KV_REGISTRY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "storage/committer.h"
#include "storage/ordered_store.h"
#include "storage/registry.h"

namespace perfvec::storage {

class KvRegistry : public Registry {
 public:
  // Writes the schema version into an empty store; FAILED_PRECONDITION for a
  // store of another version.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(
      std::unique_ptr<OrderedStore> store, std::function<absl::Time()> now);

  absl::StatusOr<CreatedProgram> CreateProgram(api::Program draft,
                                               std::vector<api::Job> jobs,
                                               bool same_parts) override;
  absl::StatusOr<api::Program> GetProgram(absl::string_view ref) override;
  absl::StatusOr<Page<api::Program>> ListPrograms(const api::PageRequest& page,
                                                  Viewer viewer) override;
  absl::StatusOr<api::Program> UpdateProgram(
      absl::string_view ref, const api::MetadataUpdate& update) override;
  absl::StatusOr<std::vector<api::Program>> DeleteProgram(
      absl::string_view ref, bool all_versions) override;

  absl::StatusOr<api::Architecture> CreateArchitecture(
      api::Architecture draft) override;
  absl::StatusOr<api::Architecture> GetArchitecture(
      absl::string_view ref) override;
  absl::StatusOr<Page<api::Architecture>> ListArchitectures(
      const api::PageRequest& page, Viewer viewer) override;
  absl::StatusOr<api::Architecture> UpdateArchitecture(
      absl::string_view ref,
      const api::UpdateArchitectureRequest& update) override;
  absl::StatusOr<std::vector<api::Architecture>> DeleteArchitecture(
      absl::string_view ref, bool all_versions) override;

  absl::StatusOr<api::Model> CreateModel(
      api::Model draft, std::vector<std::string> weights_chunks) override;
  absl::StatusOr<api::Model> GetModel(absl::string_view ref) override;
  absl::StatusOr<std::vector<std::string>> GetModelWeightsChunks(
      absl::string_view model_id) override;
  absl::StatusOr<Page<api::Model>> ListModels(
      const api::PageRequest& page) override;
  absl::StatusOr<api::Model> UpdateModel(
      absl::string_view ref, const api::MetadataUpdate& update) override;
  absl::StatusOr<api::Model> DeleteModel(absl::string_view ref) override;

  absl::StatusOr<api::Job> CreateJob(api::Job draft, bool same_parts) override;
  absl::StatusOr<api::Job> GetJob(absl::string_view job_id) override;
  absl::StatusOr<Page<api::Job>> ListJobs(const api::ListJobsRequest& request,
                                          Viewer viewer) override;
  absl::StatusOr<api::Job> UpdateJob(api::Job job) override;
  absl::StatusOr<api::Job> PutShard(api::Job job,
                                    const v1::ShardRecord& shard) override;
  absl::StatusOr<std::vector<v1::ShardRecord>> ListShards(
      absl::string_view job_id) override;
  absl::StatusOr<api::Job> FinishJob(
      api::Job job, const v1::ProgramVectorRecord& vector,
      const v1::ProgramPartsRecord* parts) override;
  absl::StatusOr<std::vector<api::Job>> UnfinishedJobs() override;

  absl::StatusOr<v1::ProgramVectorRecord> GetProgramVector(
      absl::string_view program_name, int64_t program_version,
      absl::string_view model_id) override;
  absl::StatusOr<v1::ProgramPartsRecord> GetProgramParts(
      absl::string_view program_name, int64_t program_version,
      absl::string_view model_id) override;
  absl::Status ForEachProgramVector(
      std::function<void(const v1::ProgramVectorRecord&)> visit,
      std::function<void(absl::Status)> bad) override;
  absl::Status ForEachArchitecture(
      std::function<void(const api::Architecture&)> visit,
      std::function<void(absl::Status)> bad) override;

  absl::Status PutTrace(const v1::TraceRecord& trace,
                        absl::string_view finished_upload_id,
                        absl::string_view tenant) override;
  absl::StatusOr<bool> HoldsTrace(absl::string_view tenant,
                                  absl::string_view trace_id) override;
  absl::StatusOr<v1::TraceRecord> GetTrace(absl::string_view trace_id) override;
  absl::Status PutUpload(const v1::UploadRecord& upload,
                         absl::string_view draft_id) override;
  absl::StatusOr<v1::UploadRecord> GetUpload(
      absl::string_view upload_id) override;
  absl::StatusOr<v1::UploadRecord> FindUpload(
      absl::string_view sha256, absl::string_view tenant) override;
  absl::Status DeleteUpload(absl::string_view upload_id) override;
  absl::StatusOr<std::vector<v1::UploadRecord>> ListUploads() override;
  absl::StatusOr<std::vector<std::string>> DeleteUnreferencedTraces(
      int64_t grace_seconds) override;
  absl::Status LiveChunks(
      std::function<void(absl::string_view sha256)> visit) override;

  void SetTenantQuota(const TenantQuota& quota) override { quota_ = quota; }

  absl::StatusOr<Counts> GetCounts() override;
  absl::Status Healthy() override { return store_->Healthy(); }
  absl::Status Backup(const std::string& directory) override {
    return store_->Backup(directory);
  }
  std::vector<std::pair<std::string, double>> Statistics() override {
    return store_->Statistics();
  }

 private:
  KvRegistry(std::unique_ptr<OrderedStore> store,
             std::function<absl::Time()> now)
      : store_(std::move(store)), committer_(store_.get()), now_(now) {}

  std::unique_ptr<OrderedReader> View() const { return store_->Snapshot(); }

  const std::unique_ptr<OrderedStore> store_;
  Committer committer_;
  const std::function<absl::Time()> now_;
  TenantQuota quota_;
};

// --- Shared by the sources of KvRegistry ------------------------------------

// Adds to the counts that the store keeps beside the records.
struct CountsChange {
  int64_t programs = 0, architectures = 0, models = 0, jobs_queued = 0,
          jobs_running = 0, trace_bytes = 0;
};
absl::Status ChangeCounts(Transaction& transaction, const CountsChange& change);

// The model of an id, whatever its name; NOT_FOUND names near ones.
absl::StatusOr<api::Model> ModelOfId(const OrderedReader& reader,
                                     absl::string_view model_id);
absl::StatusOr<std::optional<api::Model>> FindModelOfId(
    const OrderedReader& reader, absl::string_view model_id);

// Queues `draft` for `program`, or returns the job that makes it needless.
absl::StatusOr<api::Job> QueueJob(Transaction& transaction, absl::Time now,
                                  const api::Program& program, api::Job draft,
                                  bool same_parts, const TenantQuota& quota);
// Ends every unfinished job of the program version and forgets which jobs made
// its vectors.
absl::Status CancelJobsOfProgram(Transaction& transaction, absl::Time now,
                                 const api::Program& program);

// Whether `values` is a vector of the model: width and finite values.
absl::Status CheckVector(absl::string_view whose, absl::string_view model_id,
                         std::optional<uint32_t> width,
                         const google::protobuf::RepeatedField<double>& values);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_KV_REGISTRY_H_
