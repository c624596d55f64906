// What `perfvec slurm` knows of a site: its file, its nodes, its accounting.
// docs/slurm.md has the formats. deploy/slurm/perfvec.lua reads the same site
// file, and the list of nodes that NodeTable::ToJson makes.
//
// Free functions; any thread. INVALID_ARGUMENT: the text, what was expected and
// what was found.
//
//   auto site = ParseSlurmSite(text, "/etc/perfvec/slurm.json");
//   auto nodes = ParseNodes(sinfo_output);
//   SlurmRuns runs = ParseAccounting(sacct_output, *site, *nodes, 10);
#ifndef PERFVEC_CLIENT_CLI_SLURM_SITE_H_
#define PERFVEC_CLIENT_CLI_SLURM_SITE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "perfvec/v1/learning_service.pb.h"

namespace perfvec::client::cli {

struct SlurmSite {
  struct Feature {
    std::string architecture;
    double jobs_per_node = 0;  // 0: not given
  };
  std::string server;  // "IPV4:PORT" of the JSON API
  std::string objective = "time";
  std::string nodes_file = "/etc/perfvec/slurm_nodes.json";
  std::map<std::string, Feature> features;
};
absl::StatusOr<SlurmSite> ParseSlurmSite(absl::string_view text,
                                         const std::string& label);

// The nodes as Slurm is configured, whatever state they are in.
struct NodeTable {
  // What every node of a feature has at least.
  struct Shape {
    int64_t nodes = 0, cpus = 0, memory_mb = 0;
  };
  std::map<std::string, std::map<std::string, Shape>> partitions;
  std::string default_partition;                             // may be empty
  std::map<std::string, std::set<std::string>> features_of;  // by node

  // For deploy/slurm/perfvec.lua: the features of `site` only.
  std::string ToJson(const SlurmSite& site) const;
};
// Of `sinfo -h -N -o "%P|%N|%c|%m|%f"`.
inline constexpr char kNodeFormat[] = "%P|%N|%c|%m|%f";
absl::StatusOr<NodeTable> ParseNodes(absl::string_view text);

// Run times by feature, for LearnArchitecture.
struct SlurmRuns {
  std::map<std::string, std::map<std::string, perfvec::v1::RunEvidence>> runs;
  uint64_t used = 0;
  // Why other jobs were left out, and how many.
  std::map<std::string, uint64_t> left_out;
};
// Of `sacct -P -X --format=` these fields, with its line of titles. A job
// counts if it completed on one node of one mapped feature, ran at least
// `min_seconds`, and its comment has perfvec=PROGRAM.
inline constexpr char kAccountingFormat[] =
    "JobID,State,ExitCode,NNodes,NodeList,ElapsedRaw,Comment";
absl::StatusOr<SlurmRuns> ParseAccounting(absl::string_view text,
                                          const SlurmSite& site,
                                          const NodeTable& nodes,
                                          int64_t min_seconds);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_SLURM_SITE_H_
