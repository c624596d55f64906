#include "worker/evaluate/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

// The trainer leaves out as many instructions before a tail.
constexpr size_t kTailGap = 512;

constexpr const char* kSplits[] = {kTailSplit, kLeftOutSplit,
                                   kUnseenProgramsSplit,
                                   kUnseenArchitecturesSplit, kUnseenBothSplit};

bool Contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// At most five of them, for a message.
std::string Some(const std::vector<std::string>& names) {
  std::vector<std::string> first(
      names.begin(), names.begin() + std::min<size_t>(5, names.size()));
  if (names.size() > first.size()) {
    first.push_back(absl::StrCat("and ", names.size() - 5, " more"));
  }
  return absl::StrJoin(first, ", ");
}

class Planner {
 public:
  Planner(const compute::Manifest& manifest,
          const std::vector<DataFolder>& folders, const PlanOptions& options)
      : manifest_(manifest),
        folders_(folders),
        options_(options),
        record_(ReadTrainingRecord(manifest)) {}

  absl::StatusOr<Plan> Make() {
    for (const auto step : {&Planner::CheckOptions, &Planner::AddArchitectures,
                            &Planner::AddPrograms, &Planner::AddSplits}) {
      if (absl::Status s = (this->*step)(); !s.ok()) return s;
    }
    ChooseRows();
    DropIdlePrograms();
    return std::move(plan_);
  }

 private:
  // Taken because it was named, or because nothing was.
  bool Wanted(const char* split) const {
    return options_.splits.empty() || Contains(options_.splits, split);
  }
  bool Named(const char* split) const {
    return Contains(options_.splits, split);
  }

  absl::Status CheckOptions();
  absl::Status AddArchitectures();
  absl::Status AddPrograms();
  absl::Status AddSplits();
  absl::Status AddSplit(const char* name, const std::string& title,
                        std::vector<size_t> programs,
                        std::vector<size_t> architectures);
  absl::StatusOr<std::vector<size_t>> LearnedArchitectures();
  void ChooseRows();
  void DropIdlePrograms();

  const compute::Manifest& manifest_;
  const std::vector<DataFolder>& folders_;
  const PlanOptions& options_;
  const TrainingRecord record_;
  std::map<std::string, size_t> number_;  // of an architecture
  Plan plan_;
};

absl::Status Planner::CheckOptions() {
  for (const std::string& split : options_.splits) {
    if (std::none_of(std::begin(kSplits), std::end(kSplits),
                     [&](const char* s) { return split == s; })) {
      return absl::InvalidArgumentError(
          absl::StrCat("--split ", split, ": expected one of ",
                       absl::StrJoin(kSplits, ", ")));
    }
  }
  for (const char* split : {kUnseenProgramsSplit, kUnseenBothSplit}) {
    if (Named(split) && !options_.open_unseen) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--split ", split, ": needs --open-unseen, which is counted"));
    }
  }
  return absl::OkStatus();
}

absl::Status Planner::AddArchitectures() {
  std::map<std::string, int> known;
  for (size_t i = 0; i < manifest_.architectures.size(); ++i) {
    known[manifest_.architectures[i].name] = static_cast<int>(i);
  }
  for (const DataFolder& folder : folders_) {
    for (const ArchitectureEntry& entry : folder.architectures) {
      const auto [at, fresh] =
          number_.emplace(entry.name, plan_.architectures.size());
      if (!fresh) {
        if (plan_.architectures[at->second].split != entry.split) {
          return absl::InvalidArgumentError(absl::StrCat(
              folder.directory, "/architectures.json: ", entry.name,
              " has another split than in a folder named before"));
        }
        continue;
      }
      PlannedArchitecture a;
      a.name = entry.name;
      a.kind = entry.kind;
      a.parameters_json = entry.parameters_json;
      a.split = entry.split;
      const auto it = known.find(entry.name);
      if (it != known.end()) a.model_index = it->second;
      a.learned = a.model_index < 0 || a.split == Split::kUnseen;
      plan_.architectures.push_back(std::move(a));
    }
  }
  return absl::OkStatus();
}

