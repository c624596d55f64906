#include "worker/model/manifest.h"

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/features/rich_schema.h"
#include "worker/model/calibration.h"

namespace perfvec::compute {
namespace {

using Json = nlohmann::json;

constexpr char kFormat[] = "perfvec-foundation-model";
constexpr int kFormatVersion = 1;

absl::Status Bad(absl::string_view key, absl::string_view expected,
                 absl::string_view found) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", key, "\": expected ", expected, ", found ", found));
}

absl::Status CheckRange(absl::string_view key, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Bad(key, absl::StrCat("an integer from ", low, " to ", high),
             absl::StrCat(value));
}

using Transform = InputColumn::Transform;

const char* TransformName(Transform t) {
  switch (t) {
    case Transform::kIdentity:
      return "identity";
    case Transform::kLog2OnePlus:
      return "log2_1p";
    case Transform::kEquals:
      return "equals";
    case Transform::kBit:
      return "bit";
  }
  return "";
}
const char* ModeName(Mode m) {
  return m == Mode::kStream ? "stream" : "window";
}

// Reads members of a JSON object, keeping the first error, so that a parser
// reads straight down and checks once.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string where)
      : object_(object), where_(std::move(where)) {
    if (!object.is_object()) {
      Fail(Bad(where_, "an object", object.type_name()));
    }
  }

  // Null if the key is absent or an error was met before.
  const Json* Get(const char* key) {
    if (!status_.ok()) return nullptr;
    seen_.insert(key);
    auto it = object_.find(key);
    if (it == object_.end()) {
      Fail(absl::InvalidArgumentError(
          absl::StrCat("\"", where_, key, "\" is missing")));
      return nullptr;
    }
    return &*it;
  }

  void Read(const char* key, std::string* out) {
    const Json* v = Get(key);
    if (v == nullptr) return;
    if (!v->is_string()) return Wrong(key, "a string", *v);
    *out = v->get<std::string>();
  }
  void Read(const char* key, bool* out) {
    const Json* v = Get(key);
    if (v == nullptr) return;
    if (!v->is_boolean()) return Wrong(key, "true or false", *v);
    *out = v->get<bool>();
  }
  void Read(const char* key, int* out) {
    const Json* v = Get(key);
    if (v == nullptr) return;
    if (!v->is_number_unsigned() || v->get<uint64_t>() > INT32_MAX) {
      return Wrong(key, "a small non-negative integer", *v);
    }
    *out = v->get<int>();
  }
  void Read(const char* key, float* out) {
    const Json* v = Get(key);
    if (v == nullptr) return;
    if (!v->is_number()) return Wrong(key, "a number", *v);
    *out = v->get<float>();
  }
  void ReadObjectText(const char* key, std::string* out) {
    const Json* v = Get(key);
    if (v == nullptr) return;
    if (!v->is_object()) return Wrong(key, "an object", *v);
    *out = v->dump();
  }
  const Json* Array(const char* key) {
    const Json* v = Get(key);
    if (v != nullptr && !v->is_array()) {
      Wrong(key, "an array", *v);
      return nullptr;
    }
    return v;
  }
  void Wrong(const char* key, absl::string_view expected, const Json& found) {
    Fail(Bad(absl::StrCat(where_, key), expected, found.dump().substr(0, 80)));
  }
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  // The first error, else a complaint about a key nobody asked for.
  absl::Status Done() {
    if (!status_.ok()) return status_;
    for (const auto& [key, value] : object_.items()) {
      if (seen_.count(key) == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("\"", where_, key, "\" is not a key of this format"));
      }
    }
    return absl::OkStatus();
  }

 private:
  const Json& object_;
  const std::string where_;
  std::set<std::string> seen_;
  absl::Status status_;
};

absl::Status ReadInputs(const Json& array, Manifest* manifest) {
  for (size_t i = 0; i < array.size(); ++i) {
    ObjectReader reader(array[i], absl::StrCat("inputs[", i, "]."));
    InputColumn column;
    std::string transform;
    reader.Read("feature", &column.feature);
    reader.Read("transform", &transform);
    reader.Read("mean", &column.mean);
    reader.Read("std", &column.deviation);
    if (transform == "equals") {
      column.transform = Transform::kEquals;
      reader.Read("value", &column.value);
    } else if (transform == "bit") {
      column.transform = Transform::kBit;
      reader.Read("value", &column.value);
      if (!(column.value >= 0 && column.value <= 23 &&
            column.value == std::floor(column.value))) {
        reader.Fail(Bad(absl::StrCat("inputs[", i, "].value"),
                        "a bit number from 0 to 23",
                        absl::StrCat(column.value)));
      }
    } else if (transform == "log2_1p") {
      column.transform = Transform::kLog2OnePlus;
    } else if (transform != "identity") {
      reader.Fail(Bad(absl::StrCat("inputs[", i, "].transform"),
                      "identity, log2_1p, equals or bit", transform));
    }
    if (absl::Status s = reader.Done(); !s.ok()) return s;
    if (column.deviation == 0) column.deviation = 1;
    manifest->inputs.columns.push_back(column);
  }
  return absl::OkStatus();
}

