#include "storage/trace/byte_stream.h"

#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/trace/byte_pipe.h"

namespace perfvec::trace {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::string> ReadAll(ByteSource* source, size_t piece = 100) {
  std::string all;
  std::string buffer(piece, '\0');
  for (;;) {
    absl::StatusOr<size_t> n = source->Read(&buffer[0], piece);
    if (!n.ok()) return n.status();
    if (*n == 0) return all;
    all.append(buffer, 0, *n);
  }
}

std::string Compressed(const std::string& bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  out.resize(ZSTD_compress(&out[0], out.size(), bytes.data(), bytes.size(), 3));
  return out;
}

std::string Text() {
  std::string text;
  for (int i = 0; i < 50000; ++i) text += std::to_string(i * 7919ll) + "\n";
  return text;
}

TEST(MaybeDecompressTest, PlainAndCompressedGiveTheSame) {
  const std::string text = Text();
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{4096}, SIZE_MAX}) {
    for (const std::string& bytes :
         {text, Compressed(text),
          Compressed(text.substr(0, 1000)) + Compressed(text.substr(1000))}) {
      auto source =
          MaybeDecompress(std::make_unique<StringSource>(bytes, "x", piece));
      const auto all = ReadAll(source.get());
      ASSERT_TRUE(all.ok()) << all.status();
      EXPECT_EQ(*all, text);
    }
  }
  for (const std::string bytes : {"", "a", "\x28\xb5"}) {
    auto source = MaybeDecompress(std::make_unique<StringSource>(bytes));
    EXPECT_EQ(*ReadAll(source.get()), bytes);
  }
}

TEST(MaybeDecompressTest, CutAndDamagedFrames) {
  const std::string bytes = Compressed(Text());
  for (const size_t size : {size_t{5}, bytes.size() / 2, bytes.size() - 1}) {
    auto source = MaybeDecompress(
        std::make_unique<StringSource>(bytes.substr(0, size), "t.zst"));
    const auto all = ReadAll(source.get());
    EXPECT_EQ(all.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(all.status().message(),
                HasSubstr("t.zst: the zstd data ends early, at byte " +
                          std::to_string(size)));
  }
  auto source = MaybeDecompress(
      std::make_unique<StringSource>(bytes + "garbage behind it", "t.zst"));
  EXPECT_THAT(ReadAll(source.get()).status().message(),
              HasSubstr("t.zst: bad zstd data"));
}

TEST(FileTest, AppearsOnCloseOnly) {
  const std::string path =
      ::testing::TempDir() + "/file_" + std::to_string(::getpid());
  {
    auto sink = CreateFileSink(path);
    ASSERT_TRUE(sink.ok()) << sink.status();
    ASSERT_TRUE((*sink)->Write("lost").ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  auto sink = CreateFileSink(path);
  ASSERT_TRUE((*sink)->Write("kept").ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE((*sink)->Close().ok());
  auto source = OpenFileSource(path);
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->total_bytes(), 4u);
  EXPECT_EQ(*ReadAll(source->get()), "kept");
  EXPECT_EQ((*source)->consumed_bytes(), 4u);
  std::filesystem::remove(path);
  EXPECT_EQ(OpenFileSource(path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(OpenFileSource(::testing::TempDir()).ok());
  EXPECT_FALSE(CreateFileSink("/nowhere/at/all").ok());
}

// What `gem5 | perfvec import -` does.
TEST(FileTest, StandardInput) {
  const std::string text = Text();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const int saved = ::dup(STDIN_FILENO);
  ASSERT_EQ(::dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
  ::close(ends[0]);
  std::thread writer([&] {
    const std::string bytes = Compressed(text);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n =
          ::write(ends[1], bytes.data() + done, bytes.size() - done);
      if (n <= 0) break;
      done += n;
    }
    ::close(ends[1]);
  });
  auto source = OpenFileSource("-");
  ASSERT_TRUE(source.ok());
  auto decompressed = MaybeDecompress(*std::move(source));
  EXPECT_EQ(decompressed->name(), "standard input");
  const auto all = ReadAll(decompressed.get());
  writer.join();
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, text);
}

TEST(BytePipeTest, CarriesEverythingThroughASmallBuffer) {
  const std::string text = Text();
  auto pipe = std::make_shared<BytePipe>("pipe", 97);
  absl::Status written;
  std::thread writer([&] {
    for (size_t i = 0; i < text.size() && written.ok(); i += 1000) {
      written = pipe->Write(absl::string_view(text).substr(i, 1000));
    }
    pipe->CloseWrite(absl::OkStatus());
  });
  auto end = BytePipe::ReadEnd(pipe);
  const auto all = ReadAll(end.get(), 64);
  writer.join();
  EXPECT_TRUE(written.ok()) << written;
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, text);
  EXPECT_EQ(end->consumed_bytes(), text.size());
}

TEST(BytePipeTest, AWriterWhoseReaderWentIsTold) {
  auto pipe = std::make_shared<BytePipe>("pipe", 4);
  auto end = BytePipe::ReadEnd(pipe);
  absl::Status written;
  std::thread writer([&] { written = pipe->Write("more than it holds"); });
  char c;
  ASSERT_TRUE(end->Read(&c, 1).ok());
  end.reset();
  writer.join();
  EXPECT_EQ(written.code(), absl::StatusCode::kCancelled);
  pipe->CloseWrite(absl::OkStatus());
  EXPECT_EQ(pipe->Write("x").code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace perfvec::trace
