// Tenants: whose a thing is, and how much each may have.
//
// The owner of a program or an architecture is part of its name: "lab~zlib" is
// the tenant lab's, "zlib" is everybody's. A job is its program's. So the owner
// is as durable as the name, whose something is needs no look-up, and no tenant
// can find out whether a name of another is taken.
//
// What a tenant has is counted from keys that are written in the same batch as
// the thing itself (docs/storage_format.md), so that no crash lets the two
// drift apart. Pure functions over a reader or a transaction.
//
//   TenantOf("lab~zlib@3") == "lab";  TenantOf("zlib") == "";
//   PERFVEC_RETURN_IF_ERROR(
//       CheckTenant(transaction, "lab", Account::kPrograms, quota));
#ifndef PERFVEC_STORAGE_TENANT_H_
#define PERFVEC_STORAGE_TENANT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace perfvec::storage {

class OrderedReader;
class Transaction;

// Between tenant and name. In no tenant's name, and in none of anything else.
inline constexpr char kTenantMark = '~';

// Of a name or a reference; empty: everybody's.
inline absl::string_view TenantOf(absl::string_view name) {
  const size_t mark = name.find(kTenantMark);
  return mark == absl::string_view::npos ? absl::string_view()
                                         : name.substr(0, mark);
}
// Whether who asked for `wanted` may be told of `other`.
inline bool MayHint(absl::string_view wanted, absl::string_view other) {
  const absl::string_view tenant = TenantOf(other);
  return tenant.empty() || tenant == TenantOf(wanted);
}

// Who looks at a listing: the tenant whose things are listed beside everybody's
// (empty: those alone); no value: all are.
using Viewer = std::optional<absl::string_view>;

// What each tenant may have; 0: no limit. What has no tenant is bounded by the
// limits of the server alone.
struct TenantQuota {
  uint64_t stored_bytes = 0;  // of its traces, and promised to its uploads
  uint64_t programs = 0;      // versions; and as many of architectures
  uint64_t jobs = 0;          // unfinished
  uint64_t uploads = 0;       // under way
  bool any() const { return stored_bytes + programs + jobs + uploads > 0; }
};

enum class Account { kStoredBytes, kPrograms, kArchitectures, kJobs, kUploads };

// How much `tenant` has.
absl::StatusOr<uint64_t> UseOf(const OrderedReader& reader,
                               absl::string_view tenant, Account account);
// RESOURCE_EXHAUSTED if that is more than its quota: for a transaction that has
// added to the account. An empty tenant has no limit.
absl::Status CheckTenant(const OrderedReader& reader, absl::string_view tenant,
                         Account account, const TenantQuota& quota);

// Counts the trace for the tenant from now on. True: it was not before.
absl::StatusOr<bool> ChargeTrace(Transaction& transaction,
                                 absl::string_view tenant,
                                 absl::string_view trace_id,
                                 uint64_t size_bytes, absl::Time now);
struct Charge {
  uint64_t size_bytes = 0;
  absl::Time time;
};
// INVALID_ARGUMENT: not what ChargeTrace writes.
absl::StatusOr<Charge> ParseCharge(absl::string_view value);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_TENANT_H_
