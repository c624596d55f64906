#include "server/trace_check.h"

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "server/times.h"
#include "storage/status_macros.h"
#include "storage/trace/reader.h"

namespace perfvec::server {
namespace {

// The reader owns its source; the caller keeps this one.
class Borrowed final : public trace::ByteSource {
 public:
  explicit Borrowed(trace::ByteSource& source) : source_(source) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    return source_.Read(out, size);
  }
  std::string name() const override { return source_.name(); }
  uint64_t consumed_bytes() const override { return source_.consumed_bytes(); }
  uint64_t total_bytes() const override { return source_.total_bytes(); }

 private:
  trace::ByteSource& source_;
};

}  // namespace

absl::StatusOr<v1::Trace> CheckTrace(trace::ByteSource& source) {
  PERFVEC_ASSIGN_OR_RETURN(
      std::unique_ptr<trace::TraceReader> reader,
      trace::TraceReader::Open(std::make_unique<Borrowed>(source)));
  trace::TraceChunk chunk;
  for (;;) {
    PERFVEC_ASSIGN_OR_RETURN(const bool more, reader->Next(&chunk));
    if (!more) break;
  }
  const trace::TraceHeader& header = reader->header();
  v1::Trace result;
  result.set_instructions(reader->index().instructions);
  result.set_isa(header.isa);
  result.mutable_provenance()->set_tool(header.tool);
  result.mutable_provenance()->set_command(header.command);
  absl::Time date;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, header.date, &date, &error)) {
    *result.mutable_provenance()->mutable_date() = ToTimestamp(date);
  }
  for (const std::string& column : header.latency_columns) {
    result.add_latency_columns(column);
  }
  return result;
}

}  // namespace perfvec::server
