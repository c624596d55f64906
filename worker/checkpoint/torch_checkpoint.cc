#include "worker/checkpoint/torch_checkpoint.h"

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "worker/checkpoint/pickle.h"
#include "worker/checkpoint/zip_archive.h"

namespace perfvec::checkpoint {
namespace {

// That of LSTM-2-256 with Adam's moments takes 5 kB.
constexpr uint64_t kMaxPickleBytes = 16 << 20;
constexpr char kStateDict[] = "model_state_dict";

absl::Status Bad(absl::string_view label, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(label, ": ", what));
}

absl::Status CheckKindOfFile(absl::string_view bytes, absl::string_view label) {
  // The old format is pickles one after the other, the first a magic number.
  if (absl::StartsWith(bytes, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9")) {
    return Bad(label,
               "written by PyTorch before 1.6 or with "
               "_use_new_zipfile_serialization=False; load it there and save "
               "it again");
  }
  if (bytes.size() > kMaxCheckpointBytes) {
    return Bad(label, absl::StrCat("expected at most ", kMaxCheckpointBytes,
                                   " bytes, found ", bytes.size()));
  }
  return absl::OkStatus();
}

// "NAME/" of the one NAME/data.pkl.
absl::StatusOr<std::string> Root(const ZipArchive& archive,
                                 absl::string_view label) {
  std::string root;
  for (const std::string& name : archive.names()) {
    absl::string_view folder = name;
    if (absl::EndsWith(name, "/constants.pkl")) {
      return Bad(label,
                 "a TorchScript module, which is code; expected a state dict "
                 "written by torch.save");
    }
    if (!absl::ConsumeSuffix(&folder, "data.pkl") ||
        !absl::EndsWith(folder, "/")) {
      continue;
    }
    if (!root.empty()) return Bad(label, "two members data.pkl");
    root = std::string(folder);
  }
  if (root.empty()) {
    return Bad(label,
               "expected a member data.pkl, found none; is it a file of "
               "torch.save?");
  }
  return root;
}

// The storages already read, so that one that many tensors share is held once.
// torch.save compresses nothing, so all together are smaller than the file.
class Storages {
 public:
  Storages(const ZipArchive& archive, std::string root, uint64_t file_bytes)
      : archive_(archive), root_(std::move(root)), left_(file_bytes) {}

  absl::StatusOr<const std::string*> Get(const Pickle::Value& storage) {
    if (storage.type != "FloatStorage") {
      return absl::InvalidArgumentError(
          absl::StrCat("expected float32 (FloatStorage), found ",
                       absl::CHexEscape(storage.type)));
    }
    auto it = read_.find(storage.text);
    if (it == read_.end()) {
      auto bytes =
          archive_.Read(absl::StrCat(root_, "data/", storage.text), left_);
      if (!bytes.ok()) return bytes.status();
      left_ -= bytes->size();
      it = read_.emplace(storage.text, *std::move(bytes)).first;
    }
    if (storage.integer < 0 ||
        static_cast<uint64_t>(storage.integer) != it->second.size() / 4 ||
        it->second.size() % 4 != 0) {
      return absl::DataLossError(
          absl::StrCat("expected a storage of ", storage.integer,
                       " float32, found ", it->second.size(), " bytes"));
    }
    return &it->second;
  }

 private:
  const ZipArchive& archive_;
  const std::string root_;
  std::map<std::string, std::string> read_;
  uint64_t left_;
};

// Copies the view in the order of its indices, after checking that all of it
// lies within the storage and no element occurs twice as often as there are.
absl::StatusOr<compute::Tensor> Copy(const Pickle::TensorView& view,
                                     const std::string& storage) {
  const int64_t available = static_cast<int64_t>(storage.size() / 4);
  int64_t count = 1, last = view.offset;
  bool inside = view.offset >= 0 && view.offset <= available;
  for (size_t d = 0; inside && d < view.shape.size(); ++d) {
    const int64_t size = view.shape[d], stride = view.strides[d];
    inside = size > 0 && stride >= 0 && size <= available &&
             stride <= available && count <= available / size;
    if (!inside) break;
    count *= size;
    // Neither factor exceeds the storage, so the product fits.
    last += (size - 1) * stride;
    inside = last < available;
  }
  if (!inside || last >= available) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape, strides and offset reach beyond the storage's ",
                     available, " elements"));
  }
  compute::Tensor tensor;
  tensor.shape = view.shape;
  tensor.values.resize(static_cast<size_t>(count));
  std::vector<int64_t> index(view.shape.size(), 0);
  int64_t at = view.offset;
  for (float& value : tensor.values) {
    std::memcpy(&value, storage.data() + 4 * at, 4);
    for (size_t d = index.size(); d-- > 0;) {
      at += view.strides[d];
      if (++index[d] < view.shape[d]) break;
      at -= view.shape[d] * view.strides[d];
      index[d] = 0;
    }
  }
  return tensor;
}

}  // namespace

