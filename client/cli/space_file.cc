#include "client/cli/space_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

using Json = nlohmann::json;

// Keeps the first error, with the place it is at.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}
  const absl::Status& status() const { return status_; }

  void Fail(absl::string_view field, absl::string_view expected,
            const Json& found) {
    std::string text =
        found.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    status_.Update(absl::InvalidArgumentError(absl::StrCat(
        file_, ": ", field, ": expected ", expected, ", found ", text)));
  }

  // The object's fields, all of which must be among `known`.
  bool Object(absl::string_view field, const Json& value,
              const std::set<std::string>& known) {
    if (!value.is_object()) {
      Fail(field, "an object", value);
      return false;
    }
    for (const auto& [key, ignored] : value.items()) {
      if (known.count(key) == 0) {
        Fail(field, "known fields only", Json(key));
        return false;
      }
    }
    return true;
  }

  const Json& List(absl::string_view field, const Json& value) {
    if (value.is_array()) return value;
    if (!value.is_null()) Fail(field, "a list", value);
    return empty_;
  }

  std::string Text(absl::string_view field, const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    Fail(field, "a text", value);
    return "";
  }

  double Number(absl::string_view field, const Json& value) {
    if (value.is_number()) return value.get<double>();
    Fail(field, "a number", value);
    return 0;
  }

  std::vector<std::string> Texts(absl::string_view field, const Json& value) {
    std::vector<std::string> texts;
    for (const Json& one : List(field, value)) {
      texts.push_back(Text(field, one));
    }
    return texts;
  }

 private:
  const std::string file_;
  const Json empty_ = Json::array();
  absl::Status status_;
};

const Json& At(const Json& object, const char* key) {
  static const Json* const none = new Json();
  const auto it = object.find(key);
  return it == object.end() ? *none : *it;
}

explore::Parameter ReadParameter(Reader& reader, const Json& value) {
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
explore::Point ReadPoint(Reader& reader, const std::string& field,
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
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": is not JSON"));
  }
  Reader reader(file);
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
  if (!constants.is_null() && !constants.is_object()) {
    reader.Fail("constants", "an object", constants);
  } else if (constants.is_object()) {
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
