// A data folder of small made-up programs, as perfvec-worker train reads it.
#ifndef PERFVEC_TESTS_WORKER_TRAIN_SMALL_DATA_H_
#define PERFVEC_TESTS_WORKER_TRAIN_SMALL_DATA_H_

#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/storage/trace/test_traces.h"

namespace perfvec::train {

// A loop over an array: loads, sums and a branch back. What a load costs hangs
// on the architecture; every 16th misses.
inline trace::TraceChunk LoopTrace(size_t instructions, size_t architectures,
                                   uint64_t first_address) {
  trace::StaticInstruction load, add, branch;
  load.pc = 0x400000;
  load.flags = trace::kHasAddress;
  load.access_size = 8;
  load.op_class = trace::kLoadOpClass;
  load.source_count = load.destination_count = 1;
  add.pc = load.pc + 4;
  add.op_class = 1;
  add.source_count = 2;
  add.destination_count = 1;
  branch.pc = load.pc + 8;
  branch.flags = trace::kConditionalBranch | trace::kDirectBranch;
  branch.op_class = 1;
  trace::BlockBuilder builder(instructions);
  trace::TraceChunk chunk;
  chunk.latency_tenth_ns.resize(architectures);
  for (size_t i = 0; i < instructions; ++i) {
    const bool is_load = i % 3 == 0;
    builder.Append(is_load      ? load
                   : i % 3 == 1 ? add
                                : branch,
                   is_load ? first_address + i / 3 * 4 : 0, i % 3 == 2);
    for (size_t a = 0; a < architectures; ++a) {
      chunk.latency_tenth_ns[a].push_back(
          is_load ? (i / 3 % 16 == 0 ? 300 + 100 * a : 20) : 4 + a);
    }
  }
  chunk.block = builder.Take();
  return chunk;
}

inline void WriteJson(const std::string& path, const nlohmann::json& value) {
  std::ofstream(path) << value.dump();
}

// directory/{programs.json, architectures.json, pvt/}; each program is a family
// of its own.
inline void WriteSmallData(const std::string& directory,
                           const std::vector<std::string>& programs,
                           const std::vector<std::string>& architectures,
                           size_t instructions = 6000) {
  ::mkdir(directory.c_str(), 0777);
  ::mkdir((directory + "/pvt").c_str(), 0777);
  nlohmann::json names = nlohmann::json::array(), list = names;
  for (const std::string& name : architectures) {
    names.push_back({{"name", name}, {"split", "seen"}, {"kind", "test"}});
  }
  WriteJson(directory + "/architectures.json", names);
  trace::TraceHeader header;
  header.latency_columns = architectures;
  for (size_t p = 0; p < programs.size(); ++p) {
    list.push_back({{"name", programs[p]},
                    {"family", programs[p]},
                    {"split", "seen"},
                    {"instructions", instructions}});
    std::ofstream(directory + "/pvt/" + programs[p] + ".pvt", std::ios::binary)
        << trace::WriteTrace(header,
                             {LoopTrace(instructions, architectures.size(),
                                        0x10000 * (p + 1))});
  }
  WriteJson(directory + "/programs.json", list);
}

}  // namespace perfvec::train

#endif  // PERFVEC_TESTS_WORKER_TRAIN_SMALL_DATA_H_
