// What the predictor's readers walk: models, items (versions of programs and
// architectures), their references and vectors.
//
// Everything here is only ever added to or switched by an atomic store, by one
// writer (server/predictor.cc); readers need no lock. What is no longer
// reachable stays until the writer moves what is alive into a fresh State.
#ifndef PERFVEC_SERVER_PREDICTOR_STATE_H_
#define PERFVEC_SERVER_PREDICTOR_STATE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "perfvec/v1/resources.pb.h"
#include "server/predictor/ref_index.h"
#include "server/predictor/vector_table.h"
#include "worker/model/calibration.h"

namespace perfvec::server {

enum class Kind { kProgram = 0, kArchitecture = 1 };
inline constexpr int kKinds = 2;

struct Model {
  using Calibration = std::shared_ptr<const compute::Calibration>;
  Model(std::string model_label, std::string id, int64_t width,
        Calibration how_far_off)
      : label(std::move(model_label)),
        model_id(std::move(id)),
        calibration(std::move(how_far_off)),
        tables{{VectorTable(width), VectorTable(width)}} {}

  const std::string label;  // "name@version"
  const std::string model_id;
  const Calibration calibration;  // null: not calibrated
  std::array<VectorTable, kKinds> tables;
  std::atomic<bool> removed{false};

  const VectorTable& table(Kind kind) const {
    return tables[static_cast<int>(kind)];
  }
};

// What ranking filters and prices by. Never changed once published.
struct ItemInfo {
  using Value = std::variant<double, std::string>;
  // Attributes, and tags as "tag.site".
  absl::flat_hash_map<std::string, Value> attributes;
  std::optional<double> price_per_hour;
  std::optional<double> power_watts;
};

inline constexpr int64_t kMaxFactorPanels = 4;

// How far predictions with a vector may be off, beside it. Never changed once
// published.
struct VectorSpread {
  bool strange = false;  // out of distribution
  // Of a program: its distance over the limit. Of an architecture: how much
  // more than usual its times are off.
  double distance = 0;
  double error_factor = 1;
  // Of a program: times the calibration's quantile it is half the interval of
  // log time.
  double spread = 1;
  // Of an architecture: of origin "trained"; else the standard deviation of log
  // time that its own evidence shows, its variance beyond the calibration's,
  // and factors f of the vector's covariance, in panels
  // [panel_count][width][16]: the variance of S.M is the sum of (f.S)^2.
  // Of a program of weighted slices the panels are its sampling factors: the
  // variance of S.M is the sum of (f.M)^2.
  bool trained = false;
  double noise = 0;
  double more_variance = 0;
  int64_t panel_count = 0;
  std::shared_ptr<const float[]> panels;
};

// An item's vector under a model. The newest comes first and counts.
struct ItemVector {
  const Item* item;
  const Model* model;
  int64_t row;
  uint64_t instructions;
  const float* values;  // [width]
  const VectorSpread* spread;
  const ItemVector* next;
};

// The last known job for an item's vector under a model.
struct JobNote {
  std::string model_id;
  std::string job_id;
  v1::JobState state;
  std::string error;
  const JobNote* next;
};

// One version of a program or an architecture.
struct Item {
  Item(std::string item_name, int64_t item_version);

  const std::string name;
  const int64_t version;
  const std::string label;  // "name@version"
  std::atomic<const ItemInfo*> info{nullptr};
  std::atomic<const ItemVector*> vectors{nullptr};
  std::atomic<const JobNote*> jobs{nullptr};

  const ItemVector* FindVector(const Model* model) const {
    const ItemVector* v = vectors.load(std::memory_order_acquire);
    while (v != nullptr && v->model != model) v = v->next;
    return v;
  }
};

struct State : std::enable_shared_from_this<State> {
  std::atomic<uint64_t> epoch{1};
  RefIndex<Model> models;
  std::array<RefIndex<Item>, kKinds> refs;

  // Owners; only the writer touches them.
  std::deque<Model> all_models;
  std::deque<Item> all_items;
  std::deque<ItemInfo> all_infos;
  std::deque<ItemVector> all_vectors;
  std::deque<VectorSpread> all_spreads;
  std::deque<JobNote> all_jobs;
  int64_t garbage = 0;  // owned things that nothing leads to any more
  int64_t live() const {
    return static_cast<int64_t>(all_items.size() + all_infos.size() +
                                all_vectors.size() + all_jobs.size()) -
           garbage;
  }
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_STATE_H_
