// Reads the text pair that the PerfVec authors' gem5 writes (trace.txt and
// trace.sq.txt) and gives it as trace chunks, joining each store of the first
// file with its other half in the second. Memory is bounded by a chunk: the
// store file is read in step with the trace.
//
//   Gem5Importer importer(std::move(trace), std::move(stores), {});
//   TraceChunk chunk;
//   for (;;) {
//     absl::StatusOr<bool> more = importer.Next(&chunk);
//     if (!more.ok()) return more.status();   // names file, line and field
//     if (!*more) break;
//     Use(chunk.block);
//   }
//   Report(importer.summary());
//
// One thread. What the traces of real runs do, and what becomes of it:
// - In-order cores print an exclusive or atomic with its store times in the
//   trace itself, with index 0 or -1; an atomic with full barriers whole with
//   index -1 and once more in the store file, used for its times only.
// - A store-exclusive or store-release of index 0 may be missing from the store
//   file. Its operation is unknown: an error, or a placeholder if asked for.
// - A faulting store stands whole in the trace and not in the store file.
// - For exclusives the store file's commit is -1: the trace's counts.
// - The simulation may stop inside a line, and before the last stores left the
//   queue: the trace ends before the first instruction that is not known.
#ifndef PERFVEC_STORAGE_IMPORT_GEM5_IMPORTER_H_
#define PERFVEC_STORAGE_IMPORT_GEM5_IMPORTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/import/gem5_line.h"
#include "storage/import/line_reader.h"
#include "storage/trace/block_builder.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::trace {

struct Gem5ImportOptions {
  // Insert a placeholder (op_class -1, kPlaceholder) for a store-exclusive that
  // is missing from the store file. Its pc is a guess: 4 behind the last one.
  bool insert_placeholders = false;
  // Instructions to a chunk, at most kMaxChunkInstructions.
  uint32_t chunk_instructions = kMaxChunkInstructions;
};

struct Gem5ImportSummary {
  uint64_t instructions = 0;
  uint64_t stores = 0;        // joined with the store file
  uint64_t placeholders = 0;  // inserted
  // At the end of the trace: instructions left out because a store before them
  // had not left the store queue, or stores without an instruction.
  uint64_t dropped_instructions = 0;
  uint64_t dropped_stores = 0;
  bool cut_trace_line = false;  // the last line lacked its end, and is left out
  bool cut_store_line = false;
  // The tick columns are in use, so chunks have one latency column.
  bool has_timing = false;
  uint64_t total_time_tenth_ns = 0;  // the sum of the latencies
};

class Gem5Importer {
 public:
  // Either source may be zstd-compressed.
  Gem5Importer(std::unique_ptr<ByteSource> trace,
               std::unique_ptr<ByteSource> stores, Gem5ImportOptions options);

  // The next chunk; false at the end. After an error, only to be destroyed.
  absl::StatusOr<bool> Next(TraceChunk* chunk);

  // Complete once Next() has returned false.
  const Gem5ImportSummary& summary() const { return summary_; }

  // For progress displays: bytes taken from the two files, and their size (0
  // where it is not known).
  uint64_t consumed_bytes() const;
  uint64_t total_bytes() const;

 private:
  absl::Status Finish();
  absl::StatusOr<bool> PeekStore();
  absl::StatusOr<bool> CompleteStore();
  absl::Status Append();
  absl::Status TraceError(const std::string& what) const;
  absl::Status StoreError(const std::string& what) const;

  const Gem5ImportOptions options_;
  LineReader trace_;
  LineReader stores_;
  Gem5Line line_;
  // The next line of the store file, if has_store_.
  Gem5Line store_;
  bool has_store_ = false;
  BlockBuilder builder_;
  std::vector<uint32_t> latency_tenth_ns_;
  uint64_t last_exit_tenth_ns_ = 0;
  uint64_t last_pc_ = 0;
  bool first_ = true;
  bool finished_ = false;
  std::string error_;
  Gem5ImportSummary summary_;
};

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_IMPORT_GEM5_IMPORTER_H_
