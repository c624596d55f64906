// Makes fstat() of the standard streams fail, as it does under gem5's
// system-call emulation, in this process and in what it executes.
//
//   if (!FailStreamStatus()) _exit(1);   // in a child, before exec
//
// gem5 takes newfstatat(fd, "", ..., AT_EMPTY_PATH), which is the C library's
// fstat(fd), for a file without a name: ENOENT. The C library then buffers
// standard output as it would a file of an unknown kind, and the program takes
// another path from its first output on. A seccomp filter gives that answer for
// the descriptors 0 to 2. Async-signal-safe.
#ifndef PERFVEC_CLIENT_TRACER_GEM5_STREAMS_H_
#define PERFVEC_CLIENT_TRACER_GEM5_STREAMS_H_

namespace perfvec::tracer {

// False, with errno: the kernel has no seccomp filters, or allows none.
bool FailStreamStatus();

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_GEM5_STREAMS_H_
