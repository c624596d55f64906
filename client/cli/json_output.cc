#include "client/cli/json_output.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

absl::Status ToJson(const google::protobuf::Message& message, bool indent,
                    std::string* json) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indent;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, json, options);
  if (!status.ok()) {
    return absl::InternalError(
        absl::StrCat(message.GetTypeName(),
                     " has no JSON form: ", std::string(status.message())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AppendJson(const google::protobuf::Message& message,
                        std::string* json) {
  std::string text;
  absl::Status status = ToJson(message, false, &text);
  json->append(text);
  return status;
}

absl::Status PrintJson(std::ostream& out,
                       const google::protobuf::Message& message) {
  std::string text;
  absl::Status status = ToJson(message, true, &text);
  if (status.ok()) out << text;
  return status;
}

JsonList::JsonList(std::ostream& out, const std::string& key)
    : out_(out), key_(key) {}

absl::Status JsonList::Add(const google::protobuf::Message& message) {
  std::string text;
  absl::Status status = AppendJson(message, &text);
  if (status.ok()) AddText(text);
  return status;
}

void JsonList::AddText(const std::string& json) {
  Next();
  out_ << "\n" << json;
}

void JsonList::Close() {
  const bool empty = first_;
  if (empty) Next();
  out_ << (empty ? "]}\n" : "\n]}\n");
}

void JsonList::Next() {
  if (first_) {
    out_ << "{\"" << key_ << "\": [";
  } else {
    out_ << ",";
  }
  first_ = false;
}

}  // namespace perfvec::client::cli
