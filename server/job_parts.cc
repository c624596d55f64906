#include "server/job_parts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/trace_check.h"
#include "storage/status_macros.h"
#include "worker/represent/slice_weights.h"

namespace perfvec::server {
namespace {

using compute::ProgramVectorAccumulator;
using storage::v1::ProgramPartsRecord;

uint64_t DivideUp(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

absl::StatusOr<ProgramVectorAccumulator> ParsePart(
    absl::string_view what, const worker::v1::PartSum& part,
    const ProgramVectorAccumulator& whole) {
  absl::StatusOr<ProgramVectorAccumulator> sum =
      ProgramVectorAccumulator::Parse(part.accumulator());
  if (sum.ok() && sum->model_id() == whole.model_id() &&
      sum->width() == whole.width()) {
    return sum;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " ", part.part(), " of the shard: ",
      sum.ok() ? "a sum of another model" : sum.status().message()));
}

// Where slices begin, with what stands before the first.
std::vector<uint64_t> SliceBegins(const v1::Trace& trace,
                                  std::vector<double>* weights) {
  std::vector<uint64_t> begins;
  if (trace.slices(0).begin_instruction() > 0) {
    begins.push_back(0);
    weights->push_back(0);
  }
  for (const v1::TraceSlice& slice : trace.slices()) {
    begins.push_back(slice.begin_instruction());
    weights->push_back(slice.weight());
  }
  return begins;
}

absl::Status CheckSlices(const v1::Trace& trace, uint64_t most) {
  std::vector<double> weights;
  std::vector<uint64_t> counts = SliceBegins(trace, &weights);
  if (counts.size() > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("trace ", trace.trace_id(), " has ", counts.size(),
                     " slices or more; expected at most ", most));
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    const uint64_t end =
        i + 1 < counts.size() ? counts[i + 1] : trace.instructions();
    counts[i] = end > counts[i] ? end - counts[i] : 0;
  }
  const absl::Status status =
      compute::SliceScales(weights, counts, trace.whole_instructions())
          .status();
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("trace ", trace.trace_id(), ": ", status.message()));
}

}  // namespace

absl::Status PlanParts(const storage::v1::TraceRecord& record,
                       const v1::Model& model, const v1::PartOptions& options,
                       v1::Job* job) {
  const v1::Trace& trace = record.trace();
  const uint64_t width = std::max<uint64_t>(model.width(), 1);
  const uint64_t most = std::min(kMaxIntervals, kMaxPartValues / width);
  const uint64_t segment = model.segment_instructions();
  job->set_by_address(options.by_address());
  if (options.by_address()) {
    const uint64_t parts =
        record.code().functions_size() + record.code().addresses_size() + 1;
    if (trace.slices_size() > 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("trace ", trace.trace_id(),
                       " consists of weighted slices: parts by address are "
                       "kept of whole traces only"));
    }
    if (record.code().addresses_size() == 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "trace ", trace.trace_id(),
          " was uploaded to an older server, which did not count addresses; "
          "delete its programs and upload it again"));
    }
    if (parts * width > kMaxPartValues) {
      return absl::FailedPreconditionError(absl::StrCat(
          parts, " parts of code under a model of width ", width,
          " are more than the ", kMaxPartValues, " values that are kept"));
    }
  }
  if (trace.slices_size() > 0) {
    return CheckSlices(trace, std::min<uint64_t>(most, kMostSlices));
  }
  const uint64_t n = trace.instructions();
  uint64_t interval;
  if (options.has_interval_instructions()) {
    interval = options.interval_instructions();
    if (interval > n) interval = n;
    interval = DivideUp(interval, segment) * segment;
    if (interval > 0 && DivideUp(n, interval) > most) {
      return absl::InvalidArgumentError(absl::StrCat(
          "intervals of ", options.interval_instructions(), " of ", n,
          " instructions are ", DivideUp(n, interval), "; expected at most ",
          most, ": intervals of ",
          DivideUp(DivideUp(n, most), segment) * segment, " or more"));
    }
  } else {
    const uint64_t wanted =
        std::max(DivideUp(n, std::min(kDefaultIntervals, most)),
                 kDefaultIntervalSegments * segment);
    interval = DivideUp(wanted, segment) * segment;
    if (interval >= n) interval = 0;
  }
  job->set_interval_instructions(interval);
  return absl::OkStatus();
}