absl::Status ReadArchitectures(const Json& array, Manifest* manifest) {
  for (size_t i = 0; i < array.size(); ++i) {
    ObjectReader reader(array[i], absl::StrCat("architectures[", i, "]."));
    TrainedArchitecture a;
    reader.Read("name", &a.name);
    reader.ReadObjectText("parameters", &a.parameters_json);
    if (absl::Status s = reader.Done(); !s.ok()) return s;
    manifest->architectures.push_back(std::move(a));
  }
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ParseFields(const Json& json) {
  ObjectReader reader(json, "");
  Manifest m;
  std::string format, cell, mode;
  int version = 0;
  reader.Read("format", &format);
  reader.Read("format_version", &version);
  if (absl::Status s =
          reader.Get("format") == nullptr ? reader.Done() : absl::OkStatus();
      !s.ok()) {
    return s;
  }
  if (format != kFormat) return Bad("format", kFormat, format);
  if (version != kFormatVersion) {
    return Bad("format_version", absl::StrCat(kFormatVersion),
               absl::StrCat(version, "; use a matching release"));
  }
  reader.Read("name", &m.name);
  reader.Read("feature_schema", &m.feature_schema);
  reader.Read("cell", &cell);
  reader.Read("layers", &m.layers);
  reader.Read("width", &m.width);
  reader.Read("bias", &m.bias);
  reader.Read("mode", &mode);
  reader.Read("segment_length", &m.segment_length);
  reader.Read("warm_up", &m.warm_up);
  reader.Read("license", &m.license);
  reader.ReadObjectText("provenance", &m.provenance_json);
  if (json.contains("calibration")) {
    reader.ReadObjectText("calibration", &m.calibration_json);
  }
  if (json.contains("passed_inputs")) {
    reader.Read("passed_inputs", &m.inputs.passed);
  }
  if (const Json* a = reader.Array("inputs"); a != nullptr) {
    reader.Fail(ReadInputs(*a, &m));
  }
  if (const Json* a = reader.Array("architectures"); a != nullptr) {
    reader.Fail(ReadArchitectures(*a, &m));
  }
  if (absl::Status s = reader.Done(); !s.ok()) return s;
  if (cell != "lstm") return Bad("cell", "lstm", cell);
  if (mode != "stream" && mode != "window") {
    return Bad("mode", "stream or window", mode);
  }
  if (const FeatureSchema* schema = FindFeatureSchema(m.feature_schema);
      schema != nullptr) {
    m.inputs.feature_count = schema->count();
  }
  m.mode = mode == "stream" ? Mode::kStream : Mode::kWindow;
  if (absl::Status s = ValidateManifest(m); !s.ok()) return s;
  return m;
}

Json DefinitionJson(const Manifest& m) {
  Json inputs = Json::array();
  for (const InputColumn& c : m.inputs.columns) {
    Json column = {{"feature", c.feature},
                   {"transform", TransformName(c.transform)},
                   {"mean", c.mean},
                   {"std", c.deviation}};
    if (c.transform == Transform::kEquals || c.transform == Transform::kBit) {
      column["value"] = c.value;
    }
    inputs.push_back(std::move(column));
  }
  Json definition = {{"bias", m.bias},
                     {"cell", "lstm"},
                     {"feature_schema", m.feature_schema},
                     {"inputs", std::move(inputs)},
                     {"layers", m.layers},
                     {"mode", ModeName(m.mode)},
                     {"segment_length", m.segment_length},
                     {"warm_up", m.warm_up},
                     {"width", m.width}};
  // Left out if none, as in manifests older than the key: the model id holds.
  if (m.inputs.passed > 0) definition["passed_inputs"] = m.inputs.passed;
  return definition;
}

absl::Status CheckObjectText(absl::string_view key, const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return absl::OkStatus();
  return Bad(key, "a JSON object", text.substr(0, 80));
}

}  // namespace

