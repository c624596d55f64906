// A number that grows with every start of the server on a data directory, for
// fencing tokens that grow over restarts.
//
// Called once at start, before any lease.
//
//   auto epoch = NextEpoch("/var/lib/perfvec");   // 32 bits
//   options.first_token = *epoch << 32;
#ifndef PERFVEC_SERVER_EPOCH_H_
#define PERFVEC_SERVER_EPOCH_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace perfvec::server {

// One more than the epoch stored in DIRECTORY/EPOCH, and no less than the
// seconds since 1970: so it also grows when the directory is restored from a
// backup, unless the clock runs behind as well. Durable when it returns.
absl::StatusOr<uint64_t> NextEpoch(const std::string& directory,
                                   absl::Time now);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_EPOCH_H_
