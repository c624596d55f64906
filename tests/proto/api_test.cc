// No number, name or type of the API is ever reused or changed.
//
// proto/api_fields.txt holds every field, enum value and call that was ever
// published, one a line. What is there must be as it was, or be reserved; what
// is new must be added to it: PERFVEC_UPDATE_API=1 does, and refuses to forget.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "tests/testing/processes.h"

namespace perfvec {
namespace {

namespace pb = ::google::protobuf;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kFolder[] = PERFVEC_SOURCE_DIR "/proto";
constexpr char kPath[] = PERFVEC_SOURCE_DIR "/proto/api_fields.txt";
constexpr char kComment[] =
    "# Every field, enum value and call ever published; tests/proto/"
    "api_test.cc.\n";

// "perfvec.v1.Program 1" -> "name string"; of calls the key has no number.
using Api = std::map<std::string, std::string>;

std::string TypeOf(const pb::FieldDescriptor& field) {
  if (field.is_map()) {
    const pb::Descriptor& entry = *field.message_type();
    return absl::StrCat("map<", TypeOf(*entry.FindFieldByNumber(1)), ",",
                        TypeOf(*entry.FindFieldByNumber(2)), ">");
  }
  std::string type = field.type_name();
  if (field.type() == pb::FieldDescriptor::TYPE_MESSAGE) {
    type = field.message_type()->full_name();
  } else if (field.type() == pb::FieldDescriptor::TYPE_ENUM) {
    type = field.enum_type()->full_name();
  }
  if (field.is_repeated()) return "repeated " + type;
  if (field.real_containing_oneof() != nullptr) {
    return absl::StrCat("oneof:", field.real_containing_oneof()->name(), " ",
                        type);
  }
  return field.has_presence() && field.message_type() == nullptr
             ? "optional " + type
             : type;
}

void AddEnum(const pb::EnumDescriptor& type, Api* api) {
  for (int i = 0; i < type.value_count(); ++i) {
    (*api)[absl::StrCat(type.full_name(), " ", type.value(i)->number())] =
        absl::StrCat(type.value(i)->name(), " value");
  }
}

void AddMessage(const pb::Descriptor& message, Api* api) {
  if (message.options().map_entry()) return;
  for (int i = 0; i < message.field_count(); ++i) {
    const pb::FieldDescriptor& field = *message.field(i);
    (*api)[absl::StrCat(message.full_name(), " ", field.number())] =
        absl::StrCat(field.name(), " ", TypeOf(field));
  }
  for (int i = 0; i < message.nested_type_count(); ++i) {
    AddMessage(*message.nested_type(i), api);
  }
  for (int i = 0; i < message.enum_type_count(); ++i) {
    AddEnum(*message.enum_type(i), api);
  }
}

void AddFile(const pb::FileDescriptor& file, Api* api) {
  for (int i = 0; i < file.message_type_count(); ++i) {
    AddMessage(*file.message_type(i), api);
  }
  for (int i = 0; i < file.enum_type_count(); ++i) {
    AddEnum(*file.enum_type(i), api);
  }
  for (int i = 0; i < file.service_count(); ++i) {
    for (int k = 0; k < file.service(i)->method_count(); ++k) {
      const pb::MethodDescriptor& call = *file.service(i)->method(k);
      auto side = [](bool streams, const pb::Descriptor* type) {
        return absl::StrCat(streams ? "stream " : "", type->full_name());
      };
      (*api)[call.full_name()] =
          absl::StrCat(side(call.client_streaming(), call.input_type()), " -> ",
                       side(call.server_streaming(), call.output_type()));
    }
  }
}

// The .proto files below a folder, as protoc reads them.
class Protos {
 public:
  explicit Protos(const std::string& folder) {
    const testing::TempDir scratch;
    std::vector<std::string> names;
    std::vector<std::string> command = {
        "protoc", "-I", folder, "--include_imports",
        "--descriptor_set_out=" + (scratch / "set")};
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.path().extension() != ".proto") continue;
      names.push_back(std::filesystem::relative(entry.path(), folder).string());
    }
    command.insert(command.end(), names.begin(), names.end());
    const auto result = testing::RunCommand({command}, absl::Minutes(1));
    EXPECT_TRUE(result.ok() && result->exit_code == 0)
        << (result.ok() ? result->err : std::string(result.status().message()));
    pb::FileDescriptorSet set;
    std::ifstream file(scratch / "set", std::ios::binary);
    EXPECT_TRUE(set.ParseFromIstream(&file));
    for (const pb::FileDescriptorProto& one : set.file()) {
      EXPECT_NE(pool_.BuildFile(one), nullptr) << one.name();
    }
    for (const std::string& name : names) {
      const pb::FileDescriptor* found = pool_.FindFileByName(name);
      if (found != nullptr) AddFile(*found, &api_);
    }
  }
  const Api& api() const { return api_; }
  const pb::DescriptorPool& pool() const { return pool_; }

 private:
  pb::DescriptorPool pool_;
  Api api_;
};

