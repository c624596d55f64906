#include "client/cli/slurm_site.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::client::cli {
namespace {

using nlohmann::json;

// sacct's seconds are whole, so that the difference of two instants is off by
// two uniform errors: sqrt(2 / 12) s.
constexpr double kClockSpreadNs = 0.408e9;
constexpr int kMaxRunsOfProgram = 100;
constexpr int64_t kMaxSeconds = 100'000'000;

std::string Text(const json& object, const char* name,
                 const std::string& otherwise) {
  const auto found = object.find(name);
  if (found == object.end()) return otherwise;
  return found->is_string() ? found->get<std::string>() : "";
}

bool IsFeatureName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

// As deploy/slurm/perfvec.lua does: "[\s,;]perfvec=NAME".
std::string ProgramOfComment(absl::string_view comment) {
  for (absl::string_view word :
       absl::StrSplit(comment, absl::ByAnyChar(" \t,;"))) {
    if (absl::ConsumePrefix(&word, "perfvec=")) return std::string(word);
  }
  return "";
}

// The one mapped feature of a node; empty: none, or several.
std::string FeatureOf(const SlurmSite& site, const NodeTable& nodes,
                      const std::string& node) {
  const auto found = nodes.features_of.find(node);
  if (found == nodes.features_of.end()) return "";
  std::string only;
  for (const std::string& feature : found->second) {
    if (site.features.count(feature) == 0) continue;
    if (!only.empty()) return "";
    only = feature;
  }
  return only;
}

}  // namespace

absl::StatusOr<SlurmSite> ParseSlurmSite(absl::string_view text,
                                         const std::string& label) {
  auto fail = [&label](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(label, ": ", what));
  };
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return fail("expected an object of JSON");
  SlurmSite site;
  site.server = Text(object, "server", "");
  const std::vector<absl::string_view> parts = absl::StrSplit(site.server, ':');
  uint32_t port = 0;
  if (parts.size() != 2 ||
      parts[0].find_first_not_of("0123456789.") != absl::string_view::npos ||
      parts[0].empty() || !absl::SimpleAtoi(parts[1], &port) || port == 0 ||
      port > 65535) {
    return fail(
        absl::StrCat("server: expected an IPv4 address and a port, "
                     "found \"",
                     site.server, "\""));
  }
  site.objective = Text(object, "objective", site.objective);
  if (site.objective != "time" && site.objective != "node_hours" &&
      site.objective != "energy" && site.objective != "cost") {
    return fail("objective: expected time, node_hours, energy or cost");
  }
  const std::string fill = Text(object, "fill", "prefer");
  if (fill != "prefer" && fill != "constraint") {
    return fail("fill: expected prefer or constraint");
  }
  site.nodes_file = Text(object, "nodes_file", site.nodes_file);
  const auto features = object.find("features");
  if (features == object.end() || !features->is_object() || features->empty()) {
    return fail("features: expected a map from features of nodes");
  }
  for (const auto& [name, entry] : features->items()) {
    SlurmSite::Feature feature;
    if (entry.is_object()) {
      feature.architecture = Text(entry, "architecture", "");
      const auto jobs = entry.find("jobs_per_node");
      if (jobs != entry.end() && jobs->is_number()) {
        feature.jobs_per_node = jobs->get<double>();
      }
    }
    if (!IsFeatureName(name) || feature.architecture.empty()) {
      return fail(absl::StrCat("features: \"", name,
                               "\": expected {\"architecture\": NAME}"));
    }
    if (site.objective == "node_hours" && !(feature.jobs_per_node > 0)) {
      return fail(absl::StrCat("features: \"", name,
                               "\": node_hours needs jobs_per_node"));
    }
    site.features[name] = feature;
  }
  return site;
}

std::string NodeTable::ToJson(const SlurmSite& site) const {
  json out = {{"default_partition", default_partition},
              {"partitions", json::object()}};
  for (const auto& [partition, shapes] : partitions) {
    json& entry = out["partitions"][partition] = json::object();
    for (const auto& [feature, shape] : shapes) {
      if (site.features.count(feature) == 0) continue;
      entry[feature] = {{"nodes", shape.nodes},
                        {"cpus", shape.cpus},
                        {"memory_mb", shape.memory_mb}};
    }
  }
  return absl::StrCat(out.dump(1, ' ', false, json::error_handler_t::replace),
                      "\n");
}

