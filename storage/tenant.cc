#include "storage/tenant.h"

#include "absl/strings/str_cat.h"
#include "storage/key_format.h"
#include "storage/record_io.h"

namespace perfvec::storage {
namespace {

struct Limit {
  uint64_t most;
  const char* of;    // "programs"
  const char* hint;  // what to do
};

Limit LimitOf(Account account, const TenantQuota& quota) {
  switch (account) {
    case Account::kStoredBytes:
      return {quota.stored_bytes, "bytes of traces (--tenant-max-stored-bytes)",
              "delete programs that are not needed (their traces follow when "
              "--trace-grace-hours have passed), abort uploads"};
    case Account::kPrograms:
      return {quota.programs, "versions of programs (--tenant-max-programs)",
              "delete some that are not needed"};
    case Account::kArchitectures:
      return {quota.programs,
              "versions of architectures (--tenant-max-programs)",
              "delete some that are not needed"};
    case Account::kJobs:
      return {quota.jobs, "unfinished jobs (--tenant-max-jobs)",
              "try again when some have ended, or cancel some"};
    case Account::kUploads:
      return {quota.uploads, "uploads under way (--tenant-max-uploads)",
              "finish or abort some; those without progress expire"};
  }
  return {};
}

absl::Status Count(const OrderedReader& reader, std::string prefix,
                   uint64_t* count) {
  return ScanPrefix(reader, std::move(prefix),
                    [count](absl::string_view, absl::string_view) {
                      ++*count;
                      return absl::OkStatus();
                    });
}

}  // namespace

absl::StatusOr<uint64_t> UseOf(const OrderedReader& reader,
                               absl::string_view tenant, Account account) {
  const std::string names = absl::StrCat(tenant, std::string(1, kTenantMark));
  uint64_t use = 0;
  const auto add_bytes = [&use](absl::string_view,
                                absl::string_view value) -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(const uint64_t bytes,
                             ParseBigEndian(value.substr(0, 8)));
    use += bytes;
    return absl::OkStatus();
  };
  switch (account) {
    case Account::kStoredBytes:
      PERFVEC_RETURN_IF_ERROR(
          ScanPrefix(reader, TenantTracePrefix(tenant), add_bytes));
      PERFVEC_RETURN_IF_ERROR(
          ScanPrefix(reader, TenantUploadPrefix(tenant), add_bytes));
      break;
    case Account::kPrograms:
      PERFVEC_RETURN_IF_ERROR(
          Count(reader, RecordTable(Kind::kProgram, names), &use));
      break;
    case Account::kArchitectures:
      PERFVEC_RETURN_IF_ERROR(
          Count(reader, RecordTable(Kind::kArchitecture, names), &use));
      break;
    case Account::kJobs:
      PERFVEC_RETURN_IF_ERROR(Count(reader, TenantJobPrefix(tenant), &use));
      break;
    case Account::kUploads:
      PERFVEC_RETURN_IF_ERROR(Count(reader, TenantUploadPrefix(tenant), &use));
      break;
  }
  return use;
}

absl::Status CheckTenant(const OrderedReader& reader, absl::string_view tenant,
                         Account account, const TenantQuota& quota) {
  const Limit limit = LimitOf(account, quota);
  if (tenant.empty() || limit.most == 0) return absl::OkStatus();
  PERFVEC_ASSIGN_OR_RETURN(const uint64_t use, UseOf(reader, tenant, account));
  if (use <= limit.most) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the tenant '", tenant, "' may have ", limit.most, " ",
                   limit.of, ", this would make ", use, ": ", limit.hint,
                   ", or ask the operator for more"));
}

absl::StatusOr<bool> ChargeTrace(Transaction& transaction,
                                 absl::string_view tenant,
                                 absl::string_view trace_id,
                                 uint64_t size_bytes, absl::Time now) {
  const std::string key = TenantTraceKey(tenant, trace_id);
  PERFVEC_ASSIGN_OR_RETURN(const std::optional<std::string> there,
                           transaction.Get(key));
  transaction.Put(key,
                  BigEndian(size_bytes) + BigEndian(absl::ToUnixSeconds(now)));
  return !there.has_value();
}

absl::StatusOr<Charge> ParseCharge(absl::string_view value) {
  if (value.size() != 16) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected 16 bytes, found ", value.size()));
  }
  Charge charge;
  PERFVEC_ASSIGN_OR_RETURN(charge.size_bytes,
                           ParseBigEndian(value.substr(0, 8)));
  PERFVEC_ASSIGN_OR_RETURN(const uint64_t seconds,
                           ParseBigEndian(value.substr(8)));
  charge.time = absl::FromUnixSeconds(static_cast<int64_t>(seconds));
  return charge;
}

}  // namespace perfvec::storage
