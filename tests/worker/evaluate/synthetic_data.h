// A small data folder as a simulator would leave it, for tests of the
// evaluation: loops of loads, additions, vector operations and branches over
// some lines, with latencies that are simple functions of the machine.
#ifndef PERFVEC_TESTS_WORKER_EVALUATE_SYNTHETIC_DATA_H_
#define PERFVEC_TESTS_WORKER_EVALUATE_SYNTHETIC_DATA_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/worker/model/random_model.h"

namespace perfvec::train {

struct SyntheticProgram {
  std::string name, family, split = "seen";
  int instructions = 3000;
  int lines = 40;  // of data
};

struct SyntheticArchitecture {
  std::string name, split = "seen";
  int load = 20, other = 5;  // latency, 0.1 ns
};

// A folder that is removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ =
        absl::StrCat(testing::TempDir(), "/evaluate.", getpid(), ".", count++);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// Instruction i of every loop of eight: two loads, a vector addition, a branch
// at the end, integer operations else.
inline int SyntheticOperation(int i) {
  if (i % 8 == 0 || i % 8 == 4) return 47;
  return i % 8 == 2 ? 16 : 1;
}
inline uint16_t SyntheticLatency(const SyntheticArchitecture& a,
                                 const SyntheticProgram& p, int i) {
  return static_cast<uint16_t>(
      SyntheticOperation(i) == 47 ? a.load + p.lines / 10 : a.other + i % 3);
}

inline std::string SyntheticTrace(const SyntheticProgram& p) {
  std::string text;
  for (int i = 0; i < p.instructions; ++i) {
    const int op = SyntheticOperation(i);
    const bool branch = i % 8 == 7, load = op == 47;
    absl::StrAppend(&text, "0 -1 0 0 0 0 0 0 0 ", op, " 0 ", branch, " 0 ",
                    branch, " 0 0 0 0 0 0 0 0 0  ", load, " ",
                    load ? 4'800'000 + (i * 37 % p.lines) * 64 : 0, " ",
                    load ? 8 : 0, load ? " 1" : " -1",
                    " -1 -1 -1 0 0 0 0 0 0  ", 4'194'304 + i % 8 * 4, " ",
                    branch, " 0 0 -1 -1 -1 0 0 0 0 0  1 1  0 ", i % 5, "  0 ",
                    (i + 1) % 5, "\n");
  }
  return text;
}

inline void WriteProgram(const std::string& folder, const SyntheticProgram& p,
                         const std::vector<SyntheticArchitecture>& machines) {
  const std::string path = absl::StrCat(folder, "/gem5/", p.name);
  std::filesystem::create_directories(path);
  WriteText(path + "/trace.txt.zst", SyntheticTrace(p));
  WriteText(path + "/trace.sq.txt.zst", "");
  std::string latency;
  for (const SyntheticArchitecture& a : machines) {
    for (int i = 0; i < p.instructions; ++i) {
      const uint16_t t = SyntheticLatency(a, p, i);
      latency.push_back(static_cast<char>(t & 255));
      latency.push_back(static_cast<char>(t >> 8));
    }
  }
  WriteText(path + "/latency.u16.zst", latency);
}

inline void WriteDataFolder(
    const std::string& folder, const std::vector<SyntheticProgram>& programs,
    const std::vector<SyntheticArchitecture>& machines) {
  nlohmann::json list = nlohmann::json::array();
  for (const SyntheticProgram& p : programs) {
    list.push_back({{"name", p.name},
                    {"family", p.family},
                    {"split", p.split},
                    {"instructions", p.instructions}});
    WriteProgram(folder, p, machines);
  }
  WriteText(folder + "/programs.json", list.dump());
  list = nlohmann::json::array();
  for (const SyntheticArchitecture& a : machines) {
    list.push_back({{"name", a.name},
                    {"split", a.split},
                    {"kind", a.load > 30 ? "in_order" : "out_of_order"}});
  }
  WriteText(folder + "/architectures.json", list.dump());
}

// A model with random weights that knows the machines named; segments of 500
// instructions, so that 1,000 is the border of one.
inline compute::FoundationModel SyntheticModel(
    const std::vector<std::string>& known, const nlohmann::json& provenance) {
  compute::Manifest m = compute::SmallManifest(1, 12);
  m.segment_length = 500;
  m.warm_up = 40;
  for (const std::string& name : known) m.architectures.push_back({name, "{}"});
  if (provenance.is_object()) m.provenance_json = provenance.dump();
  compute::TensorMap tensors = compute::RandomTensors(m, 7);
  // Vectors that predict positive times.
  for (auto& [name, tensor] : tensors) {
    if (name != "architecture_vectors") continue;
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      tensor.values[i] = 20 + 10 * tensor.values[i] + (i / 12) % 5;
    }
  }
  return *compute::FoundationModel::Create(std::move(m), std::move(tensors));
}

}  // namespace perfvec::train

#endif  // PERFVEC_TESTS_WORKER_EVALUATE_SYNTHETIC_DATA_H_
