// How far predictions with a vector may be off, from what is stored of it:
// what server/predictor/intervals.h widens a time by.
//
// Free functions; any thread.
//
//   VectorSpread spread = SpreadOfArchitecture(stored_vector, width);
//   Calibrate(model, Kind::kArchitecture, values, 0, &spread);
#ifndef PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_
#define PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_

#include <cstdint>

#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/resources.pb.h"
#include "server/predictor/state.h"

namespace perfvec::server {

// What does not depend on the model's calibration.
VectorSpread SpreadOfProgram(const storage::v1::ProgramVectorRecord& vector,
                             int64_t width);
VectorSpread SpreadOfArchitecture(const v1::ArchitectureVector& vector,
                                  int64_t width);

// Fills in what does. `values`: the vector, [width]; `instructions`: of a
// program.
void Calibrate(const Model& model, Kind kind, const float* values,
               uint64_t instructions, VectorSpread* spread);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_
