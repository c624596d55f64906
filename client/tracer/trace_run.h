// Runs an AArch64 program in QEMU's user mode and writes what it executes into
// a .pvt trace: what `perfvec trace run` does.
//
//   RunOptions options;
//   options.command = {"./a.out", "--size", "10"};
//   options.output_path = "a.pvt";
//   options.plugin_path = "/usr/lib/perfvec/libperfvec_qemu.so";
//   absl::StatusOr<RunReport> report = RunTraced(options);
//
// Blocks until the program has ended or all that is wanted is recorded. The
// program has the caller's standard streams and environment. One call at a
// time in a process: SIGINT and SIGQUIT are left to the program meanwhile.
// Two threads: this one decodes, another encodes and writes.
#ifndef PERFVEC_CLIENT_TRACER_TRACE_RUN_H_
#define PERFVEC_CLIENT_TRACER_TRACE_RUN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/tracer/block_expander.h"
#include "storage/trace/format.h"
#include "storage/trace/writer.h"

namespace perfvec::tracer {

struct RunOptions {
  std::vector<std::string> command;
  std::string output_path;  // empty: only vectors_path is written
  std::string plugin_path;
  std::string qemu = "qemu-aarch64";
  // A processor of QEMU (`qemu-aarch64 -cpu help`), as which the program runs
  // and by which its C library chooses its routines; empty: as in gem5.
  std::string processor;
  std::string sysroot;  // of a dynamic program's libraries; empty: none
  // Functions of the program, "NAME" or "NAME:CALL", for region.from_pc and
  // region.to_pc; empty: none.
  std::string from_symbol, to_symbol;
  RegionOptions region;
  // Basic-block vectors of intervals of so many micro-operations are written
  // there (basic_block_vectors.h), of the whole run; empty: none.
  std::string vectors_path;
  uint64_t vector_interval = 0;
  // Let the program run on when all that is wanted has been recorded.
  bool let_finish = false;
  // Which thread is recorded, in the order in which they begin; 0 is the
  // first. Of another, no page faults are recorded.
  uint32_t thread = 0;
  // Operations as page faults, where gem5 records them.
  bool page_faults = true;
  // fstat() of standard streams fails, as in gem5 (gem5_streams.h).
  bool gem5_streams = false;
  trace::TraceHeader header;
  // 1: 5 % more bytes than the default, in two thirds of the time
  // (docs/trace_format.md), as the encoder is what limits the speed.
  int compression_level = 1;
  // Called now and then with the operations recorded so far.
  std::function<void(uint64_t)> progress;
  // Called, by either of the two threads but not by both at once, with the
  // bytes that are in output_path.partial for good; fewer than before: where
  // there is no room, the last ones are taken back.
  std::function<void(uint64_t)> written;
};

struct RunReport {
  ExpansionReport expansion;
  trace::TraceIndex index;
  uint64_t output_bytes = 0;
  uint64_t intervals = 0;    // in vectors_path
  size_t missed_slices = 0;  // of region.slices, behind the program's end
  // As waitpid() gives it.
  int wait_status = 0;
  // Not OK: there was no room for all, and the trace holds what there was
  // room for. The program was then stopped.
  absl::Status no_room;
  // Stopped because all that was wanted had been recorded.
  bool stopped = false;
  uint32_t more_threads = 0;
  bool has_registers = false;
  double seconds = 0;
};

// Errors: NotFound, no such program, symbol or QEMU; InvalidArgument, no
// AArch64 program; FailedPrecondition, a QEMU that cannot load the plugin;
// others come from the output. The trace of a program that dies is whole.
absl::StatusOr<RunReport> RunTraced(const RunOptions& options);

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_TRACE_RUN_H_