absl::Status Planner::AddPrograms() {
  std::map<std::string, std::string> folder_of;
  std::set<std::string> families;
  for (const DataFolder& folder : folders_) {
    for (const ProgramEntry& entry : folder.programs) {
      const auto [it, fresh] = folder_of.emplace(entry.name, folder.directory);
      if (!fresh) {
        return absl::InvalidArgumentError(
            absl::StrCat("program ", entry.name, " is in both ", it->second,
                         " and ", folder.directory));
      }
      if (Contains(record_.programs, entry.name)) families.insert(entry.family);
    }
  }
  for (const auto* names : {&options_.programs, &options_.learn_from}) {
    for (const std::string& name : *names) {
      if (folder_of.count(name) == 0) {
        return absl::NotFoundError(
            absl::StrCat("program ", name, ": not in the programs.json of ",
                         folders_.size(), " data folders"));
      }
    }
  }
  for (size_t f = 0; f < folders_.size(); ++f) {
    for (const ProgramEntry& entry : folders_[f].programs) {
      PlannedProgram p;
      p.folder = f;
      p.entry = entry;
      p.trained = Contains(record_.programs, entry.name);
      p.family_shared = families.count(entry.family) > 0;
      p.learn_from = Contains(options_.learn_from, entry.name);
      if (p.learn_from && entry.split != Split::kSeen) {
        return absl::InvalidArgumentError(
            absl::StrCat("--learn-from ", entry.name,
                         ": expected a seen program, its split "
                         "is \"unseen\""));
      }
      const size_t n = entry.instructions;
      const size_t start = std::min(n, options_.left_out_instructions);
      p.headline = {start, n};
      p.training = p.headline;
      const auto tail = record_.tail_begins.find(entry.name);
      if (p.trained && tail != record_.tail_begins.end() && tail->second < n) {
        p.tail = {std::max(start, tail->second), n};
        p.training.end =
            std::max(start, p.tail.begin - std::min(p.tail.begin, kTailGap));
      }
      for (Range r : {p.headline, p.tail}) {
        for (size_t at = r.begin; at < r.end;
             at += options_.interval_instructions) {
          p.cuts.push_back(at);
        }
      }
      p.cuts.push_back(p.training.end);
      plan_.programs.push_back(std::move(p));
    }
  }
  return absl::OkStatus();
}

// Those that a split of learned architectures would take; empty with a note if
// none can be.
absl::StatusOr<std::vector<size_t>> Planner::LearnedArchitectures() {
  const bool named =
      Named(kUnseenArchitecturesSplit) || Named(kUnseenBothSplit);
  std::vector<size_t> out;
  std::vector<std::string> unopened, unlearnable;
  for (size_t i = 0; i < plan_.architectures.size(); ++i) {
    PlannedArchitecture& a = plan_.architectures[i];
    if (!a.learned) continue;
    if (a.split == Split::kUnseen && !options_.open_unseen) {
      unopened.push_back(a.name);
      continue;
    }
    if (options_.learn_from.empty()) {
      if (a.model_index < 0) {
        unlearnable.push_back(a.name);
        continue;
      }
      a.learned = false;  // the model has learned it before
    }
    out.push_back(i);
  }
  const std::string learn = absl::StrCat(
      "architectures unknown to the model (", Some(unlearnable),
      "): name seen programs to learn them from with --learn-from");
  if (out.empty() && named) {
    if (!unlearnable.empty()) return absl::InvalidArgumentError(learn);
    return absl::InvalidArgumentError(
        unopened.empty()
            ? "the model has vectors of all architectures of the data: none "
              "can be learned"
            : absl::StrCat("architectures of split \"unseen\" (",
                           Some(unopened),
                           "): need --open-unseen, which is counted"));
  }
  if (!unlearnable.empty()) plan_.notes.push_back("left aside: " + learn);
  return out;
}

absl::Status Planner::AddSplit(const char* name, const std::string& title,
                               std::vector<size_t> programs,
                               std::vector<size_t> architectures) {
  const bool tail = name == std::string(kTailSplit);
  std::vector<size_t> kept;
  for (size_t i : programs) {
    const PlannedProgram& p = plan_.programs[i];
    if (!options_.programs.empty() &&
        !Contains(options_.programs, p.entry.name)) {
      continue;
    }
    if ((tail ? p.tail : p.headline).size() == 0) {
      if (!tail) {
        plan_.notes.push_back(absl::StrCat(
            "left aside: ", p.entry.name, " has only ", p.entry.instructions,
            " instructions, of which the first ",
            options_.left_out_instructions, " do not count"));
      }
      continue;
    }
    kept.push_back(i);
  }
  if (kept.empty() || architectures.empty()) {
    const std::string why = tail && record_.tail_begins.empty()
                                ? "the model's manifest names no held-out tails"
                            : kept.empty()
                                ? "no program of the data belongs to it"
                                : "no architecture of the data belongs to it";
    if (Named(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--split ", name, ": empty: ", why));
    }
    plan_.notes.push_back(absl::StrCat("split ", name, " is empty: ", why));
    return absl::OkStatus();
  }
  plan_.splits.push_back(
      {name, title, std::move(kept), std::move(architectures), tail});
  return absl::OkStatus();
}

absl::Status Planner::AddSplits() {
  std::vector<size_t> trained, left_out, seen, unseen, known;
  for (size_t i = 0; i < plan_.programs.size(); ++i) {
    const PlannedProgram& p = plan_.programs[i];
    if (p.entry.split == Split::kUnseen) {
      unseen.push_back(i);
      continue;
    }
    (p.trained ? trained : left_out).push_back(i);
    if (!p.learn_from) seen.push_back(i);
  }
  for (size_t i = 0; i < plan_.architectures.size(); ++i) {
    if (!plan_.architectures[i].learned) known.push_back(i);
  }
  auto learned = LearnedArchitectures();
  if (!learned.ok()) return learned.status();

  const auto add = [&](bool wanted, const char* name, const char* title,
                       const std::vector<size_t>& programs,
                       const std::vector<size_t>& architectures) {
    if (!wanted) return absl::OkStatus();
    return AddSplit(name, title, programs, architectures);
  };
  const bool open = options_.open_unseen;
  const bool learn = Named(kUnseenArchitecturesSplit) || !learned->empty();
  for (const absl::Status& s :
       {add(Wanted(kTailSplit), kTailSplit,
            "held-out tails of training programs x known architectures",
            trained, known),
        add(Wanted(kLeftOutSplit), kLeftOutSplit,
            "programs left out of training x known architectures", left_out,
            known),
        add(open && Wanted(kUnseenProgramsSplit), kUnseenProgramsSplit,
            "unseen programs x known architectures", unseen, known),
        add(learn && Wanted(kUnseenArchitecturesSplit),
            kUnseenArchitecturesSplit, "seen programs x learned architectures",
            seen, *learned),
        add(open && Wanted(kUnseenBothSplit), kUnseenBothSplit,
            "unseen programs x learned architectures", unseen, *learned)}) {
    if (!s.ok()) return s;
  }
  if (plan_.splits.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "nothing to evaluate: ", absl::StrJoin(plan_.notes, "; ")));
  }
  return absl::OkStatus();
}

