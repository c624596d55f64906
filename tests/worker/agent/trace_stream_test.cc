#include "worker/agent/trace_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "tests/testing/processes.h"
#include "tests/worker/agent/scripted_server.h"

namespace perfvec::worker {
namespace {

using ::testing::HasSubstr;

std::string RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// Everything the stream gives, in pieces of random sizes.
absl::StatusOr<std::string> ReadAll(TraceStream* stream, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string all, piece;
  while (true) {
    piece.resize(1 + random() % 300'000);
    absl::StatusOr<size_t> n = stream->Read(piece.data(), piece.size());
    if (!n.ok()) return n.status();
    if (*n == 0) return all;
    all.append(piece, 0, *n);
  }
}

// Sends bytes [offset, end) in messages of at most 64 KiB.
bool Send(const std::string& bytes, uint64_t offset, uint64_t end,
          grpc::ServerWriter<v1::ReadTraceResponse>* writer) {
  v1::ReadTraceResponse message;
  for (; offset < end; offset += message.data().size()) {
    message.set_data(
        bytes.substr(offset, std::min<uint64_t>(64 << 10, end - offset)));
    if (!writer->Write(message)) return false;
  }
  return true;
}

TEST(TraceStreamTest, GoesOnAtTheByteWhereItWasCut) {
  const uint64_t seed = testing::TestSeed();
  const std::string bytes = RandomBytes(3'000'000, seed);
  std::mutex mutex;
  std::mt19937_64 random(seed);
  ScriptedServer server;
  server.read_trace = [&](grpc::ServerContext*, const auto& request,
                          auto* writer) {
    EXPECT_EQ(request.trace_id(), "abc");
    uint64_t end, kind;
    {
      std::lock_guard<std::mutex> lock(mutex);
      end = std::min<uint64_t>(bytes.size(),
                               request.offset() + random() % 300'000);
      kind = random() % 4;
    }
    Send(bytes, request.offset(), end, writer);
    // An early OK is a cut, too.
    const grpc::StatusCode codes[] = {
        grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::OK,
        grpc::StatusCode::UNKNOWN, grpc::StatusCode::RESOURCE_EXHAUSTED};
    return grpc::Status(codes[kind], "cut");
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt interrupt;
  TraceStream stream(&connection, "abc", bytes.size());
  stream.set_interrupt(&interrupt);
  absl::StatusOr<std::string> got = ReadAll(&stream, seed + 1);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  EXPECT_GT(stream.reconnects(), 3);
  EXPECT_EQ(stream.consumed_bytes(), bytes.size());
}

TEST(TraceStreamTest, OpensAnewAfterItsTimeLimit) {
  const std::string bytes = RandomBytes(1000, 1);
  std::atomic<int> calls{0};
  ScriptedServer server;
  server.read_trace = [&](grpc::ServerContext* context, const auto& request,
                          auto* writer) {
    Send(bytes, request.offset(), request.offset() + 250, writer);
    ++calls;
    // A server that vanished without a word: the stream stays open.
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  ServerConnectionOptions options = server.connection();
  options.stream_timeout = absl::Milliseconds(100);
  ServerConnection connection(options, server.channel());
  Interrupt interrupt;
  TraceStream stream(&connection, "abc", bytes.size());
  stream.set_interrupt(&interrupt);
  absl::StatusOr<std::string> got = ReadAll(&stream, 1);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  EXPECT_GE(calls, 4);
}

TEST(TraceStreamTest, ADefiniteAnswerEndsItWithThePlace) {
  const std::string bytes = RandomBytes(1000, 1);
  ScriptedServer server;
  server.read_trace = [&](grpc::ServerContext*, const auto& request,
                          auto* writer) {
    Send(bytes, request.offset(), 600, writer);
    return grpc::Status(grpc::StatusCode::DATA_LOSS, "chunk 7 is damaged");
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt interrupt;
  TraceStream stream(&connection, "0123456789abcdef", bytes.size());
  stream.set_interrupt(&interrupt);
  absl::Status status = ReadAll(&stream, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("chunk 7 is damaged"));
  EXPECT_THAT(status.message(), HasSubstr("0123456789ab at byte 600 of 1000"));
}

TEST(TraceStreamTest, MoreBytesThanAnnouncedAreRefused) {
  const std::string bytes = RandomBytes(1000, 1);
  ScriptedServer server;
  server.read_trace = [&](grpc::ServerContext*, const auto& request,
                          auto* writer) {
    Send(bytes, request.offset(), bytes.size(), writer);
    return grpc::Status::OK;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt interrupt;
  TraceStream stream(&connection, "abc", 999);
  stream.set_interrupt(&interrupt);
  EXPECT_EQ(ReadAll(&stream, 1).status().code(), absl::StatusCode::kDataLoss);
}

TEST(TraceStreamTest, WithoutAByteForTheStallLimitItGivesUp) {
  ScriptedServer server;
  server.read_trace = [](grpc::ServerContext*, const auto&, auto*) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "disk away");
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt interrupt;
  TraceStream stream(&connection, "abc", 10, absl::Milliseconds(50));
  stream.set_interrupt(&interrupt);
  absl::Status status = ReadAll(&stream, 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("disk away"));
}

TEST(TraceStreamTest, AnInterruptEndsAWaitingRead) {
  absl::Notification reading;
  ScriptedServer server;
  server.read_trace = [&](grpc::ServerContext* context, const auto&, auto*) {
    reading.Notify();
    while (!context->IsCancelled()) std::this_thread::yield();
    return grpc::Status::CANCELLED;
  };
  ServerConnection connection(server.connection(), server.channel());
  Interrupt interrupt;
  std::thread raiser([&] {
    reading.WaitForNotification();
    interrupt.Raise(absl::AbortedError("lease lost"));
  });
  TraceStream stream(&connection, "abc", 10);
  stream.set_interrupt(&interrupt);
  EXPECT_EQ(ReadAll(&stream, 1).status(), absl::AbortedError("lease lost"));
  raiser.join();
}

}  // namespace
}  // namespace perfvec::worker
