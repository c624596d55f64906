// For a build without oneDNN: the rows that need it are left out.
#include "tests/bench/represent_rivals.h"

namespace perfvec::bench {

std::unique_ptr<Rival> MakeOneDnnRival(const Work&, bool) { return nullptr; }
double OneDnnGemmGflops(int, bool) { return 0; }

}  // namespace perfvec::bench
