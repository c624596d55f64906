// Ways to choose a design that simulate every new program on some designs, to
// compare explore-study with. All see simulated times of the sampled designs
// only; each says how many simulations a new program costs it.
//
//   RivalTimes t = PerProgramMlp(study, program, 18);
//   JudgeChoice(study.truth[program], Best(t, ...));
#ifndef PERFVEC_TESTS_BENCH_EXPLORE_RIVALS_H_
#define PERFVEC_TESTS_BENCH_EXPLORE_RIVALS_H_

#include <cstddef>
#include <vector>

#include "worker/explore/study.h"

namespace perfvec::bench {

// Predicted times of a program on all designs, any unit.
using RivalTimes = std::vector<double>;

// Ipek et al., ASPLOS 2006: an ensemble of small MLPs from parameters to the
// program's time, trained on its own simulations of `simulations` of the
// sampled designs, spread evenly over their list.
RivalTimes PerProgramMlp(const explore::Study& study, size_t program,
                         size_t simulations);

// Dubach et al., MICRO 2007: the program's time as a linear combination of the
// training programs' (each modelled over all designs by an MLP of its own),
// its weights from `simulations` of the program.
RivalTimes CrossProgramLinear(const explore::Study& study, size_t program,
                              size_t simulations);

// Li et al., 2016: AdaBoost (R2, Drucker 1997) of MLPs, trained as the first.
RivalTimes AdaBoostMlp(const explore::Study& study, size_t program,
                       size_t simulations);

}  // namespace perfvec::bench

#endif  // PERFVEC_TESTS_BENCH_EXPLORE_RIVALS_H_
