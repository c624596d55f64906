// Tenants through a whole server: who sees and changes what, over all calls.
#include "server/security/tenants.h"

#include <gmock/gmock.h>
#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/generic_stub.h>

#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "perfvec/v1/analysis_service.grpc.pb.h"
#include "perfvec/v1/exploration_service.grpc.pb.h"
#include "perfvec/v1/learning_service.grpc.pb.h"
#include "tests/server/http_client.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::MethodDescriptor;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSecret[] = "labs~secret";

// Of the services that have something of a tenant.
std::vector<const MethodDescriptor*> Methods() {
  std::vector<const MethodDescriptor*> methods;
  for (const auto* file : {v1::AnalyzeProgramRequest::descriptor()->file(),
                           v1::CreateProgramRequest::descriptor()->file(),
                           v1::ExploreDesignSpaceRequest::descriptor()->file(),
                           v1::GetJobRequest::descriptor()->file(),
                           v1::LearnArchitectureRequest::descriptor()->file(),
                           v1::PredictRequest::descriptor()->file(),
                           v1::BeginUploadRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      if (file->service(s)->name() == "ModelService") continue;
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const MethodDescriptor* method = file->service(s)->method(m);
        if (method->name() != "CreateBackup") methods.push_back(method);
      }
    }
  }
  return methods;
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// "requests.program" and so on: all texts of a request but those of maps.
void TextFields(const Descriptor& type, const std::string& prefix, int depth,
                std::vector<std::string>* out) {
  ASSERT_LT(depth, 8);
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = absl::StrCat(prefix, field.name());
    if (field.is_map()) continue;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      out->push_back(path);
    } else if (field.message_type() != nullptr) {
      TextFields(*field.message_type(), path + ".", depth + 1, out);
    }
  }
}

// A field that is new to a request must be decided on: does it name something
// that has an owner?
TEST(TenantTableTest, HasEveryTextOfEveryRequestThatNamesAThing) {
  const std::set<std::string> texts = {
      "aliases",     "model",       "models",
      "remove_tags", "add_aliases", "remove_aliases",
      "page_token",  "name_prefix", "remove_attributes",
      "attribute",   "text",        "constraints",
      "objective",   "limits",      "front",
      "bytes",       "sha256",      "draft"};
  // What the server fills in of an architecture, a program that is evidence by
  // itself, the name by which ListJobs filters, and names of other things.
  const std::set<std::string> decided = {
      "perfvec.v1.ListJobsRequest program",
      "perfvec.v1.LearnArchitectureRequest traces.program",
      "perfvec.v1.LearnArchitectureRequest traces.model_id",
      "perfvec.v1.LearnArchitectureRequest traces.columns.name",
      "perfvec.v1.ExploreDesignSpaceRequest parameters.name",
      "perfvec.v1.ExploreDesignSpaceRequest parameters.labels"};
  std::map<std::string, std::set<std::string>> rows;
  for (const NamedThing& thing : NamedThings()) {
    const auto* type = google::protobuf::DescriptorPool::generated_pool()
                           ->FindMessageTypeByName(thing.request);
    ASSERT_NE(type, nullptr) << thing.request;
    rows[thing.request].insert(thing.field);
  }
  std::set<std::string> requests;
  for (const MethodDescriptor* method : Methods()) {
    const Descriptor& type = *method->input_type();
    const auto of = rows.find(type.full_name());
    ASSERT_NE(of, rows.end())
        << type.full_name() << ": add its rows to server/security/tenants.cc";
    requests.insert(type.full_name());
    std::vector<std::string> fields;
    TextFields(type, "", 0, &fields);
    for (const std::string& field : fields) {
      const std::string last =
          std::vector<std::string>(absl::StrSplit(field, '.')).back();
      const bool in_vectors = absl::StrContains(field, "vectors.");
      EXPECT_TRUE(of->second.count(field) + texts.count(last) +
                          decided.count(type.full_name() + " " + field) ==
                      1 ||
                  in_vectors)
          << type.full_name() << "." << field
          << ": is it a name? Then add its row to server/security/tenants.cc";
    }
    for (const std::string& field : of->second) {
      EXPECT_TRUE(field.empty() || absl::c_linear_search(fields, field))
          << type.full_name() << " has no text " << field;
    }
  }
  for (const auto& [request, fields] : rows) {
    EXPECT_EQ(requests.count(request), 1) << request;
  }
}

