// The whole system under test: perfvec-server and perfvec-worker as real
// processes on loopback, over a data directory that outlives them.
//
// A fixture for tests that kill what they please. The server keeps its port
// over restarts, so that workers and clients find it again.
//
//   TEST_F(MyTest, ...) {
//     StartServer();
//     StartWorker("w1");
//     std::string path = WriteTrace("a.pvt", 100 * 1024);
//     api::Job job = Submit("a", path);
//     AwaitShards(job, 3);
//     Kill(&server_);
//     StartServer();
//     EXPECT_EQ(AwaitEnd(job).state(), api::JOB_STATE_SUCCEEDED);
//     ExpectVector("a", path);
//   }
#ifndef PERFVEC_TESTS_CRASH_SYSTEM_H_
#define PERFVEC_TESTS_CRASH_SYSTEM_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"
#include "tests/testing/processes.h"
#include "worker/model/foundation_model.h"

namespace perfvec::crash {

namespace api = ::perfvec::v1;

inline constexpr absl::Duration kSoon = absl::Seconds(120);

class SystemTest : public ::testing::Test {
 protected:
  using Flags = std::map<std::string, std::string>;

  SystemTest();
  ~SystemTest() override;

  // --- Processes ------------------------------------------------------------
  // By default short leases, small shards, and attempts enough for any number
  // of kills. Returns once the server answers, with a client of it.
  void StartServer(const Flags& flags = {});
  void StartWorker(const std::string& id, const Flags& flags = {});
  static void Kill(std::unique_ptr<testing::Process>* process);
  void KillWorker(const std::string& id) { Kill(&workers_.at(id)); }
  // SIGTERM; expects exit code 0.
  static void Stop(std::unique_ptr<testing::Process>* process);
  // Lets a random time pass, at most `longest`, or until `process` ends: the
  // instant of a kill, which is meant to be any.
  void RandomMoment(testing::Process* process, absl::Duration longest);

  client::Client& client() { return *client_; }
  std::string address() const;

  // --- Work -----------------------------------------------------------------
  // A random trace of `instructions`; with `latency_columns` it is larger.
  std::string WriteTrace(const std::string& name, uint32_t instructions,
                         int latency_columns = 0);
  // Uploads the file and registers it; its job under the model.
  api::Job Submit(const std::string& program, const std::string& path);
  api::Job AwaitShards(const api::Job& job, uint32_t shards_done);
  api::Job AwaitEnd(const api::Job& job);

  // Stops everything and expects the program's vector in the registry to be,
  // bit by bit, what one pass over the file gives without any of it.
  void ExpectVector(const std::string& program, const std::string& path);
  // Every file of the chunk store.
  std::vector<std::string> ChunkFiles() const;

  const uint64_t seed_;
  std::mt19937_64 random_;
  testing::TempDir dir_;
  std::string data_dir_;
  std::shared_ptr<const compute::FoundationModel> model_;
  int port_ = 0;
  std::unique_ptr<testing::Process> server_;
  std::map<std::string, std::unique_ptr<testing::Process>> workers_;
  std::unique_ptr<client::Client> client_;
};

std::string ReadFile(const std::string& path);

}  // namespace perfvec::crash

#endif  // PERFVEC_TESTS_CRASH_SYSTEM_H_
