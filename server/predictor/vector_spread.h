// How far predictions with a vector may be off, from what is stored of it:
// what server/predictor/intervals.h widens a time by.
//
// Free functions; any thread.
//
//   VectorSpread spread = SpreadOfArchitecture(stored_vector, width);
//   Calibrate(model, Kind::kArchitecture, "a15", values, 0, &spread);
#ifndef PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_
#define PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_

#include <cstdint>
#include <string>

#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/resources.pb.h"
#include "server/predictor/state.h"

namespace perfvec::server {

// What does not depend on the model's calibration.
VectorSpread SpreadOfProgram(const storage::v1::ProgramVectorRecord& vector,
                             int64_t width);
VectorSpread SpreadOfArchitecture(const v1::ArchitectureVector& vector,
                                  int64_t width);

// Fills in what does. `name`: the item's; `values`: the vector, [width];
// `instructions`: of a program.
void Calibrate(const Model& model, Kind kind, const std::string& name,
               const float* values, uint64_t instructions,
               VectorSpread* spread);

// Whether the program is too unlike the training set for its time on this
// architecture; program.strange says it for one of ordinary errors.
inline bool StrangeOn(const VectorSpread& program,
                      const VectorSpread& architecture) {
  return !(program.distance * architecture.error_factor <= 1);
}

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_VECTOR_SPREAD_H_
