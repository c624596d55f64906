#include "client/cli/architecture_file.h"

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;
using Json = nlohmann::json;

// Collects the first error, with the place it is at.
class Parser {
 public:
  explicit Parser(std::string place) : place_(std::move(place)) {}

  const absl::Status& status() const { return status_; }

  void Fail(absl::string_view field, absl::string_view expected,
            const Json& found) {
    std::string text =
        found.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() > 60) text = text.substr(0, 57) + "...";
    status_.Update(absl::InvalidArgumentError(
        absl::StrCat(place_, ": field \"", field, "\": expected ", expected,
                     ", found ", text)));
  }

  bool String(absl::string_view field, const Json& value, std::string* out) {
    if (!value.is_string()) {
      Fail(field, "a string", value);
      return false;
    }
    *out = value.get<std::string>();
    return true;
  }

  double Number(absl::string_view field, const Json& value) {
    if (!value.is_number()) {
      Fail(field, "a number", value);
      return 0;
    }
    return value.get<double>();
  }

  void Attribute(const std::string& name, const Json& value,
                 api::AttributeValue* out) {
    const std::string field = absl::StrCat("attributes.", name);
    if (value.is_number()) {
      out->set_number(value.get<double>());
    } else if (value.is_boolean()) {
      out->set_number(value.get<bool>() ? 1 : 0);
    } else if (value.is_string()) {
      out->set_text(value.get<std::string>());
    } else if (value.is_object() && value.size() == 1 &&
               value.contains("number")) {
      out->set_number(Number(field, value["number"]));
    } else if (value.is_object() && value.size() == 1 &&
               value.contains("text")) {
      String(field, value["text"], out->mutable_text());
    } else {
      Fail(field, "a number or a string", value);
    }
  }

  void Vector(const Json& value, ArchitectureDraft* draft) {
    static const std::set<std::string> kGiven = {"create_time"};
    if (!value.is_object()) return Fail("vectors", "an object", value);
    api::ArchitectureVector* vector = draft->architecture.add_vectors();
    std::string model;
    for (const auto& [key, field] : value.items()) {
      if (key == "model") {
        String("vectors.model", field, &model);
      } else if (key == "model_id") {
        String("vectors.model_id", field, vector->mutable_model_id());
      } else if (key == "origin") {
        String("vectors.origin", field, vector->mutable_origin());
      } else if (key == "values") {
        if (!field.is_array()) Fail("vectors.values", "an array", field);
        for (const Json& element : field) {
          vector->add_values(Number("vectors.values", element));
        }
      } else if (kGiven.count(key) == 0) {
        Fail(absl::StrCat("vectors.", key), "model, model_id, values or origin",
             field);
      }
    }
    if (model.empty() == vector->model_id().empty()) {
      Fail("vectors", "either model or model_id", Json(model));
    }
    if (vector->origin().empty()) vector->set_origin("given");
    draft->vector_models.push_back(model);
  }

  void Texts(const std::string& name, const Json& value,
             google::protobuf::Map<std::string, std::string>* out) {
    if (!value.is_object()) return Fail(name, "an object", value);
    for (const auto& [key, text] : value.items()) {
      String(absl::StrCat(name, ".", key), text, &(*out)[key]);
    }
  }

  ArchitectureDraft Architecture(const Json& json) {
    static const std::set<std::string> kGiven = {"version", "create_time",
                                                 "update_time", "revision"};
    ArchitectureDraft draft;
    api::Architecture* out = &draft.architecture;
    if (!json.is_object()) {
      Fail("", "an object", json);
      return draft;
    }
    for (const auto& [key, value] : json.items()) {
      if (key == "name") {
        if (String(key, value, out->mutable_name())) {
          absl::StrAppend(&place_, " (", out->name(), ")");
        }
      } else if (key == "tags") {
        Texts(key, value, out->mutable_tags());
      } else if (key == "aliases") {
        if (!value.is_array()) Fail(key, "an array of strings", value);
        for (const Json& alias : value) String(key, alias, out->add_aliases());
      } else if (key == "attributes") {
        if (!value.is_object()) Fail(key, "an object", value);
        for (const auto& [name, attribute] : value.items()) {
          Attribute(name, attribute, &(*out->mutable_attributes())[name]);
        }
      } else if (key == "price_per_hour") {
        out->set_price_per_hour(Number(key, value));
      } else if (key == "power_watts") {
        out->set_power_watts(Number(key, value));
      } else if (key == "vectors") {
        if (!value.is_array()) Fail(key, "an array", value);
        for (const Json& vector : value) Vector(vector, &draft);
      } else if (kGiven.count(key) == 0) {
        Fail(key,
             "one of name, tags, aliases, attributes, price_per_hour, "
             "power_watts, vectors",
             value);
      }
    }
    if (out->name().empty()) Fail("name", "a name", Json());
    return draft;
  }

 private:
  std::string place_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<std::vector<ArchitectureDraft>> ParseArchitectures(
    absl::string_view text, const std::string& file) {
  Json json;
  try {
    json = Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": no JSON: ", error.what()));
  }
  if (json.is_object() && json.contains("architectures")) {
    json = Json(json["architectures"]);
  }
  if (!json.is_array()) json = Json::array({json});
  std::vector<ArchitectureDraft> drafts;
  for (size_t i = 0; i < json.size(); ++i) {
    Parser parser(json.size() == 1 ? file
                                   : absl::StrCat(file, ", architecture ",
                                                  i + 1, " of ", json.size()));
    drafts.push_back(parser.Architecture(json[i]));
    if (!parser.status().ok()) return parser.status();
  }
  return drafts;
}

}  // namespace perfvec::client::cli
