#include "server/http/transcode.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "storage/status_macros.h"

namespace perfvec::server::http {
namespace {

namespace pb = google::protobuf;
using nlohmann::json;

constexpr char kTypeUrlPrefix[] = "type.googleapis.com";
// Of the query; more is no sensible request.
constexpr size_t kMaxParameters = 200;

absl::Status FromJson(absl::string_view text, pb::Message* message,
                      absl::string_view where) {
  const pb::util::Status parsed = pb::util::JsonStringToMessage(
      pb::StringPiece(text.data(), text.size()), message);
  if (parsed.ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": ",
      absl::string_view(parsed.message().data(), parsed.message().size())));
}

// By its JSON name or the name in the .proto file.
const pb::FieldDescriptor* FindField(const pb::Descriptor& type,
                                     absl::string_view name) {
  const std::string text(name);
  const pb::FieldDescriptor* field = type.FindFieldByName(text);
  return field != nullptr ? field : type.FindFieldByCamelcaseName(text);
}

absl::Status UnknownParameter(absl::string_view name,
                              const pb::Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->json_name());
  }
  return absl::InvalidArgumentError(
      absl::StrCat("query: unknown parameter '", name, "'; ", type.name(),
                   " has: ", absl::StrJoin(names, ", ")));
}

// One "a.b=value" into the JSON object that the proto parser will read.
absl::Status AddParameter(const std::string& name, const std::string& value,
                          const pb::Descriptor* type, json* object) {
  std::vector<std::string> path = absl::StrSplit(name, absl::MaxSplits('.', 1));
  const pb::FieldDescriptor* field = FindField(*type, path[0]);
  if (field == nullptr) return UnknownParameter(name, *type);
  json& slot = (*object)[field->json_name()];
  if (field->is_map()) {
    if (path.size() == 2 && field->message_type()->map_value()->type() ==
                                pb::FieldDescriptor::TYPE_STRING) {
      slot[path[1]] = value;
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "query: '", name, "' is a map; give ", path[0], ".KEY=VALUE"));
  }
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
    return absl::InvalidArgumentError(
        absl::StrCat("query: '", name, "' is no plain value; send it in a ",
                     "JSON body with POST"));
  }
  if (path.size() == 2) return UnknownParameter(name, *type);
  if (field->is_repeated()) {
    slot.push_back(value);
  } else if (!slot.is_null()) {
    return absl::InvalidArgumentError(
        absl::StrCat("query: '", name, "' is given twice"));
  } else {
    slot = value;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseQuery(absl::string_view query, const char* root,
                        pb::Message* message) {
  if (query.empty()) return absl::OkStatus();
  const pb::Descriptor* type = message->GetDescriptor();
  json object = json::object();
  json* target = &object;
  if (*root != '\0') {
    const pb::FieldDescriptor* field = type->FindFieldByName(root);
    type = field->message_type();
    target = &object[field->json_name()];
  }
  size_t count = 0;
  for (absl::string_view pair : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    if (++count > kMaxParameters) {
      return absl::InvalidArgumentError(
          absl::StrCat("query: more than ", kMaxParameters, " parameters"));
    }
    const std::vector<absl::string_view> sides =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    std::string name, value;
    if (sides.size() != 2 || !PercentDecode(sides[0], true, &name) ||
        !PercentDecode(sides[1], true, &value)) {
      return absl::InvalidArgumentError(
          "query: expected name=value&..., percent-encoded UTF-8");
    }
    PERFVEC_RETURN_IF_ERROR(AddParameter(name, value, type, target));
  }
  return FromJson(object.dump(), message, "query");
}

const pb::MethodDescriptor* FindCall(const Route& route) {
  return pb::DescriptorPool::generated_pool()->FindMethodByName(
      absl::StrCat("perfvec.v1.", route.rpc));
}

std::string CallPath(const pb::MethodDescriptor& call) {
  return absl::StrCat("/", call.service()->full_name(), "/", call.name());
}

MessagePtr NewMessage(const pb::Descriptor* type) {
  return MessagePtr(
      pb::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

absl::StatusOr<MessagePtr> MakeRequest(const Match& match,
                                       absl::string_view query,
                                       absl::string_view body) {
  MessagePtr request = NewMessage(FindCall(*match.route)->input_type());
  const absl::string_view method = match.route->method;
  if (method == "GET" || method == "DELETE") {
    if (!body.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(method, " takes its parameters from the query; found a ",
                       "body of ", body.size(), " bytes"));
    }
    PERFVEC_RETURN_IF_ERROR(
        ParseQuery(query, match.route->query_root, request.get()));
  } else {
    if (!query.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(method, " takes its parameters from the JSON body; ",
                       "found a query"));
    }
    if (!body.empty()) {
      PERFVEC_RETURN_IF_ERROR(FromJson(body, request.get(), "body"));
    }
  }
  for (const auto& [name, value] : match.fields) {
    const pb::FieldDescriptor* field =
        request->GetDescriptor()->FindFieldByName(name);
    const pb::Reflection* reflection = request->GetReflection();
    const std::string given = reflection->GetString(*request, field);
    if (!given.empty() && given != value) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the path says '", value,
                       "', the rest of the request '", given, "'"));
    }
    reflection->SetString(request.get(), field, value);
  }
  return request;
}

absl::StatusOr<std::string> ToJson(const pb::Message& message) {
  static pb::util::TypeResolver* const resolver =
      pb::util::NewTypeResolverForDescriptorPool(
          kTypeUrlPrefix, pb::DescriptorPool::generated_pool());
  // Maps in order of their keys, for the sake of ETags.
  std::string binary;
  {
    pb::io::StringOutputStream stream(&binary);
    pb::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!message.SerializeToCodedStream(&coded)) {
      return absl::InternalError("an answer could not be serialized");
    }
  }
  pb::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  const pb::util::Status printed = pb::util::BinaryToJsonString(
      resolver,
      absl::StrCat(kTypeUrlPrefix, "/", message.GetDescriptor()->full_name()),
      binary, &text, options);
  if (!printed.ok()) {
    return absl::InternalError(absl::StrCat(
        "an answer has no JSON form: ",
        absl::string_view(printed.message().data(), printed.message().size())));
  }
  return text;
}

int HttpStatus(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

std::string ErrorJson(int http_status, const absl::Status& status) {
  const json error = {{"code", http_status},
                      {"status", absl::StatusCodeToString(status.code())},
                      {"message", std::string(status.message())}};
  return json{{"error", error}}.dump(-1, ' ', false,
                                     json::error_handler_t::replace);
}

}  // namespace perfvec::server::http
