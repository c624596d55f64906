// The table of who may call what, tokens and their file, the audit log.
#include "server/security/access.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "perfvec/v1/analysis_service.pb.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "perfvec/v1/exploration_service.pb.h"
#include "perfvec/v1/job_service.pb.h"
#include "perfvec/v1/learning_service.pb.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "perfvec/v1/trace_service.pb.h"
#include "perfvec/worker/v1/worker_service.pb.h"
#include "server/security/audit_log.h"
#include "server/security/guard.h"
#include "server/security/tokens.h"
#include "tests/testing/processes.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// --- The table ---------------------------------------------------------------

// All services of the files, so that a new one is not forgotten here.
std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  for (const auto* file :
       {v1::PartKind_descriptor()->file(),
        v1::CreateProgramRequest::descriptor()->file(),
        v1::DesignParameter::descriptor()->file(),
        v1::GetJobRequest::descriptor()->file(),
        v1::LearnArchitectureRequest::descriptor()->file(),
        v1::PredictRequest::descriptor()->file(),
        v1::BeginUploadRequest::descriptor()->file(),
        worker::v1::LeaseShardRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) {
        methods.push_back(file->service(i)->method(k));
      }
    }
  }
  return methods;
}

std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

TEST(AccessTableTest, HasEveryMethodOfEveryServiceAndNoOther) {
  std::set<std::string> described;
  for (const auto* method : AllMethods()) {
    described.insert(PathOf(*method));
    EXPECT_NE(FindAccess(PathOf(*method)), nullptr)
        << PathOf(*method) << ": add its row to server/security/access.cc";
  }
  // Services that this test has forgotten would show here.
  std::set<std::string> rows;
  for (const Access& access : AccessTable()) {
    EXPECT_TRUE(rows.insert(access.path).second) << access.path << " twice";
    if (absl::StartsWith(access.path, "/perfvec.")) {
      EXPECT_EQ(described.count(access.path), 1) << access.path;
    }
  }
  EXPECT_GE(described.size(), 42);
}

TEST(AccessTableTest, EveryMethodForEveryRoleIsWhatItsRowSays) {
  const Role roles[] = {Role::kReader, Role::kUploader, Role::kOperator,
                        Role::kAdmin, Role::kWorker};
  for (const auto* method : AllMethods()) {
    const Access* access = FindAccess(PathOf(*method));
    ASSERT_NE(access, nullptr);
    ASSERT_NE(access->least, Role::kAnyone) << PathOf(*method);
    const bool of_worker = absl::StrContains(PathOf(*method), "WorkerService");
    for (Role role : roles) {
      bool expected;
      if (role == Role::kAdmin) {
        expected = true;
      } else if (role == Role::kWorker) {
        expected = of_worker || access->worker;
      } else {
        expected = !of_worker && role >= access->least;
      }
      EXPECT_EQ(Allows(access, role), expected)
          << PathOf(*method) << " for " << RoleName(role);
    }
    // What reads is for readers or workers, what changes is not for readers.
    const std::string& name = method->name();
    const bool reads =
        absl::StartsWith(name, "Get") || absl::StartsWith(name, "List") ||
        absl::StartsWith(name, "Predict") || absl::StartsWith(name, "Read");
    EXPECT_FALSE(reads && access->audited) << name;
    EXPECT_FALSE(access->audited && Allows(access, Role::kReader)) << name;
    for (const char* change : {"Create", "Update", "Delete", "Cancel", "Write",
                               "Finish", "Abort", "Learn", "Complete"}) {
      EXPECT_TRUE(access->audited || !absl::StartsWith(name, change)) << name;
    }
  }
}

TEST(AccessTableTest, AuditedObjectsAreFieldsOfTheRequests) {
  for (const auto* method : AllMethods()) {
    const Access* access = FindAccess(PathOf(*method));
    ASSERT_NE(access, nullptr);
    if (!access->audited) continue;
    const auto* type = method->input_type();
    const google::protobuf::FieldDescriptor* field = nullptr;
    const std::vector<std::string> names = absl::StrSplit(access->object, '.');
    for (const std::string& name : names) {
      ASSERT_NE(type, nullptr) << access->path;
      field = type->FindFieldByName(name);
      ASSERT_NE(field, nullptr) << access->path << ": " << access->object;
      type = field->message_type();
    }
    EXPECT_EQ(field->type(), google::protobuf::FieldDescriptor::TYPE_STRING);
  }
}

