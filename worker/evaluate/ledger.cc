#include "worker/evaluate/ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "worker/model/files.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadLedger(const std::string& path) {
  if (!std::filesystem::exists(path)) return json::array();
  std::ifstream in(path);
  json ledger = json::parse(in, nullptr, /*allow_exceptions=*/false);
  bool good = ledger.is_array();
  for (size_t i = 0; good && i < ledger.size(); ++i) {
    good = ledger[i].is_object() && ledger[i].contains("model_id") &&
           ledger[i]["model_id"].is_string();
  }
  if (!good) {
    return absl::DataLossError(absl::StrCat(
        path,
        ": expected a JSON list of objects with a model_id; restore it, "
        "since it counts how often unseen data was opened"));
  }
  return ledger;
}

size_t Entries(const json& ledger, const std::string& model_id) {
  size_t count = 0;
  for (const json& entry : ledger) count += entry["model_id"] == model_id;
  return count;
}

}  // namespace

absl::StatusOr<size_t> CountOpening(const std::string& model_directory,
                                    const std::string& model_id,
                                    const Plan& plan) {
  const std::string path = absl::StrCat(model_directory, "/", kLedgerFileName);
  std::set<std::string> programs, architectures;
  for (const PlannedProgram& p : plan.programs) {
    if (p.entry.split == Split::kUnseen) programs.insert(p.entry.name);
    for (size_t a : p.architectures) {
      const PlannedArchitecture& architecture = plan.architectures[a];
      if (architecture.split == Split::kUnseen) {
        architectures.insert(architecture.name);
      }
    }
  }
  if (programs.empty() && architectures.empty()) {
    auto ledger = ReadLedger(path);
    if (!ledger.ok()) return ledger.status();
    return Entries(*ledger, model_id);
  }
  const int lock = open(model_directory.c_str(), O_RDONLY | O_CLOEXEC);
  const absl::Cleanup close_lock = [lock] { close(lock); };
  if (lock < 0 || flock(lock, LOCK_EX) != 0) {
    return absl::UnavailableError(absl::StrCat(
        model_directory, ": cannot be locked: ", std::strerror(errno)));
  }
  auto ledger = ReadLedger(path);
  if (!ledger.ok()) return ledger.status();
  ledger->push_back({{"date", absl::FormatTime(absl::RFC3339_sec, absl::Now(),
                                               absl::UTCTimeZone())},
                     {"model_id", model_id},
                     {"programs", programs},
                     {"architectures", architectures}});
  absl::Status written =
      compute::WriteFileAtomically(path, ledger->dump(1) + "\n");
  if (!written.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "unseen data is not opened, since that cannot be counted: ",
        written.message()));
  }
  return Entries(*ledger, model_id);
}

}  // namespace perfvec::train