absl::Status ValidateManifest(const Manifest& m) {
  if (m.name.empty()) return Bad("name", "a name", "an empty string");
  const FeatureSchema* schema = FindFeatureSchema(m.feature_schema);
  if (schema == nullptr) {
    return Bad("feature_schema", std::string(FeatureSchemaIds()),
               m.feature_schema);
  }
  if (m.inputs.feature_count != schema->count()) {
    return Bad("feature_schema (its number of features)",
               absl::StrCat(schema->count()),
               absl::StrCat(m.inputs.feature_count));
  }
  absl::Status s = CheckRange("layers", m.layers, 1, kMaxLayers);
  s.Update(CheckRange("width", m.width, 1, kMaxWidth));
  s.Update(
      CheckRange("segment_length", m.segment_length, 1, kMaxSegmentLength));
  s.Update(CheckRange("warm_up", m.warm_up, 0, kMaxWarmUp));
  s.Update(CheckObjectText("provenance", m.provenance_json));
  if (!m.calibration_json.empty()) {
    s.Update(ParseCalibration(m.calibration_json, m.width).status());
  }
  if (!s.ok()) return s;
  s = CheckRange("inputs (their number)",
                 static_cast<int64_t>(m.inputs.width()), 1, kMaxInputs);
  s.Update(CheckRange(
      "passed_inputs", m.inputs.passed, 0,
      std::min<int64_t>(static_cast<int64_t>(m.inputs.width()), m.width)));
  for (size_t i = 0; i < m.inputs.width(); ++i) {
    const InputColumn& c = m.inputs.columns[i];
    const std::string key = absl::StrCat("inputs[", i, "]");
    s.Update(CheckRange(key + ".feature", c.feature, 0, schema->count() - 1));
    if (i + m.inputs.passed >= m.inputs.width() &&
        !(c.feature >= kRichFeatureCount &&
          c.transform == Transform::kIdentity && c.mean == 0 &&
          c.deviation >= float{kMaxFarInstructions} / kMaxPassedInput)) {
      s.Update(Bad(
          key,
          "as a passed input: a reference core's growth, identity, "
          "mean 0, std of at least 245",
          absl::StrCat("feature ", c.feature, ", ", TransformName(c.transform),
                       ", mean ", c.mean, ", std ", c.deviation)));
    }
    if (!std::isfinite(c.mean) || !std::isfinite(c.deviation) ||
        !std::isfinite(c.value) || !(c.deviation > 0)) {
      s.Update(Bad(key, "finite value and mean, finite std > 0",
                   absl::StrCat("value ", c.value, ", mean ", c.mean, ", std ",
                                c.deviation)));
    }
  }
  if (!s.ok()) return s;
  std::set<std::string> names;
  for (size_t i = 0; i < m.architectures.size(); ++i) {
    const TrainedArchitecture& a = m.architectures[i];
    const std::string key = absl::StrCat("architectures[", i, "]");
    if (a.name.empty()) return Bad(key, "a name", "an empty string");
    if (!names.insert(a.name).second) {
      return Bad(key, "a name not used before", a.name);
    }
    s = CheckObjectText(absl::StrCat(key, ".parameters"), a.parameters_json);
    if (!s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::StatusOr<Manifest> ParseManifest(absl::string_view text,
                                       absl::string_view label) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(label, ": expected a JSON object"));
  }
  absl::StatusOr<Manifest> manifest = ParseFields(json);
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(),
                        absl::StrCat(label, ": ", manifest.status().message()));
  }
  return manifest;
}

absl::StatusOr<std::string> SerializeManifest(const Manifest& m) {
  if (absl::Status s = ValidateManifest(m); !s.ok()) return s;
  Json json = DefinitionJson(m);
  json["format"] = kFormat;
  json["format_version"] = kFormatVersion;
  json["name"] = m.name;
  json["license"] = m.license;
  json["provenance"] = Json::parse(m.provenance_json);
  json["architectures"] = Json::array();
  for (const TrainedArchitecture& a : m.architectures) {
    json["architectures"].push_back(
        {{"name", a.name}, {"parameters", Json::parse(a.parameters_json)}});
  }
  if (!m.calibration_json.empty()) {
    json["calibration"] = Json::parse(m.calibration_json);
  }
  return absl::StrCat(json.dump(2, ' ', false, Json::error_handler_t::replace),
                      "\n");
}

std::string CanonicalDefinition(const Manifest& manifest) {
  return DefinitionJson(manifest).dump(-1, ' ', false,
                                       Json::error_handler_t::replace);
}

}  // namespace perfvec::compute
