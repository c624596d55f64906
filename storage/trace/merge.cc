#include "storage/trace/merge.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/trace/block_builder.h"
#include "storage/trace/indexed_trace.h"

namespace perfvec::trace {
namespace {

constexpr uint32_t kNotCompared = UINT32_MAX;

bool IsPlaceholder(const StaticInstruction& s) {
  return (s.flags & kPlaceholder) != 0;
}

bool SameStatic(const StaticInstruction& a, const StaticInstruction& b) {
  if (a == b || IsPlaceholder(a) || IsPlaceholder(b)) return true;
  StaticInstruction changed = b;
  uint32_t ignored = kHasStoreQueueIndex;
  if ((a.flags ^ b.flags) & kHasAddress) {
    ignored |= kHasAddress;
    changed.access_size = a.access_size;
  }
  changed.flags = (b.flags & ~ignored) | (a.flags & ignored);
  return a == changed;
}

// Address and branch outcome, where both traces have them.
bool SameOutcome(const StaticInstruction& a, uint64_t a_address, bool a_taken,
                 const StaticInstruction& b, uint64_t b_address, bool b_taken) {
  if (IsPlaceholder(a) || IsPlaceholder(b)) return true;
  const bool addresses = (a.flags & b.flags & kHasAddress) != 0;
  return a_taken == b_taken && (!addresses || a_address == b_address);
}

std::string Describe(const StaticInstruction& s, uint64_t address, bool taken) {
  return absl::StrFormat(
      "pc 0x%x, operation %d, flags 0x%x, %d sources, %d destinations, "
      "address 0x%x, taken %d",
      s.pc, s.op_class, s.flags, s.source_count, s.destination_count, address,
      taken);
}

// One input, read chunk by chunk at its own boundaries.
class Input {
 public:
  Input(std::string path, std::unique_ptr<IndexedTrace> trace)
      : path_(std::move(path)), trace_(std::move(trace)) {}

  const std::string& path() const { return path_; }
  const TraceHeader& header() const { return trace_->header(); }
  const TraceIndex& index() const { return trace_->index(); }

  absl::Status ReadChunk(size_t number, TraceChunk* chunk) {
    return trace_->ReadChunk(number, chunk);
  }

  // Compares the next instructions with those of `block` and appends their
  // latencies to `columns`, from columns[first_column] on.
  absl::Status Follow(const InstructionBlock& block,
                      const std::string& block_path, size_t first_column,
                      std::vector<std::vector<uint32_t>>* columns,
                      uint64_t* placeholders) {
    // The static of ours that each of the block's was last found equal to.
    std::vector<uint32_t> same(block.statics.size(), kNotCompared);
    for (size_t i = 0; i < block.size();) {
      if (offset_ == chunk_.block.size()) {
        absl::Status status = ReadChunk(next_chunk_, &chunk_);
        if (!status.ok()) return status;
        ++next_chunk_;
        offset_ = 0;
        std::fill(same.begin(), same.end(), kNotCompared);
      }
      const InstructionBlock& ours = chunk_.block;
      const size_t n = std::min(block.size() - i, ours.size() - offset_);
      for (size_t k = 0; k < n; ++k) {
        const size_t x = i + k, y = offset_ + k;
        const StaticInstruction& a = block.statics[block.static_index[x]];
        const StaticInstruction& b = ours.statics[ours.static_index[y]];
        uint32_t& known = same[block.static_index[x]];
        bool equal = known == ours.static_index[y] || SameStatic(a, b);
        if (equal) known = ours.static_index[y];
        const bool placeholder = IsPlaceholder(b) && !IsPlaceholder(a);
        *placeholders += placeholder;
        equal = equal && SameOutcome(a, block.address[x], block.taken[x], b,
                                     ours.address[y], ours.taken[y]);
        if (!equal) {
          return absl::InvalidArgumentError(absl::StrCat(
              path_, ": instruction ", block.first_instruction + x,
              ": expected ", Describe(a, block.address[x], block.taken[x]),
              " as in ", block_path, ", found ",
              Describe(b, ours.address[y], ours.taken[y]),
              "; the two are not of the same execution"));
        }
      }
      for (size_t c = 0; c < chunk_.latency_tenth_ns.size(); ++c) {
        const auto begin = chunk_.latency_tenth_ns[c].begin() + offset_;
        auto& column = (*columns)[first_column + c];
        column.insert(column.end(), begin, begin + n);
      }
      i += n;
      offset_ += n;
    }
    return absl::OkStatus();
  }