TEST(TenantScopeTest, FollowsFromTenantAndRole) {
  const auto scope = [](const char* tenant, Role role) {
    Token token;
    token.tenant = tenant;
    token.role = role;
    return ScopeOf(token);
  };
  for (const Role role : {Role::kReader, Role::kUploader, Role::kOperator}) {
    const Scope lab = scope("lab", role);
    EXPECT_TRUE(lab.Sees("zlib") && lab.Sees("lab~zlib@3"));
    EXPECT_FALSE(lab.Sees("labs~zlib") || lab.Sees("la~zlib"));
    EXPECT_TRUE(lab.Owns("lab~zlib"));
    EXPECT_FALSE(lab.Owns("zlib") || lab.Owns("labs~zlib"));
    const Scope shared = scope("default", role);
    EXPECT_EQ(shared.all(), role == Role::kOperator);
    EXPECT_TRUE(shared.Owns("zlib"));
    EXPECT_EQ(shared.Sees("lab~zlib"), role == Role::kOperator);
  }
  EXPECT_TRUE(scope("lab", Role::kAdmin).all());
  EXPECT_FALSE(scope("lab", Role::kWorker).all());
  EXPECT_FALSE(scope("default", Role::kWorker).all());
}

class TenantsTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    options_.http.listen = "127.0.0.1:0";
    options_.guard.tokens_file = root_ + "/tokens.json";
    admin_ = Add("admin", Role::kAdmin, "default");
    lab_ = Add("lab", Role::kOperator, "lab");
    labs_ = Add("labs", Role::kOperator, "labs");
    reader_ = Add("reader", Role::kReader, "default");
  }
  std::string Add(const std::string& id, Role role, const std::string& tenant) {
    Token like;
    like.id = id;
    like.role = role;
    like.tenant = tenant;
    const auto token = AddToken(options_.guard.tokens_file, like);
    EXPECT_TRUE(token.ok()) << token.status();
    return token.value_or("");
  }
  // One message there; the status, and all that came back as bytes.
  grpc::Status Call(const MethodDescriptor& method, const Message& request,
                    const std::string& token, std::string* answers = nullptr) {
    grpc::GenericStub stub(channel_);
    auto context = Context();
    context->AddMetadata("authorization", "Bearer " + token);
    grpc::CompletionQueue queue;
    const auto wait = [&queue] {
      void* tag;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    auto stream = stub.PrepareCall(context.get(), PathOf(method), &queue);
    stream->StartCall(nullptr);
    wait();
    const grpc::Slice slice(request.SerializeAsString());
    stream->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    wait();
    for (;;) {
      grpc::ByteBuffer answer;
      stream->Read(&answer, nullptr);
      if (!wait()) break;
      std::vector<grpc::Slice> slices;
      if (!answer.Dump(&slices).ok() || answers == nullptr) continue;
      for (const grpc::Slice& part : slices) {
        answers->append(reinterpret_cast<const char*>(part.begin()),
                        part.size());
      }
    }
    grpc::Status status;
    stream->Finish(&status, nullptr);
    wait();
    return status;
  }
  template <typename Request>
  grpc::Status Ask(const Request& request, const std::string& token,
                   std::string* answers) {
    for (const MethodDescriptor* method : Methods()) {
      if (method->input_type() == Request::descriptor()) {
        return Call(*method, request, token, answers);
      }
    }
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no such call");
  }
  template <typename Request>
  std::string Answers(const Request& request, const std::string& token) {
    std::string answers;
    const grpc::Status status = Ask(request, token, &answers);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answers;
  }

  // As the holder of the token.
  grpc::Status UploadAs(const std::string& token, const std::string& bytes,
                        v1::Upload* upload, bool finish = true) {
    v1::BeginUploadRequest begin;
    begin.set_sha256(HexSha256(bytes));
    begin.set_size_bytes(bytes.size());
    auto context = As(token);
    grpc::Status status = traces_->BeginUpload(context.get(), begin, upload);
    if (!status.ok() || upload->has_trace() || !finish) return status;
    context = As(token);
    auto writer = traces_->WriteUpload(context.get(), upload);
    writer->Write(
        HeaderMessage(upload->upload_id(), upload->committed_size_bytes()));
    writer->Write(DataMessage(bytes.substr(upload->committed_size_bytes())));
    writer->WritesDone();
    status = writer->Finish();
    if (!status.ok()) return status;
    v1::FinishUploadRequest end;
    end.set_upload_id(upload->upload_id());
    context = As(token);
    return traces_->FinishUpload(context.get(), end, upload->mutable_trace());
  }
  static std::unique_ptr<grpc::ClientContext> As(const std::string& token) {
    auto context = Context();
    context->AddMetadata("authorization", "Bearer " + token);
    return context;
  }
  grpc::Status CreateAs(const std::string& token, const std::string& name,
                        const std::string& trace_id,
                        v1::CreateProgramResponse* response) {
    v1::CreateProgramRequest request;
    request.set_name(name);
    request.set_trace_id(trace_id);
    auto context = As(token);
    return programs_->CreateProgram(context.get(), request, response);
  }
  grpc::Status CreateArchitectureAs(const std::string& token,
                                    const std::string& name, double value) {
    v1::CreateArchitectureRequest request;
    v1::Architecture* draft = request.mutable_architecture();
    draft->set_name(name);
    (*draft->mutable_attributes())["only_" + std::string(1, name[0])]
        .set_number(1);
    v1::ArchitectureVector* vector = draft->add_vectors();
    vector->set_model_id(model_.id());
    vector->set_origin("trained");
    for (int i = 0; i < kModelWidth; ++i) vector->add_values(value);
    v1::Architecture response;
    auto context = As(token);
    return architectures_->CreateArchitecture(context.get(), request,
                                              &response);
  }

  // Programs and architectures "shared", "lab~own" and "labs~secret", with
  // vectors, jobs and traces of their own; an upload of each tenant under way.
  void StartWithThings() {
    ASSERT_NO_FATAL_FAILURE(Start());
    int seed = 0;
    for (const auto& [name, token] :
         {std::make_pair("shared", admin_), std::make_pair("lab~own", lab_),
          std::make_pair(kSecret, labs_)}) {
      ++seed;
      v1::Upload upload;
      grpc::Status status = UploadAs(token, MakePvt(seed), &upload);
      ASSERT_TRUE(status.ok()) << name << ": " << status.error_message();
      v1::CreateProgramResponse created;
      status = CreateAs(token, name, upload.trace().trace_id(), &created);
      ASSERT_TRUE(status.ok()) << name << ": " << status.error_message();
      ASSERT_EQ(created.jobs_size(), 1);
      job_[name] = created.jobs(0).job_id();
      trace_[name] = upload.trace().trace_id();
      storage::v1::ProgramVectorRecord vector;
      vector.set_program_name(name);
      vector.set_program_version(1);
      vector.set_model_id(model_.id());
      vector.set_instructions(kTraceInstructions);
      for (int i = 0; i < kModelWidth; ++i) vector.add_values(1000);
      const auto job = server_->registry().GetJob(job_[name]);
      ASSERT_TRUE(server_->registry().FinishJob(*job, vector).ok());
      status = CreateArchitectureAs(token, name, 2 + seed);
      ASSERT_TRUE(status.ok()) << name << ": " << status.error_message();
      v1::Upload more;
      status = UploadAs(token, MakePvt(100 + seed), &more, false);
      ASSERT_TRUE(status.ok()) << name << ": " << status.error_message();
      upload_[name] = more.upload_id();
    }
    // The predictor reads what the registry has.
    ASSERT_NO_FATAL_FAILURE(Start());
  }
  std::string NameOf(NamedThing::What what, const std::string& whose) {
    switch (what) {
      case NamedThing::kJob:
        return job_[whose];
      case NamedThing::kTrace:
        return trace_[whose];
      case NamedThing::kUpload:
        return upload_[whose];
      default:
        return whose;
    }
  }
  static void Set(Message* message, const std::string& field,
                  const std::string& value) {
    const std::vector<std::string> names = absl::StrSplit(field, '.');
    for (size_t i = 0; i < names.size(); ++i) {
      const auto* part = message->GetDescriptor()->FindFieldByName(names[i]);
      const auto* reflection = message->GetReflection();
      if (i + 1 < names.size()) {
        message = part->is_repeated()
                      ? reflection->AddMessage(message, part)
                      : reflection->MutableMessage(message, part);
      } else if (part->is_repeated()) {
        reflection->AddString(message, part, value);
      } else {
        reflection->SetString(message, part, value);
      }
    }
  }

  std::string admin_, lab_, labs_, reader_;
  std::map<std::string, std::string> job_, trace_, upload_;
};

