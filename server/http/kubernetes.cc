#include "server/http/kubernetes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace perfvec::server::http {
namespace {

using nlohmann::json;

constexpr char kFilterPath[] = "/kubernetes/v1/filter";
constexpr char kPrioritizePath[] = "/kubernetes/v1/prioritize";
constexpr int kMaxScore = 10;  // MaxExtenderPriority
constexpr int kMaxArchitectures = 10000;

// A member by its name in Go or in JSON ("Nodes", "nodes"), as Go reads them.
const json& Member(const json& object, absl::string_view name) {
  static const json* const kNone = new json();
  if (!object.is_object()) return *kNone;
  for (const auto& [key, value] : object.items()) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return *kNone;
}

// metadata.FIELD.KEY of a pod or a node; empty: absent.
std::string MetadataText(const json& object, const char* field,
                         const char* key) {
  const json& map = Member(Member(object, "metadata"), field);
  const auto found = map.is_object() ? map.find(key) : map.end();
  return map.is_object() && found != map.end() && found->is_string()
             ? found->get<std::string>()
             : "";
}

std::string NodeName(const json& node) {
  const json& name = Member(Member(node, "metadata"), "name");
  return name.is_string() ? name.get<std::string>() : "";
}

struct Item {
  std::string name;  // "name@version"
  double time_ns = 0, objective = 0;
};
using Items = std::map<std::string, Item>;

double Number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

Items ByArchitecture(const std::string& ranking) {
  Items items;
  const json answer = json::parse(ranking, nullptr, false);
  for (const json& one : Member(answer, "items")) {
    Item item;
    if (!one.is_object()) continue;
    if (const auto name = one.find("name");
        name != one.end() && name->is_string()) {
      item.name = name->get<std::string>();
    }
    item.time_ns = Number(one, "timeNs");
    item.objective = Number(one, "objectiveValue");
    items.emplace(item.name.substr(0, item.name.find('@')), item);
  }
  return items;
}

const Item* Find(const Items& items, const json& node) {
  const auto found =
      items.find(MetadataText(node, "labels", "perfvec/architecture"));
  return found == items.end() ? nullptr : &found->second;
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

bool IsExtenderPath(absl::string_view path) {
  return path == kFilterPath || path == kPrioritizePath;
}

absl::StatusOr<ExtenderCall> ParseExtenderCall(absl::string_view path,
                                               const std::string& body) {
  const json arguments = json::parse(body, nullptr, false);
  const json& pod = Member(arguments, "pod");
  const json& nodes = Member(Member(arguments, "nodes"), "items");
  if (!pod.is_object() || !nodes.is_array()) {
    return absl::InvalidArgumentError(
        "expected ExtenderArgs of k8s.io/kube-scheduler/extender/v1 with Pod "
        "and Nodes; NodeNames alone do not tell the nodes' labels: set "
        "nodeCacheCapable to false");
  }
  for (const json& node : nodes) {
    if (NodeName(node).empty()) {
      return absl::InvalidArgumentError(
          "Nodes: expected objects with metadata.name");
    }
  }
  ExtenderCall call;
  call.filters = path == kFilterPath;
  call.nodes = nodes;
  call.program = MetadataText(pod, "annotations", "perfvec/program");
  const std::string objective =
      MetadataText(pod, "annotations", "perfvec/objective");
  if (objective == "cost") {
    call.objective = "OBJECTIVE_COST";
  } else if (objective == "energy") {
    call.objective = "OBJECTIVE_ENERGY";
  } else if (!objective.empty() && objective != "time") {
    return absl::InvalidArgumentError(
        absl::StrCat("annotation perfvec/objective: expected time, cost or "
                     "energy, found \"",
                     objective, "\""));
  }
  const std::string deadline =
      MetadataText(pod, "annotations", "perfvec/deadline");
  absl::Duration duration;
  if (!deadline.empty()) {
    if (!absl::ParseDuration(deadline, &duration) ||
        duration <= absl::ZeroDuration() ||
        duration == absl::InfiniteDuration()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "annotation perfvec/deadline: expected a time such as 10ms, found \"",
          deadline, "\""));
    }
    call.deadline_ns = absl::ToDoubleNanoseconds(duration);
  }
  return call;
}

std::string RankBody(const ExtenderCall& call) {
  return Dump({{"program", call.program},
               // A node is filtered by its time, whatever its price.
               {"objective", call.filters ? "OBJECTIVE_TIME" : call.objective},
               {"limit", kMaxArchitectures}});
}

std::string ExtenderAnswer(const ExtenderCall& call,
                           const std::string& ranking) {
  const Items items = ByArchitecture(ranking);
  if (call.filters) {
    json passed = json::array(), failed = json::object();
    for (const json& node : call.nodes) {
      const Item* item = Find(items, node);
      if (item != nullptr && call.deadline_ns > 0 &&
          item->time_ns > call.deadline_ns) {
        failed[NodeName(node)] = absl::StrFormat(
            "%s would take %s on %s, longer than %s", call.program,
            absl::FormatDuration(absl::Nanoseconds(item->time_ns)), item->name,
            absl::FormatDuration(absl::Nanoseconds(call.deadline_ns)));
      } else {
        passed.push_back(node);
      }
    }
    return Dump({{"Nodes",
                  {{"kind", "NodeList"},
                   {"apiVersion", "v1"},
                   {"metadata", json::object()},
                   {"items", passed}}},
                 {"NodeNames", nullptr},
                 {"FailedNodes", json::object()},
                 // Preempting other pods makes no node faster.
                 {"FailedAndUnresolvableNodes", failed},
                 {"Error", ""}});
  }
  double best = std::numeric_limits<double>::infinity();
  for (const json& node : call.nodes) {
    const Item* item = Find(items, node);
    if (item != nullptr) best = std::min(best, item->objective);
  }
  json scores = json::array();
  for (const json& node : call.nodes) {
    const Item* item = Find(items, node);
    // A free node (price 0) is the best, and as good as any other free one.
    const double share = item == nullptr       ? 0
                         : item->objective > 0 ? best / item->objective
                                               : 1;
    scores.push_back(
        {{"Host", NodeName(node)}, {"Score", std::lround(kMaxScore * share)}});
  }
  return Dump(scores);
}

}  // namespace perfvec::server::http
