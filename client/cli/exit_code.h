// The exit codes of `perfvec`, one for each class of failure. They are part of
// the command's interface (docs/cli.md): a number is never given a new meaning.
//
//   return ExitCodeOf(status);
#ifndef PERFVEC_CLIENT_CLI_EXIT_CODE_H_
#define PERFVEC_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"
#include "perfvec/v1/resources.pb.h"

namespace perfvec::client::cli {

enum class ExitCode {
  kSuccess = 0,
  kInternal = 1,       // a fault of perfvec or of its server
  kUsage = 2,          // the command line or the configuration file
  kNotFound = 3,       // a name, a job, a file
  kInvalid = 4,        // an input that has the wrong form or value
  kDataLoss = 5,       // a damaged file
  kRefused = 6,        // not in this state: no vector yet, in use, exists
  kPermission = 7,     // not allowed
  kExhausted = 8,      // a quota, a full queue, a full disk
  kUnavailable = 9,    // the server cannot be reached
  kDeadline = 10,      // no answer in time
  kJobFailed = 11,     // the job waited for failed or was cancelled
  kInterrupted = 130,  // Ctrl-C
};

ExitCode ExitCodeOf(const absl::Status& status);

// The error of a command that waited for `job`, which ended without success.
absl::Status JobFailedError(const perfvec::v1::Job& job);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_EXIT_CODE_H_
