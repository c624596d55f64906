// From the plugin's events to the instructions of a trace: decodes every
// translated block once, then writes down its micro-operations whenever it
// runs, with the addresses and branch outcomes of that time.
//
//   BlockExpander expander(options, [&](trace::TraceChunk&& chunk) {
//     return writer.Append(chunk);
//   });
//   absl::Status status = expander.Run(ring);
//   Show(expander.report());
//
// One thread; owns nothing of the ring. Memory is the program's code, decoded,
// and one chunk.
#ifndef PERFVEC_CLIENT_TRACER_BLOCK_EXPANDER_H_
#define PERFVEC_CLIENT_TRACER_BLOCK_EXPANDER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "client/tracer/arm_decoder.h"
#include "client/tracer/basic_block_vectors.h"
#include "client/tracer/event_ring.h"
#include "client/tracer/first_touch.h"
#include "client/tracer/loaded_files.h"
#include "client/tracer/region.h"
#include "client/tracer/register_file.h"
#include "storage/trace/trace_chunk.h"

namespace perfvec::tracer {

// What was seen, and what could not be told.
struct ExpansionReport {
  uint64_t executed = 0;  // micro-operations, recorded or not
  uint64_t recorded = 0;
  uint64_t blocks = 0;  // translated
  // By instruction word with its registers cleared; executions.
  std::map<uint32_t, uint64_t> unknown;
  uint64_t unknown_executions = 0;
  uint64_t unknown_addresses = 0;  // hidden, and registers did not tell
  uint64_t cut_blocks = 0;         // a signal or fault ended them early
  bool ended = false;              // the program came to its end
};

class BlockExpander {
 public:
  using Sink = std::function<absl::Status(trace::TraceChunk&&)>;
  // The slice begins with this instruction of the trace.
  using MarkSink = std::function<void(uint64_t instruction, Slice slice)>;

  BlockExpander(RegionOptions region, Sink sink, MarkSink marks);

  // To be set before Run(), or no page fault is recorded. Asked once, while
  // the program is about to start, for the pages that are there then.
  void set_first_touch(std::function<FirstTouch(uint64_t sp)> pages) {
    pages_at_start_ = std::move(pages);
  }

  // Called when the program is about to run its first instruction, and for
  // each file that it then maps to run code from.
  void set_started(std::function<void()> started) {
    started_ = std::move(started);
  }
  void set_mapped(std::function<void(const MappedFile&)> mapped) {
    mapped_ = std::move(mapped);
  }
  Region& region() { return region_; }
  // Counts each block that runs there, to the program's end: Run() then does
  // not stop when all that is wanted has been recorded. Not owned; may be
  // nullptr.
  void CountToTheEnd(BlockVectorWriter* vectors) {
    to_the_end_ = true;
    vectors_ = vectors;
  }

  // Until the program ends, all that is wanted has been recorded, or the sink
  // fails. The last chunk has then been given away.
  absl::Status Run(EventRing* ring);

  const ExpansionReport& report() const { return report_; }
  // Where the blocks that ran begin, in order.
  std::vector<uint64_t> BlockAddresses() const;

 private:
  struct Operation {
    trace::StaticInstruction instruction;
    int32_t access_offset;
    uint32_t number;  // of its instruction in the block
    Access access;
    uint32_t epoch = 0;  // chunk in which `index` holds
    uint32_t index = 0;
  };
  // An operation that touches memory, in a block where QEMU tells all of them.
  struct PlainAccess {
    uint32_t operation;
    uint32_t touch;  // number of its instruction among those that touch memory
    int32_t offset;
    uint32_t bytes;
  };
  struct Block {
    uint64_t pc = 0;
    std::vector<Operation> operations;
    std::vector<uint32_t> words;
    std::map<uint32_t, MacroOp> hidden;  // by number of the instruction
    bool tracked = false;  // `hidden` is not empty, or predicates change
    // If it holds nothing but what QEMU tells and rules know, it is written
    // down in one go.
    bool plain = true;
    bool ends_in_branch = false;
    std::vector<PlainAccess> accesses;
    std::vector<uint32_t> touching;  // instructions that touch memory
    uint32_t epoch = 0;              // chunk in which `indices` holds
    std::vector<uint32_t> indices;   // of the operations' statics
    uint32_t vector_number = 0;      // the same for each block at this pc
    uint32_t unknown = 0;            // instructions that no rule knows
  };
  struct Touch {
    uint32_t instruction;
    uint64_t address;
  };

  bool ReadBlock(EventRing* ring);
  bool ReadMapped(EventRing* ring, uint64_t address);
  // Writes the block that ran down, now that it is known what ran next.
  absl::Status Finish(uint64_t next_pc);
  absl::Status Expand(Block& block, uint64_t next_pc);
  // Expands a plain block if it ran as it stands, is wanted whole and raised
  // no page fault; else false, and nothing has been done.
  bool ExpandWhole(Block& block, uint64_t next_pc);
  void FindHidden(const Block& block);
  absl::Status PushAccess(Operation& operation, uint64_t address);
  absl::Status Push(Operation& operation, uint64_t address, bool taken);
  absl::Status Record(Operation& operation, uint64_t address, bool taken,
                      bool begins);
  void Intern(Operation& operation);
  absl::Status Flush();

  Region region_;
  const Sink sink_;
  const MarkSink marks_;
  bool to_the_end_ = false;
  BlockVectorWriter* vectors_ = nullptr;
  absl::flat_hash_map<uint64_t, uint32_t> vector_numbers_;  // by pc
  ExpansionReport report_;
  std::deque<Block> blocks_;  // number - 1
  Block* running_ = nullptr;
  std::vector<Touch> touches_;
  uint64_t registers_[PERFVEC_REGISTER_WORDS];
  bool have_registers_ = false;
  RegisterFile file_;
  uint64_t exclusive_address_ = 0;
  std::function<FirstTouch(uint64_t)> pages_at_start_;
  std::function<void()> started_;
  std::function<void(const MappedFile&)> mapped_;
  bool program_runs_ = false;
  bool has_first_touch_ = false;
  FirstTouch first_touch_;

  uint32_t epoch_ = 1;
  trace::TraceChunk chunk_;
  size_t filled_ = 0;  // instructions in chunk_, whose columns are larger
  absl::flat_hash_map<uint64_t, uint32_t> interned_;
};

}  // namespace perfvec::tracer

#endif  // PERFVEC_CLIENT_TRACER_BLOCK_EXPANDER_H_
