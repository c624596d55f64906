#include "client/cli/space_file.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/json_reader.h"
#include "storage/status_macros.h"

namespace perfvec::client::cli {
namespace {

explore::Parameter ReadParameter(JsonReader& reader, const Json& value) {
  explore::Parameter p;
  if (!reader.Object("parameters", value,
                     {"name", "type", "values", "labels", "scale"})) {
    return p;
  }
  p.name = reader.Text("parameters.name", At(value, "name"));
  const std::string field = absl::StrCat("parameter ", p.name);
  p.labels = reader.Texts(field, At(value, "labels"));
  for (const Json& v : reader.List(field, At(value, "values"))) {
    p.values.push_back(reader.Number(field, v));
  }
  const Json& scale = At(value, "scale");
  if (!scale.is_null() && scale != "log" && scale != "linear") {
    reader.Fail(field, "the scale \"log\" or \"linear\"", scale);
  }
  p.log_scale = scale == "log";
  const Json& type = At(value, "type");
  if (type == "category" || (type.is_null() && !p.labels.empty())) {
    p.type = explore::ParameterType::kCategory;
  } else if (type == "integer") {
    p.type = explore::ParameterType::kInteger;
  } else if (!type.is_null() && type != "real") {
    reader.Fail(field, "the type \"real\", \"integer\" or \"category\"", type);
  }
  return p;
}

// A value for each parameter, labels by their names.
explore::Point ReadPoint(JsonReader& reader, const std::string& field,
                         const explore::ParameterSpace& space,
                         const Json& value) {
  explore::Point point;
  std::set<std::string> names;
  for (const explore::Parameter& p : space.parameters) names.insert(p.name);
  if (!reader.Object(field, value, names)) return point;
  for (const explore::Parameter& p : space.parameters) {
    const Json& v = At(value, p.name.c_str());
    const std::string place = absl::StrCat(field, ": ", p.name);
    if (p.type != explore::ParameterType::kCategory) {
      point.push_back(reader.Number(place, v));
      continue;
    }
    const std::string label = reader.Text(place, v);
    const auto it = std::find(p.labels.begin(), p.labels.end(), label);
    if (it == p.labels.end()) reader.Fail(place, "one of its labels", v);
    point.push_back(static_cast<double>(it - p.labels.begin()));
  }
  return point;
}

}  // namespace

absl::StatusOr<SpaceFile> ParseSpaceFile(absl::string_view text,
                                         const std::string& file) {
  PERFVEC_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
  JsonReader reader(file);
  if (!reader.Object(
          "the file", json,
          {"parameters", "constants", "constraints", "samples", "programs",
           "objective", "limits", "front", "confidence"})) {
    return reader.status();
  }
  SpaceFile out;
  for (const Json& p : reader.List("parameters", At(json, "parameters"))) {
    out.space.parameters.push_back(ReadParameter(reader, p));
  }
  const Json& constants = At(json, "constants");
  if (!constants.is_null() && reader.Object("constants", constants)) {
    for (const auto& [name, value] : constants.items()) {
      out.space.constants[name] =
          reader.Number(absl::StrCat("constant ", name), value);
    }
  }
  out.space.constraints = reader.Texts("constraints", At(json, "constraints"));
  if (!reader.status().ok()) return reader.status();
  absl::Status status = explore::CheckSpace(out.space);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": ", status.message()));
  }
  for (const Json& s : reader.List("samples", At(json, "samples"))) {
    if (!reader.Object("samples", s, {"architecture", "parameters"})) break;
    SpaceFile::Sample sample;
    sample.architecture =
        reader.Text("samples.architecture", At(s, "architecture"));
    sample.point =
        ReadPoint(reader, absl::StrCat("sample ", sample.architecture),
                  out.space, At(s, "parameters"));
    out.samples.push_back(std::move(sample));
  }
  for (const Json& p : reader.List("programs", At(json, "programs"))) {
    SpaceFile::Program program;
    if (p.is_string()) {
      program.program = p.get<std::string>();
    } else if (reader.Object("programs", p, {"program", "weight"})) {
      program.program = reader.Text("programs.program", At(p, "program"));
      const Json& weight = At(p, "weight");
      if (!weight.is_null()) {
        program.weight =
            reader.Number(absl::StrCat("program ", program.program), weight);
      }
    }
    out.programs.push_back(std::move(program));
  }
  const Json& objective = At(json, "objective");
  if (!objective.is_null()) {
    out.request.objective = reader.Text("objective", objective);
  }
  out.request.constraints = reader.Texts("limits", At(json, "limits"));
  out.request.front = reader.Texts("front", At(json, "front"));
  const Json& confidence = At(json, "confidence");
  if (!confidence.is_null()) {
    out.request.confidence = reader.Number("confidence", confidence);
  }
  if (!reader.status().ok()) return reader.status();
  return out;
}

}  // namespace perfvec::client::cli
