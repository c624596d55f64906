#include "storage/import/gem5_importer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::trace {
namespace {

// Times are in units of 100 ps; each tick is rounded down before it is used.
constexpr int64_t kPicosecondsPerTenthNs = 100;

// What is unfinished when a simulation stops is bounded by the store queue,
// whose entries are counted in tens. Past this many the files are no pair.
constexpr uint64_t kMaxStoresInFlight = 1024;

// The store file repeats the leading numbers, but for exclusives that it
// prints before they commit (commit -1), where rob_exit differs too. The
// in-order cores print exclusives with index 0 in the trace, and with their
// index in the store file.
bool IsStoreOf(const Gem5Line& line, const Gem5Line& store) {
  const bool exclusive =
      store.instruction.flags & (kAtomic | kStoreConditional);
  if (store.fault != line.fault) return false;
  if (store.sq_index != line.sq_index && !(line.sq_index == 0 && exclusive)) {
    return false;
  }
  const bool before_commit = exclusive && store.ticks_ps[Gem5Line::kCommit] < 0;
  if (!before_commit) {
    for (const int t : {Gem5Line::kRobExit, Gem5Line::kCommit}) {
      if (store.ticks_ps[t] != line.ticks_ps[t]) return false;
    }
  }
  for (const int t : {Gem5Line::kFetch, Gem5Line::kDecode, Gem5Line::kRename,
                      Gem5Line::kDispatch, Gem5Line::kIssue}) {
    if (store.ticks_ps[t] != line.ticks_ps[t]) return false;
  }
  return true;
}

// An atomic printed whole in the trace, and again when it retires.
bool IsSecondPrint(const Gem5Line& line, const Gem5Line& store) {
  return (store.instruction.flags & kAtomic) != 0 &&
         store.ticks_ps[Gem5Line::kFetch] == line.ticks_ps[Gem5Line::kFetch] &&
         store.instruction.pc == line.instruction.pc &&
         store.address == line.address;
}

}  // namespace

Gem5Importer::Gem5Importer(std::unique_ptr<ByteSource> trace,
                           std::unique_ptr<ByteSource> stores,
                           Gem5ImportOptions options)
    : options_(options),
      trace_(MaybeDecompress(std::move(trace))),
      stores_(MaybeDecompress(std::move(stores))),
      builder_(std::clamp<uint32_t>(options.chunk_instructions, 1,
                                    kMaxChunkInstructions)) {}

uint64_t Gem5Importer::consumed_bytes() const {
  return trace_.source().consumed_bytes() + stores_.source().consumed_bytes();
}

uint64_t Gem5Importer::total_bytes() const {
  const uint64_t trace = trace_.source().total_bytes();
  const uint64_t stores = stores_.source().total_bytes();
  return trace == 0 || stores == 0 ? 0 : trace + stores;
}

absl::Status Gem5Importer::TraceError(const std::string& what) const {
  return absl::InvalidArgumentError(absl::StrCat(
      trace_.source().name(), " line ", trace_.line_number(), ": ", what));
}

absl::Status Gem5Importer::StoreError(const std::string& what) const {
  return absl::InvalidArgumentError(absl::StrCat(
      stores_.source().name(), " line ", stores_.line_number(), ": ", what));
}

absl::StatusOr<bool> Gem5Importer::PeekStore() {
  if (has_store_) return true;
  absl::string_view text;
  absl::StatusOr<bool> more = stores_.Next(&text);
  if (!more.ok() || !*more) return more;
  if (!ParseGem5Line(text, Gem5File::kStores, &store_, &error_)) {
    return StoreError(error_);
  }
  has_store_ = true;
  return true;
}

// Fills in the rest of line_, of which the trace has the leading numbers only.
// False: the store file has ended, so the trace ends here too.
absl::StatusOr<bool> Gem5Importer::CompleteStore() {
  if (line_.sq_index == -1 || line_.fault) {
    return TraceError(absl::StrCat(
        "has the nine leading fields only, but ",
        line_.fault ? "field 1 (fault) is 1" : "field 2 (sq_index) is -1",
        ", so its other fields are not in the store file either"));
  }
  absl::StatusOr<bool> more = PeekStore();
  if (!more.ok()) return more;
  if (!*more) return false;
  if (IsStoreOf(line_, store_)) {
    line_.whole = true;
    line_.store_ps = store_.store_ps;
    line_.store_queue_exit_ps = store_.store_queue_exit_ps;
    line_.instruction = store_.instruction;
    line_.address = store_.address;
    line_.taken = store_.taken;
    has_store_ = false;
    ++summary_.stores;
    return true;
  }
  const std::string next = absl::StrCat(
      stores_.source().name(), " line ", stores_.line_number(), " (sq_index ",
      store_.sq_index, ", fetch_tick ", store_.ticks_ps[Gem5Line::kFetch], ")");
  const std::string wanted =
      absl::StrCat("the store with sq_index ", line_.sq_index,
                   " and fetch_tick ", line_.ticks_ps[Gem5Line::kFetch]);
  if (line_.sq_index != 0) {
    return TraceError(absl::StrCat(wanted, " does not match the next store, ",
                                   next,
                                   "; are the two files of the same run?"));
  }
  if (!options_.insert_placeholders) {
    return TraceError(absl::StrCat(
        wanted, " is missing from the store file, whose next is ", next,
        "; its operation is unknown: import with placeholders to go on"));
  }
  StaticInstruction& s = line_.instruction;
  s = StaticInstruction();
  s.pc = last_pc_ + 4;
  s.op_class = -1;
  s.flags = kPlaceholder | kHasStoreQueueIndex;
  line_.whole = true;
  line_.has_store_ticks = false;
  line_.address = 0;
  line_.taken = false;
  line_.store_queue_exit_ps = 0;
  ++summary_.placeholders;
  return true;
}

