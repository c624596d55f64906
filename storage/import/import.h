// Imports a gem5 text pair into a .pvt trace: what `perfvec import` does.
//
//   ImportOptions options;
//   options.trace_path = "run/trace.txt.zst";
//   options.output_path = "program.pvt";
//   options.latency_name = "cortex_a15_like";
//   absl::StatusOr<ImportReport> report = ImportGem5(options);
//
// Blocks until done; any thread. Memory does not grow with the trace.
#ifndef PERFVEC_STORAGE_IMPORT_IMPORT_H_
#define PERFVEC_STORAGE_IMPORT_IMPORT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/import/gem5_importer.h"
#include "storage/trace/format.h"
#include "storage/trace/writer.h"

namespace perfvec::trace {

struct ImportProgress {
  uint64_t instructions = 0;
  uint64_t consumed_bytes = 0;
  uint64_t total_bytes = 0;  // 0 where it is not known
};

struct ImportOptions {
  // Plain or zstd. One of the two may be "-", standard input. An empty
  // stores_path means the file beside the trace that gem5 or the shared data
  // calls so (trace.sq.txt, sq.trace.txt, with .zst or without).
  std::string trace_path;
  std::string stores_path;
  std::string output_path;  // "-": standard output

  // The header; latency columns are added. An empty date stays empty, so that
  // the same input gives the same bytes.
  TraceHeader header;
  // The name of the latency column made from the tick columns, if the trace
  // has them; "none" leaves it out.
  std::string latency_name = "traced";
  // Latencies on other architectures: takes the place of the trace's own.
  std::string latency_matrix_path;
  std::vector<std::string> latency_matrix_names;

  // A mark every so many instructions; 0: none.
  uint64_t interval_instructions = 0;
  bool insert_placeholders = false;
  int compression_level = kDefaultCompressionLevel;
  // Called after each chunk, from the calling thread.
  std::function<void(const ImportProgress&)> progress;
};

struct ImportReport {
  Gem5ImportSummary text;
  TraceIndex index;
  uint64_t output_bytes = 0;
};

absl::StatusOr<ImportReport> ImportGem5(const ImportOptions& options);

// The store file beside `trace_path`, or NotFound with the names looked for.
absl::StatusOr<std::string> FindStoresPath(const std::string& trace_path);

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_IMPORT_IMPORT_H_
