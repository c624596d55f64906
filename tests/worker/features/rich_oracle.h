// The rich features computed the plainest way, from their definitions in
// docs/features.md: whole histories, linear searches, one machine at a time.
#ifndef PERFVEC_TESTS_WORKER_FEATURES_RICH_ORACLE_H_
#define PERFVEC_TESTS_WORKER_FEATURES_RICH_ORACLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/trace/instruction.h"

namespace perfvec::compute {

class RichOracle {
 public:
  // The features of the next instruction, by name.
  std::map<std::string, double> Next(const trace::StaticInstruction& s,
                                     uint64_t address, bool taken);

 private:
  struct Executed {
    trace::StaticInstruction s;
    uint64_t address;
    bool taken;
    bool load, store;
    int data_level_large = 0;
    uint64_t bytes;
  };
  struct MachineDefinition {
    const char* name;
    uint64_t window;
    int step;
    bool in_order;
    int refill;          // -1: branches are free
    int caches;          // 0 none, 1 by distance, 2 large, 3 small
    int latency[3];      // cycles
    int channel, queue;  // 0: not a full machine
  };
  struct Machine {
    std::vector<int64_t> retire, exits;
    std::map<std::pair<int, int>, int64_t> registers;
    std::map<uint64_t, int64_t> stores;  // finish, by instruction
    int64_t fetched = 0, finish = 0, retired = 0, out = 0, channel = 0;
  };
  // One of the reference cores; times in 24ths of a cycle from the start.
  struct Core {
    int64_t fetch = 0, dispatch = 0, issue = 0, finish = 0, retire = 0;
    int64_t out = 0, exit = 0, drain = 0, barrier = 0, blocked = 0;
    std::vector<int64_t> retired, dispatched;  // by instruction
    std::vector<int64_t> integers, vectors, loads, stores, misses;
    std::map<std::pair<int, int>, int64_t> registers;
    std::map<uint64_t, int64_t> executed;  // stores, by instruction
    std::map<int, int64_t> store_sets;     // last executed
    std::map<uint64_t, int64_t> arrival;   // by slot
    std::map<uint64_t, int> waiting;       // by slot
    std::map<int, int64_t> channel;
    std::map<std::pair<int, int>, int64_t> bank, row;  // by channel, bank
  };
  struct Levels {
    int of[4] = {0, 0, 0, 0};
  };
  using Stack = std::vector<uint64_t>;  // most recent first

  static const MachineDefinition kMachines[12];
  static double Touch(Stack* stack, uint64_t line, double cap);
  static double TouchSet(std::map<uint64_t, Stack>* sets, uint64_t count,
                         uint64_t line);

  void Dependences(std::map<std::string, double>* row);
  void Fetch(std::map<std::string, double>* row);
  void Data(std::map<std::string, double>* row);
  void Control(std::map<std::string, double>* row);
  void Run(std::map<std::string, double>* row);
  void RunCores(std::map<std::string, double>* row);
  bool Predict(std::map<uint64_t, int>* counters, uint64_t index, bool taken);

  std::vector<Executed> trace_;  // the last is the one at hand
  // Set for the instruction at hand.
  Levels fetch_levels_, data_levels_;
  std::optional<uint64_t> forwarding_;
  bool redirected_ = false;

  Stack data_, unified_, data_pages_, fetch_pages_;
  std::map<uint64_t, Stack> data_64_, data_256_, unified_1024_, fetch_64_;
  std::map<uint64_t, int> bimodal_, chooser_, global_[3], local_;
  std::map<uint64_t, uint64_t> local_history_, path_targets_;
  std::vector<uint64_t> returns_;
  uint64_t history_ = 0, path_ = 0;
  bool direction_wrong_ = false;
  Machine machines_[12];

  // Of the cores; what was set for the instruction at hand first.
  bool core_wrong_[3] = {}, next_wrong_[3] = {}, target_changed_ = false;
  std::map<uint64_t, Stack> data_128_, fetch_128_, fetch_256_;
  std::map<uint64_t, uint64_t> pages_, granules_, granule_stores_, lines_;
  std::set<uint64_t> written_;
  std::map<uint64_t, int> store_set_;
  Core cores_[32];
};

}  // namespace perfvec::compute

#endif  // PERFVEC_TESTS_WORKER_FEATURES_RICH_ORACLE_H_
