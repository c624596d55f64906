// A TCP proxy in front of a server that cuts connections after a given number
// of bytes, or lets nothing through: what a network does to an upload.
//
// Start and Stop on one thread; CutAfter and Hold from any.
//
//   CuttingProxy proxy(server_port);
//   proxy.CutAfter(1 << 20);      // the connections there are, together
//   Connect("127.0.0.1", proxy.port());
#ifndef PERFVEC_TESTS_CLIENT_CUTTING_PROXY_H_
#define PERFVEC_TESTS_CLIENT_CUTTING_PROXY_H_

#include <cstdint>
#include <list>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace perfvec::client {

class CuttingProxy {
 public:
  explicit CuttingProxy(int server_port);
  ~CuttingProxy();

  int port() const { return port_; }
  // Once so many more bytes went towards the server, every connection is cut
  // and `budget` is taken from `next_budget`; negative: never.
  void CutAfter(int64_t budget, int64_t next_budget);
  // Nothing goes through, in either direction, while it holds.
  void Hold(bool hold);
  int cuts() const;
  void WaitForCut();  // until there was one

 private:
  struct Connection {
    int client = -1, server = -1;
  };
  void Accept();
  void Forward(Connection connection);
  // False: the budget is used up.
  bool Spend(int64_t bytes);

  const int server_port_;
  int listener_ = -1;
  int port_ = 0;
  mutable absl::Mutex mutex_;
  int64_t budget_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t next_budget_ ABSL_GUARDED_BY(mutex_) = -1;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  int cuts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<Connection> connections_ ABSL_GUARDED_BY(mutex_);
  std::list<std::thread> forwarders_;  // of the accepting thread
  std::thread accepter_;
};

}  // namespace perfvec::client

#endif  // PERFVEC_TESTS_CLIENT_CUTTING_PROXY_H_
