// The registry: every program, architecture, model, job, trace and vector the
// server knows, with versions, tags and aliases.
//
// One object for the whole server; every method may be called from any thread
// at any time. A write returns only once it is durable (one synced batch), and
// is visible to every later read. After a failed sync the registry refuses
// writes (UNAVAILABLE) until it is opened anew; Healthy() says so.
//
// References follow proto/perfvec/v1/resources.proto: "name", "name@3",
// "name@alias". NOT_FOUND names the nearest known names. A write whose
// `expected_revision` is stale is refused with ABORTED.
//
//   auto registry = OpenRocksDbRegistry({.path = "/var/lib/perfvec/registry"});
//   auto program = (*registry)->CreateProgram(std::move(draft), jobs);
//   auto again = (*registry)->GetProgram("lbm@1");
#ifndef PERFVEC_STORAGE_REGISTRY_H_
#define PERFVEC_STORAGE_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "perfvec/v1/job_service.pb.h"
#include "perfvec/v1/resources.pb.h"
#include "storage/tenant.h"

namespace perfvec::storage {

namespace api = ::perfvec::v1;  // the public messages

template <typename T>
struct Page {
  std::vector<T> items;
  std::string next_page_token;  // empty: the last page
};

struct CreatedProgram {
  api::Program program;
  std::vector<api::Job> jobs;
};

class Registry {
 public:
  virtual ~Registry() = default;

  // --- Programs -----------------------------------------------------------
  // `draft` carries name, trace_id, tags, aliases; the rest is filled in. The
  // same name and trace return the version that is there (aliases and tags
  // merged). `jobs` carry model_id, instructions, shard_instructions, shards;
  // they are queued in the same batch. The trace must exist. `same_parts`: as
  // of CreateJob.
  virtual absl::StatusOr<CreatedProgram> CreateProgram(
      api::Program draft, std::vector<api::Job> jobs,
      bool same_parts = false) = 0;
  virtual absl::StatusOr<api::Program> GetProgram(absl::string_view ref) = 0;
  virtual absl::StatusOr<Page<api::Program>> ListPrograms(
      const api::PageRequest& page, Viewer viewer = std::nullopt) = 0;
  virtual absl::StatusOr<api::Program> UpdateProgram(
      absl::string_view ref, const api::MetadataUpdate& update) = 0;
  // Cancels the program's unfinished jobs and drops its vectors in the same
  // batch. Its trace goes with garbage collection, once nothing refers to it.
  // Returns the versions that were deleted.
  virtual absl::StatusOr<std::vector<api::Program>> DeleteProgram(
      absl::string_view ref, bool all_versions) = 0;

  // --- Architectures ------------------------------------------------------
  // A draft that the latest version does not contradict (attributes, price,
  // power, vectors) returns that version, with tags and aliases merged and
  // vectors under further models added; any other makes a new version.
  virtual absl::StatusOr<api::Architecture> CreateArchitecture(
      api::Architecture draft) = 0;
  virtual absl::StatusOr<api::Architecture> GetArchitecture(
      absl::string_view ref) = 0;
  virtual absl::StatusOr<Page<api::Architecture>> ListArchitectures(
      const api::PageRequest& page, Viewer viewer = std::nullopt) = 0;
  virtual absl::StatusOr<api::Architecture> UpdateArchitecture(
      absl::string_view ref, const api::UpdateArchitectureRequest& update) = 0;
  virtual absl::StatusOr<std::vector<api::Architecture>> DeleteArchitecture(
      absl::string_view ref, bool all_versions) = 0;

  // --- Models -------------------------------------------------------------
  // `weights_chunks`: chunk-store digests of model.safetensors, in order.
  virtual absl::StatusOr<api::Model> CreateModel(
      api::Model draft, std::vector<std::string> weights_chunks) = 0;
  // Also takes a model id; "" and "default" mean the alias "default", which one
  // model at most has.
  virtual absl::StatusOr<api::Model> GetModel(absl::string_view ref) = 0;
  virtual absl::StatusOr<std::vector<std::string>> GetModelWeightsChunks(
      absl::string_view model_id) = 0;
  virtual absl::StatusOr<Page<api::Model>> ListModels(
      const api::PageRequest& page) = 0;
  virtual absl::StatusOr<api::Model> UpdateModel(
      absl::string_view ref, const api::MetadataUpdate& update) = 0;
  // FAILED_PRECONDITION while unfinished jobs use it; drops its vectors.
  virtual absl::StatusOr<api::Model> DeleteModel(absl::string_view ref) = 0;

