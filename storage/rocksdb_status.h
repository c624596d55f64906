// RocksDB statuses as absl statuses, in one place. Pure functions.
//
//   return FromRocksDb(db->Get(...), path);
#ifndef PERFVEC_STORAGE_ROCKSDB_STATUS_H_
#define PERFVEC_STORAGE_ROCKSDB_STATUS_H_

#include <rocksdb/status.h>

#include <string>

#include "absl/status/status.h"

namespace perfvec::storage {

// A status of reading, writing or opening the store in `path`. The message
// names the directory, repeats RocksDB's words (which name the file), and says
// what to do.
absl::Status FromRocksDb(const rocksdb::Status& status,
                         const std::string& path);

}  // namespace perfvec::storage

#endif  // PERFVEC_STORAGE_ROCKSDB_STATUS_H_
