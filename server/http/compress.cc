#include "server/http/compress.h"

#include <zlib.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace perfvec::server::http {
namespace {

// Answers are short-lived: speed before size.
constexpr int kLevel = 3;
constexpr int kGzipWindow = 15 + 16;

}  // namespace

bool AcceptsGzip(absl::string_view accept_encoding) {
  for (absl::string_view item : absl::StrSplit(accept_encoding, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ';');
    if (!absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(parts[0]), "gzip")) {
      continue;
    }
    double quality = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view part = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&part, "q=") &&
          !absl::SimpleAtod(part, &quality)) {
        return false;
      }
    }
    return quality > 0;
  }
  return false;
}

std::string Gzip(absl::string_view text) {
  z_stream stream = {};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return "";
  }
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = text.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return result == Z_STREAM_END ? out : "";
}

}  // namespace perfvec::server::http
