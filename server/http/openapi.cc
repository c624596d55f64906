#include "server/http/openapi.h"

#include <google/protobuf/descriptor.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/http/routes.h"
#include "server/http/transcode.h"

namespace perfvec::server::http {
namespace {

namespace pb = google::protobuf;
using nlohmann::json;

json Ref(const std::string& schema) {
  return {{"$ref", absl::StrCat("#/components/schemas/", schema)}};
}

// "perfvec.v1.LearnReport.Program" is "LearnReport.Program".
std::string SchemaName(const pb::Descriptor& type) {
  const std::string& package = type.file()->package();
  return type.full_name().substr(package.size() + 1);
}

class Schemas {
 public:
  json OfMessage(const pb::Descriptor& type) {
    const std::string& name = type.full_name();
    if (name == "google.protobuf.Timestamp") {
      return {{"type", "string"}, {"format", "date-time"}};
    }
    if (name == "google.protobuf.Duration") {
      return {{"type", "string"}, {"pattern", "^-?[0-9]+(\\.[0-9]+)?s$"}};
    }
    const std::string schema = SchemaName(type);
    if (!made_.insert(schema).second) return Ref(schema);
    json properties = json::object();
    for (int i = 0; i < type.field_count(); ++i) {
      properties[type.field(i)->json_name()] = OfField(*type.field(i));
    }
    all_[schema] = {{"type", "object"},
                    {"properties", properties},
                    {"additionalProperties", false}};
    return Ref(schema);
  }

  json OfField(const pb::FieldDescriptor& field) {
    if (field.is_map()) {
      return {{"type", "object"},
              {"additionalProperties",
               OfValue(*field.message_type()->map_value())}};
    }
    if (field.is_repeated()) {
      return {{"type", "array"}, {"items", OfValue(field)}};
    }
    return OfValue(field);
  }

  json Take() {
    all_["Error"] = json::parse(R"({
      "type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["code", "status", "message"],
        "additionalProperties": false,
        "properties": {"code": {"type": "integer"},
                       "status": {"type": "string"},
                       "message": {"type": "string"}}}}})");
    all_["Double"] = json::parse(R"({"oneOf": [{"type": "number"},
      {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]})");
    return std::move(all_);
  }

 private:
  json OfValue(const pb::FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32:
        return {{"type", "integer"}, {"format", "int32"}};
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"minimum", 0}};
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return {{"type", "string"}, {"pattern", "^-?[0-9]+$"}};
      case pb::FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "string"}, {"pattern", "^[0-9]+$"}};
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      case pb::FieldDescriptor::CPPTYPE_FLOAT:
        return Ref("Double");
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case pb::FieldDescriptor::CPPTYPE_ENUM: {
        json names = json::array();
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          names.push_back(field.enum_type()->value(i)->name());
        }
        return {{"type", "string"}, {"enum", names}};
      }
      case pb::FieldDescriptor::CPPTYPE_STRING:
        if (field.type() == pb::FieldDescriptor::TYPE_BYTES) {
          return {{"type", "string"}, {"format", "byte"}};
        }
        return {{"type", "string"}};
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        return OfMessage(*field.message_type());
    }
    return json::object();
  }

  json all_ = json::object();
  std::set<std::string> made_;
};

json Content(const char* type, json schema) {
  return {{type, {{"schema", std::move(schema)}}}};
}

json Answer(const Route& route, const pb::Descriptor& output,
            Schemas& schemas) {
  json answer = {{"description", "OK"}};
  switch (route.kind) {
    case RouteKind::kUnary:
    case RouteKind::kUpload:
    case RouteKind::kModel:
      answer["content"] =
          Content("application/json", schemas.OfMessage(output));
      break;
    case RouteKind::kEvents:
      schemas.OfMessage(output);
      answer["description"] =
          absl::StrCat("Events whose data is ", SchemaName(output),
                       "; then 'end', or 'failed' with an Error");
      answer["content"] = Content("text/event-stream", {{"type", "string"}});
      break;
    case RouteKind::kJsonArray:
      answer["content"] =
          Content("application/json",
                  {{"type", "array"}, {"items", schemas.OfMessage(output)}});
      break;
    case RouteKind::kBytes:
      answer["content"] = Content("application/octet-stream",
                                  {{"type", "string"}, {"format", "binary"}});
      break;
  }
  return answer;
}