std::shared_ptr<const JobParts> JobParts::Of(
    const v1::Job& job, const storage::v1::TraceRecord& record) {
  std::shared_ptr<JobParts> parts(new JobParts());
  parts->instructions_ = job.instructions();
  parts->shard_instructions_ = job.shard_instructions();
  const v1::Trace& trace = record.trace();
  parts->whole_instructions_ = trace.instructions();
  if (trace.slices_size() > 0) {
    parts->begins_ = SliceBegins(trace, &parts->weights_);
    parts->whole_instructions_ = trace.whole_instructions();
  } else if (job.interval_instructions() > 0) {
    parts->interval_instructions_ = job.interval_instructions();
    for (uint64_t at = 0; at < job.instructions();
         at += job.interval_instructions()) {
      parts->begins_.push_back(at);
    }
  }
  parts->by_address_ = job.by_address();
  if (job.by_address()) parts->code_ = record.code();
  return parts;
}

std::vector<uint64_t> JobParts::BeginsWithin(uint64_t begin,
                                             uint64_t end) const {
  const auto first = std::upper_bound(begins_.begin(), begins_.end(), begin);
  return {first, std::lower_bound(first, begins_.end(), end)};
}

size_t JobParts::code_parts() const {
  return code_.addresses_size() + code_.functions_size() + 1;
}

void JobParts::AddTo(worker::v1::Lease* lease) const {
  lease->set_with_intervals(!begins_.empty());
  if (!begins_.empty()) {
    for (const uint64_t at :
         BeginsWithin(lease->begin_instruction(), lease->end_instruction())) {
      lease->add_interval_begins(at);
    }
  }
  if (!by_address_) return;
  worker::v1::CodeParts* code = lease->mutable_code();
  *code->mutable_addresses() = code_.addresses();
  for (const auto& function : code_.functions()) {
    code->add_function_begins(function.begin());
    code->add_function_ends(function.end());
  }
}

absl::Status JobParts::Check(const ShardLease& lease,
                             const worker::v1::CompleteShardRequest& shard,
                             const ProgramVectorAccumulator& whole) const {
  const auto wrong = [&](absl::string_view what, uint64_t expected,
                         uint64_t found) {
    return absl::InvalidArgumentError(
        absl::StrCat("shard ", lease.shard, " of job ", lease.job_id,
                     ": expected ", expected, " ", what, ", found ", found));
  };
  // A worker names its shard only; the queue knows that there is one.
  uint64_t begin = lease.shard * shard_instructions_;
  const uint64_t end = std::min(instructions_, begin + shard_instructions_);
  std::vector<uint64_t> ends;
  if (!begins_.empty()) {
    ends = BeginsWithin(begin, end);
    ends.push_back(end);
  }
  if (static_cast<size_t>(shard.intervals_size()) != ends.size()) {
    return wrong("intervals", ends.size(), shard.intervals_size());
  }
  ProgramVectorAccumulator sum(whole.model_id(), whole.width());
  for (size_t i = 0; i < ends.size(); ++i) {
    PERFVEC_ASSIGN_OR_RETURN(ProgramVectorAccumulator part,
                             ParsePart("interval", shard.intervals(i), whole));
    if (shard.intervals(i).part() != i ||
        part.instructions() != ends[i] - begin) {
      return wrong("instructions in an interval", ends[i] - begin,
                   part.instructions());
    }
    PERFVEC_RETURN_IF_ERROR(sum.Merge(part));
    begin = ends[i];
  }
  if (!ends.empty() && !(sum == whole)) {
    return absl::InvalidArgumentError(
        absl::StrCat("shard ", lease.shard, " of job ", lease.job_id,
                     ": its intervals do not add up to its sum"));
  }
  uint64_t counted = 0;
  int64_t last = -1;
  for (const worker::v1::PartSum& part : shard.code()) {
    PERFVEC_ASSIGN_OR_RETURN(ProgramVectorAccumulator parsed,
                             ParsePart("code part", part, whole));
    if (static_cast<int64_t>(part.part()) <= last ||
        part.part() >= code_parts()) {
      return wrong("parts of code, ascending", code_parts(), part.part());
    }
    last = part.part();
    counted += parsed.instructions();
  }
  const uint64_t expected = by_address_ ? whole.instructions() : 0;
  if (counted != expected) {
    return wrong("instructions in parts of code", expected, counted);
  }
  return absl::OkStatus();
}

