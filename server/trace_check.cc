#include "server/trace_check.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "server/times.h"
#include "storage/status_macros.h"
#include "storage/trace/reader.h"

namespace perfvec::server {
namespace {

// The reader owns its source; the caller keeps this one.
class Borrowed final : public trace::ByteSource {
 public:
  explicit Borrowed(trace::ByteSource& source) : source_(source) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    return source_.Read(out, size);
  }
  std::string name() const override { return source_.name(); }
  uint64_t consumed_bytes() const override { return source_.consumed_bytes(); }
  uint64_t total_bytes() const override { return source_.total_bytes(); }

 private:
  trace::ByteSource& source_;
};

constexpr size_t kMaxCountedAddresses = size_t{1} << 22;
constexpr size_t kMaxFunctionName = 256;

// How often each address was executed.
class CodeCounts {
 public:
  void Add(const trace::InstructionBlock& block) {
    in_block_.assign(block.statics.size(), 0);
    for (const uint32_t index : block.static_index) ++in_block_[index];
    for (size_t i = 0; i < in_block_.size(); ++i) {
      const uint64_t pc = block.statics[i].pc;
      if (counts_.size() < kMaxCountedAddresses || counts_.contains(pc)) {
        counts_[pc] += in_block_[i];
      }
    }
  }

  storage::v1::HotCode Hottest(const trace::TraceExtras& extras) const {
    storage::v1::HotCode hot;
    for (const uint64_t pc : MostCounted(counts_, kHotAddresses)) {
      hot.add_addresses(pc);
    }
    absl::flat_hash_map<uint64_t, uint64_t> functions;  // by begin
    for (const auto& [pc, count] : counts_) {
      const trace::FunctionSymbol* function = extras.FunctionAt(pc);
      if (function != nullptr) functions[function->address] += count;
    }
    for (const uint64_t begin : MostCounted(functions, kHotFunctions)) {
      const trace::FunctionSymbol* function = extras.FunctionAt(begin);
      uint64_t end = begin + std::max<uint64_t>(function->bytes, 1);
      if (function + 1 < extras.functions.data() + extras.functions.size()) {
        end = std::min(end, function[1].address);
      }
      auto* kept = hot.add_functions();
      kept->set_begin(begin);
      kept->set_end(std::max(end, begin + 1));
      kept->set_name(function->name.substr(0, kMaxFunctionName));
    }
    return hot;
  }

 private:
  using Counts = absl::flat_hash_map<uint64_t, uint64_t>;
  // Ties by address, so that one trace gives one answer.
  static std::vector<uint64_t> MostCounted(const Counts& counts, size_t most) {
    std::vector<std::pair<uint64_t, uint64_t>> ordered(counts.begin(),
                                                       counts.end());
    most = std::min(most, ordered.size());
    std::partial_sort(ordered.begin(), ordered.begin() + most, ordered.end(),
                      [](const auto& a, const auto& b) {
                        return a.second != b.second ? a.second > b.second
                                                    : a.first < b.first;
                      });
    std::vector<uint64_t> keys;
    for (size_t i = 0; i < most; ++i) keys.push_back(ordered[i].first);
    return keys;
  }

  Counts counts_;
  std::vector<uint32_t> in_block_;  // of each static
};

void DescribeSlices(const trace::TraceIndex& index, v1::Trace* trace) {
  if (index.extras.weights.empty()) return;
  trace->set_whole_instructions(index.extras.whole_instructions);
  const size_t count = std::min(index.marks.size(), kMostSlices + 1);
  for (size_t i = 0; i < count; ++i) {
    v1::TraceSlice* slice = trace->add_slices();
    slice->set_begin_instruction(index.marks[i].instruction);
    slice->set_weight(index.extras.weights[i]);
  }
}

}  // namespace

absl::StatusOr<storage::v1::TraceRecord> CheckTrace(trace::ByteSource& source) {
  PERFVEC_ASSIGN_OR_RETURN(
      std::unique_ptr<trace::TraceReader> reader,
      trace::TraceReader::Open(std::make_unique<Borrowed>(source)));
  trace::TraceChunk chunk;
  CodeCounts counts;
  for (;;) {
    PERFVEC_ASSIGN_OR_RETURN(const bool more, reader->Next(&chunk));
    if (!more) break;
    counts.Add(chunk.block);
  }
  const trace::TraceHeader& header = reader->header();
  storage::v1::TraceRecord record;
  *record.mutable_code() = counts.Hottest(reader->index().extras);
  v1::Trace& result = *record.mutable_trace();
  DescribeSlices(reader->index(), &result);
  result.set_instructions(reader->index().instructions);
  result.set_isa(header.isa);
  result.mutable_provenance()->set_tool(header.tool);
  result.mutable_provenance()->set_command(header.command);
  absl::Time date;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, header.date, &date, &error)) {
    *result.mutable_provenance()->mutable_date() = ToTimestamp(date);
  }
  for (const std::string& column : header.latency_columns) {
    result.add_latency_columns(column);
  }
  return record;
}

}  // namespace perfvec::server
