// Uploads through a running server: cut, resumed, doubled, wrong.
#include <gmock/gmock.h>

#include <fstream>
#include <random>
#include <thread>

#include "server/call.h"
#include "tests/server/server_fixture.h"

namespace perfvec::server {
namespace {

using ::testing::HasSubstr;

class UploadTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    Start();
  }
  uint64_t Committed(const std::string& id) {
    v1::GetUploadRequest request;
    request.set_upload_id(id);
    v1::Upload upload;
    EXPECT_TRUE(traces_->GetUpload(Context().get(), request, &upload).ok());
    return upload.committed_size_bytes();
  }
  // What ReadTrace gives from `offset`.
  std::string Download(const std::string& trace_id, uint64_t offset = 0) {
    std::string bytes;
    const grpc::Status status = ReadTrace(trace_id, offset, &bytes);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return bytes;
  }

  const std::string pvt_ = MakePvt(3, 20'000);
};

TEST_F(UploadTest, ArrivesByteForByteAndIsDescribed) {
  ASSERT_GT(pvt_.size(), 5 * 4096u);
  const std::string id = Upload(pvt_);
  EXPECT_EQ(id, HexSha256(pvt_));
  v1::GetTraceRequest request;
  request.set_trace_id(id);
  v1::Trace trace;
  ASSERT_TRUE(traces_->GetTrace(Context().get(), request, &trace).ok());
  EXPECT_EQ(trace.instructions(), 20'000);
  EXPECT_EQ(trace.size_bytes(), pvt_.size());
  EXPECT_EQ(trace.latency_columns_size(), 1);
  EXPECT_EQ(Download(id), pvt_);
  EXPECT_EQ(Download(id, 4096), pvt_.substr(4096));
  EXPECT_EQ(Download(id, 5000), pvt_.substr(5000));
  EXPECT_EQ(Download(id, pvt_.size()), "");
  std::string none;
  EXPECT_EQ(ReadTrace(id, pvt_.size() + 1, &none).error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(ReadTrace(std::string(64, '0'), 0, &none).error_code(),
            grpc::StatusCode::NOT_FOUND);
  // The same content again: nothing is to be sent.
  v1::Upload again;
  ASSERT_TRUE(Begin(pvt_, &again).ok());
  EXPECT_TRUE(again.has_trace());
}

TEST_F(UploadTest, GoesOnAfterCutsAtRandomBytesAndRestarts) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  uint64_t last = 0;
  for (int cut = 0; cut < 12; ++cut) {
    const uint64_t from = Committed(upload.upload_id());
    ASSERT_GE(from, last);
    last = from;
    auto context = Context();
    v1::Upload ignored;
    auto writer = traces_->WriteUpload(context.get(), &ignored);
    ASSERT_TRUE(writer->Write(HeaderMessage(upload.upload_id(), from)));
    uint64_t left = random() % 9000;
    for (uint64_t at = from; left > 0 && at < pvt_.size();) {
      const size_t size =
          std::min<uint64_t>({left, 1 + random() % 3000, pvt_.size() - at});
      if (!writer->Write(DataMessage(pvt_.substr(at, size)))) break;
      at += size;
      left -= size;
    }
    if (random() % 2 == 0) {
      context->TryCancel();  // the connection breaks
    } else {
      writer->WritesDone();
    }
    (void)writer->Finish();
    if (cut == 6) Start();  // the server, too
  }
  const uint64_t from = Committed(upload.upload_id());
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, from, pvt_.size(), &upload).ok());
  v1::Trace trace;
  ASSERT_TRUE(FinishUpload(upload.upload_id(), &trace).ok());
  EXPECT_EQ(Download(trace.trace_id()), pvt_);
  // The answer was lost: asking again gives it again.
  v1::Trace again;
  ASSERT_TRUE(FinishUpload(upload.upload_id(), &again).ok());
  EXPECT_EQ(again.trace_id(), trace.trace_id());
}

