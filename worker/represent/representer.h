// Runs a foundation model's network over many lanes at once: the one interface
// of the back ends.
//
// A lane is one run from zero state over consecutive rows of inputs; what comes
// out is, per lane, the sum over its last `kept` steps of max(0, h) of the last
// layer, added in order of the steps in double precision; the first elements
// are the passed inputs instead (InputEncoding::passed). Segments of the stream
// mode and the windows of the window mode are both lanes. On request the
// outputs behind a sum come too, one row an instruction: what evidence for
// architecture vectors and errors of single instructions need.
//
// A back end is used by one thread at a time; it owns its packed or uploaded
// weights and shares the model.
//
//   ASSIGN back_end = MakeCpuRepresenter(model, {});
//   std::vector<Lane> lanes = {{0, 1024, 1024}, {769, 1279, 1024}};
//   std::vector<double> sums(lanes.size() * width);
//   RETURN_IF_ERROR(back_end->Run({inputs, lanes}, sums.data()));
#ifndef PERFVEC_WORKER_REPRESENT_REPRESENTER_H_
#define PERFVEC_WORKER_REPRESENT_REPRESENTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/model/foundation_model.h"

namespace perfvec::compute {

struct Lane {
  int64_t first_row = 0;  // rows before 0 are zeros
  int steps = 0;          // > 0
  int kept = 0;           // 0..steps
};

// Encoded inputs, [rows][columns] row-major, enough rows for every lane.
struct LaneBatch {
  const float* inputs = nullptr;
  const std::vector<Lane>& lanes;
  // If not null: [sum of kept][width], overwritten with max(0, h) of the kept
  // steps, lane after lane.
  float* outputs = nullptr;
};

// Of each lane, the row of LaneBatch::outputs that its first kept step takes.
inline std::vector<int64_t> OutputRows(const std::vector<Lane>& lanes) {
  std::vector<int64_t> rows;
  int64_t row = 0;
  for (const Lane& lane : lanes) {
    rows.push_back(row);
    row += lane.kept;
  }
  return rows;
}

class Representer {
 public:
  virtual ~Representer() = default;

  virtual const std::shared_ptr<const FoundationModel>& model() const = 0;
  // What runs: "cpu avx512 x2", "libtorch cuda". For logs and reports.
  virtual std::string Description() const = 0;
  // The number of lanes a batch should have for full speed.
  virtual int PreferredLanes() const = 0;
  // sums: [lanes][width], overwritten. INTERNAL if a sum is not finite, or for
  // what the library under the back end reports.
  absl::Status Run(const LaneBatch& batch, double* sums);

 private:
  // The network's part: all elements as if no input was passed.
  virtual absl::Status RunNetwork(const LaneBatch& batch, double* sums) = 0;
};

}  // namespace perfvec::compute

#endif  // PERFVEC_WORKER_REPRESENT_REPRESENTER_H_
