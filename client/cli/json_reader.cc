#include "client/cli/json_reader.h"

#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

constexpr int kMaxDepth = 100;

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text,
                               const std::string& file) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", why));
  };
  std::vector<std::set<std::string>> keys;  // of the objects being read
  std::string twice;
  bool deep = false;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    deep |= depth > kMaxDepth;
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      if (!keys.empty()) keys.pop_back();
    } else if (event == Json::parse_event_t::key && !keys.empty() &&
               !keys.back().insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return !deep;
  };
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception& error) {
    return bad(absl::StrCat("is not JSON: ", error.what()));
  }
  if (deep) return bad("is nested too deeply");
  if (!twice.empty()) {
    return bad(absl::StrCat("an object gives \"", twice, "\" twice"));
  }
  return json;
}

const Json& At(const Json& object, const char* key) {
  static const Json* const none = new Json();
  const auto it = object.find(key);
  return it == object.end() ? *none : *it;
}

void JsonReader::Fail(absl::string_view field, absl::string_view expected,
                      const Json& found) {
  std::string text = found.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  status_.Update(absl::InvalidArgumentError(absl::StrCat(
      place_, ": ", field, ": expected ", expected, ", found ", text)));
}

void JsonReader::AddToPlace(absl::string_view more) {
  absl::StrAppend(&place_, more);
}

std::string JsonReader::Text(absl::string_view field, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  Fail(field, "a string", value);
  return "";
}

double JsonReader::Number(absl::string_view field, const Json& value) {
  if (value.is_number()) return value.get<double>();
  Fail(field, "a number", value);
  return 0;
}

bool JsonReader::Object(absl::string_view field, const Json& value) {
  if (value.is_object()) return true;
  Fail(field, "an object", value);
  return false;
}

bool JsonReader::Object(absl::string_view field, const Json& value,
                        const std::set<std::string>& known) {
  if (!Object(field, value)) return false;
  for (const auto& [key, ignored] : value.items()) {
    if (known.count(key) == 0) {
      Fail(field, "known fields only", Json(key));
      return false;
    }
  }
  return true;
}

const Json& JsonReader::List(absl::string_view field, const Json& value) {
  static const Json* const empty = new Json(Json::array());
  if (value.is_array()) return value;
  if (!value.is_null()) Fail(field, "a list", value);
  return *empty;
}

std::vector<std::string> JsonReader::Texts(absl::string_view field,
                                           const Json& value) {
  std::vector<std::string> texts;
  for (const Json& one : List(field, value)) {
    texts.push_back(Text(field, one));
  }
  return texts;
}

}  // namespace perfvec::client::cli