absl::StatusOr<NodeTable> ParseNodes(absl::string_view text) {
  NodeTable table;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
    int64_t cpus = 0, memory = 0;
    if (cells.size() != 5 || cells[0].empty() || cells[1].empty() ||
        !absl::SimpleAtoi(cells[2], &cpus) || cpus < 0 ||
        !absl::SimpleAtoi(cells[3], &memory) || memory < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("sinfo: expected PARTITION|NODE|CPUS|MEGABYTES|FEATURES"
                       ", found \"",
                       line.substr(0, 200), "\""));
    }
    absl::string_view partition = cells[0];
    if (absl::ConsumeSuffix(&partition, "*")) {
      table.default_partition = std::string(partition);
    }
    for (absl::string_view name :
         absl::StrSplit(cells[4], ',', absl::SkipEmpty())) {
      if (name == "(null)") continue;
      table.features_of[std::string(cells[1])].insert(std::string(name));
      NodeTable::Shape& shape =
          table.partitions[std::string(partition)][std::string(name)];
      shape.cpus = shape.nodes == 0 ? cpus : std::min(shape.cpus, cpus);
      shape.memory_mb =
          shape.nodes == 0 ? memory : std::min(shape.memory_mb, memory);
      ++shape.nodes;
    }
  }
  return table;
}

absl::StatusOr<SlurmRuns> ParseAccounting(absl::string_view text,
                                          const SlurmSite& site,
                                          const NodeTable& nodes,
                                          int64_t min_seconds) {
  const std::vector<std::string> titles =
      absl::StrSplit(kAccountingFormat, ',');
  std::vector<absl::string_view> lines =
      absl::StrSplit(text, '\n', absl::SkipEmpty());
  if (lines.empty() ||
      lines[0] != absl::StrCat("JobID|State|ExitCode|NNodes|"
                               "NodeList|ElapsedRaw|Comment")) {
    return absl::InvalidArgumentError(
        absl::StrCat("sacct: expected a first line of the titles ",
                     kAccountingFormat, " apart by |"));
  }
  SlurmRuns result;
  for (size_t i = 1; i < lines.size(); ++i) {
    // A comment may have a | of its own.
    const std::vector<std::string> cells =
        absl::StrSplit(lines[i], absl::MaxSplits('|', titles.size() - 1));
    if (cells.size() != titles.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("sacct: line ", i + 1, ": expected ", titles.size(),
                       " fields, found ", cells.size()));
    }
    const std::string program = ProgramOfComment(cells[6]);
    const std::string feature = FeatureOf(site, nodes, cells[4]);
    int64_t seconds = 0;
    const char* why = nullptr;
    if (program.empty()) {
      why = "no perfvec=PROGRAM in the comment";
    } else if (cells[1] != "COMPLETED" || cells[2] != "0:0") {
      why = "not completed";
    } else if (cells[3] != "1") {
      why = "not on one node";
    } else if (feature.empty()) {
      why = "on a node without one mapped feature";
    } else if (!absl::SimpleAtoi(cells[5], &seconds) || seconds < 1 ||
               seconds > kMaxSeconds || seconds < min_seconds) {
      why = "too short";
    }
    if (why != nullptr) {
      ++result.left_out[why];
      continue;
    }
    perfvec::v1::RunEvidence& run = result.runs[feature][program];
    if (run.time_ns_size() >= kMaxRunsOfProgram) {
      ++result.left_out["more runs of a program than are needed"];
      continue;
    }
    run.set_program(program);
    run.add_time_ns(1e9 * seconds);
    ++result.used;
  }
  // A single run, or runs of the same whole second, would look exact.
  for (auto& [feature, programs] : result.runs) {
    for (auto& [program, run] : programs) {
      double mean = 0, square = 0;
      for (double time : run.time_ns()) mean += time / run.time_ns_size();
      for (double time : run.time_ns()) square += (time - mean) * (time - mean);
      const double variance =
          run.time_ns_size() > 1 ? square / (run.time_ns_size() - 1) : 0;
      if (variance < kClockSpreadNs * kClockSpreadNs) {
        run.set_spread_ns(kClockSpreadNs);
      }
    }
  }
  return result;
}

}  // namespace perfvec::client::cli
