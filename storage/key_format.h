// The keys of the registry. docs/storage_format.md is the specification.
//
// A key is a table tag of two letters and its fields: names and ids end with a
// zero byte (none may hold one), integers are big-endian, so that byte order is
// the order of the fields. Pure functions.
//
//   RecordKey(Kind::kProgram, "lbm", 3)  == "prlbm\0" + BigEndian(3)
#ifndef PERFVEC_STORAGE_KEY_FORMAT_H_
#define PERFVEC_STORAGE_KEY_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::storage {

// What a store of this build writes; it opens no other (kv_registry.cc).
inline constexpr uint64_t kSchemaVersion = 1;

enum class Kind : char { kProgram = 'p', kArchitecture = 'a', kModel = 'm' };
absl::string_view KindName(Kind kind);  // "program", ...

struct KeyRange {
  std::string begin;
  std::string end;  // not part of it
};
// Every key that begins with `prefix`.
KeyRange PrefixRange(std::string prefix);

std::string BigEndian(uint64_t value);  // 8 bytes
absl::StatusOr<uint64_t> ParseBigEndian(absl::string_view bytes);

std::string SchemaKey();
std::string CountsKey();

// Versioned things. Table tags: kind and one letter.
std::string RecordKey(Kind kind, absl::string_view name, int64_t version);
std::string RecordPrefix(Kind kind, absl::string_view name);
// The record keys of the names that begin with `name_prefix`.
std::string RecordTable(Kind kind, absl::string_view name_prefix = "");
std::string LatestKey(Kind kind, absl::string_view name);
std::string LatestTable(Kind kind, absl::string_view name_prefix = "");
// The highest version ever given to a name; outlives its deletion.
std::string CounterKey(Kind kind, absl::string_view name);
std::string AliasKey(Kind kind, absl::string_view name,
                     absl::string_view alias);
std::string AliasPrefix(Kind kind, absl::string_view name);
// Name and version in a key of the record table; name in one of the latest.
struct NameVersion {
  std::string name;
  int64_t version = 0;
};
absl::StatusOr<NameVersion> ParseRecordKey(absl::string_view key);
absl::StatusOr<std::string> ParseLatestKey(absl::string_view key);

// Models: id -> reference; id -> digests of the weights; the alias "default".
std::string ModelIdKey(absl::string_view model_id);
std::string ModelWeightsKey(absl::string_view model_id);
std::string ModelWeightsTable();
std::string DefaultModelKey();
std::string NameVersionValue(absl::string_view name, int64_t version);
absl::StatusOr<NameVersion> ParseNameVersionValue(absl::string_view value);

// Jobs are keyed by the complement of their number: newest first.
std::string JobKey(uint64_t number);
std::string JobTable();
std::string JobCounterKey();
std::string UnfinishedJobKey(uint64_t number);
std::string UnfinishedJobTable();
std::string ProgramJobKey(absl::string_view program, uint64_t number);
std::string ProgramJobPrefix(absl::string_view program);
std::string LatestJobKey(absl::string_view program, int64_t version,
                         absl::string_view model_id);
std::string LatestJobPrefix(absl::string_view program, int64_t version);
std::string ShardKey(uint64_t job_number, uint32_t shard);
std::string ShardPrefix(uint64_t job_number);
// The number in the last 8 bytes of a job, unfinished job or program job key.
absl::StatusOr<uint64_t> JobNumberOfKey(absl::string_view key);
// "job-17" <-> 17; 0 for what is no job id.
std::string JobId(uint64_t number);
uint64_t ParseJobId(absl::string_view job_id);

std::string VectorKey(absl::string_view model_id, absl::string_view program,
                      int64_t version);
std::string VectorPrefix(absl::string_view model_id);
std::string VectorTable();
std::string PartsKey(absl::string_view model_id, absl::string_view program,
                     int64_t version);

std::string TraceKey(absl::string_view trace_id);
std::string TraceTable();
std::string TraceProgramKey(absl::string_view trace_id, absl::string_view name,
                            int64_t version);
std::string TraceProgramPrefix(absl::string_view trace_id,
                               absl::string_view name);
std::string TraceProgramPrefix(absl::string_view trace_id);
std::string UploadKey(absl::string_view upload_id);
std::string UploadTable();
// `tenant`: whose upload it is, empty: nobody's in particular.
std::string UploadBySha256Key(absl::string_view sha256,
                              absl::string_view tenant = "");

// What is counted for a tenant (tenant.h).
std::string TenantTraceKey(absl::string_view tenant,
                           absl::string_view trace_id);
std::string TenantTracePrefix(absl::string_view tenant);
std::string TenantTraceTable();
std::string TenantUploadKey(absl::string_view tenant,
                            absl::string_view upload_id);
std::string TenantUploadPrefix(absl::string_view tenant);
std::string TenantJobKey(absl::string_view tenant, uint64_t number);
std::string TenantJobPrefix(absl::string_view tenant);
// The two texts that the key of a tenant's trace ends with.
struct TenantTrace {
  std::string tenant, trace_id;
};
absl::StatusOr<TenantTrace> ParseTenantTraceKey(absl::string_view key);

// A key as text for messages: what is not printable as \xNN.
std::string PrintableKey(absl::string_view key);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_KEY_FORMAT_H_
