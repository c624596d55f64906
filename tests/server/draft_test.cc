// Uploads of files that are still being written: drafts, and what becomes of
// them once the content has a name.
#include <gmock/gmock.h>

#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPiece = 4096;

class DraftTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    Start();
  }
  grpc::Status BeginDraft(v1::Upload* upload) {
    v1::BeginUploadRequest request;
    request.set_draft(draft_);
    return traces_->BeginUpload(Context().get(), request, upload);
  }
  grpc::Status Name(const std::string& bytes, v1::Upload* upload) {
    v1::BeginUploadRequest request;
    request.set_sha256(HexSha256(bytes));
    request.set_size_bytes(bytes.size());
    request.set_draft(draft_);
    return traces_->BeginUpload(Context().get(), request, upload);
  }
  // A draft with the first `bytes` of pvt_.
  std::string DraftWith(uint64_t bytes) {
    v1::Upload upload;
    EXPECT_TRUE(BeginDraft(&upload).ok());
    const std::string id = upload.upload_id();
    EXPECT_TRUE(Write(id, pvt_, 0, bytes, &upload).ok());
    EXPECT_EQ(upload.committed_size_bytes(), bytes / kPiece * kPiece);
    return id;
  }
  grpc::StatusCode Get(const std::string& id) {
    v1::GetUploadRequest request;
    request.set_upload_id(id);
    v1::Upload upload;
    return traces_->GetUpload(Context().get(), request, &upload).error_code();
  }

  const std::string pvt_ = MakePvt(3, 20'000);
  const std::string draft_ = "0123456789abcdef0123456789abcdef";
};

TEST_F(DraftTest, GrowsOverARestartAndBecomesTheTrace) {
  v1::Upload upload;
  ASSERT_TRUE(BeginDraft(&upload).ok());
  EXPECT_EQ(upload.sha256(), "");
  EXPECT_EQ(upload.size_bytes(), 0);
  EXPECT_EQ(upload.piece_size_bytes(), kPiece);
  const std::string id = DraftWith(2 * kPiece + 100);
  Start();
  ASSERT_TRUE(BeginDraft(&upload).ok());
  EXPECT_EQ(upload.upload_id(), id);
  EXPECT_EQ(upload.committed_size_bytes(), 2 * kPiece);
  ASSERT_TRUE(Write(id, pvt_, 2 * kPiece, 3 * kPiece, &upload).ok());

  v1::Trace trace;
  const grpc::Status unnamed = FinishUpload(id, &trace);
  EXPECT_EQ(unnamed.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(unnamed.error_message(), HasSubstr("is a draft"));

  ASSERT_TRUE(Name(pvt_, &upload).ok());
  EXPECT_EQ(upload.sha256(), HexSha256(pvt_));
  EXPECT_EQ(upload.committed_size_bytes(), 3 * kPiece);
  EXPECT_EQ(Get(id), grpc::StatusCode::NOT_FOUND);
  // The answer was lost: the same call again. Nor do the pieces go.
  ASSERT_TRUE(server_->CollectGarbage().ok());
  ASSERT_TRUE(Name(pvt_, &upload).ok());
  EXPECT_EQ(upload.committed_size_bytes(), 3 * kPiece);
  ASSERT_TRUE(
      Write(upload.upload_id(), pvt_, 3 * kPiece, pvt_.size(), &upload).ok());
  const grpc::Status finished = FinishUpload(upload.upload_id(), &trace);
  ASSERT_TRUE(finished.ok()) << finished.error_message();
  EXPECT_EQ(trace.trace_id(), HexSha256(pvt_));
  EXPECT_EQ(trace.instructions(), 20'000);
}

TEST_F(DraftTest, OfContentThatIsHereOrOnItsWayItIsDropped) {
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, 0, kPiece, &upload).ok());
  const std::string other = upload.upload_id();
  const std::string id = DraftWith(2 * kPiece);
  ASSERT_TRUE(Name(pvt_, &upload).ok());
  EXPECT_EQ(upload.upload_id(), other);
  EXPECT_EQ(Get(id), grpc::StatusCode::NOT_FOUND);

  Upload(pvt_);
  DraftWith(2 * kPiece);
  ASSERT_TRUE(Name(pvt_, &upload).ok());
  EXPECT_TRUE(upload.has_trace());
  EXPECT_EQ(Get(id), grpc::StatusCode::NOT_FOUND);
}

