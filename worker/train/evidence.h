// What FitArchitectures solves from: a program's representations, summed.
//
//   ProgramEvidence e = GatherEvidence(model, {&program, 10240, 60000}, 10240);
//
// One thread at a time per model.
#ifndef PERFVEC_WORKER_TRAIN_EVIDENCE_H_
#define PERFVEC_WORKER_TRAIN_EVIDENCE_H_

#include <cstddef>

#include "worker/train/architecture_fit.h"
#include "worker/train/dataset.h"
#include "worker/train/trainer.h"

namespace perfvec::train {

// With representations as the service computes them (segments of kSegment from
// slice.begin on, each with its warm-up), and latencies divided by the model's
// scales.
ProgramEvidence GatherEvidence(TrainedModel& model, const Slice& slice,
                               size_t interval_instructions);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_EVIDENCE_H_
