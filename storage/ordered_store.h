// An ordered map of bytes to bytes with consistent snapshots and atomic,
// durable batches: all that the registry asks of an engine. Two engines:
// RocksDB (rocksdb_store.h) and memory (memory_store.h).
//
// Every method may be called from any thread. A snapshot sees the state at the
// moment it was made, whatever is written after; it must not outlive its store.
//
//   WriteBatch batch;
//   batch.Put("a", "1");
//   absl::Status status = store->Write(batch);  // durable when OK
//   auto view = store->Snapshot();
//   view->Scan("a", "b", [](auto key, auto value) { return true; });
#ifndef PERFVEC_STORAGE_ORDERED_STORE_H_
#define PERFVEC_STORAGE_ORDERED_STORE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::storage {

class WriteBatch {
 public:
  struct Operation {
    std::string key;
    std::optional<std::string> value;  // absent: the key is deleted
  };
  void Put(std::string key, std::string value) {
    operations_.push_back({std::move(key), std::move(value)});
  }
  void Delete(std::string key) {
    operations_.push_back({std::move(key), std::nullopt});
  }
  void Append(WriteBatch other) {
    for (Operation& operation : other.operations_)
      operations_.push_back(std::move(operation));
  }
  // Later operations on a key win.
  const std::vector<Operation>& operations() const { return operations_; }
  bool empty() const { return operations_.empty(); }

 private:
  std::vector<Operation> operations_;
};

class OrderedReader {
 public:
  // Returns false to end the scan. The views live until it returns.
  using Visitor =
      absl::FunctionRef<bool(absl::string_view key, absl::string_view value)>;

  virtual ~OrderedReader() = default;
  virtual absl::StatusOr<std::optional<std::string>> Get(
      absl::string_view key) const = 0;
  // Visits the keys of [begin, end) in byte order.
  virtual absl::Status Scan(absl::string_view begin, absl::string_view end,
                            Visitor visit) const = 0;
};

class OrderedStore {
 public:
  virtual ~OrderedStore() = default;
  virtual std::unique_ptr<OrderedReader> Snapshot() const = 0;
  // All of the batch or nothing, durable on return. RESOURCE_EXHAUSTED: the
  // disk is full, a later write may succeed. Any other failure is for good: the
  // store refuses writes with UNAVAILABLE until it is opened anew.
  virtual absl::Status Write(const WriteBatch& batch) = 0;
  virtual absl::Status Healthy() const = 0;
  // A consistent copy in `directory`, which must not exist; verified.
  virtual absl::Status Backup(const std::string& directory) = 0;
  virtual std::vector<std::pair<std::string, double>> Statistics() const = 0;
};

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_ORDERED_STORE_H_
