// The calls of Kubernetes' scheduler extender, `filter` and `prioritize`, by
// the types of k8s.io/kube-scheduler/extender/v1, in terms of POST /v1/rank:
// docs/kubernetes.md.
//
// Pure functions; any thread. A pod names its program in an annotation, a node
// its architecture in a label. What is not known never keeps a pod from a node:
// nodes without a prediction pass the filter and score 0.
//
//   auto call = ParseExtenderCall("/kubernetes/v1/filter", body);
//   std::string ranking = ... answer to POST /v1/rank of RankBody(*call) ...
//   std::string json = ExtenderAnswer(*call, ranking);
#ifndef PERFVEC_SERVER_HTTP_KUBERNETES_H_
#define PERFVEC_SERVER_HTTP_KUBERNETES_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::server::http {

struct ExtenderCall {
  bool filters = false;
  std::string program;  // empty: the pod names none
  std::string objective = "OBJECTIVE_TIME";
  double deadline_ns = 0;  // 0: none
  nlohmann::json nodes;    // the array of Node objects, as sent
};

// Whether a path is one of the extender's.
bool IsExtenderPath(absl::string_view path);

// INVALID_ARGUMENT: the body is no ExtenderArgs with whole nodes (that needs
// nodeCacheCapable: false), or an annotation has no valid value.
absl::StatusOr<ExtenderCall> ParseExtenderCall(absl::string_view path,
                                               const std::string& body);

// A RankRequest of all architectures: a node's label may be wrong, which must
// not spoil the ranking of the others.
std::string RankBody(const ExtenderCall& call);

// ExtenderFilterResult or HostPriorityList, by a RankResponse as JSON. An empty
// text, or none of that form, lets all nodes pass, or scores all 0.
std::string ExtenderAnswer(const ExtenderCall& call,
                           const std::string& ranking);

}  // namespace perfvec::server::http

#endif  // PERFVEC_SERVER_HTTP_KUBERNETES_H_