// What has gone to the draft before cannot pass for other content.
TEST_F(DraftTest, OtherContentIsRefusedAtFinish) {
  std::string other = pvt_;
  other[100] ^= 1;
  DraftWith(2 * kPiece);
  v1::Upload upload;
  ASSERT_TRUE(Name(other, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), other, upload.committed_size_bytes(),
                    other.size(), &upload)
                  .ok());
  v1::Trace trace;
  EXPECT_EQ(FinishUpload(upload.upload_id(), &trace).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Upload(other.replace(100, 1, 1, pvt_[100])), HexSha256(pvt_));
}

TEST_F(DraftTest, AShorterFileKeepsTheWholePiecesThatItHas) {
  const std::string part = pvt_.substr(0, kPiece + 10);
  DraftWith(3 * kPiece);
  v1::Upload upload;
  ASSERT_TRUE(Name(part, &upload).ok());
  EXPECT_EQ(upload.committed_size_bytes(), kPiece);
}

// A stream of the draft that is still open when it is named, and then goes on.
TEST_F(DraftTest, AStreamThatIsLateChangesNothing) {
  const std::string id = DraftWith(kPiece);
  auto context = Context();
  v1::Upload upload, ignored;
  auto late = traces_->WriteUpload(context.get(), &ignored);
  ASSERT_TRUE(late->Write(HeaderMessage(id, kPiece)));
  ASSERT_TRUE(Name(pvt_, &upload).ok());
  late->Write(DataMessage(pvt_.substr(kPiece, kPiece)));
  late->WritesDone();
  EXPECT_FALSE(late->Finish().ok());
  ASSERT_TRUE(
      Write(upload.upload_id(), pvt_, kPiece, pvt_.size(), &upload).ok());
  v1::Trace trace;
  EXPECT_TRUE(FinishUpload(upload.upload_id(), &trace).ok());
}

TEST_F(DraftTest, CountsAgainstTheQuotasWithWhatItHas) {
  options_.uploads.max_uploads = 1;
  options_.uploads.max_stored_bytes = pvt_.size();
  options_.uploads.max_trace_bytes = pvt_.size();
  Start();
  const std::string id = DraftWith(2 * kPiece);
  v1::Upload upload;
  EXPECT_EQ(Begin(MakePvt(21), &upload).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  // Named, it takes the draft's place.
  ASSERT_TRUE(Name(pvt_, &upload).ok());
  v1::AbortUploadRequest abort;
  abort.set_upload_id(upload.upload_id());
  google::protobuf::Empty empty;
  ASSERT_TRUE(traces_->AbortUpload(Context().get(), abort, &empty).ok());

  ASSERT_TRUE(BeginDraft(&upload).ok());
  const std::string endless(pvt_.size() + 1, 'x');
  EXPECT_EQ(Write(id, endless, 0, endless.size(), &upload).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  options_.uploads.max_stored_bytes = 2 * kPiece;
  Start();
  const grpc::Status full = Write(id, pvt_, 0, 3 * kPiece, &upload);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(full.error_message(), HasSubstr("--max-stored-bytes"));
}

TEST_F(DraftTest, ExpiresAndRefusesOtherNames) {
  const std::string id = DraftWith(2 * kPiece);
  Advance(absl::Hours(25));
  ASSERT_TRUE(server_->CollectGarbage().ok());
  EXPECT_EQ(Get(id), grpc::StatusCode::NOT_FOUND);
  v1::Upload upload;
  ASSERT_TRUE(Name(pvt_, &upload).ok());  // as if there had been none
  EXPECT_EQ(upload.committed_size_bytes(), 0);

  v1::BeginUploadRequest request;
  for (const std::string& name :
       {std::string("x"), std::string(32, 'A'), std::string(33, 'a')}) {
    request.set_draft(name);
    request.clear_sha256();
    EXPECT_EQ(
        traces_->BeginUpload(Context().get(), request, &upload).error_code(),
        grpc::StatusCode::INVALID_ARGUMENT);
    request.set_sha256(HexSha256(pvt_));
    request.set_size_bytes(pvt_.size());
    EXPECT_EQ(
        traces_->BeginUpload(Context().get(), request, &upload).error_code(),
        grpc::StatusCode::INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace perfvec::server