TEST(AccessTableTest, WhatHasNoRowIsForAdminAlone) {
  EXPECT_EQ(FindAccess("/perfvec.v1.ProgramService/Other"), nullptr);
  EXPECT_FALSE(Allows(nullptr, Role::kOperator));
  EXPECT_FALSE(Allows(nullptr, Role::kWorker));
  EXPECT_TRUE(Allows(nullptr, Role::kAdmin));
  EXPECT_TRUE(
      Allows(FindAccess("/grpc.health.v1.Health/Check"), Role::kWorker));
}

// --- Tokens ------------------------------------------------------------------

TEST(TokensTest, AreMadeFoundAndRevokedAndKeptAsHashes) {
  testing::TempDir dir;
  const std::string path = dir.path() + "/tokens.json";
  Token like;
  like.id = "ci";
  like.tenant = "compilers";
  like.role = Role::kUploader;
  like.expires = absl::FromUnixSeconds(2'000'000'000);
  const auto token = AddToken(path, like);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->size(), 47);
  EXPECT_TRUE(absl::IsAlreadyExists(AddToken(path, like).status()));
  like.id = "other";
  const auto other = AddToken(path, like);
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(*token, *other);

  struct stat s;
  ASSERT_EQ(stat(path.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600);
  EXPECT_EQ(ReadFile(path).find(token->substr(4)), std::string::npos);

  auto set = TokenSet::Read(path);
  ASSERT_TRUE(set.ok()) << set.status();
  const Token* found = (*set)->Find(*token);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->id, "ci");
  EXPECT_EQ(found->role, Role::kUploader);
  EXPECT_EQ(found->expires, like.expires);
  EXPECT_EQ((*set)->Find(""), nullptr);
  EXPECT_EQ((*set)->Find(token->substr(0, 46)), nullptr);

  EXPECT_TRUE(absl::IsNotFound(RevokeToken(path, "nobody")));
  ASSERT_TRUE(RevokeToken(path, "ci").ok());
  set = TokenSet::Read(path);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ((*set)->Find(*token), nullptr);
  EXPECT_NE((*set)->Find(*other), nullptr);
}