  // --- Jobs ---------------------------------------------------------------
  // Returns the unfinished or succeeded job of the same program version and
  // model if there is one. With `same_parts` it must keep the same parts
  // (interval_instructions, by_address): a succeeded one that does not is
  // followed by a new one, an unfinished one is FAILED_PRECONDITION.
  virtual absl::StatusOr<api::Job> CreateJob(api::Job draft,
                                             bool same_parts = false) = 0;
  virtual absl::StatusOr<api::Job> GetJob(absl::string_view job_id) = 0;
  virtual absl::StatusOr<Page<api::Job>> ListJobs(
      const api::ListJobsRequest& request, Viewer viewer = std::nullopt) = 0;
  // Writes `job` if its revision is still the stored one (else ABORTED) and
  // returns it with the new revision.
  virtual absl::StatusOr<api::Job> UpdateJob(api::Job job) = 0;
  // A completed shard, durable: the job's checkpoint. Updates the job in the
  // same batch (same revision rule). A shard that is there already is
  // ALREADY_EXISTS.
  virtual absl::StatusOr<api::Job> PutShard(api::Job job,
                                            const v1::ShardRecord& shard) = 0;
  virtual absl::StatusOr<std::vector<v1::ShardRecord>> ListShards(
      absl::string_view job_id) = 0;
  // Job state SUCCEEDED, the program's vector, its parts (null: none, and none
  // of an earlier job stay), and the end of the job's shard records, in one
  // batch. FAILED_PRECONDITION if the program is gone, a value is not finite,
  // or the model differs from the job's.
  virtual absl::StatusOr<api::Job> FinishJob(
      api::Job job, const v1::ProgramVectorRecord& vector,
      const v1::ProgramPartsRecord* parts = nullptr) = 0;
  virtual absl::StatusOr<std::vector<api::Job>> UnfinishedJobs() = 0;

  // --- Vectors ------------------------------------------------------------
  virtual absl::StatusOr<v1::ProgramVectorRecord> GetProgramVector(
      absl::string_view program_name, int64_t program_version,
      absl::string_view model_id) = 0;
  // NOT_FOUND if none were kept.
  virtual absl::StatusOr<v1::ProgramPartsRecord> GetProgramParts(
      absl::string_view program_name, int64_t program_version,
      absl::string_view model_id) = 0;
  // Calls `visit` for each vector of each model. A stored vector with a NaN or
  // Inf, or of a wrong width, goes to `bad` with what is wrong, not to `visit`.
  virtual absl::Status ForEachProgramVector(
      std::function<void(const v1::ProgramVectorRecord&)> visit,
      std::function<void(absl::Status)> bad) = 0;
  virtual absl::Status ForEachArchitecture(
      std::function<void(const api::Architecture&)> visit,
      std::function<void(absl::Status)> bad) = 0;

  // --- Traces and uploads -------------------------------------------------
  // The trace is everybody's, or with a `tenant` that tenant's and that of
  // others who have uploaded it, too; it is told whose it is by HoldsTrace.
  virtual absl::Status PutTrace(const v1::TraceRecord& trace,
                                absl::string_view finished_upload_id,
                                absl::string_view tenant = "") = 0;
  virtual absl::StatusOr<v1::TraceRecord> GetTrace(
      absl::string_view trace_id) = 0;
  // Whether there is such a trace that is everybody's or this tenant's.
  virtual absl::StatusOr<bool> HoldsTrace(absl::string_view tenant,
                                          absl::string_view trace_id) = 0;
  // `draft_id`: of the draft whose pieces it has taken, which is no longer
  // counted for the tenant. RESOURCE_EXHAUSTED: the tenant's quota.
  virtual absl::Status PutUpload(const v1::UploadRecord& upload,
                                 absl::string_view draft_id = "") = 0;
  virtual absl::StatusOr<v1::UploadRecord> GetUpload(
      absl::string_view upload_id) = 0;
  virtual absl::StatusOr<v1::UploadRecord> FindUpload(
      absl::string_view sha256, absl::string_view tenant = "") = 0;
  virtual absl::Status DeleteUpload(absl::string_view upload_id) = 0;
  virtual absl::StatusOr<std::vector<v1::UploadRecord>> ListUploads() = 0;
  // Drops traces that no program and no unfinished job refers to and that are
  // older than `grace_seconds`; returns their ids. Garbage collection of the
  // chunk store follows from LiveChunks().
  virtual absl::StatusOr<std::vector<std::string>> DeleteUnreferencedTraces(
      int64_t grace_seconds) = 0;
  // Calls `visit` with each 32-byte digest that a trace, upload or model uses.
  virtual absl::Status LiveChunks(
      std::function<void(absl::string_view sha256)> visit) = 0;

  // --- Tenants ------------------------------------------------------------
  // What each may have, from now on; before the first write. Who would have
  // more gets RESOURCE_EXHAUSTED from CreateProgram, CreateArchitecture,
  // CreateJob and PutUpload.
  virtual void SetTenantQuota(const TenantQuota& quota) = 0;

  // --- The store itself ---------------------------------------------------
  struct Counts {
    uint64_t programs = 0, architectures = 0, models = 0, jobs_queued = 0,
             jobs_running = 0, trace_bytes = 0;
  };
  virtual absl::StatusOr<Counts> GetCounts() = 0;
  virtual absl::Status Healthy() = 0;
  // A consistent copy while the registry serves; verified before OK.
  virtual absl::Status Backup(const std::string& directory) = 0;
  // Name and value of the engine's own statistics, for metrics.
  virtual std::vector<std::pair<std::string, double>> Statistics() = 0;
};

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_REGISTRY_H_
