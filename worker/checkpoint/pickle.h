// A pickle read as data: what torch.save writes for dicts of tensors, numbers
// and text, and nothing else.
//
// A pickle is a program for a stack machine that may call any function; this
// machine calls none. It knows the opcodes torch.save needs (protocols 2 to 4)
// and a closed list of globals, each of which only makes a value here; any
// other opcode or global is an error that names it. Time and memory are linear
// in the pickle's size: values live in one array and refer to each other by
// index, so neither depth nor cycles cost anything.
//
// Immutable once read.
//
//   ASSIGN pickle = Pickle::Parse(bytes, "model.pt: data.pkl");
//   const Pickle::Value* dict = pickle.Find(pickle.root(), "model_state_dict");
#ifndef PERFVEC_WORKER_CHECKPOINT_PICKLE_H_
#define PERFVEC_WORKER_CHECKPOINT_PICKLE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::checkpoint {

class Pickle {
 public:
  using Index = uint32_t;
  enum class Kind {
    kNone,
    kBool,
    kInteger,
    kFloat,
    kText,
    kTuple,
    kList,
    kDict,
    kGlobal,   // text: "module name"
    kStorage,  // text: key of the member; integer: elements; type
    kTensor,   // items: storage, then integers; see Tensor
  };
  struct Value {
    Kind kind = Kind::kNone;
    int64_t integer = 0;  // kBool too
    double number = 0;
    std::string text;
    std::string type;          // of a kStorage: "FloatStorage"
    std::vector<Index> items;  // a kDict: key, value, key, value
  };
  // A tensor as _rebuild_tensor_v2 describes it, in elements.
  struct TensorView {
    const Value* storage;
    int64_t offset;
    std::vector<int64_t> shape, strides;
  };

  // DATA_LOSS for what is cut or no pickle, INVALID_ARGUMENT for an opcode or
  // global that is not known; both with the byte's position.
  static absl::StatusOr<Pickle> Parse(absl::string_view bytes,
                                      absl::string_view label);

  const Value& root() const { return values_[root_]; }
  const Value& at(Index i) const { return values_[i]; }
  // The value of a text key of a dict; the last if there are several; null if
  // there is none or `dict` is no dict.
  const Value* Find(const Value& dict, absl::string_view key) const;
  // Keys in order; expects a dict. INVALID_ARGUMENT for one that is no text.
  absl::StatusOr<std::vector<std::pair<std::string, const Value*>>> Entries(
      const Value& dict) const;
  // INVALID_ARGUMENT unless `value` is a tensor whose numbers are integers.
  absl::StatusOr<TensorView> Tensor(const Value& value) const;

 private:
  class Machine;
  std::vector<Value> values_;
  Index root_ = 0;
};

// "a tensor", "a list": for messages.
const char* KindName(Pickle::Kind kind);

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_WORKER_CHECKPOINT_PICKLE_H_
