#include "storage/key_format.h"

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace perfvec::storage {
namespace {

constexpr size_t kTagBytes = 2;
constexpr absl::string_view kJobIdPrefix = "job-";

std::string Table(Kind kind, char letter) {
  return {static_cast<char>(kind), letter};
}

std::string Terminated(absl::string_view text) {
  std::string result(text);
  result.push_back('\0');
  return result;
}

absl::Status Malformed(absl::string_view what, absl::string_view bytes) {
  return absl::DataLossError(absl::StrCat("registry: malformed ", what, " '",
                                          PrintableKey(bytes), "'"));
}

}  // namespace

absl::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kProgram:
      return "program";
    case Kind::kArchitecture:
      return "architecture";
    case Kind::kModel:
      return "model";
  }
  return "object";
}

KeyRange PrefixRange(std::string prefix) {
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) {
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  }
  return {std::move(prefix), std::move(end)};
}

std::string BigEndian(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i, value >>= 8)
    bytes[i] = static_cast<char>(value & 0xff);
  return bytes;
}

absl::StatusOr<uint64_t> ParseBigEndian(absl::string_view bytes) {
  if (bytes.size() != 8) return Malformed("8-byte integer", bytes);
  uint64_t value = 0;
  for (unsigned char byte : bytes) value = value << 8 | byte;
  return value;
}

std::string SchemaKey() { return "!schema"; }
std::string CountsKey() { return "!counts"; }

std::string RecordKey(Kind kind, absl::string_view name, int64_t version) {
  return RecordPrefix(kind, name) + BigEndian(version);
}
std::string RecordPrefix(Kind kind, absl::string_view name) {
  return Table(kind, 'r') + Terminated(name);
}
std::string RecordTable(Kind kind, absl::string_view name_prefix) {
  return absl::StrCat(Table(kind, 'r'), name_prefix);
}
std::string LatestKey(Kind kind, absl::string_view name) {
  return Table(kind, 'l') + Terminated(name);
}
std::string LatestTable(Kind kind, absl::string_view name_prefix) {
  return absl::StrCat(Table(kind, 'l'), name_prefix);
}
std::string CounterKey(Kind kind, absl::string_view name) {
  return Table(kind, 'c') + Terminated(name);
}
std::string AliasKey(Kind kind, absl::string_view name,
                     absl::string_view alias) {
  return AliasPrefix(kind, name) + Terminated(alias);
}
std::string AliasPrefix(Kind kind, absl::string_view name) {
  return Table(kind, 'a') + Terminated(name);
}

absl::StatusOr<NameVersion> ParseRecordKey(absl::string_view key) {
  if (key.size() < kTagBytes) return Malformed("record key", key);
  absl::StatusOr<NameVersion> parsed =
      ParseNameVersionValue(key.substr(kTagBytes));
  if (!parsed.ok()) return Malformed("record key", key);
  return parsed;
}

absl::StatusOr<std::string> ParseLatestKey(absl::string_view key) {
  if (key.size() <= kTagBytes + 1 || key.back() != '\0')
    return Malformed("latest-version key", key);
  return std::string(key.substr(kTagBytes, key.size() - kTagBytes - 1));
}

std::string ModelIdKey(absl::string_view model_id) {
  return "mi" + Terminated(model_id);
}
std::string ModelWeightsKey(absl::string_view model_id) {
  return ModelWeightsTable() + Terminated(model_id);
}
std::string ModelWeightsTable() { return "mw"; }
std::string DefaultModelKey() { return "md"; }

std::string NameVersionValue(absl::string_view name, int64_t version) {
  return Terminated(name) + BigEndian(version);
}

absl::StatusOr<NameVersion> ParseNameVersionValue(absl::string_view value) {
  if (value.size() < 10 || value[value.size() - 9] != '\0')
    return Malformed("name and version", value);
  absl::StatusOr<uint64_t> version =
      ParseBigEndian(value.substr(value.size() - 8));
  if (!version.ok()) return version.status();
  return NameVersion{std::string(value.substr(0, value.size() - 9)),
                     static_cast<int64_t>(*version)};
}

