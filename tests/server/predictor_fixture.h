// Builds messages and small predictors for tests; see predictor_test.cc.
#ifndef PERFVEC_TESTS_SERVER_PREDICTOR_FIXTURE_H_
#define PERFVEC_TESTS_SERVER_PREDICTOR_FIXTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/resources.pb.h"

namespace perfvec::server {

// Width of the vectors that the functions below make.
inline constexpr int kTestWidth = 8;

inline v1::Model ModelMessage(const std::string& name, int64_t version,
                              const std::string& id, bool is_default = false) {
  v1::Model model;
  model.set_name(name);
  model.set_version(version);
  model.set_model_id(id);
  model.set_width(kTestWidth);
  if (is_default) model.add_aliases("default");
  return model;
}

inline v1::Program ProgramMessage(
    const std::string& name, int64_t version,
    const std::vector<std::string>& aliases = {}) {
  v1::Program program;
  program.set_name(name);
  program.set_version(version);
  for (const auto& alias : aliases) program.add_aliases(alias);
  return program;
}

// All elements are `value`.
inline storage::v1::ProgramVectorRecord VectorMessage(const std::string& name,
                                                      int64_t version,
                                                      const std::string& model,
                                                      double value) {
  storage::v1::ProgramVectorRecord vector;
  vector.set_program_name(name);
  vector.set_program_version(version);
  vector.set_model_id(model);
  vector.set_instructions(1000);
  for (int k = 0; k < kTestWidth; ++k) vector.add_values(value);
  return vector;
}

inline v1::Architecture ArchitectureMessage(const std::string& name,
                                            int64_t version,
                                            const std::string& model,
                                            double value) {
  v1::Architecture architecture;
  architecture.set_name(name);
  architecture.set_version(version);
  auto* vector = architecture.add_vectors();
  vector->set_model_id(model);
  for (int k = 0; k < kTestWidth; ++k) vector->add_values(value);
  return architecture;
}

}  // namespace perfvec::server

#endif  // PERFVEC_TESTS_SERVER_PREDICTOR_FIXTURE_H_
