// One table of named, versioned things: programs, architectures or models. It
// keeps record, latest version, version counter and aliases in step; what else
// belongs to a thing is the caller's (kv_registry_*.cc).
//
// No state: every function reads through the reader or transaction it is given,
// so it may be called from any thread.
//
//   using Programs = VersionedTable<api::Program, Kind::kProgram>;
//   PERFVEC_ASSIGN_OR_RETURN(api::Program p, Programs::Resolve(view, "lbm@1"));
//   PERFVEC_RETURN_IF_ERROR(Programs::Update(txn, update, now, &p));
#ifndef PERFVEC_STORAGE_VERSIONED_TABLE_H_
#define PERFVEC_STORAGE_VERSIONED_TABLE_H_

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "storage/record_io.h"
#include "storage/reference.h"
#include "storage/registry.h"
#include "storage/table_listing.h"

namespace perfvec::storage {

template <typename Record, Kind kKind>
class VersionedTable {
 public:
  static absl::StatusOr<std::optional<Record>> Find(const OrderedReader& reader,
                                                    absl::string_view name,
                                                    int64_t version) {
    return GetMessage<Record>(reader, RecordKey(kKind, name, version));
  }

  // Absent: no version of the name is left.
  static absl::StatusOr<std::optional<int64_t>> LatestVersion(
      const OrderedReader& reader, absl::string_view name) {
    return GetVersion(reader, LatestKey(kKind, name));
  }

  static absl::StatusOr<Record> Resolve(const OrderedReader& reader,
                                        absl::string_view reference) {
    PERFVEC_ASSIGN_OR_RETURN(Reference ref,
                             ParseReference(KindName(kKind), reference));
    std::optional<int64_t> version;
    if (ref.version > 0) {
      version = ref.version;
    } else if (!ref.alias.empty()) {
      PERFVEC_ASSIGN_OR_RETURN(
          version, GetVersion(reader, AliasKey(kKind, ref.name, ref.alias)));
    } else {
      PERFVEC_ASSIGN_OR_RETURN(version, LatestVersion(reader, ref.name));
    }
    if (version) {
      PERFVEC_ASSIGN_OR_RETURN(std::optional<Record> record,
                               Find(reader, ref.name, *version));
      if (record) return *std::move(record);
    }
    return DescribeNotFound(reader, kKind, ref);
  }

  static absl::StatusOr<Page<Record>> List(const OrderedReader& reader,
                                           const api::PageRequest& request,
                                           Viewer viewer = std::nullopt) {
    PERFVEC_ASSIGN_OR_RETURN(
        ListedRecords listed,
        ListRecords(reader, kKind, request, &Accept, viewer));
    Page<Record> page;
    page.next_page_token = std::move(listed.next_page_token);
    page.items.reserve(listed.records.size());
    for (auto& [key, value] : listed.records) {
      PERFVEC_ASSIGN_OR_RETURN(Record record, ParseMessage<Record>(key, value));
      page.items.push_back(std::move(record));
    }
    return page;
  }

  static absl::StatusOr<std::vector<Record>> AllVersions(
      const OrderedReader& reader, absl::string_view name) {
    std::vector<Record> records;
    PERFVEC_RETURN_IF_ERROR(ScanPrefix(
        reader, RecordPrefix(kKind, name),
        [&](absl::string_view key, absl::string_view value) -> absl::Status {
          PERFVEC_ASSIGN_OR_RETURN(Record record,
                                   ParseMessage<Record>(key, value));
          records.push_back(std::move(record));
          return absl::OkStatus();
        }));
    return records;
  }

  // Stores *record as the next version of its name, its aliases and tags
  // included. True: it is the name's only version.
  static absl::StatusOr<bool> Insert(Transaction& transaction, absl::Time now,
                                     Record* record) {
    const std::string& name = record->name();
    PERFVEC_RETURN_IF_ERROR(ValidateName(KindName(kKind), name));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<int64_t> latest,
                             LatestVersion(transaction, name));
    PERFVEC_ASSIGN_OR_RETURN(std::optional<int64_t> last,
                             GetVersion(transaction, CounterKey(kKind, name)));
    api::MetadataUpdate metadata;
    metadata.mutable_set_tags()->swap(*record->mutable_tags());
    metadata.mutable_add_aliases()->Swap(record->mutable_aliases());
    record->set_version(last.value_or(0) + 1);
    record->set_revision(0);
    *record->mutable_create_time() = ToTimestamp(now);
    transaction.Put(CounterKey(kKind, name), BigEndian(record->version()));
    transaction.Put(LatestKey(kKind, name), BigEndian(record->version()));
    PERFVEC_RETURN_IF_ERROR(Update(transaction, metadata, now, record));
    return !latest.has_value();
  }