std::string JobKey(uint64_t number) { return JobTable() + BigEndian(~number); }
std::string JobTable() { return "jr"; }
std::string JobCounterKey() { return "jc"; }
std::string UnfinishedJobKey(uint64_t number) {
  return UnfinishedJobTable() + BigEndian(~number);
}
std::string UnfinishedJobTable() { return "ju"; }
std::string ProgramJobKey(absl::string_view program, uint64_t number) {
  return ProgramJobPrefix(program) + BigEndian(~number);
}
std::string ProgramJobPrefix(absl::string_view program) {
  return "jp" + Terminated(program);
}
std::string LatestJobKey(absl::string_view program, int64_t version,
                         absl::string_view model_id) {
  return LatestJobPrefix(program, version) + Terminated(model_id);
}
std::string LatestJobPrefix(absl::string_view program, int64_t version) {
  return "jl" + Terminated(program) + BigEndian(version);
}
std::string ShardKey(uint64_t job_number, uint32_t shard) {
  return ShardPrefix(job_number) + BigEndian(shard);
}
std::string ShardPrefix(uint64_t job_number) {
  return "js" + BigEndian(job_number);
}

absl::StatusOr<uint64_t> JobNumberOfKey(absl::string_view key) {
  if (key.size() < kTagBytes + 8) return Malformed("job key", key);
  absl::StatusOr<uint64_t> number = ParseBigEndian(key.substr(key.size() - 8));
  if (!number.ok()) return number.status();
  return ~*number;
}

std::string JobId(uint64_t number) {
  return absl::StrCat(kJobIdPrefix, number);
}

uint64_t ParseJobId(absl::string_view job_id) {
  uint64_t number = 0;
  if (!absl::StartsWith(job_id, kJobIdPrefix) ||
      !absl::SimpleAtoi(job_id.substr(kJobIdPrefix.size()), &number) ||
      JobId(number) != job_id)
    return 0;
  return number;
}

std::string VectorKey(absl::string_view model_id, absl::string_view program,
                      int64_t version) {
  return VectorPrefix(model_id) + NameVersionValue(program, version);
}
std::string VectorPrefix(absl::string_view model_id) {
  return VectorTable() + Terminated(model_id);
}
std::string VectorTable() { return "vr"; }
std::string PartsKey(absl::string_view model_id, absl::string_view program,
                     int64_t version) {
  return absl::StrCat("vp", Terminated(model_id),
                      NameVersionValue(program, version));
}

std::string TraceKey(absl::string_view trace_id) {
  return TraceTable() + Terminated(trace_id);
}
std::string TraceTable() { return "tr"; }
std::string TraceProgramKey(absl::string_view trace_id, absl::string_view name,
                            int64_t version) {
  return TraceProgramPrefix(trace_id, name) + BigEndian(version);
}
std::string TraceProgramPrefix(absl::string_view trace_id,
                               absl::string_view name) {
  return TraceProgramPrefix(trace_id) + Terminated(name);
}
std::string TraceProgramPrefix(absl::string_view trace_id) {
  return "tp" + Terminated(trace_id);
}
std::string UploadKey(absl::string_view upload_id) {
  return UploadTable() + Terminated(upload_id);
}
std::string UploadTable() { return "ur"; }
std::string UploadBySha256Key(absl::string_view sha256,
                              absl::string_view tenant) {
  return "us" + Terminated(tenant.empty() ? std::string(sha256)
                                          : absl::StrCat(tenant, "~", sha256));
}

std::string TenantTraceKey(absl::string_view tenant,
                           absl::string_view trace_id) {
  return TenantTracePrefix(tenant) + Terminated(trace_id);
}
std::string TenantTracePrefix(absl::string_view tenant) {
  return TenantTraceTable() + Terminated(tenant);
}
std::string TenantTraceTable() { return "tt"; }
std::string TenantUploadKey(absl::string_view tenant,
                            absl::string_view upload_id) {
  return TenantUploadPrefix(tenant) + Terminated(upload_id);
}
std::string TenantUploadPrefix(absl::string_view tenant) {
  return "tu" + Terminated(tenant);
}
std::string TenantJobKey(absl::string_view tenant, uint64_t number) {
  return TenantJobPrefix(tenant) + BigEndian(~number);
}
std::string TenantJobPrefix(absl::string_view tenant) {
  return "tj" + Terminated(tenant);
}

absl::StatusOr<TenantTrace> ParseTenantTraceKey(absl::string_view key) {
  const size_t end = key.find('\0');
  if (key.size() <= kTagBytes || end == absl::string_view::npos ||
      end + 2 > key.size() || key.back() != '\0') {
    return Malformed("key of a tenant's trace", key);
  }
  return TenantTrace{std::string(key.substr(kTagBytes, end - kTagBytes)),
                     std::string(key.substr(end + 1, key.size() - end - 2))};
}

std::string PrintableKey(absl::string_view key) {
  return absl::CHexEscape(key);
}

}  // namespace perfvec::storage
