#include "tests/bench/real_traces.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "storage/import/gem5_importer.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/reader.h"
#include "storage/trace/writer.h"
#include "worker/features/feature_schema.h"

namespace perfvec::bench {
namespace {

namespace fs = std::filesystem;

class StringSink : public trace::ByteSink {
 public:
  explicit StringSink(std::string* out) : out_(out) {}
  absl::Status Write(absl::string_view bytes) override {
    out_->append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  std::string* out_;
};

void AppendStreams(const trace::InstructionBlock& block, Trace* out) {
  for (size_t i = 0; i < block.size(); ++i) {
    const trace::StaticInstruction& s = block.statics[block.static_index[i]];
    const uint64_t line = s.pc >> compute::kLineBytesLog2;
    std::vector<uint64_t>& fetch = out->fetch.lines;
    if (fetch.empty() || fetch.back() != line) fetch.push_back(line);
    if ((s.flags & trace::kHasAddress) == 0) continue;
    out->data.lines.push_back(block.address[i] >> compute::kLineBytesLog2);
    out->data.recorded.push_back(s.op_class == trace::kLoadOpClass ? 0 : 1);
  }
  out->instructions += block.size();
}

std::unique_ptr<trace::ByteSource> Open(const fs::path& path) {
  auto source = trace::OpenFileSource(path.string());
  if (!source.ok()) Die(std::string(source.status().message()));
  return trace::MaybeDecompress(*std::move(source));
}

Trace Import(const fs::path& folder) {
  Trace trace;
  trace.name = folder.filename().string();
  trace::Gem5Importer importer(Open(folder / "trace.txt.zst"),
                               Open(folder / "trace.sq.txt.zst"), {});
  auto writer = trace::TraceWriter::Create(
      std::make_unique<StringSink>(&trace.pvt), trace::TraceHeader());
  if (!writer.ok()) Die(std::string(writer.status().message()));
  trace::TraceChunk chunk;
  for (;;) {
    const auto more = importer.Next(&chunk);
    if (!more.ok()) Die(std::string(more.status().message()));
    if (!*more) break;
    chunk.latency_tenth_ns.clear();
    const absl::Status status = (*writer)->Append(chunk);
    if (!status.ok()) Die(std::string(status.message()));
    AppendStreams(chunk.block, &trace);
  }
  if (!(*writer)->Finish().ok()) Die("cannot finish " + trace.name);
  return trace;
}

Trace LoadSample(const fs::path& path) {
  Trace trace;
  trace.name = path.stem().string();
  std::ifstream in(path, std::ios::binary);
  trace.pvt.assign(std::istreambuf_iterator<char>(in), {});
  auto reader = trace::TraceReader::Open(
      std::make_unique<trace::StringSource>(trace.pvt, trace.name));
  if (!reader.ok()) Die(std::string(reader.status().message()));
  trace::TraceChunk chunk;
  for (;;) {
    const auto more = (*reader)->Next(&chunk);
    if (!more.ok()) Die(std::string(more.status().message()));
    if (!*more) return trace;
    AppendStreams(chunk.block, &trace);
  }
}

}  // namespace

void Die(const std::string& what) {
  std::fprintf(stderr, "features_bench: %s\n", what.c_str());
  std::exit(1);
}

std::vector<Trace> LoadTraces(const std::string& only) {
  const char* variable = std::getenv("PERFVEC_DATA");
  const fs::path data = variable != nullptr
                            ? fs::path(variable)
                            : fs::path(PERFVEC_SOURCE_DIR) / "../shared/data";
  std::vector<Trace> traces;
  std::ifstream in(data / "programs.json");
  if (!in) {
    std::fprintf(stderr,
                 "features_bench: no shared data at %s; the bundled sample\n",
                 data.c_str());
    traces.push_back(LoadSample(fs::path(PERFVEC_SOURCE_DIR) /
                                "deploy/samples/zlib_deflate.pvt"));
    return traces;
  }
  for (const auto& program : nlohmann::json::parse(in)) {
    const std::string name = program["name"];
    if (program["split"] != "seen" || (!only.empty() && name != only)) continue;
    traces.push_back(Import(data / "gem5" / name));
  }
  return traces;
}

}  // namespace perfvec::bench
