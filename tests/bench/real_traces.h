// The real traces that a bench runs over, as .pvt bytes in memory, and the line
// accesses whose stack distances their features need.
//
//   for (const Trace& trace : LoadTraces("")) Run(trace.pvt);
#ifndef PERFVEC_TESTS_BENCH_REAL_TRACES_H_
#define PERFVEC_TESTS_BENCH_REAL_TRACES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace perfvec::bench {

// The accesses whose distances features need, in order.
struct Stream {
  std::vector<uint64_t> lines;
  std::vector<uint8_t> recorded;  // the stack; empty: all in stack 0
};

struct Trace {
  std::string name;
  std::string pvt;
  uint64_t instructions = 0;
  Stream fetch, data;
};

// Traces of the programs of PERFVEC_DATA (or ../shared/data) whose split is
// `seen`, or of the one named `only`; without that data the bundled sample.
std::vector<Trace> LoadTraces(const std::string& only);

// A bench does not go on after an error: prints it and exits.
[[noreturn]] void Die(const std::string& what);

}  // namespace perfvec::bench

#endif  // PERFVEC_TESTS_BENCH_REAL_TRACES_H_