  // Applies `update` to *record and stores it; an alias leaves the version that
  // had it.
  static absl::Status Update(Transaction& transaction,
                             const api::MetadataUpdate& update, absl::Time now,
                             Record* record) {
    const std::string& name = record->name();
    PERFVEC_RETURN_IF_ERROR(CheckRevision(kKind, name, record->version(),
                                          update.expected_revision(),
                                          record->revision()));
    PERFVEC_RETURN_IF_ERROR(UpdateTags(update, record->mutable_tags()));
    for (const std::string& alias : update.remove_aliases()) {
      if (DropAlias(record, alias))
        transaction.Delete(AliasKey(kKind, name, alias));
    }
    for (const std::string& alias : update.add_aliases()) {
      PERFVEC_RETURN_IF_ERROR(ValidateAlias(alias));
      const std::string key = AliasKey(kKind, name, alias);
      PERFVEC_ASSIGN_OR_RETURN(std::optional<int64_t> holder,
                               GetVersion(transaction, key));
      if (holder && *holder != record->version()) {
        PERFVEC_ASSIGN_OR_RETURN(std::optional<Record> other,
                                 Find(transaction, name, *holder));
        if (other && DropAlias(&*other, alias))
          Store(transaction, now, &*other);
      }
      DropAlias(record, alias);
      record->add_aliases(alias);
      transaction.Put(key, BigEndian(record->version()));
    }
    if (record->aliases_size() > kMaxAliases) {
      return absl::InvalidArgumentError(
          absl::StrCat(KindName(kKind), " '", name, "': at most ", kMaxAliases,
                       " aliases, found ", record->aliases_size()));
    }
    Store(transaction, now, record);
    return absl::OkStatus();
  }

  // Writes *record with a new revision and update time.
  static void Store(Transaction& transaction, absl::Time now, Record* record) {
    record->set_revision(record->revision() + 1);
    *record->mutable_update_time() = ToTimestamp(now);
    PutMessage(transaction, RecordKey(kKind, record->name(), record->version()),
               *record);
  }

  // Removes `versions`, all of one name. True: no version of it is left.
  static absl::StatusOr<bool> Erase(Transaction& transaction,
                                    const std::vector<Record>& versions) {
    if (versions.empty()) return false;
    const std::string& name = versions.front().name();
    for (const Record& record : versions) {
      transaction.Delete(RecordKey(kKind, name, record.version()));
      for (const std::string& alias : record.aliases())
        transaction.Delete(AliasKey(kKind, name, alias));
    }
    int64_t latest = 0;
    PERFVEC_RETURN_IF_ERROR(ScanPrefix(
        transaction, RecordPrefix(kKind, name),
        [&](absl::string_view key, absl::string_view) -> absl::Status {
          PERFVEC_ASSIGN_OR_RETURN(NameVersion parsed, ParseRecordKey(key));
          latest = parsed.version;
          return absl::OkStatus();
        }));
    if (latest == 0) {
      transaction.Delete(LatestKey(kKind, name));
    } else {
      transaction.Put(LatestKey(kKind, name), BigEndian(latest));
    }
    return latest == 0;
  }

  // The tags and aliases of a draft, as an update of the version that is there.
  static api::MetadataUpdate MetadataOf(const Record& draft) {
    api::MetadataUpdate update;
    *update.mutable_set_tags() = draft.tags();
    *update.mutable_add_aliases() = draft.aliases();
    return update;
  }

  // True: an update made by MetadataOf would leave the record as it is.
  static bool IsApplied(const api::MetadataUpdate& update,
                        const Record& record) {
    for (const auto& [key, value] : update.set_tags()) {
      auto tag = record.tags().find(key);
      if (tag == record.tags().end() || tag->second != value) return false;
    }
    const auto& aliases = record.aliases();
    return std::all_of(update.add_aliases().begin(), update.add_aliases().end(),
                       [&](const std::string& alias) {
                         return std::find(aliases.begin(), aliases.end(),
                                          alias) != aliases.end();
                       });
  }

  static bool DropAlias(Record* record, absl::string_view alias) {
    auto* aliases = record->mutable_aliases();
    auto found = std::find(aliases->begin(), aliases->end(), alias);
    if (found == aliases->end()) return false;
    aliases->erase(found);
    return true;
  }

 private:
  static absl::StatusOr<std::optional<int64_t>> GetVersion(
      const OrderedReader& reader, const std::string& key) {
    PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> value, reader.Get(key));
    if (!value) return std::optional<int64_t>();
    PERFVEC_ASSIGN_OR_RETURN(uint64_t version, ParseBigEndian(*value));
    return std::optional<int64_t>(static_cast<int64_t>(version));
  }

  // Whether the record in `value` has all the tags asked for.
  static absl::StatusOr<bool> Accept(absl::string_view key,
                                     absl::string_view value,
                                     const api::PageRequest& request) {
    PERFVEC_ASSIGN_OR_RETURN(Record record, ParseMessage<Record>(key, value));
    for (const auto& [tag, wanted] : request.tags()) {
      auto found = record.tags().find(tag);
      if (found == record.tags().end() || found->second != wanted) return false;
    }
    return true;
  }
};

using Programs = VersionedTable<api::Program, Kind::kProgram>;
using Architectures = VersionedTable<api::Architecture, Kind::kArchitecture>;
using Models = VersionedTable<api::Model, Kind::kModel>;

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_VERSIONED_TABLE_H_