absl::StatusOr<JobParts::Made> JobParts::Merge(
    const std::vector<storage::v1::ShardRecord>& shards,
    const ProgramVectorAccumulator& whole) const {
  Made made;
  for (const double value : whole.Vector()) made.vector.add_values(value);
  made.vector.set_instructions(whole_instructions_);
  const ProgramVectorAccumulator zero(whole.model_id(), whole.width());
  Sums intervals(begins_.size(), zero);
  Sums code(by_address_ ? code_parts() : 0, zero);
  for (const storage::v1::ShardRecord& shard : shards) {
    // The interval that the shard's first piece belongs to.
    const uint64_t begin = shard.shard() * shard_instructions_;
    const size_t first =
        std::upper_bound(begins_.begin(), begins_.end(), begin) -
        begins_.begin();
    for (const worker::v1::PartSum& part : shard.intervals()) {
      PERFVEC_ASSIGN_OR_RETURN(ProgramVectorAccumulator sum,
                               ParsePart("interval", part, whole));
      const size_t interval = first - 1 + part.part();
      if (first == 0 || interval >= intervals.size()) {
        return absl::DataLossError(absl::StrCat("shard ", shard.shard(),
                                                " has an interval ", interval,
                                                " of ", intervals.size()));
      }
      PERFVEC_RETURN_IF_ERROR(intervals[interval].Merge(sum));
    }
    for (const worker::v1::PartSum& part : shard.code()) {
      PERFVEC_ASSIGN_OR_RETURN(ProgramVectorAccumulator sum,
                               ParsePart("code part", part, whole));
      if (part.part() >= code.size()) {
        return absl::DataLossError(
            absl::StrCat("shard ", shard.shard(), " has a part of code ",
                         part.part(), " of ", code.size()));
      }
      PERFVEC_RETURN_IF_ERROR(code[part.part()].Merge(sum));
    }
  }
  if (!begins_.empty()) {
    PERFVEC_RETURN_IF_ERROR(MergeIntervals(intervals, &made));
  }
  if (by_address_) MergeCode(code, &made);
  made.has_parts = !begins_.empty() || by_address_;
  return made;
}

absl::Status JobParts::MergeIntervals(const Sums& sums, Made* made) const {
  made->parts.set_interval_instructions(interval_instructions_);
  made->parts.set_weighted(!weights_.empty());
  compute::SlicedVector sliced;
  if (!weights_.empty()) {
    std::vector<compute::SliceSum> slices;
    for (size_t i = 0; i < sums.size(); ++i) {
      slices.push_back({weights_[i], sums[i].instructions(), sums[i].Vector()});
    }
    PERFVEC_ASSIGN_OR_RETURN(sliced,
                             compute::WeighSlices(slices, whole_instructions_));
    made->vector.mutable_values()->Assign(sliced.vector.begin(),
                                          sliced.vector.end());
    made->vector.mutable_sampling_factors()->Assign(
        sliced.sampling_factors.begin(), sliced.sampling_factors.end());
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    ProgramPartsRecord::Part* part = made->parts.add_intervals();
    part->set_begin_instruction(begins_[i]);
    part->set_instructions(sums[i].instructions());
    part->set_scale(weights_.empty() ? 1 : sliced.scales[i]);
    for (const double value : sums[i].Vector()) part->add_values(value);
  }
  return absl::OkStatus();
}

void JobParts::MergeCode(const Sums& sums, Made* made) const {
  const auto add = [&](size_t index, absl::string_view function,
                       uint64_t address) {
    if (sums[index].instructions() == 0) return;
    ProgramPartsRecord::Part* part = made->parts.add_code();
    part->set_instructions(sums[index].instructions());
    part->set_scale(1);
    part->set_function(std::string(function));
    part->set_address(address);
    for (const double value : sums[index].Vector()) part->add_values(value);
  };
  const int addresses = code_.addresses_size();
  for (int i = 0; i < addresses; ++i) {
    const uint64_t address = code_.addresses(i);
    std::string name;
    for (const auto& function : code_.functions()) {
      if (address >= function.begin() && address < function.end()) {
        name = function.name();
      }
    }
    add(i, name, address);
  }
  for (int i = 0; i < code_.functions_size(); ++i) {
    add(addresses + i, code_.functions(i).name(), 0);
  }
  add(code_parts() - 1, "", 0);
}

}  // namespace perfvec::server