 private:
  std::string path_;
  std::unique_ptr<IndexedTrace> trace_;
  TraceChunk chunk_;
  size_t next_chunk_ = 0, offset_ = 0;
};

// The first `size` instructions of the chunk, with the statics they use.
void Cut(size_t size, TraceChunk* chunk) {
  const InstructionBlock& block = chunk->block;
  BlockBuilder builder(size);
  for (size_t i = 0; i < size; ++i) {
    builder.Append(block.statics[block.static_index[i]], block.address[i],
                   block.taken[i] != 0);
  }
  const uint64_t first_instruction = block.first_instruction;
  chunk->block = builder.Take();
  chunk->block.first_instruction = first_instruction;
  for (auto& column : chunk->latency_tenth_ns) column.resize(size);
}

absl::StatusOr<std::vector<Input>> OpenInputs(
    const std::vector<std::string>& paths, TraceHeader* merged) {
  if (paths.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected two or more traces to merge, found ", paths.size()));
  }
  std::vector<Input> inputs;
  std::map<std::string, std::string> owner;  // of each column
  for (const std::string& path : paths) {
    auto trace = IndexedTrace::Open(path);
    if (!trace.ok()) return trace.status();
    inputs.emplace_back(path, *std::move(trace));
    const TraceHeader& header = inputs.back().header();
    if (inputs.size() == 1) {
      *merged = header;
      merged->latency_columns.clear();
    }
    if (header.isa != merged->isa) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected the ISA ", merged->isa, " as in ",
                       paths[0], ", found ", header.isa));
    }
    // The first may give the instructions alone.
    if (header.latency_columns.empty() && inputs.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": holds no latency column to merge"));
    }
    for (const std::string& name : header.latency_columns) {
      const auto [it, added] = owner.emplace(name, path);
      if (!added) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": the latency column ", name, " is also in ",
                         it->second, "; leave one out"));
      }
      merged->latency_columns.push_back(name);
    }
  }
  return inputs;
}

}  // namespace

absl::StatusOr<MergeReport> MergeTraces(const MergeOptions& options) {
  MergeReport report;
  auto opened = OpenInputs(options.inputs, &report.header);
  if (!opened.ok()) return opened.status();
  std::vector<Input>& inputs = *opened;
  if (!options.tool.empty()) report.header.tool = options.tool;

  const auto [shortest, longest] = std::minmax_element(
      inputs.begin(), inputs.end(), [](const Input& a, const Input& b) {
        return a.index().instructions < b.index().instructions;
      });
  const uint64_t total = shortest->index().instructions;
  report.left_out = longest->index().instructions - total;
  if (!options.allow_loss &&
      report.left_out > kMaxMergeLoss * longest->index().instructions) {
    return absl::InvalidArgumentError(absl::StrCat(
        shortest->path(), ": expected about ", longest->index().instructions,
        " instructions as in ", longest->path(), ", found ", total,
        "; leave it out, or allow the loss"));
  }

  auto sink = CreateFileSink(options.output);
  if (!sink.ok()) return sink.status();
  auto writer = TraceWriter::Create(*std::move(sink), report.header,
                                    options.compression_level);
  if (!writer.ok()) return writer.status();
  TraceChunk chunk;
  for (size_t c = 0; (*writer)->instructions() < total; ++c) {
    absl::Status status = inputs[0].ReadChunk(c, &chunk);
    if (!status.ok()) return status;
    const uint64_t left = total - (*writer)->instructions();
    if (chunk.block.size() > left) Cut(left, &chunk);
    size_t column = chunk.latency_tenth_ns.size();
    chunk.latency_tenth_ns.resize(report.header.latency_columns.size());
    for (size_t k = column; k < chunk.latency_tenth_ns.size(); ++k) {
      chunk.latency_tenth_ns[k].clear();
    }
    for (size_t k = 1; k < inputs.size(); ++k) {
      status = inputs[k].Follow(chunk.block, inputs[0].path(), column,
                                &chunk.latency_tenth_ns, &report.placeholders);
      if (!status.ok()) return status;
      column += inputs[k].header().latency_columns.size();
    }
    status = (*writer)->Append(chunk);
    if (!status.ok()) return status;
    if (options.progress) {
      options.progress((*writer)->instructions(), total);
    }
  }
  size_t marks = 0;
  for (const IntervalMark& mark : inputs[0].index().marks) {
    if (mark.instruction >= total) break;
    absl::Status status = (*writer)->Mark(mark.instruction, mark.label);
    if (!status.ok()) return status;
    ++marks;
  }
  TraceExtras extras = inputs[0].index().extras;
  if (!extras.weights.empty()) extras.weights.resize(marks);
  absl::Status status = (*writer)->SetExtras(std::move(extras));
  if (!status.ok()) return status;
  auto index = (*writer)->Finish();
  if (!index.ok()) return index.status();
  report.index = *std::move(index);
  report.output_bytes = (*writer)->written_bytes();
  return report;
}

}  // namespace perfvec::trace