TEST_F(UploadTest, ClientsThatSendTheSameFileAtOnceAllSucceed) {
  std::vector<std::thread> clients;
  std::atomic<int> succeeded{0};
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      v1::Upload upload;
      ASSERT_TRUE(Begin(pvt_, &upload).ok());
      if (!upload.has_trace()) {
        const grpc::Status written =
            Write(upload.upload_id(), pvt_, upload.committed_size_bytes(),
                  pvt_.size(), &upload, 700 + 300 * i);
        ASSERT_TRUE(written.ok()) << written.error_message();
        v1::Trace trace;
        grpc::Status finished;
        do {
          finished = FinishUpload(upload.upload_id(), &trace);
        } while (finished.error_code() == grpc::StatusCode::UNAVAILABLE);
        ASSERT_TRUE(finished.ok()) << finished.error_message();
      }
      ++succeeded;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(succeeded, 4);
  EXPECT_EQ(Download(HexSha256(pvt_)), pvt_);
}

TEST_F(UploadTest, OtherBytesForTheSameDigestAreRefusedNotMixed) {
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, 0, 8192, &upload).ok());
  std::string other = pvt_;
  other[100] ^= 1;
  const grpc::Status status =
      Write(upload.upload_id(), other, 0, other.size(), &upload);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_THAT(status.error_message(), HasSubstr("8192"));
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, 8192, pvt_.size(), &upload).ok());
  v1::Trace trace;
  EXPECT_TRUE(FinishUpload(upload.upload_id(), &trace).ok());
}

TEST_F(UploadTest, AWrongOffsetIsToldTheRightOne) {
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, 0, 9000, &upload).ok());
  EXPECT_EQ(upload.committed_size_bytes(), 8192);
  for (uint64_t offset : {uint64_t{9000}, uint64_t{100}, pvt_.size()}) {
    v1::Upload ignored;
    const grpc::Status status =
        Write(upload.upload_id(), pvt_, offset, pvt_.size(), &ignored);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED) << offset;
    EXPECT_THAT(status.error_message(), HasSubstr("8192"));
  }
  v1::Trace trace;
  const grpc::Status early = FinishUpload(upload.upload_id(), &trace);
  EXPECT_EQ(early.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(early.error_message(), HasSubstr("8192 of"));
}

TEST_F(UploadTest, ADamagedMessageIsCaughtAndKeepsWhatCameBefore) {
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  auto context = Context();
  v1::Upload ignored;
  auto writer = traces_->WriteUpload(context.get(), &ignored);
  writer->Write(HeaderMessage(upload.upload_id(), 0));
  writer->Write(DataMessage(pvt_.substr(0, 4096)));
  v1::WriteUploadRequest damaged = DataMessage(pvt_.substr(4096, 4096));
  (*damaged.mutable_data()->mutable_bytes())[7] ^= 1;
  writer->Write(damaged);
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(status.error_message(), HasSubstr("offset 4096"));
  EXPECT_EQ(Committed(upload.upload_id()), 4096);
}

TEST_F(UploadTest, ContentOfAnotherDigestIsDroppedAtFinish) {
  std::string other = pvt_;
  other[other.size() / 2] ^= 1;
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), other, 0, other.size(), &upload).ok());
  v1::Trace trace;
  const grpc::Status status = FinishUpload(upload.upload_id(), &trace);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr(HexSha256(other)));
  EXPECT_EQ(Upload(pvt_), HexSha256(pvt_)) << "a fresh start succeeds";
}

TEST_F(UploadTest, AFileThatIsNoTraceIsRefused) {
  for (const std::string& bytes :
       {std::string(10'000, 'x'), pvt_.substr(0, pvt_.size() - 1),
        pvt_ + "y"}) {
    v1::Upload upload;
    ASSERT_TRUE(Begin(bytes, &upload).ok());
    ASSERT_TRUE(
        Write(upload.upload_id(), bytes, 0, bytes.size(), &upload).ok());
    v1::Trace trace;
    const grpc::Status status = FinishUpload(upload.upload_id(), &trace);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("not a valid trace"));
  }
}

