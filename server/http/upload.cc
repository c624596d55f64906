// Connection: the body of a PUT, piece by piece, as messages of WriteUpload.
//
// The next piece is read when the one before has been taken: the peer is held
// back by TCP as a client of gRPC is by its flow control.
#include <xxhash.h>

#include <boost/beast/http/read.hpp>
#include <utility>

#include "perfvec/v1/trace_service.pb.h"
#include "server/http/connection.h"

namespace perfvec::server::http {
namespace {

namespace bhttp = boost::beast::http;
using google::protobuf::Message;

constexpr size_t kPieceBytes = 256 << 10;

}  // namespace

void Connection::StartUpload() {
  if (!upload_offset_) {
    Answer(ErrorResponse({absl::InvalidArgumentError(
                              "expected the header Upload-Offset: the number "
                              "of bytes that the server has (see HEAD)"),
                          0}));
    return;
  }
  auto first = std::make_unique<v1::WriteUploadRequest>();
  first->mutable_header()->set_upload_id(match_.fields[0].second);
  first->mutable_header()->set_offset(*upload_offset_);
  upload_parser_.emplace(std::move(*header_parser_));
  upload_answer_ = boost::none;
  upload_over_ = answered_ = reading_piece_ = sending_continue_ = false;
  call_ = context_->gateway->StartStream(*match_.route, request_);
  AwaitUploadEnd();
  call_->Write(std::move(first), [self = shared_from_this()](bool sent) {
    if (!sent) return;
    self->Post([self] {
      if (self->answered_ || self->closed_) return;
      self->sending_continue_ = true;
      self->SendContinue([self] {
        self->sending_continue_ = false;
        if (self->upload_over_) {
          self->AnswerUpload();
        } else {
          self->ReadPiece();
        }
      });
    });
  });
}

void Connection::ReadPiece() {
  if (upload_over_ || closed_) return;
  if (upload_parser_->is_done()) {
    body_unread_ = false;
    call_->WritesDone();
    return;
  }
  piece_.resize(kPieceBytes);
  upload_parser_->get().body().data = piece_.data();
  upload_parser_->get().body().size = piece_.size();
  upload_parser_->get().body().more = true;
  reading_piece_ = true;
  stream_.expires_after(absl::ToChronoMilliseconds(options_.piece_timeout));
  bhttp::async_read(stream_, buffer_, *upload_parser_,
                    [self = shared_from_this()](const Error& error, size_t) {
                      self->OnPiece(error);
                    });
}

void Connection::OnPiece(const Error& error) {
  reading_piece_ = false;
  stream_.expires_never();
  if (upload_over_) {
    AnswerUpload();
    return;
  }
  if (error && error != bhttp::error::need_buffer) {
    answered_ = true;
    call_->Cancel();
    RefuseRead(error);
    return;
  }
  const size_t bytes = piece_.size() - upload_parser_->get().body().size;
  if (bytes == 0) {
    ReadPiece();
    return;
  }
  auto message = std::make_unique<v1::WriteUploadRequest>();
  message->mutable_data()->set_xxh3(XXH3_64bits(piece_.data(), bytes));
  message->mutable_data()->set_bytes(piece_.data(), bytes);
  call_->Write(std::move(message), [self = shared_from_this()](bool sent) {
    if (!sent) return;  // the end says why
    self->Post([self] { self->ReadPiece(); });
  });
}

// First the answer, then how the call ended.
void Connection::AwaitUploadEnd() {
  call_->Read([self = shared_from_this()](const Message* message,
                                          const Outcome& outcome) {
    const bool over = message == nullptr;
    auto answer = std::make_shared<Response>(over ? ErrorResponse(outcome)
                                                  : MessageResponse(*message));
    self->Post([self, answer, over, ok = outcome.status.ok()] {
      if (!over || !ok) self->upload_answer_ = std::move(*answer);
      if (!over) {
        self->AwaitUploadEnd();
        return;
      }
      self->upload_over_ = true;
      if (self->reading_piece_) {
        self->stream_.cancel();  // OnPiece answers
      } else if (!self->sending_continue_) {
        self->AnswerUpload();
      }
    });
  });
}

void Connection::AnswerUpload() {
  if (answered_ || closed_) return;
  answered_ = true;
  Answer(upload_answer_
             ? *std::move(upload_answer_)
             : ErrorResponse(
                   {absl::InternalError("the upload ended unanswered"), 0}));
}

}  // namespace perfvec::server::http
