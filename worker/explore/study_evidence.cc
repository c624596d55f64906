#include "worker/explore/study_evidence.h"

#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/status_macros.h"
#include "worker/evaluate/program_sums.h"
#include "worker/explore/evidence_file.h"

namespace perfvec::explore {
namespace {

absl::Status Named(const StudyProgram& program, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("program ", program.name,
                                                  ": ", status.message()));
}

absl::StatusOr<compute::ProgramEvidence> Represent(
    const StudyFolder& folder, const StudyProgram& program,
    const EvidenceOptions& options, compute::Representer* back_end) {
  PERFVEC_ASSIGN_OR_RETURN(
      const train::ProgramData data,
      ReadStudyProgram(folder, program,
                       back_end->model()->manifest().schema()));
  train::PassOptions pass;
  pass.evidence = true;
  pass.evidence_range = {0, data.instructions};
  pass.evidence_interval = options.interval_instructions;
  compute::ProgramEvidence evidence;
  PERFVEC_RETURN_IF_ERROR(
      train::SumProgram(data, {}, pass, back_end, &evidence).status());
  return evidence;
}

}  // namespace

absl::StatusOr<EvidenceSet> StudyEvidence(
    const StudyFolder& folder,
    const std::shared_ptr<const compute::FoundationModel>& model,
    const EvidenceOptions& options) {
  PERFVEC_ASSIGN_OR_RETURN(const std::unique_ptr<compute::Representer> back_end,
                           compute::MakeCpuRepresenter(model, options.cpu));
  const std::string kept = absl::StrCat(
      options.cache, "/", model->id().substr(0, 12), "-",
      back_end->Description().find("bf16") != std::string::npos ? "bf16"
                                                                : "fp32");
  if (!options.cache.empty()) {
    std::error_code error;
    std::filesystem::create_directories(kept, error);
    if (error) {
      return absl::InvalidArgumentError(absl::StrCat("--cache ", options.cache,
                                                     ": cannot make ", kept,
                                                     ": ", error.message()));
    }
  }
  EvidenceSet set;
  for (const StudyProgram& program : folder.programs) {
    auto key = StudyProgramKey(folder, program);
    if (!key.ok()) return Named(program, key.status());
    const uint64_t full_key = *key ^ options.interval_instructions;
    const std::string path = absl::StrCat(kept, "/", program.name);
    if (!options.cache.empty()) {
      PERFVEC_ASSIGN_OR_RETURN(std::optional<compute::ProgramEvidence> evidence,
                               LoadEvidence(path, model->id(), full_key));
      if (evidence.has_value()) {
        set.programs.push_back(*std::move(evidence));
        continue;
      }
    }
    if (options.progress) {
      options.progress(absl::StrCat("representing ", program.name, ", ",
                                    program.instructions, " instructions"));
    }
    const auto start = std::chrono::steady_clock::now();
    auto evidence = Represent(folder, program, options, back_end.get());
    if (!evidence.ok()) return Named(program, evidence.status());
    set.represent_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    set.represented_instructions += evidence->instructions;
    if (!options.cache.empty()) {
      PERFVEC_RETURN_IF_ERROR(
          SaveEvidence(path, model->id(), full_key, *evidence));
    }
    set.programs.push_back(*std::move(evidence));
  }
  return set;
}

std::vector<double> ProgramVector(const compute::ProgramEvidence& evidence,
                                  size_t width) {
  std::vector<double> sum(width);
  for (size_t i = 0; i < evidence.interval_sums.size(); ++i) {
    sum[i % width] += evidence.interval_sums[i];
  }
  return sum;
}

}  // namespace perfvec::explore
