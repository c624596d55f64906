// Messages to and from an OrderedReader and a Transaction; times; small errors
// that every table words the same.
//
//   PERFVEC_ASSIGN_OR_RETURN(std::optional<v1::TraceRecord> trace,
//                            GetMessage<v1::TraceRecord>(view, TraceKey(id)));
#ifndef PERFVEC_STORAGE_RECORD_IO_H_
#define PERFVEC_STORAGE_RECORD_IO_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"
#include "storage/committer.h"
#include "storage/key_format.h"
#include "storage/status_macros.h"

namespace perfvec::storage {

inline google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp result;
  const int64_t nanoseconds = absl::ToUnixNanos(time);
  result.set_seconds(nanoseconds / 1'000'000'000);
  result.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  return result;
}

inline absl::Time FromTimestamp(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

inline absl::Status CorruptRecord(absl::string_view key,
                                  absl::string_view found) {
  return absl::DataLossError(absl::StrCat(
      "registry: record '", PrintableKey(key), "': ", found,
      "; restore the registry from a backup (docs/storage_format.md)"));
}

template <typename Message>
absl::StatusOr<Message> ParseMessage(absl::string_view key,
                                     absl::string_view value) {
  Message message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return CorruptRecord(
        key, absl::StrCat("expected a ", Message::descriptor()->full_name(),
                          ", found ", value.size(), " other bytes"));
  }
  return message;
}

// Absent: there is no such key.
template <typename Message>
absl::StatusOr<std::optional<Message>> GetMessage(const OrderedReader& reader,
                                                  const std::string& key) {
  PERFVEC_ASSIGN_OR_RETURN(std::optional<std::string> value, reader.Get(key));
  if (!value) return std::optional<Message>();
  PERFVEC_ASSIGN_OR_RETURN(Message message, ParseMessage<Message>(key, *value));
  return std::optional<Message>(std::move(message));
}

template <typename Message>
void PutMessage(Transaction& transaction, std::string key,
                const Message& message) {
  transaction.Put(std::move(key), message.SerializeAsString());
}

// Scan whose visitor can fail: the first error ends it and is returned.
template <typename Visit>
absl::Status ScanPrefix(const OrderedReader& reader, std::string prefix,
                        Visit visit) {
  const KeyRange range = PrefixRange(std::move(prefix));
  absl::Status failure;
  PERFVEC_RETURN_IF_ERROR(
      reader.Scan(range.begin, range.end,
                  [&](absl::string_view key, absl::string_view value) {
                    failure = visit(key, value);
                    return failure.ok();
                  }));
  return failure;
}

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_RECORD_IO_H_
