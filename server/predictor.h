// Predicted execution times from vectors held in memory.
//
// The predictor mirrors what the registry knows of models, programs and
// architectures: Load() at start, then each change is told to it after it is
// durable (Add*, Remove*, NoteJob). Writers take one mutex and cost their own
// size; readers take none and never wait. A write becomes visible at once: a
// Snapshot sees all of it or nothing.
//
// Times are (float) program_vector . architecture_vector in 0.1 ns, summed in
// the order of the elements, so that Predict, batches, matrices and rankings
// give the same bits. A time that is not finite and positive is OUT_OF_RANGE:
// the pair lies outside what the model can tell, and no caller should compare
// such a number.
//
// Writes about one object must be told in the order of its revisions (hold a
// lock of your own over the registry's write and the telling).
//
// Every method: any thread. Names the caller passes are only read during the
// call. Errors: NOT_FOUND (with the nearest known names), FAILED_PRECONDITION
// (no vector under this model; says what to do), INVALID_ARGUMENT.
//
//   Predictor predictor;
//   predictor.Load(registry, [](absl::Status bad) { spdlog::warn(...); });
//   predictor.AddProgramVector(record);              // after FinishJob
//   predictor.Predict("lbm", "cortex_a15@2", "", &response);
//   Snapshot snapshot = predictor.snapshot();        // for rankings, matrices
#ifndef PERFVEC_SERVER_PREDICTOR_H_
#define PERFVEC_SERVER_PREDICTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "perfvec/storage/v1/records.pb.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "perfvec/v1/resources.pb.h"
#include "server/predictor/intervals.h"
#include "server/predictor/name_book.h"
#include "server/predictor/reader_gate.h"
#include "server/predictor/state.h"
#include "storage/registry.h"

namespace perfvec::server {

// A reference is at most "name@alias", 128 characters each.
inline constexpr size_t kMaxRefLength = 257;

// The names behind the messages.
struct NameBooks {
  NameBook models;
  NameBook items[kKinds];
  NameBook attributes[kKinds];  // keys of ItemInfo::attributes
};

// A way to look things up; valid while its Snapshot is.
class View {
 public:
  // Without `explain`, messages do not name the nearest known names.
  View(const State* state, const NameBooks* books, bool explain = true)
      : state_(state), books_(books), explain_(explain) {}

  // "" and "default" mean the alias "default".
  absl::StatusOr<const Model*> FindModel(absl::string_view ref) const;
  absl::StatusOr<const Item*> FindItem(Kind kind, absl::string_view ref) const;
  absl::StatusOr<const ItemVector*> FindVector(Kind kind, absl::string_view ref,
                                               const Model& model) const;
  // `confidence`: of the interval; 0: kDefaultConfidence.
  absl::Status Predict(absl::string_view program,
                       absl::string_view architecture, absl::string_view model,
                       double confidence, v1::PredictResponse* response) const;
  const NameBooks& books() const { return *books_; }

 private:
  std::string Hint(const NameBook& book, absl::string_view name) const {
    return explain_ ? NearestHint(book, name) : "";
  }

  const State* state_;
  const NameBooks* books_;
  bool explain_;
};

// Keeps what it shows alive; rows of epoch() are those of one instant.
class Snapshot : public View {
 public:
  Snapshot(std::shared_ptr<const State> state, const NameBooks* books)
      : View(state.get(), books),
        epoch_(state->epoch.load(std::memory_order_acquire)),
        state_(std::move(state)) {}
  uint64_t epoch() const { return epoch_; }
  // For whoever goes through all rows: only those of the viewer's and of
  // everybody's. References are looked up whosever they are.
  void LimitTo(storage::Viewer viewer) {
    limited_ = viewer.has_value();
    tenant_ = std::string(viewer.value_or(""));
  }
  bool limited() const { return limited_; }
  bool Shows(const VectorTable::Row& row) const {
    if (!row.ShownAt(epoch_)) return false;
    if (!limited_) return true;
    const absl::string_view owner = storage::TenantOf(row.item->name);
    return owner.empty() || owner == tenant_;
  }