json QueryParameters(const Route& route, const pb::Descriptor& input,
                     const std::set<std::string>& in_path, Schemas& schemas) {
  const pb::Descriptor* type = &input;
  if (*route.query_root != '\0') {
    type = input.FindFieldByName(route.query_root)->message_type();
  }
  json parameters = json::array();
  for (int i = 0; i < type->field_count(); ++i) {
    const pb::FieldDescriptor& field = *type->field(i);
    if (in_path.count(field.name()) > 0) continue;
    json one = {{"in", "query"}, {"name", field.json_name()}};
    if (field.is_map()) {
      one["name"] = absl::StrCat(field.json_name(), ".KEY");
      one["description"] = "KEY stands for any key; may be repeated";
      one["schema"] = {{"type", "string"}};
    } else if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    } else {
      one["schema"] = schemas.OfField(field);
    }
    parameters.push_back(std::move(one));
  }
  return parameters;
}

json Operation(const Route& route, Schemas& schemas) {
  const pb::MethodDescriptor& call = *FindCall(route);
  json operation = {{"summary", route.summary},
                    {"tags", {call.service()->name()}}};
  json parameters = json::array();
  std::set<std::string> in_path;
  for (const auto& [name, value] :
       MatchRoute(route.method, route.path).fields) {
    // A template matches itself: the field is "{name}".
    in_path.insert(name);
    parameters.push_back({{"in", "path"},
                          {"name", name},
                          {"required", true},
                          {"schema", {{"type", "string"}}}});
  }
  const absl::string_view method = route.method;
  if (route.kind == RouteKind::kModel) {
    in_path.insert("manifest_json");  // it is in the body
    for (json& one :
         QueryParameters(route, *call.input_type(), in_path, schemas)) {
      parameters.push_back(std::move(one));
    }
  }
  if (route.kind == RouteKind::kUpload || route.kind == RouteKind::kModel) {
    const bool model = route.kind == RouteKind::kModel;
    parameters.push_back({{"in", "header"},
                          {"name", model ? "Manifest-Size" : "Upload-Offset"},
                          {"required", true},
                          {"schema", {{"type", "integer"}, {"minimum", 0}}}});
    operation["requestBody"] = {
        {"required", true},
        {"content", Content("application/octet-stream",
                            {{"type", "string"}, {"format", "binary"}})}};
  } else if (method == "GET" || method == "DELETE") {
    for (json& one :
         QueryParameters(route, *call.input_type(), in_path, schemas)) {
      parameters.push_back(std::move(one));
    }
  } else {
    operation["requestBody"] = {
        {"content",
         Content("application/json", schemas.OfMessage(*call.input_type()))}};
  }
  operation["parameters"] = parameters;
  operation["responses"] = {
      {"200", Answer(route, *call.output_type(), schemas)},
      {"default",
       {{"description", "An error"},
        {"content", Content("application/json", Ref("Error"))}}}};
  return operation;
}

json LocalPath(const char* summary, const char* type) {
  return {
      {"get",
       {{"summary", summary},
        {"tags", {"Operations"}},
        {"operationId", absl::StrReplaceAll(summary, {{" ", "_"}})},
        {"responses",
         {{"200",
           {{"description", "OK"}, {"content", Content(type, json::object())}}},
          {"default",
           {{"description", "An error"},
            {"content", Content("application/json", Ref("Error"))}}}}}}}};
}

std::string Make() {
  Schemas schemas;
  json paths = json::object();
  std::set<std::string> operations;
  for (const Route& route : Routes()) {
    json operation = Operation(route, schemas);
    std::string id = absl::StrReplaceAll(route.rpc, {{".", "_"}});
    if (!operations.insert(id).second) absl::StrAppend(&id, "_", route.method);
    operation["operationId"] = id;
    paths[route.path][absl::AsciiStrToLower(route.method)] = operation;
  }
  paths["/healthz"] = LocalPath("The process answers", "text/plain");
  paths["/readyz"] = LocalPath("The server takes work", "text/plain");
  paths["/metrics"] = LocalPath("Metrics for Prometheus", "text/plain");
  paths["/v1/openapi.json"] = LocalPath("This document", "application/json");
  const json document = {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", "PerfVec Serve"},
        {"version", PERFVEC_VERSION},
        {"description",
         "JSON by the protocol buffers mapping: 64-bit integers are strings, "
         "names are in lowerCamelCase."}}},
      {"servers", {{{"url", "/"}}}},
      {"paths", paths},
      {"components", {{"schemas", schemas.Take()}}}};
  return document.dump();
}

}  // namespace

const std::string& OpenApiJson() {
  static const std::string* const document = new std::string(Make());
  return *document;
}

}  // namespace perfvec::server::http