// Whether the pool's message or enum `type` has `number` and `name` reserved.
bool IsReserved(const pb::DescriptorPool& pool, const std::string& type,
                int number, const std::string& name) {
  if (const auto* message = pool.FindMessageTypeByName(type)) {
    return message->IsReservedNumber(number) && message->IsReservedName(name);
  }
  if (const auto* found = pool.FindEnumTypeByName(type)) {
    return found->IsReservedNumber(number) && found->IsReservedName(name);
  }
  return false;
}

// What of `known` is no longer so.
std::vector<std::string> Breaks(const Api& known, const Api& now,
                                const pb::DescriptorPool& pool) {
  std::vector<std::string> breaks;
  for (const auto& [key, was] : known) {
    const auto found = now.find(key);
    if (found != now.end()) {
      if (found->second != was) {
        breaks.push_back(absl::StrCat(key, ": was \"", was, "\", is \"",
                                      found->second, "\""));
      }
      continue;
    }
    const std::vector<std::string> parts = absl::StrSplit(key, ' ');
    const std::string name = was.substr(0, was.find(' '));
    int number = 0;
    if (parts.size() == 2 && absl::SimpleAtoi(parts[1], &number) &&
        IsReserved(pool, parts[0], number, name)) {
      continue;
    }
    breaks.push_back(absl::StrCat(key, ": was \"", was,
                                  "\", is gone and not reserved by number and "
                                  "by name"));
  }
  return breaks;
}

Api Read(const std::string& path) {
  Api api;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> sides =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (sides.size() == 2) api[sides[0]] = sides[1];
  }
  return api;
}

TEST(ApiTest, NothingPublishedIsChangedOrForgotten) {
  const Protos protos(kFolder);
  const Api known = Read(kPath);
  const std::vector<std::string> breaks =
      Breaks(known, protos.api(), protos.pool());
  ASSERT_TRUE(breaks.empty()) << absl::StrJoin(breaks, "\n");
  if (std::getenv("PERFVEC_UPDATE_API") != nullptr) {
    Api all = protos.api();
    all.insert(known.begin(), known.end());
    std::ofstream file(kPath);
    file << kComment;
    for (const auto& [key, what] : all) file << key << ": " << what << "\n";
    ASSERT_TRUE(file.flush());
    return;
  }
  EXPECT_GT(known.size(), 300);
  for (const auto& [key, what] : protos.api()) {
    EXPECT_EQ(known.count(key), 1)
        << key << ": " << what << " is new; docs/api.md tells how to add it";
  }
}

// What breaks when `before` becomes `after`.
std::vector<std::string> Change(const std::string& before,
                                const std::string& after) {
  auto write = [](const std::string& folder, const std::string& text) {
    std::ofstream(folder + "/a.proto")
        << "syntax = \"proto3\"; package p; " << text;
  };
  const testing::TempDir one, two;
  write(one.path(), before);
  write(two.path(), after);
  const Protos old_protos(one.path()), new_protos(two.path());
  return Breaks(old_protos.api(), new_protos.api(), new_protos.pool());
}

TEST(ApiTest, WhatBreaksClientsIsSeen) {
  const std::string before =
      "message M { string kept = 1; int64 count = 2; } "
      "enum E { NONE = 0; ONE = 1; } service S { rpc Do(M) returns (M); }";
  auto change = [&before](const std::string& from, const std::string& to) {
    std::string after = before;
    after.replace(after.find(from), from.size(), to);
    return Change(before, after);
  };
  EXPECT_THAT(change("int64 count = 2;", "int64 count = 2; bool more = 3;"),
              IsEmpty());
  EXPECT_THAT(change("int64 count = 2;", "reserved 2; reserved \"count\";"),
              IsEmpty());
  EXPECT_THAT(change("ONE = 1;", "reserved 1; reserved \"ONE\";"), IsEmpty());
  for (const char* to :
       {"reserved 2;", "reserved \"count\";", "", "int64 count = 3;"}) {
    EXPECT_THAT(change("int64 count = 2;", to),
                ElementsAre(HasSubstr("not reserved")))
        << to;
  }
  for (const char* to :
       {"int64 counts = 2;", "int32 count = 2;", "repeated int64 count = 2;",
        "optional int64 count = 2;", "oneof which { int64 count = 2; }",
        "M count = 2;", "map<int64, int64> count = 2;"}) {
    EXPECT_THAT(change("int64 count = 2;", to),
                ElementsAre(HasSubstr("was \"count int64\"")))
        << to;
  }
  EXPECT_THAT(change("ONE = 1;", "UNE = 1;"),
              ElementsAre(HasSubstr("was \"ONE value\"")));
  EXPECT_THAT(change("returns (M)", "returns (stream M)"),
              ElementsAre(HasSubstr("p.S.Do")));
  EXPECT_THAT(change("rpc Do(M) returns (M);", ""),
              ElementsAre(HasSubstr("p.S.Do")));
}

}  // namespace
}  // namespace perfvec
