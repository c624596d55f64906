// Ours against a rival, in one process: alternating pairs, so that a machine
// whose speed drifts slows both alike, and the ratio of each pair.
//
// A row is printed as one JSON line:
//   {"row", "ours", "rival", "unit", "ratio", "low", "high", "cpu", "pairs"}
// "ours" and "rival" are medians; "ratio" is the median of the pairs' ratios,
// "low" and "high" their 10th and 90th percentile. Above 1 means ours is
// better, whether the unit is a rate or a time.
//
//   bench::PairOptions options{.row = "import", .unit = "M instr/s"};
//   bench::RunPairs(options, [] { return OurRate(); }, [] { return Rival(); });
#ifndef PERFVEC_TESTS_BENCH_PAIRS_H_
#define PERFVEC_TESTS_BENCH_PAIRS_H_

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace perfvec::bench {

struct PairOptions {
  std::string row;
  std::string unit;
  bool higher_is_better = true;  // false: the unit is a time or a size
  int pairs = 21;
  int warm_up_pairs = 1;
};

inline double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * (values.size() - 1);
  const size_t below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - below) * (values[above] - values[below]);
}

inline std::string CpuName() {
  std::ifstream info("/proc/cpuinfo");
  std::string line, name = "unknown";
  std::string best = "no AVX2";
  while (std::getline(info, line)) {
    if (line.rfind("model name", 0) == 0)
      name = line.substr(line.find(':') + 2);
    if (line.rfind("flags", 0) == 0) {
      for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
        if (line.find(std::string(" ") + flag) != std::string::npos) {
          best = flag;
        }
      }
      break;
    }
  }
  return name + " (" + best + ")";
}

// Prints the row with `extra` fields and returns it.
inline nlohmann::json PrintRow(const PairOptions& options,
                               const std::vector<double>& ours,
                               const std::vector<double>& rival,
                               const nlohmann::json& extra = {}) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.size(); ++i) {
    ratios.push_back(options.higher_is_better ? ours[i] / rival[i]
                                              : rival[i] / ours[i]);
  }
  nlohmann::json row = {{"row", options.row},
                        {"ours", Percentile(ours, 0.5)},
                        {"rival", Percentile(rival, 0.5)},
                        {"unit", options.unit},
                        {"ratio", Percentile(ratios, 0.5)},
                        {"low", Percentile(ratios, 0.1)},
                        {"high", Percentile(ratios, 0.9)},
                        {"cpu", CpuName()},
                        {"pairs", ours.size()}};
  if (extra.is_object()) row.update(extra);
  std::printf("%s\n", row.dump().c_str());
  std::fflush(stdout);
  return row;
}

// Each function does one measured run and returns its figure. Which of the two
// goes first alternates from pair to pair.
inline nlohmann::json RunPairs(const PairOptions& options,
                               const std::function<double()>& ours,
                               const std::function<double()>& rival,
                               const nlohmann::json& extra = {}) {
  for (int i = 0; i < options.warm_up_pairs; ++i) {
    ours();
    rival();
  }
  std::vector<double> a, b;
  for (int i = 0; i < options.pairs; ++i) {
    if (i % 2 == 0) {
      a.push_back(ours());
      b.push_back(rival());
    } else {
      b.push_back(rival());
      a.push_back(ours());
    }
  }
  return PrintRow(options, a, b, extra);
}

}  // namespace perfvec::bench

#endif  // PERFVEC_TESTS_BENCH_PAIRS_H_