absl::Status Gem5Importer::Append() {
  if (first_) {
    for (const int64_t tick : line_.ticks_ps) {
      summary_.has_timing |= tick != 0;
    }
    first_ = false;
  }
  const int64_t fetch_ps = line_.ticks_ps[Gem5Line::kFetch];
  const int64_t commit_ps = line_.ticks_ps[Gem5Line::kCommit];
  if (fetch_ps < 0 || commit_ps < 0 || line_.store_queue_exit_ps < 0) {
    return TraceError(absl::StrCat(
        "times must not be negative: fetch_tick ", fetch_ps, ", commit ",
        commit_ps, ", store_queue_exit ", line_.store_queue_exit_ps));
  }
  if (summary_.has_timing) {
    const uint64_t fetch = fetch_ps / kPicosecondsPerTenthNs;
    // A store is over when it leaves the queue. An exclusive may leave it
    // before it commits; published labels do not wait for that commit.
    const uint64_t store_exit =
        line_.store_queue_exit_ps / kPicosecondsPerTenthNs;
    const uint64_t exit =
        fetch +
        (store_exit > 0 ? store_exit : commit_ps / kPicosecondsPerTenthNs);
    const uint64_t latency =
        exit > last_exit_tenth_ns_ ? exit - last_exit_tenth_ns_ : 0;
    if (latency > std::numeric_limits<uint32_t>::max()) {
      return TraceError(absl::StrCat("takes ", latency,
                                     " x 0.1 ns, but at most ",
                                     std::numeric_limits<uint32_t>::max(),
                                     " are allowed for one instruction"));
    }
    last_exit_tenth_ns_ += latency;
    latency_tenth_ns_.push_back(latency);
    summary_.total_time_tenth_ns = last_exit_tenth_ns_;
  } else if (fetch_ps != 0 || commit_ps != 0) {
    return TraceError(
        "has ticks, but those of the first instruction are all 0; a trace has "
        "times for all instructions or for none");
  }
  builder_.Append(line_.instruction, line_.address, line_.taken);
  last_pc_ = line_.instruction.pc;
  ++summary_.instructions;
  return absl::OkStatus();
}

absl::StatusOr<bool> Gem5Importer::Next(TraceChunk* chunk) {
  absl::string_view text;
  while (!finished_ && !builder_.full()) {
    absl::StatusOr<bool> more = trace_.Next(&text);
    if (!more.ok()) return more.status();
    if (!*more) {
      if (absl::Status s = Finish(); !s.ok()) return s;
      break;
    }
    if (!ParseGem5Line(text, Gem5File::kTrace, &line_, &error_)) {
      return TraceError(error_);
    }
    if (!line_.whole) {
      absl::StatusOr<bool> known = CompleteStore();
      if (!known.ok()) return known.status();
      if (!*known) {
        summary_.dropped_instructions = 1;
        if (absl::Status s = Finish(); !s.ok()) return s;
        break;
      }
    } else if (line_.sq_index == -1 &&
               (line_.instruction.flags & kAtomic) != 0) {
      absl::StatusOr<bool> any = PeekStore();
      if (!any.ok()) return any.status();
      if (*any && IsSecondPrint(line_, store_)) {
        line_.store_queue_exit_ps = store_.store_queue_exit_ps;
        has_store_ = false;
      }
    }
    if (absl::Status s = Append(); !s.ok()) return s;
  }
  if (builder_.size() == 0) return false;
  chunk->latency_tenth_ns.clear();
  if (summary_.has_timing) {
    chunk->latency_tenth_ns.push_back(std::move(latency_tenth_ns_));
    latency_tenth_ns_.clear();
    latency_tenth_ns_.reserve(builder_.size());
  }
  chunk->block = builder_.Take();
  return true;
}

// One of the files has ended: counts what is left of the other, which can be
// no more than the stores in flight when the simulation stopped.
absl::Status Gem5Importer::Finish() {
  finished_ = true;
  absl::string_view text;
  uint64_t unfinished_stores = summary_.dropped_instructions;
  for (;;) {
    absl::StatusOr<bool> more = trace_.Next(&text);
    if (!more.ok()) return more.status();
    if (!*more) break;
    ++summary_.dropped_instructions;
    if (!ParseGem5Line(text, Gem5File::kTrace, &line_, &error_)) {
      return TraceError(error_);
    }
    unfinished_stores += !line_.whole;
    if (unfinished_stores > kMaxStoresInFlight) {
      return StoreError(absl::StrCat(
          "ends here, but ", trace_.source().name(), " goes on for more than ",
          kMaxStoresInFlight, " stores; the store file is cut"));
    }
  }
  for (;;) {
    absl::StatusOr<bool> any = PeekStore();
    if (!any.ok()) return any.status();
    if (!*any) break;
    has_store_ = false;
    if (++summary_.dropped_stores > kMaxStoresInFlight) {
      return TraceError(absl::StrCat(
          "ends here, but ", stores_.source().name(), " goes on for more than ",
          kMaxStoresInFlight, " stores; the trace file is cut"));
    }
  }
  summary_.cut_trace_line = trace_.cut_last_line();
  summary_.cut_store_line = stores_.cut_last_line();
  return absl::OkStatus();
}

}  // namespace perfvec::trace
