// What --json prints: API messages in proto3's JSON mapping with the field
// names of the .proto files (64-bit integers are strings there), and listings
// of any length as one object.
//
// One thread.
//
//   PrintJson(std::cout, program);
//   JsonList list(std::cout, "programs");
//   list.Add(program);                    // as they come
//   list.Close();
#ifndef PERFVEC_CLIENT_CLI_JSON_OUTPUT_H_
#define PERFVEC_CLIENT_CLI_JSON_OUTPUT_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace perfvec::client::cli {

// On one line; with all fields, set or not.
absl::Status AppendJson(const google::protobuf::Message& message,
                        std::string* json);

// Indented, with a newline at the end.
absl::Status PrintJson(std::ostream& out,
                       const google::protobuf::Message& message);

// {"KEY": [item, item, ...]}, one item a line. Writes nothing before the first
// item or Close(), so that a listing that fails at once leaves no output.
class JsonList {
 public:
  JsonList(std::ostream& out, const std::string& key);
  absl::Status Add(const google::protobuf::Message& message);
  void AddText(const std::string& json);
  void Close();

 private:
  void Next();

  std::ostream& out_;
  const std::string key_;
  bool first_ = true;
};

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_JSON_OUTPUT_H_
