#include "storage/kv_registry.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "storage/key_format.h"
#include "storage/record_io.h"

namespace perfvec::storage {
namespace {

// Value of CountsKey(): these, each 8 bytes big-endian, in this order.
using CountsMember = uint64_t Registry::Counts::*;
constexpr CountsMember kCountsMembers[] = {
    &Registry::Counts::programs,     &Registry::Counts::architectures,
    &Registry::Counts::models,       &Registry::Counts::jobs_queued,
    &Registry::Counts::jobs_running, &Registry::Counts::trace_bytes};

absl::StatusOr<Registry::Counts> ReadCounts(const OrderedReader& reader) {
  Registry::Counts counts;
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> value,
                           reader.Get(CountsKey()));
  if (!value) return counts;
  if (value->size() != 8 * std::size(kCountsMembers)) {
    return CorruptRecord(
        CountsKey(), absl::StrCat("expected 48 bytes, found ", value->size()));
  }
  size_t at = 0;
  for (CountsMember member : kCountsMembers) {
    PERFVEC_ASSIGN_OR_RETURN(
        counts.*member,
        ParseBigEndian(absl::string_view(*value).substr(at, 8)));
    at += 8;
  }
  return counts;
}

absl::Status CheckSchema(Committer& committer) {
  return committer.Run([](Transaction& transaction) -> absl::Status {
    PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> value,
                             transaction.Get(SchemaKey()));
    if (!value) {
      transaction.Put(SchemaKey(), BigEndian(kSchemaVersion));
      return absl::OkStatus();
    }
    PERFVEC_ASSIGN_OR_RETURN(uint64_t version, ParseBigEndian(*value));
    if (version == kSchemaVersion) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("registry: schema version ", version,
                     ", this build reads ", kSchemaVersion, "; ",
                     version > kSchemaVersion
                         ? "open it with the newer release that wrote it"
                         : "open it once with the release that migrates it "
                           "(docs/storage_format.md, Schema versions)"));
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> KvRegistry::Open(
    std::unique_ptr<OrderedStore> store, std::function<absl::Time()> now) {
  auto registry = absl::WrapUnique(
      new KvRegistry(std::move(store), now ? std::move(now) : absl::Now));
  PERFVEC_RETURN_IF_ERROR(CheckSchema(registry->committer_));
  return registry;
}

absl::StatusOr<Registry::Counts> KvRegistry::GetCounts() {
  return ReadCounts(*View());
}

absl::Status ChangeCounts(Transaction& transaction,
                          const CountsChange& change) {
  PERFVEC_ASSIGN_OR_RETURN(Registry::Counts counts, ReadCounts(transaction));
  counts.programs += change.programs;
  counts.architectures += change.architectures;
  counts.models += change.models;
  counts.jobs_queued += change.jobs_queued;
  counts.jobs_running += change.jobs_running;
  counts.trace_bytes += change.trace_bytes;
  std::string value;
  for (CountsMember member : kCountsMembers)
    absl::StrAppend(&value, BigEndian(counts.*member));
  transaction.Put(CountsKey(), std::move(value));
  return absl::OkStatus();
}

}  // namespace perfvec::storage
