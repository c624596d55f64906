// Connection: the body of an upload, piece by piece, as messages of a stream.
//
// The next piece is read when the one before has been taken: the peer is held
// back by TCP as a client of gRPC is by its flow control.
#include <boost/beast/http/read.hpp>
#include <utility>

#include "server/http/connection.h"

namespace perfvec::server::http {
namespace {

namespace bhttp = boost::beast::http;
using google::protobuf::Message;

constexpr size_t kPieceBytes = 256 << 10;

}  // namespace

void Connection::StartUpload() {
  const size_t mark = request_.target.find('?');
  absl::StatusOr<std::unique_ptr<UploadBody>> body = MakeUploadBody(
      match_, mark == std::string::npos ? "" : request_.target.substr(mark + 1),
      upload_header_);
  if (!body.ok()) {
    Answer(ErrorResponse({body.status(), 0}));
    return;
  }
  upload_body_ = *std::move(body);
  upload_parser_.emplace(std::move(*header_parser_));
  upload_answer_ = boost::none;
  upload_over_ = answered_ = reading_piece_ = sending_continue_ = false;
  call_ = context_->gateway->StartStream(*match_.route, request_);
  AwaitUploadEnd();
  const auto go_on = [self = shared_from_this()] {
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
  };
  MessagePtr first = upload_body_->First();
  if (first == nullptr) {
    go_on();
    return;
  }
  call_->Write(std::move(first), [self = shared_from_this(), go_on](bool sent) {
    if (sent) self->Post(go_on);
  });
}

void Connection::ReadPiece() {
  if (upload_over_ || closed_) return;
  if (upload_parser_->is_done()) {
    body_unread_ = false;
    if (absl::Status bad = upload_body_->End(); !bad.ok()) {
      RefuseUpload(bad);
      return;
    }
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
  SendPiece(absl::string_view(piece_).substr(
      0, piece_.size() - upload_parser_->get().body().size));
}

// `left` is of piece_.
void Connection::SendPiece(absl::string_view left) {
  if (upload_over_ || closed_) return;
  if (left.empty()) {
    ReadPiece();
    return;
  }
  absl::StatusOr<MessagePtr> message = upload_body_->Next(&left);
  if (!message.ok()) {
    RefuseUpload(message.status());
  } else if (*message == nullptr) {
    ReadPiece();
  } else {
    call_->Write(*std::move(message),
                 [self = shared_from_this(), left](bool sent) {
                   if (!sent) return;  // the end says why
                   self->Post([self, left] { self->SendPiece(left); });
                 });
  }
}

void Connection::RefuseUpload(const absl::Status& bad) {
  answered_ = true;
  keep_alive_ = false;  // the end of the call is still to come
  call_->Cancel();
  Answer(ErrorResponse({bad, 0}));
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