TEST(TokensTest, WrongFilesAreRefusedWithTheReason) {
  const std::string good =
      absl::StrCat(R"({"id":"a","tenant":"t","role":"reader","sha256":")",
                   std::string(64, 'a'), R"("})");
  const auto file = [](const std::string& tokens) {
    return absl::StrCat(R"({"tokens":[)", tokens, "]}");
  };
  ASSERT_TRUE(TokenSet::Parse(file(good)).ok());
  const std::pair<std::string, std::string> wrong[] = {
      {"", "JSON object"},
      {"[]", "JSON object"},
      {R"({"tokens":{}})", "JSON object"},
      {R"({"tokens":[],"more":1})", "JSON object"},
      {file("7"), "tokens[0]: expected an object"},
      {file(good + "," + good), "twice"},
      {file(absl::StrReplaceAll(good, {{"reader", "root"}})), "role"},
      {file(absl::StrReplaceAll(good, {{"aaaaa", "a"}})), "64 hex"},
      {file(absl::StrReplaceAll(good, {{"aaa", "zaa"}})), "64 hex"},
      {file(absl::StrReplaceAll(good, {{"\"t\"", "\"t t\""}})), "tenant"},
      {file(absl::StrReplaceAll(good, {{"\"a\",", "\"\","}})), "id"},
      {file(absl::StrReplaceAll(good, {{"\"t\"", "7"}})), "tenant"},
      {file(absl::StrReplaceAll(good, {{"\"tenant", "\"tenent"}})), "tenent"},
      {file(absl::StrReplaceAll(good, {{"}", ",\"expires\":\"soon\"}"}})),
       "expires"},
      {file(good).substr(0, 60), "JSON object"},
      {std::string(100'000, '['), "JSON object"},
  };
  for (const auto& [text, reason] : wrong) {
    const auto set = TokenSet::Parse(text);
    EXPECT_TRUE(absl::IsInvalidArgument(set.status())) << text.substr(0, 200);
    EXPECT_THAT(std::string(set.status().message()), HasSubstr(reason))
        << text.substr(0, 200);
  }
}

// --- The guard ---------------------------------------------------------------

class GuardTest : public ::testing::Test {
 protected:
  std::string Add(const std::string& id, Role role,
                  const std::string& tenant = "t",
                  absl::Time expires = absl::InfiniteFuture()) {
    Token like;
    like.id = id;
    like.role = role;
    like.tenant = tenant;
    like.expires = expires;
    const auto token = AddToken(path_, like);
    EXPECT_TRUE(token.ok()) << token.status();
    return absl::StrCat("Bearer ", token.value_or(""));
  }
  void Make(double rate = 0) {
    GuardOptions options;
    options.tokens_file = path_;
    options.tenant_calls_per_second = rate;
    auto guard = Guard::Create(
        options, [this] { return now_; }, &metrics_);
    ASSERT_TRUE(guard.ok()) << guard.status();
    guard_ = *std::move(guard);
  }
  absl::Status Ask(const std::string& authorization,
                   const std::string& path = kPredict) {
    return guard_->Authorize(path, authorization, {});
  }

  static constexpr char kPredict[] = "/perfvec.v1.PredictionService/Predict";
  static constexpr char kDelete[] = "/perfvec.v1.ProgramService/DeleteProgram";
  testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/tokens.json";
  absl::Time now_ = absl::FromUnixSeconds(1'900'000'000);
  Metrics metrics_;
  std::unique_ptr<Guard> guard_;
};

TEST_F(GuardTest, RefusesWhatTheRoleMayNotAndWhoIsUnknown) {
  const std::string reader = Add("reader", Role::kReader);
  const std::string operates = Add("operator", Role::kOperator);
  Make();
  EXPECT_TRUE(Ask(reader).ok());
  EXPECT_TRUE(Ask(operates, kDelete).ok());
  const absl::Status denied = Ask(reader, kDelete);
  EXPECT_TRUE(absl::IsPermissionDenied(denied));
  EXPECT_THAT(std::string(denied.message()),
              HasSubstr("role reader; ProgramService.DeleteProgram needs "
                        "operator"));
  for (const std::string& wrong :
       {std::string(), std::string("Bearer"), std::string("Bearer "),
        reader + "x", std::string("Basic YTpi"),
        reader.substr(0, reader.size() - 1), std::string(100'000, 'x')}) {
    const absl::Status status = Ask(wrong);
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << wrong.substr(0, 80);
    EXPECT_EQ(status.message().find("pvs_"), std::string::npos);
  }
  // Health needs no token, what has no row an admin.
  EXPECT_TRUE(Ask("", "/grpc.health.v1.Health/Check").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(Ask(operates, "/no.such/Call")));
}

TEST_F(GuardTest, TokensExpireAndAreRevokedAndAWrongFileChangesNothing) {
  const std::string brief =
      Add("brief", Role::kReader, "t", now_ + absl::Seconds(100));
  const std::string lasting = Add("lasting", Role::kReader);
  Make();
  EXPECT_FALSE(*guard_->Refresh());
  EXPECT_TRUE(Ask(brief).ok());
  now_ += absl::Seconds(100);
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(brief)));
  EXPECT_TRUE(*guard_->Refresh());  // what it opened is to be ended, once
  EXPECT_FALSE(*guard_->Refresh());

  // An added token ends nothing.
  const std::string added = Add("added", Role::kReader);
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(added)));
  EXPECT_FALSE(*guard_->Refresh());
  EXPECT_TRUE(Ask(added).ok());

  std::ofstream(path_) << "{\"tokens\": [";
  const auto refreshed = guard_->Refresh();
  EXPECT_TRUE(absl::IsInvalidArgument(refreshed.status()));
  EXPECT_THAT(std::string(refreshed.status().message()), HasSubstr(path_));
  EXPECT_TRUE(guard_->Refresh().ok());  // told once
  EXPECT_TRUE(Ask(lasting).ok());
  ASSERT_EQ(unlink(path_.c_str()), 0);
  EXPECT_TRUE(absl::IsNotFound(guard_->Refresh().status()));
  EXPECT_TRUE(Ask(lasting).ok());

  const std::string only = Add("only", Role::kReader);
  EXPECT_TRUE(*guard_->Refresh());
  EXPECT_TRUE(Ask(only).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(Ask(lasting)));
}

TEST_F(GuardTest, ATenantsCallsAreCountedTogetherAndOthersAreNot) {
  const std::string one = Add("one", Role::kReader, "a");
  const std::string two = Add("two", Role::kReader, "a");
  const std::string other = Add("other", Role::kReader, "b");
  Make(10);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(Ask(i % 2 == 0 ? one : two).ok()) << i;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(one)));
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(two)));
  EXPECT_TRUE(Ask(other).ok());
  now_ += absl::Milliseconds(101);
  EXPECT_TRUE(Ask(two).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Ask(one)));
}

