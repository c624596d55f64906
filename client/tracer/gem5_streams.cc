#include "client/tracer/gem5_streams.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace perfvec::tracer {
namespace {

// The low half of an argument: descriptor and flags are ints.
constexpr unsigned Argument(int i) {
  return offsetof(seccomp_data, args) + i * sizeof(seccomp_data::args[0]);
}

}  // namespace

bool FailStreamStatus() {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  // A jump leads past so many instructions, where true and where not.
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, Argument(0)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, STDERR_FILENO, 3, 0),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, Argument(3)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, AT_EMPTY_PATH, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOENT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace perfvec::tracer
