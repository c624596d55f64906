// libFuzzer: any bytes as a checkpoint file, as its pickle and as an .npy must
// give tensors or an error, within bounded memory.
//
//   build/fuzz/tests/fuzz/checkpoint_fuzz -max_total_time=300 -max_len=65536 \
//     CORPUS tests/golden/checkpoint
//
// Built like trace_reader_fuzz. The first byte chooses among the three; 'P' is
// a zip's, so that the corpus can hold plain files.
#include <cstdint>
#include <string>

#include "worker/checkpoint/npz.h"
#include "worker/checkpoint/pickle.h"
#include "worker/checkpoint/torch_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using perfvec::checkpoint::Pickle;
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (data[0] == 'P') {
    (void)perfvec::checkpoint::ReadTorchCheckpoint(bytes, "fuzz").ok();
    (void)perfvec::checkpoint::ReadNpz(bytes, "fuzz", 4096).ok();
  } else if (data[0] == 0x93) {
    (void)perfvec::checkpoint::ParseNpy(bytes, "fuzz", 4096).ok();
  } else {
    const auto pickle = Pickle::Parse(bytes, "fuzz");
    if (!pickle.ok()) return 0;
    const auto entries = pickle->Entries(pickle->root());
    if (!entries.ok()) return 0;
    for (const auto& [name, value] : *entries) {
      (void)pickle->Tensor(*value).ok();
    }
  }
  return 0;
}
