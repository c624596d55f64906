// The two ways an error leaves a function here early.
//
//   PERFVEC_RETURN_IF_ERROR(store.Write(batch));
//   PERFVEC_ASSIGN_OR_RETURN(auto program, Find(name));
#ifndef PERFVEC_STORAGE_STATUS_MACROS_H_
#define PERFVEC_STORAGE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define PERFVEC_RETURN_IF_ERROR(expression)                               \
  do {                                                                    \
    if (absl::Status perfvec_status = (expression); !perfvec_status.ok()) \
      return perfvec_status;                                              \
  } while (false)

#define PERFVEC_CONCAT_INNER(a, b) a##b
#define PERFVEC_CONCAT(a, b) PERFVEC_CONCAT_INNER(a, b)
#define PERFVEC_ASSIGN_OR_RETURN(target, expression)                           \
  PERFVEC_ASSIGN_OR_RETURN_IMPL(PERFVEC_CONCAT(perfvec_or_, __LINE__), target, \
                                expression)
#define PERFVEC_ASSIGN_OR_RETURN_IMPL(temporary, target, expression) \
  auto temporary = (expression);                                     \
  if (!temporary.ok()) return temporary.status();                    \
  target = *std::move(temporary)

#endif  // PERFVEC_STORAGE_STATUS_MACROS_H_
