#include "worker/agent/trace_pipeline.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "worker/represent/stream_representer.h"

namespace perfvec::worker {

absl::StatusOr<std::unique_ptr<TracePipeline>> TracePipeline::Open(
    std::unique_ptr<trace::ByteSource> source, compute::Representer* back_end) {
  trace::ColumnSelection no_latencies;
  no_latencies.all = false;
  auto reader =
      trace::TraceReader::Open(std::move(source), std::move(no_latencies));
  if (!reader.ok()) return reader.status();
  return std::unique_ptr<TracePipeline>(
      new TracePipeline(*std::move(reader), back_end));
}

TracePipeline::TracePipeline(std::unique_ptr<trace::TraceReader> reader,
                             compute::Representer* back_end)
    : reader_(std::move(reader)),
      back_end_(back_end),
      warm_up_(back_end->model()->manifest().warm_up),
      width_(back_end->model()->manifest().schema().count()),
      extractor_(back_end->model()->manifest().schema()) {}

uint64_t TracePipeline::FirstInstruction(uint64_t begin) const {
  return begin - std::min(begin, warm_up_);
}

bool TracePipeline::CanRepresent(uint64_t begin) const {
  return FirstInstruction(begin) >= rows_begin_;
}

absl::Status TracePipeline::NextBlock(uint64_t wanted) {
  absl::StatusOr<bool> more = reader_->Next(&chunk_);
  if (!more.ok()) return more.status();
  const uint64_t position = extractor_.position();
  if (!*more) {
    return absl::OutOfRangeError(
        absl::StrCat("the trace ends after ", position,
                     " instructions, the shard wants those from ", wanted));
  }
  const trace::InstructionBlock& block = chunk_.block;
  if (position + block.size() <= wanted) {
    rows_begin_ = position + block.size();
    rows_ = 0;
    program_counters_.clear();
    return extractor_.Skip(block);
  }
  const uint64_t kept = std::min(rows_, warm_up_);
  std::copy(features_.begin() + (rows_ - kept) * width_,
            features_.begin() + rows_ * width_, features_.begin());
  program_counters_.erase(program_counters_.begin(),
                          program_counters_.end() - static_cast<int64_t>(kept));
  for (const uint32_t index : block.static_index) {
    program_counters_.push_back(block.statics[index].pc);
  }
  features_.resize((kept + block.size()) * width_);
  rows_begin_ = position - kept;
  rows_ = kept + block.size();
  return extractor_.Extract(block, features_.data() + kept * width_);
}

void TracePipeline::FindCodeParts(const RangeParts& parts, uint64_t from,
                                  std::vector<uint32_t>* code) const {
  using Entry = std::pair<uint64_t, uint32_t>;  // address, part
  std::vector<Entry> addresses, functions;
  for (const uint64_t address : parts.addresses) {
    addresses.emplace_back(address, addresses.size());
  }
  for (const RangeParts::Function& function : parts.functions) {
    functions.emplace_back(function.begin, addresses.size() + functions.size());
  }
  std::sort(addresses.begin(), addresses.end());
  std::sort(functions.begin(), functions.end());
  const uint32_t rest = static_cast<uint32_t>(parts.code_parts() - 1);
  absl::flat_hash_map<uint64_t, uint32_t> known;
  code->resize(rows_ - from);
  for (uint64_t row = from; row < rows_; ++row) {
    const uint64_t pc = program_counters_[row];
    const auto [found, is_new] = known.try_emplace(pc, rest);
    if (is_new) {
      const auto address =
          std::lower_bound(addresses.begin(), addresses.end(), Entry(pc, 0));
      const auto after =
          std::upper_bound(functions.begin(), functions.end(), Entry(pc, rest));
      if (address != addresses.end() && address->first == pc) {
        found->second = address->second;
      } else if (after != functions.begin()) {
        const uint32_t part = (after - 1)->second;
        if (pc < parts.functions[part - addresses.size()].end) {
          found->second = part;
        }
      }
    }
    (*code)[row - from] = found->second;
  }
}

absl::StatusOr<RangeSums> TracePipeline::Represent(uint64_t begin, uint64_t end,
                                                   const RangeParts& parts,
                                                   const Progress& progress) {
  uint64_t next = FirstInstruction(begin);
  if (next < rows_begin_) {
    return absl::FailedPreconditionError(
        absl::StrCat("instruction ", next, " lies behind: the pipeline is at ",
                     rows_begin_));
  }
  compute::StreamOptions options;
  options.progress = [&progress](int64_t done) {
    return progress(static_cast<uint64_t>(done));
  };
  options.intervals = parts.intervals;
  options.interval_begins.assign(parts.interval_begins.begin(),
                                 parts.interval_begins.end());
  if (parts.code) options.groups = static_cast<uint32_t>(parts.code_parts());
  auto representer = compute::StreamRepresenter::Create(
      back_end_, {static_cast<int64_t>(begin), static_cast<int64_t>(end)},
      std::move(options));
  if (!representer.ok()) return representer.status();
  std::vector<uint32_t> code;
  while (next < end) {
    if (next >= rows_end()) {
      absl::Status status = NextBlock(next);
      // The representer tells of its own batches.
      if (status.ok() && next >= rows_end()) status = progress(0);
      if (!status.ok()) return status;
      continue;
    }
    const uint64_t row = next - rows_begin_;
    const uint64_t count = std::min(end, rows_end()) - next;
    if (parts.code) FindCodeParts(parts, row, &code);
    absl::Status status =
        representer->Feed(features_.data() + row * width_, count, code.data());
    if (!status.ok()) return status;
    next += count;
  }
  auto whole = representer->Finish();
  if (!whole.ok()) return whole.status();
  return RangeSums{*std::move(whole), representer->interval_sums(),
                   representer->group_sums()};
}

}  // namespace perfvec::worker