TEST_F(GuardTest, MissingOrWrongFilesAreToldAtTheStart) {
  GuardOptions options;
  options.tokens_file = path_;
  const auto clock = [this] { return now_; };
  EXPECT_TRUE(
      absl::IsNotFound(Guard::Create(options, clock, &metrics_).status()));
  options.tokens_file.clear();
  options.tenant_calls_per_second = 5;
  EXPECT_TRUE(absl::IsInvalidArgument(
      Guard::Create(options, clock, &metrics_).status()));
  options.tenant_calls_per_second = 0;
  options.audit.path = dir_.path() + "/none/audit.jsonl";
  EXPECT_TRUE(
      absl::IsUnavailable(Guard::Create(options, clock, &metrics_).status()));
}

// --- The audit log -----------------------------------------------------------

AuditRecord Deletion(const std::string& object) {
  AuditRecord record;
  record.time = absl::FromUnixSeconds(1'900'000'000);
  record.method = "ProgramService.DeleteProgram";
  record.object = object;
  record.outcome = "OK";
  return record;
}

TEST(AuditLogTest, WritesOneLineACallAndRotates) {
  testing::TempDir dir;
  AuditLog::Options options;
  options.path = dir.path() + "/audit.jsonl";
  options.max_bytes = 1000;
  options.files = 3;
  std::ofstream(options.path) << "{\"half a line";
  auto log = AuditLog::Open(options);
  ASSERT_TRUE(log.ok()) << log.status();
  for (int i = 0; i < 100; ++i) (*log)->Append(Deletion(absl::StrCat("p", i)));
  (*log)->Append(Deletion("\xff\n\"{"));
  EXPECT_TRUE((*log)->Ready().ok());
  const std::string now = ReadFile(options.path);
  EXPECT_THAT(now, HasSubstr(R"("object":"p99","outcome":"OK"})"));
  EXPECT_THAT(now, HasSubstr(R"(\n\"{)"));
  for (const char* suffix : {"", ".1", ".2"}) {
    const std::string text = ReadFile(options.path + suffix);
    EXPECT_GT(text.size(), 100) << suffix;
    EXPECT_LE(text.size(), 1000) << suffix;
    EXPECT_EQ(text.back(), '\n');
  }
  EXPECT_NE(access((options.path + ".3").c_str(), F_OK), 0);
}

TEST(AuditLogTest, RefusesChangesWhileItCannotBeWrittenAndLosesNoLine) {
  testing::TempDir dir;
  AuditLog::Options options;
  options.path = dir.path() + "/audit.jsonl";
  options.max_bytes = 500;
  options.files = 2;
  auto log = AuditLog::Open(options);
  ASSERT_TRUE(log.ok()) << log.status();
  (*log)->Append(Deletion("first" + std::string(300, '.')));
  EXPECT_TRUE((*log)->Ready().ok());
  // A directory with something in it is where the next file has to go.
  const std::string obstacle = options.path + ".1";
  ASSERT_EQ(mkdir(obstacle.c_str(), 0700), 0);
  std::ofstream(obstacle + "/full") << "x";
  (*log)->Append(Deletion("second"));
  (*log)->Append(Deletion("third"));
  EXPECT_TRUE(absl::IsUnavailable((*log)->Ready()));
  std::filesystem::remove_all(obstacle);
  // Tried again a second after it failed.
  while (!(*log)->Ready().ok()) usleep(10'000);
  std::string all;
  for (const char* suffix : {"", ".1"}) {
    all += ReadFile(options.path + suffix);
  }
  for (const char* object : {"first", "second", "third"}) {
    EXPECT_THAT(all, HasSubstr(object));
  }
}

}  // namespace
}  // namespace perfvec::server
