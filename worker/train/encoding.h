// How the features of a data set become the inputs of a network: which columns
// and, from the training programs only, their mean and deviation.
//
// Published schema: every feature as it is, distances as log2, and beside them
// the operation one class at a time, the bits of registers, and first accesses.
// Rich schema: each feature as its kind asks for (feature_schema.h); registers
// only by the class of the first three sources and two destinations, since
// which one it is says less than who wrote it and when.
//
// Any thread; the same data gives the same encoding.
//
//   compute::InputEncoding encoding = MakeEncoding(*data.schema, slices);
#ifndef PERFVEC_WORKER_TRAIN_ENCODING_H_
#define PERFVEC_WORKER_TRAIN_ENCODING_H_

#include <vector>

#include "worker/features/feature_schema.h"
#include "worker/model/input_encoding.h"
#include "worker/train/dataset.h"

namespace perfvec::train {

// `slices`: what is trained on, rows of `schema`.
compute::InputEncoding MakeEncoding(const compute::FeatureSchema& schema,
                                    const std::vector<Slice>& slices);

// Every feature as it is, (x - mean) / deviation: the published model's inputs.
compute::InputEncoding MakeRawEncoding(const compute::FeatureSchema& schema,
                                       const std::vector<Slice>& slices);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_TRAIN_ENCODING_H_
