// Reads files of JSON that people write: straight down, keeping the first
// error with its place, so that a parser checks once.
//
// One thread at a time; owns nothing of the document.
//
//   ASSIGN Json json = ParseJson(text, "a15.json");
//   JsonReader reader("a15.json");
//   if (reader.Object("the file", json, {"name", "cores"})) {
//     name = reader.Text("name", At(json, "name"));
//     cores = reader.Number("cores", At(json, "cores"));
//   }
//   if (!reader.status().ok()) return reader.status();
#ifndef PERFVEC_CLIENT_CLI_JSON_READER_H_
#define PERFVEC_CLIENT_CLI_JSON_READER_H_

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::client::cli {

using Json = nlohmann::json;

// INVALID_ARGUMENT naming the file for what is no JSON, is nested deeper than
// 100 levels or gives a key of an object twice.
absl::StatusOr<Json> ParseJson(absl::string_view text, const std::string& file);

// The object's member; null if there is none.
const Json& At(const Json& object, const char* key);

class JsonReader {
 public:
  // `place`: the file, and what of it is read, in messages.
  explicit JsonReader(std::string place) : place_(std::move(place)) {}

  // INVALID_ARGUMENT "place: field: expected ..., found ..."; the first one.
  const absl::Status& status() const { return status_; }
  void Fail(absl::string_view field, absl::string_view expected,
            const Json& found);
  // Makes the place of later messages more exact.
  void AddToPlace(absl::string_view more);

  // Each fails on a value of another type, and returns then what is empty.
  std::string Text(absl::string_view field, const Json& value);
  double Number(absl::string_view field, const Json& value);
  // Of these fields only.
  bool Object(absl::string_view field, const Json& value,
              const std::set<std::string>& known);
  bool Object(absl::string_view field, const Json& value);
  // A value of null is an empty list.
  const Json& List(absl::string_view field, const Json& value);
  std::vector<std::string> Texts(absl::string_view field, const Json& value);

 private:
  std::string place_;
  absl::Status status_;
};

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_JSON_READER_H_