// Opens, of each program, the architectures of its splits; of those to learn or
// to compare with, what that needs.
void Planner::ChooseRows() {
  std::vector<std::set<size_t>> wanted(plan_.programs.size());
  std::set<size_t> all, known;
  for (const PlannedSplit& s : plan_.splits) {
    all.insert(s.architectures.begin(), s.architectures.end());
    for (size_t p : s.programs) {
      wanted[p].insert(s.architectures.begin(), s.architectures.end());
      PlannedProgram& program = plan_.programs[p];
      const size_t from = s.tail ? program.tail.begin : 0;
      program.represent_from =
          program.evaluated ? std::min(program.represent_from, from) : from;
      program.evaluated = true;
    }
  }
  for (size_t i = 0; i < plan_.architectures.size(); ++i) {
    if (!plan_.architectures[i].learned &&
        plan_.architectures[i].split == Split::kSeen) {
      known.insert(i);
    }
  }
  const bool learning = std::any_of(all.begin(), all.end(), [&](size_t i) {
    return plan_.architectures[i].learned;
  });
  for (size_t p = 0; p < plan_.programs.size(); ++p) {
    PlannedProgram& program = plan_.programs[p];
    program.learn_from &= learning;
    if (program.learn_from) {
      wanted[p].insert(all.begin(), all.end());
      program.represent_from = 0;
    }
    // Rivals: times on known architectures of what they learn from, and of
    // what they scale from.
    if (options_.rivals &&
        ((program.trained && program.entry.split == Split::kSeen) ||
         program.evaluated || program.learn_from)) {
      wanted[p].insert(known.begin(), known.end());
    }
    // The prior and its weights are chosen on known architectures.
    if (program.learn_from) wanted[p].insert(known.begin(), known.end());
    const std::vector<ArchitectureEntry>& rows =
        folders_[program.folder].architectures;
    for (size_t r = 0; r < rows.size(); ++r) {
      const size_t number = number_.at(rows[r].name);
      if (wanted[p].count(number) == 0) continue;
      program.rows.push_back(r);
      program.architectures.push_back(number);
    }
  }
}

void Planner::DropIdlePrograms() {
  std::vector<size_t> moved(plan_.programs.size());
  std::vector<PlannedProgram> kept;
  for (size_t p = 0; p < plan_.programs.size(); ++p) {
    moved[p] = kept.size();
    if (!plan_.programs[p].rows.empty()) {
      kept.push_back(std::move(plan_.programs[p]));
    }
  }
  plan_.programs = std::move(kept);
  for (PlannedSplit& s : plan_.splits) {
    for (size_t& p : s.programs) p = moved[p];
  }
}

}  // namespace

TrainingRecord ReadTrainingRecord(const compute::Manifest& manifest) {
  TrainingRecord record;
  const json provenance = json::parse(manifest.provenance_json, nullptr,
                                      /*allow_exceptions=*/false);
  if (!provenance.is_object()) return record;
  const auto programs = provenance.find("training_programs");
  if (programs != provenance.end() && programs->is_array()) {
    for (const json& name : *programs) {
      if (name.is_string()) record.programs.push_back(name);
    }
  }
  const auto tails = provenance.find("held_out_tails");
  if (tails == provenance.end() || !tails->is_object()) return record;
  for (const auto& [name, range] : tails->items()) {
    if (range.is_array() && range.size() == 2 &&
        range[0].is_number_unsigned()) {
      record.tail_begins[name] = range[0].get<size_t>();
    }
  }
  return record;
}

absl::StatusOr<Plan> MakePlan(const compute::Manifest& manifest,
                              const std::vector<DataFolder>& folders,
                              const PlanOptions& options) {
  return Planner(manifest, folders, options).Make();
}

}  // namespace perfvec::train