 private:
  uint64_t epoch_;
  std::shared_ptr<const State> state_;
  bool limited_ = false;
  std::string tenant_;
};

// The one way from a dot product to a time; false: OUT_OF_RANGE.
inline bool ToTimeNs(float time_tenth_ns, double* time_ns) {
  *time_ns = 0.1 * static_cast<double>(time_tenth_ns);
  return time_tenth_ns > 0 &&
         time_tenth_ns <= std::numeric_limits<float>::max();
}
absl::Status TimeOutOfRange(absl::string_view program,
                            absl::string_view architecture,
                            absl::string_view model, double time_ns);

class Predictor {
 public:
  Predictor();
  ~Predictor();

  // Adds all that `registry` holds. What cannot be used (a NaN, a wrong width)
  // goes to `bad` and is left out.
  absl::Status Load(storage::Registry& registry,
                    const std::function<void(absl::Status)>& bad);

  // --- Writers. Each Add* also updates what is known already. -------------
  // Another calibration than before in the manifest costs a compaction.
  absl::Status AddModel(const v1::Model& model);
  void RemoveModel(absl::string_view model_id);

  // Name, version, tags, aliases. Without a vector the program is known, and
  // asking for it says so.
  absl::Status AddProgram(const v1::Program& program);
  absl::Status AddProgramVector(const storage::v1::ProgramVectorRecord& vector);
  void RemoveProgram(absl::string_view name, int64_t version);

  // All or nothing with its vectors; vectors that are absent stay.
  absl::Status AddArchitecture(const v1::Architecture& architecture);
  void RemoveArchitecture(absl::string_view name, int64_t version);

  // Tells what a missing vector is waiting for. Cheap when nothing changed.
  void NoteJob(const v1::Job& job);

  // --- Readers ------------------------------------------------------------
  // `explain`: failures name the nearest known names (a search of up to a
  // millisecond).
  absl::Status Predict(absl::string_view program,
                       absl::string_view architecture, absl::string_view model,
                       v1::PredictResponse* response, bool explain = true,
                       double confidence = 0) const {
    ReaderGate::Scope scope(gate_);
    return View(current_.load(std::memory_order_seq_cst), &books_, explain)
        .Predict(program, architecture, model, confidence, response);
  }
  Snapshot snapshot() const;

  struct Stats {
    int64_t models = 0, programs = 0, architectures = 0;  // versions
    int64_t vectors = 0, bytes = 0;  // rows in memory, ended ones included
    int64_t compactions = 0;
  };
  Stats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The row that rankings and matrices show for a name under a model: that of
  // the newest version with a vector.
  struct Shown {
    Model* model;
    int64_t version;
    int64_t row;
  };
  // All versions of a name.
  struct Family {
    std::map<int64_t, Item*> versions;
    std::map<std::string, int64_t> aliases;
    std::vector<Shown> shown;
  };
  struct KnownModel {
    Model* model = nullptr;
    std::string calibration_json;
    Model::Calibration calibration;
    std::string name;
    int64_t version = 0;
    std::vector<std::string> aliases;
  };

  Item* PutItem(Kind kind, const std::string& name, int64_t version,
                ItemInfo info) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PointItemRefs(Kind kind, Item* item,
                     const std::vector<std::string>& aliases)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutVector(Kind kind, Family& family, Item* item, Model* model,
                 const float* values, uint64_t instructions,
                 VectorSpread spread) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveItem(Kind kind, absl::string_view name, int64_t version)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void PointModelRefs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountAttributes(Kind kind, const ItemInfo* info, bool add);
  // Makes the write visible; moves to a fresh State if most is garbage.
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Compact() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable ReaderGate gate_;
  std::atomic<const State*> current_;
  NameBooks books_;

  mutable absl::Mutex mutex_;
  std::shared_ptr<State> state_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::unique_ptr<Family>>
      families_[kKinds] ABSL_GUARDED_BY(mutex_);
  std::map<std::string, KnownModel> models_ ABSL_GUARDED_BY(mutex_);  // by id
  std::map<std::string, Model*> model_refs_ ABSL_GUARDED_BY(mutex_);
  int64_t versions_[kKinds] ABSL_GUARDED_BY(mutex_) = {};  // of all families
  int64_t compactions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_H_
