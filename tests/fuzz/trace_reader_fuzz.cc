// libFuzzer: any bytes as a .pvt file, as the columns of a chunk, and as gem5
// text must give a trace or an error, within bounded memory.
//
//   CC=clang CXX=clang++ cmake -B build/fuzz -DPERFVEC_BUILD_FUZZ=ON \
//     -DPERFVEC_SANITIZE=address,undefined -DPERFVEC_BUILD_BENCH=OFF
//   cmake --build build/fuzz --target trace_reader_fuzz
//   build/fuzz/tests/fuzz/trace_reader_fuzz -max_total_time=300 -max_len=4096
//
// The first byte chooses among the three. Columns are fuzzed below checksums
// and compression, which no mutation would get through.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "storage/import/gem5_importer.h"
#include "storage/trace/chunk_codec.h"
#include "storage/trace/reader.h"

namespace perfvec::trace {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void FuzzFile(std::string bytes) {
  auto reader = TraceReader::Open(
      std::make_unique<StringSource>(std::move(bytes), "fuzz", 100));
  if (!reader.ok()) return;
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = (*reader)->Next(&chunk);
    if (!more.ok() || !*more) return;
  }
}

// One byte: instructions. Sixteen bytes: how the rest is shared out.
void FuzzColumns(absl::string_view bytes) {
  if (bytes.size() < 1 + kInstructionSections) return;
  const uint32_t instructions = 1 + static_cast<uint8_t>(bytes[0]);
  SectionViews views;
  absl::string_view rest = bytes.substr(1 + kInstructionSections);
  for (int i = 0; i < kInstructionSections; ++i) {
    views[i] = rest.substr(0, static_cast<uint8_t>(bytes[1 + i]));
    rest.remove_prefix(views[i].size());
  }
  InstructionBlock block;
  if (!DecodeInstructions(views, instructions, &block).ok()) return;
  // What was taken can be written, and is the same when read again.
  SectionBytes sections;
  Require(EncodeInstructions(block, &sections).ok());
  for (int i = 0; i < kInstructionSections; ++i) views[i] = sections[i];
  InstructionBlock again;
  Require(DecodeInstructions(views, instructions, &again).ok());
  Require(again.address == block.address && again.taken == block.taken);
}

// The two files, with a NUL between them.
void FuzzText(absl::string_view bytes) {
  const size_t middle = bytes.find('\0');
  Gem5ImportOptions options;
  options.insert_placeholders = bytes.size() % 2 == 0;
  Gem5Importer importer(
      std::make_unique<StringSource>(std::string(bytes.substr(0, middle))),
      std::make_unique<StringSource>(
          middle == bytes.npos ? "" : std::string(bytes.substr(middle + 1))),
      options);
  TraceChunk chunk;
  for (;;) {
    absl::StatusOr<bool> more = importer.Next(&chunk);
    if (!more.ok() || !*more) return;
    SectionBytes sections;
    Require(EncodeInstructions(chunk.block, &sections).ok());
  }
}

}  // namespace
}  // namespace perfvec::trace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      perfvec::trace::FuzzFile(bytes);
      break;
    case 1:
      perfvec::trace::FuzzColumns(bytes);
      break;
    default:
      perfvec::trace::FuzzText(bytes);
  }
  return 0;
}