absl::StatusOr<TorchCheckpoint> ReadTorchCheckpoint(absl::string_view bytes,
                                                    const std::string& label) {
  if (absl::Status s = CheckKindOfFile(bytes, label); !s.ok()) return s;
  auto archive = ZipArchive::Open(bytes, label);
  if (!archive.ok()) return archive.status();
  auto root = Root(**archive, label);
  if (!root.ok()) return root.status();
  const std::string order_name = absl::StrCat(*root, "byteorder");
  if ((*archive)->Has(order_name)) {
    auto order = (*archive)->Read(order_name, 16);
    if (!order.ok()) return order.status();
    if (*order != "little") {
      return Bad(label,
                 absl::StrCat("expected little-endian storages, found \"",
                              absl::CHexEscape(*order), "\""));
    }
  }
  auto text =
      (*archive)->Read(absl::StrCat(*root, "data.pkl"), kMaxPickleBytes);
  if (!text.ok()) return text.status();
  auto pickle = Pickle::Parse(*text, absl::StrCat(label, ": data.pkl"));
  if (!pickle.ok()) return pickle.status();

  const Pickle::Value* state = pickle->Find(pickle->root(), kStateDict);
  if (state == nullptr || state->kind != Pickle::Kind::kDict) {
    return Bad(label,
               absl::StrCat("expected a dict with a dict \"", kStateDict,
                            "\", found ", KindName(pickle->root().kind)));
  }
  TorchCheckpoint checkpoint;
  auto entries = pickle->Entries(*state);
  if (!entries.ok()) return Bad(label, entries.status().message());
  Storages storages(**archive, *root, bytes.size());
  uint64_t copied_bytes = 0;
  for (const auto& [name, value] : *entries) {
    const auto failed = [&, &tensor_name = name](const absl::Status& status) {
      return absl::Status(
          status.code(),
          absl::StrCat(label, ": tensor \"", absl::CHexEscape(tensor_name),
                       "\": ", status.message()));
    };
    auto view = pickle->Tensor(*value);
    if (!view.ok()) return failed(view.status());
    auto storage = storages.Get(*view->storage);
    if (!storage.ok()) return failed(storage.status());
    auto tensor = Copy(*view, **storage);
    if (!tensor.ok()) return failed(tensor.status());
    copied_bytes += 4 * tensor->values.size();
    if (copied_bytes > bytes.size()) {
      return failed(absl::InvalidArgumentError(
          "tensors that share a storage; expected each to have its own"));
    }
    if (!checkpoint.tensors.emplace(name, *std::move(tensor)).second) {
      return failed(absl::InvalidArgumentError("occurs twice"));
    }
  }
  auto all = pickle->Entries(pickle->root());
  if (!all.ok()) return Bad(label, all.status().message());
  for (const auto& [name, value] : *all) {
    if (value->kind == Pickle::Kind::kInteger) {
      checkpoint.numbers[name] = static_cast<double>(value->integer);
    } else if (value->kind == Pickle::Kind::kFloat) {
      checkpoint.numbers[name] = value->number;
    }
  }
  return checkpoint;
}

}  // namespace perfvec::checkpoint
