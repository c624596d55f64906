// One line of the text that the PerfVec authors' gem5 writes: parsed here, and
// given a meaning (which store belongs to which line) in gem5_importer.
//
// Fields are separated by blanks:
//   lead (9):  fault sq_index fetch_tick rob_exit commit decode rename dispatch
//              issue
//   store (2): store store_queue_exit       only where the line has them
//   rest:      op_class, 13 flags, 13 data access fields, 12 fetch fields,
//              n_src n_dst and as many (class index) pairs
// Ticks are picoseconds, all but fetch_tick relative to it.
#ifndef PERFVEC_STORAGE_IMPORT_GEM5_LINE_H_
#define PERFVEC_STORAGE_IMPORT_GEM5_LINE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "storage/trace/instruction.h"

namespace perfvec::trace {

enum class Gem5File { kTrace, kStores };

struct Gem5Line {
  // Positions of ticks_ps.
  enum Tick { kFetch, kRobExit, kCommit, kDecode, kRename, kDispatch, kIssue };

  bool fault = false;
  int64_t sq_index = -1;
  int64_t ticks_ps[7] = {};
  // The rest of the line is there. Without it nothing below is set.
  bool whole = false;
  bool has_store_ticks = false;
  int64_t store_ps = 0;
  int64_t store_queue_exit_ps = 0;
  StaticInstruction instruction;
  uint64_t address = 0;
  bool taken = false;
};

// Parses `text`, whose next byte behind the end must be readable and no digit
// (a newline). On failure returns false and says in `error` which field was
// bad ("field 11 (micro_op): expected 0 or 1, found '7'").
bool ParseGem5Line(absl::string_view text, Gem5File file, Gem5Line* line,
                   std::string* error);

// The name of field `number` (from 1) of a line.
std::string Gem5FieldName(int number, bool has_store_ticks);

}  // namespace perfvec::trace

#endif  // PERFVEC_STORAGE_IMPORT_GEM5_LINE_H_
