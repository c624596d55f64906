// What LearnArchitecture answers, for people or as JSON.
#ifndef PERFVEC_CLIENT_CLI_LEARN_REPORT_H_
#define PERFVEC_CLIENT_CLI_LEARN_REPORT_H_

#include "client/cli/context.h"

namespace perfvec::client::cli {

// Prints it; INTERNAL: `architecture` has no learned vector.
absl::Status PrintLearned(const Context& context, bool dry_run,
                          const api::Architecture& architecture);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_LEARN_REPORT_H_