TEST_F(TenantsTest, NoCallTellsOfAnothersThingsOrChangesWhatIsEverybodys) {
  ASSERT_NO_FATAL_FAILURE(StartWithThings());
  const std::map<NamedThing::What, std::string> absent = {
      {NamedThing::kProgram, "labs~absent"},
      {NamedThing::kArchitecture, "labs~absent"},
      {NamedThing::kJob, "job-999"},
      {NamedThing::kTrace, std::string(64, '7')},
      {NamedThing::kUpload, std::string(64, '7') + "-0123456789abcdef"}};
  google::protobuf::DynamicMessageFactory factory;
  int asked = 0;
  for (const MethodDescriptor* method : Methods()) {
    for (const NamedThing& thing : NamedThings()) {
      if (method->input_type()->full_name() != thing.request ||
          thing.what == NamedThing::kNothing) {
        continue;
      }
      const std::string what = absl::StrCat(PathOf(*method), " ", thing.field);
      const auto ask = [&](const std::string& name) {
        std::unique_ptr<Message> request(
            factory.GetPrototype(method->input_type())->New());
        Set(request.get(), thing.field, name);
        return Call(*method, *request, lab_);
      };
      const std::string hidden = NameOf(thing.what, kSecret);
      const grpc::Status refused = ask(hidden);
      EXPECT_EQ(refused.error_code(), grpc::StatusCode::NOT_FOUND)
          << what << ": " << refused.error_message();
      // As if there were no such thing.
      const grpc::Status none = ask(absent.at(thing.what));
      EXPECT_EQ(none.error_code(), refused.error_code()) << what;
      EXPECT_EQ(absl::StrReplaceAll(none.error_message(),
                                    {{absent.at(thing.what), hidden}}),
                refused.error_message())
          << what;
      const grpc::Status own = ask(NameOf(thing.what, "lab~own"));
      EXPECT_NE(own.error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << what << ": " << own.error_message();
      EXPECT_THAT(own.error_message(), Not(HasSubstr("another tenant")));
      ++asked;
      if (thing.what == NamedThing::kUpload) continue;
      const grpc::Status shared = ask(NameOf(thing.what, "shared"));
      EXPECT_EQ(shared.error_code() == grpc::StatusCode::PERMISSION_DENIED,
                thing.changed)
          << what << ": " << shared.error_message();
      EXPECT_THAT(shared.error_message(), Not(HasSubstr("another tenant")));
      if (method->name() == "DeleteProgram" ||
          method->name() == "DeleteArchitecture" ||
          method->name() == "AbortUpload") {
        break;  // own is gone
      }
    }
  }
  EXPECT_GE(asked, 30);
  // All of it is there for whom it belongs to, and for the admin.
  for (const std::string& token : {labs_, admin_}) {
    v1::GetProgramRequest program;
    program.set_program(kSecret);
    Answers(program, token);
    v1::GetArchitectureRequest architecture;
    architecture.set_architecture(kSecret);
    Answers(architecture, token);
    v1::GetJobRequest job;
    job.set_job_id(job_[kSecret]);
    Answers(job, token);
    v1::GetTraceRequest trace;
    trace.set_trace_id(trace_[kSecret]);
    Answers(trace, token);
    v1::GetUploadRequest upload;
    upload.set_upload_id(upload_[kSecret]);
    Answers(upload, token);
  }
}

TEST_F(TenantsTest, WhatGoesThroughAllShowsNothingOfOthers) {
  ASSERT_NO_FATAL_FAILURE(StartWithThings());
  for (const auto& [token, own] :
       {std::make_pair(lab_, true), std::make_pair(reader_, false)}) {
    const auto expect = [&, own = own](const std::string& answers) {
      EXPECT_THAT(answers, HasSubstr("shared"));
      EXPECT_THAT(answers, Not(HasSubstr("secret")));
      EXPECT_EQ(absl::StrContains(answers, "lab~own"), own);
    };
    v1::ListProgramsRequest programs;
    expect(Answers(programs, token));
    programs.mutable_page()->set_all_versions(true);
    expect(Answers(programs, token));
    expect(Answers(v1::ListArchitecturesRequest(), token));
    expect(Answers(v1::ListJobsRequest(), token));
    v1::ListJobsRequest of;
    of.set_program(kSecret);
    EXPECT_EQ(Answers(of, token), "");
    v1::RankRequest rank;
    rank.set_program("shared");
    expect(Answers(rank, token));
    rank.set_architecture("shared");
    expect(Answers(rank, token));
    expect(Answers(v1::PredictMatrixRequest(), token));
    // No attribute is known by being another's, none by being no one's.
    rank.set_program("shared");
    std::vector<grpc::Status> found;
    for (const char* attribute : {"only_l", "only_x"}) {
      rank.clear_constraints();
      v1::Constraint* constraint = rank.add_constraints();
      constraint->set_attribute(attribute);
      constraint->set_op(v1::Constraint::EQUAL);
      constraint->mutable_value()->set_number(1);
      std::string answers;
      found.push_back(Ask(rank, token, &answers));
      EXPECT_THAT(answers, Not(HasSubstr("secret")));
    }
    EXPECT_EQ(found[0].error_code(), found[1].error_code());
    // Names that are near.
    v1::GetProgramRequest near;
    near.set_program("secret");
    std::string none;
    grpc::Status status = Ask(near, token, &none);
    EXPECT_THAT(status.error_message(), Not(HasSubstr("labs")));
    v1::PredictRequest predict;
    predict.set_program("labs-secret");
    predict.set_architecture("shared");
    status = Ask(predict, token, &none);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(status.error_message(), Not(HasSubstr("labs~")));
  }
  EXPECT_THAT(Answers(v1::ListProgramsRequest(), admin_),
              AllOf(HasSubstr("secret"), HasSubstr("lab~own")));
  EXPECT_THAT(Answers(v1::PredictMatrixRequest(), admin_),
              AllOf(HasSubstr("secret"), HasSubstr("lab~own")));

  // What is learned for a tenant, or for everybody, rests on and tells of what
  // whoever sees it may see: a0, a1, shared, and the tenant's own.
  v1::LearnArchitectureRequest learn;
  learn.set_dry_run(true);
  v1::RunEvidence* run = learn.add_runs();
  run->set_program("shared");
  run->add_time_ns(0.1 * 1000 * kModelWidth * 5);
  for (const auto& [token, name, known] :
       {std::make_tuple(lab_, "lab~new", 4),
        std::make_tuple(labs_, "labs~new", 4),
        std::make_tuple(admin_, "everybodys", 3)}) {
    learn.mutable_architecture()->set_name(name);
    v1::LearnArchitectureResponse response;
    const std::string answer = Answers(learn, token);
    ASSERT_TRUE(response.ParseFromString(answer)) << name;
    ASSERT_EQ(response.architecture().vectors_size(), 1) << name;
    const v1::LearnReport& report =
        response.architecture().vectors(0).learned();
    EXPECT_EQ(report.known_architectures(), known) << name;
  }
}

TEST_F(TenantsTest, HttpHoldsTheSame) {
  ASSERT_NO_FATAL_FAILURE(StartWithThings());
  const int port = server_->http_port();
  const auto get = [&](const std::string& target, const std::string& token) {
    HttpPeer peer(port);
    EXPECT_TRUE(peer.Send(
        absl::StrCat("GET ", target,
                     " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ",
                     token, "\r\n\r\n")));
    return peer.Read();
  };
  EXPECT_EQ(get("/v1/programs/lab~own", lab_).status, 200);
  EXPECT_EQ(get("/v1/programs/lab~own", labs_).status, 404);
  EXPECT_EQ(get("/v1/programs/lab~own", reader_).status, 404);
  EXPECT_EQ(get("/v1/programs/lab~own", admin_).status, 200);
  EXPECT_THAT(get("/v1/programs", lab_).body,
              AllOf(HasSubstr("lab~own"), Not(HasSubstr("secret"))));
  EXPECT_EQ(get("/v1/jobs/" + job_[kSecret], lab_).status, 404);
  EXPECT_EQ(get("/v1/jobs/" + job_[kSecret], labs_).status, 200);
}

TEST_F(TenantsTest, AnUploadTellsNothingOfWhatOthersHave) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string pvt = MakePvt(5, 20'000);
  v1::Upload theirs;
  ASSERT_TRUE(UploadAs(labs_, pvt, &theirs).ok());
  const uint64_t stored = server_->registry().GetCounts()->trace_bytes;
  for (const std::string& token : {lab_, reader_}) {
    v1::GetTraceRequest get;
    get.set_trace_id(HexSha256(pvt));
    std::string none;
    EXPECT_EQ(Ask(get, token, &none).error_code(), grpc::StatusCode::NOT_FOUND);
  }
  v1::CreateProgramResponse created;
  EXPECT_EQ(CreateAs(lab_, "lab~copy", HexSha256(pvt), &created).error_code(),
            grpc::StatusCode::NOT_FOUND);
  // All bytes are asked for, as of what nobody has; they are stored once.
  v1::Upload upload;
  ASSERT_TRUE(UploadAs(lab_, pvt, &upload, false).ok());
  EXPECT_FALSE(upload.has_trace());
  EXPECT_EQ(upload.committed_size_bytes(), 0);
  ASSERT_TRUE(UploadAs(lab_, pvt, &upload).ok());
  EXPECT_EQ(server_->registry().GetCounts()->trace_bytes, stored);
  EXPECT_TRUE(CreateAs(lab_, "lab~copy", HexSha256(pvt), &created).ok());
  upload.Clear();
  ASSERT_TRUE(UploadAs(lab_, pvt, &upload, false).ok());
  EXPECT_TRUE(upload.has_trace());  // its own, by now

  // Two under way at once, of the same content, know nothing of each other.
  const std::string other = MakePvt(6, 20'000);
  v1::Upload one, two;
  ASSERT_TRUE(UploadAs(lab_, other, &one, false).ok());
  ASSERT_TRUE(UploadAs(labs_, other, &two, false).ok());
  EXPECT_NE(one.upload_id(), two.upload_id());
  ASSERT_TRUE(UploadAs(labs_, other, &two).ok());
  v1::GetUploadRequest get;
  get.set_upload_id(one.upload_id());
  auto context = As(lab_);
  ASSERT_TRUE(traces_->GetUpload(context.get(), get, &one).ok());
  EXPECT_EQ(one.committed_size_bytes(), 0);
  ASSERT_TRUE(UploadAs(lab_, other, &one).ok());
  // And so with drafts of one name.
  v1::BeginUploadRequest draft;
  draft.set_draft(std::string(32, 'd'));
  context = As(lab_);
  ASSERT_TRUE(traces_->BeginUpload(context.get(), draft, &one).ok());
  context = As(labs_);
  ASSERT_TRUE(traces_->BeginUpload(context.get(), draft, &two).ok());
  EXPECT_NE(one.upload_id(), two.upload_id());
}

TEST_F(TenantsTest, QuotasHoldOverConcurrentUploadsAndARestart) {
  std::vector<std::string> files;
  for (int i = 0; i < 6; ++i) files.push_back(MakePvt(40 + i, 3000));
  const uint64_t size_bytes = files[0].size() + 1000;
  options_.tenant_quota.stored_bytes = 3 * size_bytes;
  options_.tenant_quota.programs = 1;
  ASSERT_NO_FATAL_FAILURE(Start());
  std::vector<grpc::Status> ended(files.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < files.size(); ++i) {
    threads.emplace_back([&, i] {
      v1::Upload upload;
      ended[i] = UploadAs(lab_, files[i], &upload);
    });
  }
  for (std::thread& thread : threads) thread.join();
  int stored = 0;
  std::string have;
  for (size_t i = 0; i < files.size(); ++i) {
    if (ended[i].ok()) {
      ++stored;
      have = HexSha256(files[i]);
      continue;
    }
    EXPECT_EQ(ended[i].error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(ended[i].error_message(),
                AllOf(HasSubstr("the tenant 'lab' may have "),
                      HasSubstr("--tenant-max-stored-bytes"),
                      HasSubstr("delete programs")));
  }
  EXPECT_EQ(stored, 3);
  v1::Upload upload;
  EXPECT_TRUE(UploadAs(labs_, files[0], &upload).ok());
  EXPECT_TRUE(UploadAs(admin_, files[1], &upload).ok());
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(UploadAs(lab_, MakePvt(60, 3000), &upload).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  v1::CreateProgramResponse created;
  EXPECT_TRUE(CreateAs(lab_, "lab~one", have, &created).ok());
  const grpc::Status over = CreateAs(lab_, "lab~two", have, &created);
  EXPECT_EQ(over.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(over.error_message(), HasSubstr("--tenant-max-programs"));
}

TEST_F(TenantsTest, QuotasNeedTokens) {
  options_.guard.tokens_file.clear();
  options_.tenant_quota.jobs = 1;
  const absl::Status status = ServerCore::Start(options_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("--tokens"));
}

}  // namespace
}  // namespace perfvec::server
