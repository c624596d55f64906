#include "client/cli/architecture_file.h"

#include <google/protobuf/util/json_util.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "client/cli/json_reader.h"
#include "storage/status_macros.h"

namespace perfvec::client::cli {
namespace {

namespace api = ::perfvec::v1;

// As messages name it.
std::string Field(absl::string_view name) {
  return absl::StrCat("field \"", name, "\"");
}

class Parser {
 public:
  explicit Parser(std::string place) : reader_(std::move(place)) {}

  const absl::Status& status() const { return reader_.status(); }

  void Attribute(const std::string& name, const Json& value,
                 api::AttributeValue* out) {
    const std::string field = Field(absl::StrCat("attributes.", name));
    if (value.is_number()) {
      out->set_number(value.get<double>());
    } else if (value.is_boolean()) {
      out->set_number(value.get<bool>() ? 1 : 0);
    } else if (value.is_string()) {
      out->set_text(value.get<std::string>());
    } else if (value.is_object() && value.size() == 1 &&
               value.contains("number")) {
      out->set_number(reader_.Number(field, value["number"]));
    } else if (value.is_object() && value.size() == 1 &&
               value.contains("text")) {
      out->set_text(reader_.Text(field, value["text"]));
    } else {
      reader_.Fail(field, "a number or a string", value);
    }
  }

  // In proto3's JSON mapping, as --json prints it.
  void Message(const std::string& field, const Json& value,
               google::protobuf::Message* out) {
    if (!reader_.Object(field, value)) return;
    const auto status =
        google::protobuf::util::JsonStringToMessage(value.dump(), out);
    if (!status.ok()) {
      reader_.Fail(field,
                   absl::StrCat(out->GetTypeName(), " (",
                                std::string(status.message()), ")"),
                   value);
    }
  }

  void Vector(const Json& value, ArchitectureDraft* draft) {
    static const std::set<std::string> kKnown = {
        "model",       "model_id", "origin",     "values",
        "create_time", "learned",  "uncertainty"};
    if (!reader_.Object(Field("vectors"), value, kKnown)) return;
    api::ArchitectureVector* vector = draft->architecture.add_vectors();
    std::string model;
    for (const auto& [key, field] : value.items()) {
      const std::string name = Field(absl::StrCat("vectors.", key));
      if (key == "model") {
        model = reader_.Text(name, field);
      } else if (key == "model_id") {
        vector->set_model_id(reader_.Text(name, field));
      } else if (key == "origin") {
        vector->set_origin(reader_.Text(name, field));
      } else if (key == "values") {
        for (const Json& element : reader_.List(name, field)) {
          vector->add_values(reader_.Number(name, element));
        }
      } else if (key == "learned") {
        Message(name, field, vector->mutable_learned());
      } else if (key == "uncertainty") {
        Message(name, field, vector->mutable_uncertainty());
      }
    }
    if (model.empty() == vector->model_id().empty()) {
      reader_.Fail(Field("vectors"), "either model or model_id", Json(model));
    }
    if (vector->origin().empty()) vector->set_origin("given");
    draft->vector_models.push_back(model);
  }

  ArchitectureDraft Architecture(const Json& json) {
    static const std::set<std::string> kGiven = {"version", "create_time",
                                                 "update_time", "revision"};
    ArchitectureDraft draft;
    api::Architecture* out = &draft.architecture;
    if (!reader_.Object("the architecture", json)) return draft;
    if (json.contains("name")) {
      out->set_name(reader_.Text(Field("name"), json["name"]));
      reader_.AddToPlace(absl::StrCat(" (", out->name(), ")"));
    }
    for (const auto& [key, value] : json.items()) {
      const std::string field = Field(key);
      if (key == "tags") {
        if (!reader_.Object(field, value)) continue;
        for (const auto& [tag, text] : value.items()) {
          (*out->mutable_tags())[tag] =
              reader_.Text(Field(absl::StrCat("tags.", tag)), text);
        }
      } else if (key == "aliases") {
        for (const std::string& alias : reader_.Texts(field, value)) {
          out->add_aliases(alias);
        }
      } else if (key == "attributes") {
        if (!reader_.Object(field, value)) continue;
        for (const auto& [name, attribute] : value.items()) {
          Attribute(name, attribute, &(*out->mutable_attributes())[name]);
        }
      } else if (key == "price_per_hour") {
        out->set_price_per_hour(reader_.Number(field, value));
      } else if (key == "power_watts") {
        out->set_power_watts(reader_.Number(field, value));
      } else if (key == "vectors") {
        for (const Json& vector : reader_.List(field, value)) {
          Vector(vector, &draft);
        }
      } else if (key != "name" && kGiven.count(key) == 0) {
        reader_.Fail(field,
                     "one of name, tags, aliases, attributes, price_per_hour, "
                     "power_watts, vectors",
                     value);
      }
    }
    if (out->name().empty()) reader_.Fail(Field("name"), "a name", Json());
    return draft;
  }

 private:
  JsonReader reader_;
};

}  // namespace

absl::StatusOr<std::vector<ArchitectureDraft>> ParseArchitectures(
    absl::string_view text, const std::string& file) {
  PERFVEC_ASSIGN_OR_RETURN(Json json, ParseJson(text, file));
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
