#include "server/http/upload_body.h"

#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "perfvec/v1/catalog_service.pb.h"
#include "perfvec/v1/trace_service.pb.h"
#include "server/call.h"
#include "storage/status_macros.h"

namespace perfvec::server::http {
namespace {

// With the other fields it must fit into a message.
constexpr uint64_t kMaxManifestBytes = kMaxMessageBytes - (64 << 10);

class TraceBody final : public UploadBody {
 public:
  TraceBody(std::string upload_id, uint64_t offset)
      : first_(std::make_unique<v1::WriteUploadRequest>()) {
    first_->mutable_header()->set_upload_id(std::move(upload_id));
    first_->mutable_header()->set_offset(offset);
  }
  MessagePtr First() override { return std::move(first_); }
  absl::StatusOr<MessagePtr> Next(absl::string_view* piece) override {
    const absl::string_view bytes = piece->substr(0, kMaxDataBytes);
    piece->remove_prefix(bytes.size());
    auto message = std::make_unique<v1::WriteUploadRequest>();
    message->mutable_data()->set_xxh3(XXH3_64bits(bytes.data(), bytes.size()));
    message->mutable_data()->set_bytes(bytes.data(), bytes.size());
    return message;
  }
  absl::Status End() const override { return absl::OkStatus(); }

 private:
  std::unique_ptr<v1::WriteUploadRequest> first_;
};

class ModelBody final : public UploadBody {
 public:
  ModelBody(std::unique_ptr<v1::CreateModelRequest> header,
            uint64_t manifest_size)
      : header_(std::move(header)), manifest_size_(manifest_size) {}
  MessagePtr First() override { return nullptr; }
  absl::StatusOr<MessagePtr> Next(absl::string_view* piece) override {
    if (header_ == nullptr) {
      const absl::string_view bytes = piece->substr(0, kMaxDataBytes);
      piece->remove_prefix(bytes.size());
      auto message = std::make_unique<v1::CreateModelRequest>();
      message->set_weights(bytes.data(), bytes.size());
      return message;
    }
    const size_t taken =
        std::min<uint64_t>(piece->size(), manifest_size_ - manifest_.size());
    manifest_.append(piece->data(), taken);
    piece->remove_prefix(taken);
    if (manifest_.size() < manifest_size_) return nullptr;
    // A field of type string, which must be UTF-8.
    if (!IsUtf8(manifest_)) {
      return absl::InvalidArgumentError(
          "the first Manifest-Size bytes of the body: expected a manifest in "
          "JSON, found no UTF-8");
    }
    header_->mutable_header()->set_manifest_json(std::move(manifest_));
    return std::move(header_);
  }
  absl::Status End() const override {
    if (header_ == nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "Manifest-Size: expected ", manifest_size_,
        " bytes of manifest, the body ended after ", manifest_.size()));
  }

 private:
  std::unique_ptr<v1::CreateModelRequest> header_;  // until it has been sent
  const uint64_t manifest_size_;
  std::string manifest_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UploadBody>> MakeUploadBody(
    const Match& match, absl::string_view query, const UploadHeader& header) {
  if (match.route->kind == RouteKind::kUpload) {
    if (!header.upload_offset) {
      return absl::InvalidArgumentError(
          "expected the header Upload-Offset: the number of bytes that the "
          "server has (see HEAD)");
    }
    return std::make_unique<TraceBody>(match.fields[0].second,
                                       *header.upload_offset);
  }
  auto request = std::make_unique<v1::CreateModelRequest>();
  PERFVEC_RETURN_IF_ERROR(
      ParseQuery(query, match.route->query_root, request.get()));
  v1::CreateModelRequest::Header& model = *request->mutable_header();
  if (!model.manifest_json().empty()) {
    return absl::InvalidArgumentError(
        "manifestJson: expected it at the beginning of the body, found it in "
        "the query");
  }
  if (!header.manifest_size || *header.manifest_size == 0 ||
      *header.manifest_size > kMaxManifestBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected the header Manifest-Size: so many bytes of the body are the "
        "manifest (1 to ",
        kMaxManifestBytes, "), the others the weights"));
  }
  if (model.weights_size_bytes() == 0 && header.content_length) {
    if (*header.content_length < *header.manifest_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "Manifest-Size: at most Content-Length (", *header.content_length,
          "), found ", *header.manifest_size));
    }
    model.set_weights_size_bytes(*header.content_length -
                                 *header.manifest_size);
  }
  return std::make_unique<ModelBody>(std::move(request), *header.manifest_size);
}

}  // namespace perfvec::server::http
