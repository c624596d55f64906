// Thirty-two idealised processor cores that every instruction runs on, all at
// once: how much it lengthens the run on each. They say in 32 numbers what
// windows, queues, registers, caches and memory of very different size make of
// a stretch of code; the machines that a model is asked about lie between
// them.
//
// Time is in 24ths of a cycle. A core fetches in order, with a branch
// predictor and a first cache of its own, into a fetch queue; dispatches when
// the reorder buffer, the load and store queues and the physical registers
// have room; issues when the sources are ready (in order, on some) and, by
// store sets, when a store it has once depended on has executed; and retires
// in order. Loads and retired stores go to two caches and a memory of channels
// and banks, with a limit of misses and of accesses waiting for one line.
// docs/features.md has the equations and the cores.
//
// Single-threaded. Memory: 0.5 MiB, and 16 bytes a page touched.
//
//   ReferenceCores cores;
//   cores.ReserveRegisters(registers);
//   cores.Run(step, growth);   // float[kCores], 24ths of a cycle
#ifndef PERFVEC_WORKER_FEATURES_REFERENCE_CORES_H_
#define PERFVEC_WORKER_FEATURES_REFERENCE_CORES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "worker/features/index_table.h"
#include "worker/features/large_buffer.h"
#include "worker/features/rich_schema.h"
#include "worker/features/set_stacks.h"

namespace perfvec::compute {

class ReferenceCores {
 public:
  static constexpr int kCores = kReferenceCoreCount;
  static constexpr int kPredictors = 3;  // tournament, bimodal, global 16
  static constexpr uint64_t kNoStore = ~uint64_t{0};

  // An instruction, as far as the cores see it.
  struct Step {
    uint64_t pc = 0;
    int op_class = 0;
    const uint32_t* sources = nullptr;  // register numbers
    int source_count = 0;
    const uint32_t* destinations = nullptr;
    int destination_count = 0;
    int integer_destinations = 0;  // of them, that take a physical register
    int vector_destinations = 0;   // float, vector
    bool load = false;
    bool store = false;
    bool serialize = false;        // waits until all before it have retired
    bool non_speculative = false;  // issues when all before it have retired
    bool exclusive = false;        // store conditional or atomic
    bool barrier = false;          // later accesses wait for it
    bool after_taken = false;      // the instruction before branched
    bool target_changed = false;   // and not to where it last did
    bool mispredicted[kPredictors] = {};
    bool new_line = false;  // another line is fetched than the last
    uint64_t address = 0;   // of a load or store
    uint32_t access_bytes = 0;
    uint64_t forwarding = kNoStore;  // position of the overlapping store
    // Set distances of the fetched line (if new) and of the data line: 64 sets,
    // 256 sets (data only; the rest is kept here) and 1024, unified.
    uint32_t fetch_set_64 = 1, fetch_set_1024 = 1;
    uint32_t data_set_64 = 1, data_set_256 = 1, data_set_1024 = 1;
  };

  // The instruction set that Run() is compiled for; what the processor lacks
  // is replaced by the next one down.
  enum class Isa { kBaseline, kAvx2, kAvx512 };
  // Times are kept relative and taken down when one exceeds `rebase_above`.
  explicit ReferenceCores(Isa isa = Isa::kAvx512,
                          int32_t rebase_above = int32_t{1} << 28);
  // Registers 0 to count - 1 may be named from here on.
  void ReserveRegisters(size_t count);
  void Run(const Step& step, float* growth) { run_(this, step, growth); }
  size_t memory_bytes() const;

 private:
  struct alignas(64) Times {
    int32_t at[kCores];
  };
  // A ring entry that some cores look back to: how far, and which cores.
  struct Reach {
    uint32_t back;
    Times mask;  // -1 or 0
  };
  struct State;
  struct Tables;

  static const Tables& SharedTables();
  static void RunBaseline(ReferenceCores* cores, const Step& step,
                          float* growth);
  static void RunAvx2(ReferenceCores* cores, const Step& step, float* growth);
  static void RunAvx512(ReferenceCores* cores, const Step& step, float* growth);

  void RunStep(const Step& step, float* growth);
  void Rebase();
  int32_t Memory(int core, uint64_t line, int32_t start, int32_t from);
  void Access(uint64_t line, uint64_t physical_line, const Times& start,
              const Times& from, const Times& level, Times* finish);

  const int32_t rebase_above_;
  void (*run_)(ReferenceCores*, const Step&, float*);
  LargeBuffer state_memory_;
  State* state_;
  LargeBuffer registers_memory_;
  Times* registers_ = nullptr;          // finish of the last writer
  IndexTable page_of_;                  // in the order of first touch
  std::vector<uint64_t> page_written_;  // one bit for each line
  SetStacks<128> data_128_, fetch_128_;
  SetStacks<256> fetch_256_;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_FEATURES_REFERENCE_CORES_H_