TEST_F(UploadTest, HoldsItsBounds) {
  v1::Upload upload;
  v1::BeginUploadRequest request;
  request.set_sha256("ABC");
  request.set_size_bytes(5);
  EXPECT_EQ(
      traces_->BeginUpload(Context().get(), request, &upload).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  request.set_sha256(std::string(64, 'a'));
  request.set_size_bytes(options_.uploads.max_trace_bytes + 1);
  EXPECT_EQ(
      traces_->BeginUpload(Context().get(), request, &upload).error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);

  // More bytes than declared; a message that is too large; no header.
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  v1::Upload ignored;
  EXPECT_EQ(
      Write(upload.upload_id(), pvt_ + "more", 0, pvt_.size() + 4, &ignored)
          .error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  const std::string large(kMaxDataBytes + 1, 'z');
  EXPECT_EQ(
      Write(upload.upload_id(), large, 0, large.size(), &ignored, large.size())
          .error_code(),
      grpc::StatusCode::INVALID_ARGUMENT);
  auto context = Context();
  auto writer = traces_->WriteUpload(context.get(), &ignored);
  writer->Write(DataMessage("x"));
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(UploadTest, QuotasAreResourceExhaustedWithARetryHint) {
  options_.uploads.max_uploads = 2;
  options_.uploads.max_stored_bytes = 3 * pvt_.size();
  Start();
  v1::Upload upload;
  ASSERT_TRUE(Begin(MakePvt(21), &upload).ok());
  ASSERT_TRUE(Begin(MakePvt(22), &upload).ok());
  auto context = Context();
  v1::BeginUploadRequest request;
  request.set_sha256(std::string(64, 'b'));
  request.set_size_bytes(100);
  EXPECT_EQ(traces_->BeginUpload(context.get(), request, &upload).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(context->GetServerTrailingMetadata().count("retry-after-ms"), 1);
  v1::AbortUploadRequest abort;
  ASSERT_TRUE(Begin(MakePvt(22), &upload).ok());
  abort.set_upload_id(upload.upload_id());
  google::protobuf::Empty empty;
  ASSERT_TRUE(traces_->AbortUpload(Context().get(), abort, &empty).ok());
  request.set_size_bytes(3 * pvt_.size());
  const grpc::Status full =
      traces_->BeginUpload(Context().get(), request, &upload);
  EXPECT_EQ(full.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(full.error_message(), HasSubstr("--max-stored-bytes"));
}

TEST_F(UploadTest, AnUploadWithoutProgressExpiresAndItsChunksGo) {
  v1::Upload upload;
  ASSERT_TRUE(Begin(pvt_, &upload).ok());
  ASSERT_TRUE(Write(upload.upload_id(), pvt_, 0, 8192, &upload).ok());
  const std::string chunk = storage::Sha256(pvt_.substr(0, 4096));
  ASSERT_TRUE(server_->CollectGarbage().ok());
  EXPECT_TRUE(server_->chunks().Has(chunk));
  Advance(absl::Hours(25));
  ASSERT_TRUE(server_->CollectGarbage().ok());
  EXPECT_FALSE(server_->chunks().Has(chunk));
  v1::GetUploadRequest request;
  request.set_upload_id(upload.upload_id());
  EXPECT_EQ(traces_->GetUpload(Context().get(), request, &upload).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(UploadTest, ACorruptChunkIsALossThatNamesItsPlace) {
  const std::string id = Upload(pvt_);
  const std::string path =
      server_->chunks().Path(storage::Sha256(pvt_.substr(4096, 4096)));
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(17);
    file.put(static_cast<char>(~pvt_[4096 + 17]));
  }
  std::string bytes;
  const grpc::Status status = ReadTrace(id, 0, &bytes);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(status.error_message(), HasSubstr("offset 4096"));
  EXPECT_THAT(status.error_message(), HasSubstr(path));
  EXPECT_EQ(bytes, pvt_.substr(0, 4096)) << "only good bytes were sent";
}

}  // namespace
}  // namespace perfvec::server
