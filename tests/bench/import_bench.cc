// Row "import": the gem5 text pair, plain, to .pvt, against reading and
// splitting the same bytes: finding the beginning and end of each field, which
// any importer of this text has to do. Rows "import_zstd": the same from
// compressed text, so that both sides decompress.
//
// Real text: the shared trace of zlib_deflate with its tick columns if it is
// there (PERFVEC_DATA), else the bundled sample, which has zeros for ticks.
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "storage/import/gem5_importer.h"
#include "storage/trace/byte_stream.h"
#include "storage/trace/writer.h"
#include "tests/bench/pairs.h"

namespace {

using perfvec::trace::ByteSource;
using perfvec::trace::StringSource;

struct TextPair {
  std::string trace;
  std::string stores;
};

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "import_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

std::string ReadFile(const std::string& path, bool decompress) {
  auto source = perfvec::trace::OpenFileSource(path);
  Require(source.status());
  auto bytes = decompress ? perfvec::trace::MaybeDecompress(*std::move(source))
                          : *std::move(source);
  std::string all;
  std::vector<char> buffer(1 << 20);
  for (;;) {
    auto n = bytes->Read(buffer.data(), buffer.size());
    Require(n.status());
    if (*n == 0) return all;
    all.append(buffer.data(), *n);
  }
}

// A source over bytes that stay where they are.
class ViewSource : public ByteSource {
 public:
  explicit ViewSource(const std::string& bytes) : bytes_(bytes) {}
  absl::StatusOr<size_t> Read(char* out, size_t size) override {
    const size_t n = bytes_.copy(out, size, position_);
    position_ += n;
    return n;
  }
  std::string name() const override { return "memory"; }
  uint64_t consumed_bytes() const override { return position_; }

 private:
  const std::string& bytes_;
  size_t position_ = 0;
};

// CPU time of this thread: both sides are one thread that never waits, and
// what else runs on the machine does not count.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

struct Run {
  uint64_t instructions = 0;
  uint64_t pvt_bytes = 0;
  double seconds = 0;
};

Run Import(const TextPair& text) {
  const double begin = CpuSeconds();
  Run run;
  perfvec::trace::Gem5Importer importer(
      std::make_unique<ViewSource>(text.trace),
      std::make_unique<ViewSource>(text.stores), {});
  perfvec::trace::TraceChunk chunk;
  auto more = importer.Next(&chunk);
  Require(more.status());
  perfvec::trace::TraceHeader header;
  header.latency_columns.resize(chunk.latency_tenth_ns.size(), "traced");
  std::string pvt;
  auto writer = perfvec::trace::TraceWriter::Create(
      std::make_unique<perfvec::trace::StringSink>(&pvt), header);
  Require(writer.status());
  while (*more) {
    Require((*writer)->Append(chunk));
    more = importer.Next(&chunk);
    Require(more.status());
  }
  Require((*writer)->Finish().status());
  run.seconds = CpuSeconds() - begin;
  run.instructions = importer.summary().instructions;
  run.pvt_bytes = pvt.size();
  return run;
}

// Fields of all lines: the lengths go into a sum, so that the compiler keeps
// the work.
uint64_t Split(const std::string& text) {
  auto source =
      perfvec::trace::MaybeDecompress(std::make_unique<ViewSource>(text));
  std::vector<char> buffer(256 << 10);
  uint64_t fields = 0, length = 0, sum = 0;
  for (;;) {
    auto n = source->Read(buffer.data(), buffer.size());
    Require(n.status());
    if (*n == 0) return fields + sum;
    for (size_t i = 0; i < *n; ++i) {
      if (buffer[i] > ' ') {
        ++length;
      } else if (length > 0) {
        ++fields;
        sum += length;
        length = 0;
      }
    }
  }
}

}  // namespace

int main() {
  const char* const variable = std::getenv("PERFVEC_DATA");
  std::string folder =
      (variable != nullptr ? std::string(variable)
                           : PERFVEC_SOURCE_DIR "/../shared/data") +
      "/gem5/zlib_deflate";
  if (!std::filesystem::exists(folder)) {
    folder = PERFVEC_SOURCE_DIR "/deploy/samples/kdtree_nn";
  }
  for (const bool decompress : {true, false}) {
    TextPair text;
    text.trace = ReadFile(folder + "/trace.txt.zst", decompress);
    text.stores = ReadFile(folder + "/trace.sq.txt.zst", decompress);
    const Run first = Import(text);
    uint64_t sum = 0;
    perfvec::bench::PairOptions options;
    options.row = decompress ? "import" : "import_zstd";
    options.unit = "M instr/s";
    perfvec::bench::RunPairs(
        options,
        [&] {
          const Run run = Import(text);
          return run.instructions / run.seconds / 1e6;
        },
        [&] {
          const double begin = CpuSeconds();
          sum += Split(text.trace) + Split(text.stores);
          return first.instructions / (CpuSeconds() - begin) / 1e6;
        },
        {{"trace", std::filesystem::path(folder).filename()},
         {"text_bytes", text.trace.size() + text.stores.size()},
         {"pvt_bytes_per_instruction",
          double(first.pvt_bytes) / first.instructions}});
    if (sum == 0) return 1;
  }
  return 0;
}
