#include "server/http/routes.h"

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::server::http {
namespace {

constexpr RouteKind kUnary = RouteKind::kUnary;

const Route kRoutes[] = {
    {"GET", "/v1/status", "ServerService.GetServerStatus", kUnary,
     "Version, counts, queue of the server"},
    {"POST", "/v1/backups", "ServerService.CreateBackup", kUnary,
     "Make a verified copy of the registry and the traces"},

    {"GET", "/v1/programs", "ProgramService.ListPrograms", kUnary,
     "List programs", "page"},
    {"POST", "/v1/programs", "ProgramService.CreateProgram", kUnary,
     "Register an uploaded trace as a program"},
    {"GET", "/v1/programs/{program}", "ProgramService.GetProgram", kUnary,
     "A program"},
    {"PATCH", "/v1/programs/{program}", "ProgramService.UpdateProgram", kUnary,
     "Change tags and aliases of a program"},
    {"DELETE", "/v1/programs/{program}", "ProgramService.DeleteProgram", kUnary,
     "Delete a version of a program, or all"},
    {"POST", "/v1/programs/{program}:represent",
     "ProgramService.RepresentProgram", kUnary,
     "Queue the computation of a program's vector"},
    {"POST", "/v1/programs/{program}:analyze", "AnalysisService.AnalyzeProgram",
     kUnary, "Where a program's time goes: intervals, functions, addresses"},
    {"GET", "/v1/programs/{program}/parts", "AnalysisService.GetProgramParts",
     kUnary, "The vectors of a program's intervals, functions or addresses"},

    {"GET", "/v1/architectures", "ArchitectureService.ListArchitectures",
     kUnary, "List architectures, without their vectors", "page"},
    {"POST", "/v1/architectures", "ArchitectureService.CreateArchitecture",
     kUnary, "Register an architecture"},
    {"POST", "/v1/architectures:learn", "LearningService.LearnArchitecture",
     kUnary, "Learn an architecture from run times or latencies"},
    {"POST", "/v1/architectures:explore",
     "ExplorationService.ExploreDesignSpace", kUnary,
     "Find the best designs of a space of architectures"},
    {"GET", "/v1/architectures/{architecture}",
     "ArchitectureService.GetArchitecture", kUnary, "An architecture"},
    {"PATCH", "/v1/architectures/{architecture}",
     "ArchitectureService.UpdateArchitecture", kUnary,
     "Change tags, attributes, price, power of an architecture"},
    {"DELETE", "/v1/architectures/{architecture}",
     "ArchitectureService.DeleteArchitecture", kUnary,
     "Delete a version of an architecture, or all"},

    {"GET", "/v1/models", "ModelService.ListModels", kUnary, "List models",
     "page"},
    {"POST", "/v1/models", "ModelService.CreateModel", RouteKind::kModel,
     "Register a model: its manifest, then its weights", "header"},
    {"GET", "/v1/models/{model}", "ModelService.GetModel", kUnary, "A model"},
    {"GET", "/v1/models/{model}/weights", "ModelService.ReadModelWeights",
     RouteKind::kBytes, "The weights of a model (safetensors)"},
    {"PATCH", "/v1/models/{model}", "ModelService.UpdateModel", kUnary,
     "Change tags and aliases of a model"},
    {"DELETE", "/v1/models/{model}", "ModelService.DeleteModel", kUnary,
     "Delete a model"},

    {"POST", "/v1/uploads", "TraceService.BeginUpload", kUnary,
     "Begin or find the upload of a trace"},
    {"GET", "/v1/uploads/{upload_id}", "TraceService.GetUpload", kUnary,
     "How far an upload has come"},
    {"PUT", "/v1/uploads/{upload_id}", "TraceService.WriteUpload",
     RouteKind::kUpload, "Send bytes of a trace from Upload-Offset on"},
    {"POST", "/v1/uploads/{upload_id}:finish", "TraceService.FinishUpload",
     kUnary, "Check a whole upload and keep it as a trace"},
    {"DELETE", "/v1/uploads/{upload_id}", "TraceService.AbortUpload", kUnary,
     "Drop an upload"},
    {"GET", "/v1/traces/{trace_id}", "TraceService.GetTrace", kUnary,
     "What an uploaded trace holds"},

    {"GET", "/v1/jobs", "JobService.ListJobs", kUnary,
     "List jobs, newest first"},
    {"GET", "/v1/jobs/{job_id}", "JobService.GetJob", kUnary, "A job"},
    {"GET", "/v1/jobs/{job_id}:watch", "JobService.WatchJob",
     RouteKind::kEvents, "A job now and after every change, until its end"},
    {"POST", "/v1/jobs/{job_id}:cancel", "JobService.CancelJob", kUnary,
     "Cancel a job"},

    {"GET", "/v1/predict", "PredictionService.Predict", kUnary,
     "Predict the time of a program on an architecture"},
    {"POST", "/v1/predict", "PredictionService.Predict", kUnary,
     "Predict the time of a program on an architecture"},
    {"POST", "/v1/predict:batch", "PredictionService.PredictBatch", kUnary,
     "Predict many pairs at once"},
    {"POST", "/v1/predict:matrix", "PredictionService.PredictMatrix",
     RouteKind::kJsonArray, "Predict all pairs of programs and architectures"},
    {"GET", "/v1/rank", "PredictionService.Rank", kUnary,
     "Rank architectures for a program, or programs on an architecture"},
    {"POST", "/v1/rank", "PredictionService.Rank", kUnary,
     "Rank, also with constraints on attributes"},
};

// Splits "a/b:verb" into segments and the verb.
struct Parts {
  std::vector<absl::string_view> segments;
  absl::string_view verb;
};
Parts Split(absl::string_view path) {
  Parts parts;
  parts.segments = absl::StrSplit(path, '/');
  absl::string_view& last = parts.segments.back();
  const size_t colon = last.rfind(':');
  if (colon != last.npos) {
    parts.verb = last.substr(colon + 1);
    last = last.substr(0, colon);
  }
  return parts;
}

bool MatchPath(const Parts& path, const Route& route, Match* match) {
  const Parts pattern = Split(route.path);
  if (pattern.verb != path.verb ||
      pattern.segments.size() != path.segments.size()) {
    return false;
  }
  match->fields.clear();
  for (size_t i = 0; i < pattern.segments.size(); ++i) {
    absl::string_view want = pattern.segments[i];
    if (!absl::StartsWith(want, "{")) {
      if (want != path.segments[i]) return false;
      continue;
    }
    std::string value;
    if (path.segments[i].empty() ||
        !PercentDecode(path.segments[i], false, &value)) {
      return false;
    }
    match->fields.emplace_back(want.substr(1, want.size() - 2), value);
  }
  return true;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

absl::Span<const Route> Routes() { return kRoutes; }

// Well-formed as Unicode 15, table 3-7, says.
bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const uint8_t lead = text[i++];
    if (lead < 0x80) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    uint8_t low = 0x80, high = 0xbf;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
    for (int k = 0; k < more; ++k, low = 0x80, high = 0xbf) {
      if (i >= text.size()) return false;
      const uint8_t next = text[i++];
      if (next < low || next > high) return false;
    }
  }
  return true;
}

bool PercentDecode(absl::string_view text, bool plus_is_space,
                   std::string* decoded) {
  decoded->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded->push_back(' ');
    } else if (text[i] != '%') {
      decoded->push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      decoded->push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return IsUtf8(*decoded);
}

Match MatchRoute(absl::string_view method, absl::string_view path) {
  const absl::string_view wanted = method == "HEAD" ? "GET" : method;
  const Parts parts = Split(path);
  Match match;
  std::string allowed;
  for (const Route& route : kRoutes) {
    if (!MatchPath(parts, route, &match)) continue;
    if (wanted == route.method) {
      match.route = &route;
      return match;
    }
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", route.method);
    if (absl::string_view(route.method) == "GET") {
      absl::StrAppend(&allowed, ", HEAD");
    }
  }
  match.fields.clear();
  match.allowed = allowed;
  return match;
}

}  // namespace perfvec::server::http
