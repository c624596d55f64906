#include "worker/checkpoint/zip_archive.h"

#include <zip.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace perfvec::checkpoint {
namespace {

// A checkpoint has a member for each tensor: tens to thousands.
constexpr int64_t kMaxMembers = 1 << 16;

absl::Status Damaged(absl::string_view label, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(label, ": ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZipArchive>> ZipArchive::Open(
    absl::string_view bytes, std::string label) {
  zip_error_t error;
  zip_error_init(&error);
  absl::Cleanup finish = [&] { zip_error_fini(&error); };
  zip_source_t* source =
      zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  zip_t* opened =
      source == nullptr
          ? nullptr
          : zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (opened == nullptr) {
    if (source != nullptr) zip_source_free(source);
    return Damaged(label, absl::StrCat("expected a zip archive, found none: ",
                                       zip_error_strerror(&error)));
  }
  std::unique_ptr<ZipArchive> archive(new ZipArchive(opened, std::move(label)));
  const int64_t count = zip_get_num_entries(opened, 0);
  if (count > kMaxMembers) {
    return Damaged(archive->label_,
                   absl::StrCat("expected at most ", kMaxMembers,
                                " members, found ", count));
  }
  uint64_t left = bytes.size();
  for (int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(opened, static_cast<zip_uint64_t>(i), 0, &stat) != 0 ||
        (stat.valid & ZIP_STAT_NAME) == 0 ||
        (stat.valid & ZIP_STAT_COMP_SIZE) == 0) {
      return Damaged(archive->label_,
                     absl::StrCat("member ", i, ": ", zip_strerror(opened)));
    }
    if (stat.comp_size > left) {
      return Damaged(archive->label_,
                     absl::StrCat("member \"", stat.name,
                                  "\": the members so far claim more bytes "
                                  "than the file's ",
                                  bytes.size()));
    }
    left -= stat.comp_size;
    archive->names_.push_back(stat.name);
  }
  return archive;
}

ZipArchive::~ZipArchive() { zip_discard(archive_); }

bool ZipArchive::Has(const std::string& name) const {
  return std::find(names_.begin(), names_.end(), name) != names_.end();
}

absl::StatusOr<std::string> ZipArchive::Read(const std::string& name,
                                             uint64_t max_bytes) const {
  const auto damaged = [&](absl::string_view what) {
    return Damaged(label_, absl::StrCat("member \"", name, "\": ", what));
  };
  const zip_int64_t index = zip_name_locate(archive_, name.c_str(), 0);
  if (index < 0) {
    return absl::NotFoundError(
        absl::StrCat(label_, ": expected a member \"", name, "\", found none"));
  }
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive_, static_cast<zip_uint64_t>(index), 0, &stat) !=
          0 ||
      (stat.valid & ZIP_STAT_SIZE) == 0) {
    return damaged(zip_strerror(archive_));
  }
  if (stat.size > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(label_, ": member \"", name, "\": expected at most ",
                     max_bytes, " bytes, found ", stat.size));
  }
  zip_file_t* file =
      zip_fopen_index(archive_, static_cast<zip_uint64_t>(index), 0);
  if (file == nullptr) return damaged(zip_strerror(archive_));
  absl::Cleanup close = [&] { zip_fclose(file); };
  // Grown as it comes: a size is only a claim.
  std::string content;
  char piece[1 << 16];
  for (;;) {
    const zip_int64_t n = zip_fread(file, piece, sizeof piece);
    if (n < 0) return damaged(zip_file_strerror(file));
    if (n == 0) break;
    if (static_cast<uint64_t>(n) > stat.size - content.size()) {
      return damaged(absl::StrCat("longer than the ", stat.size,
                                  " bytes its directory states"));
    }
    content.append(piece, static_cast<size_t>(n));
  }
  if (content.size() != stat.size) {
    return damaged(
        absl::StrCat("expected ", stat.size, " bytes, found ", content.size()));
  }
  return content;
}

}  // namespace perfvec::checkpoint
