// The vectors of one kind (programs or architectures) under one model, in
// memory: float32 in blocks of 256 rows that are only ever appended to. Each
// row is kept twice: whole, so that one prediction touches 16 cache lines and
// not 256, and in panels of 16 rows, for one against many.
//
// A row is shown to readers of epochs [begin, end). The writer appends rows and
// ends others with the epoch it is about to publish, so readers of the epoch
// before see nothing of it and readers of the new one see all of it. Rows that
// have ended stay where they are: "lbm@1" is still answered after lbm@2 came.
//
// Append, End: one thread at a time. The rest: any thread, never waits. Blocks
// live as long as the table; `Item` pointers are not owned.
//
//   VectorTable table(256);
//   int64_t row = table.Append(values, &item, instructions, epoch + 1, kNoEnd);
//   if (table.row(row).ShownAt(epoch)) Use(table.values(row));
#ifndef PERFVEC_SERVER_PREDICTOR_VECTOR_TABLE_H_
#define PERFVEC_SERVER_PREDICTOR_VECTOR_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>

#include "server/predictor/kernels.h"

namespace perfvec::server {

struct Item;

inline constexpr int64_t kBlockRows = 256;
inline constexpr int64_t kBlockPanels = kBlockRows / kPanelRows;
inline constexpr uint64_t kNoEnd = std::numeric_limits<uint64_t>::max();

// 64-byte aligned floats for kernels; freed with the holder.
struct AlignedFree {
  void operator()(float* p) const;
};
using AlignedFloats = std::unique_ptr<float[], AlignedFree>;
AlignedFloats NewAlignedFloats(int64_t count);  // zeros

class VectorTable {
 public:
  struct Row {
    const Item* item = nullptr;
    uint64_t instructions = 0;
    uint64_t begin = 0;
    std::atomic<uint64_t> end{kNoEnd};

    bool ShownAt(uint64_t epoch) const {
      return begin <= epoch && epoch < end.load(std::memory_order_acquire);
    }
  };

  struct Block {
    std::array<Row, kBlockRows> rows;
    AlignedFloats values;  // [kBlockRows][width]
    AlignedFloats panels;  // [kBlockPanels][width][16]; zeros while empty
  };

  explicit VectorTable(int64_t width) : width_(width) {}
  VectorTable(const VectorTable&) = delete;
  VectorTable& operator=(const VectorTable&) = delete;

  int64_t width() const { return width_; }
  // Rows that may be read; their epochs decide whether they are shown.
  int64_t size() const { return size_.load(std::memory_order_acquire); }
  const Block& block(int64_t index) const { return *FindBlock(index); }
  const Row& row(int64_t index) const {
    return block(index / kBlockRows).rows[index % kBlockRows];
  }
  const float* values(int64_t index) const {
    return block(index / kBlockRows).values.get() + index % kBlockRows * width_;
  }

  // `values`: [width]. Returns the row's index.
  int64_t Append(const float* values, const Item* item, uint64_t instructions,
                 uint64_t begin, uint64_t end);
  void End(int64_t index, uint64_t epoch);

  // Copies rows `indices` into panels [ceil(count/16)][width][16]; lanes past
  // the last are zero. `panels` is 64-byte aligned.
  void Pack(const int64_t* indices, int64_t count, float* panels) const;

 private:
  // Segment s holds 2^s blocks, so that none ever moves.
  static constexpr int kSegments = 26;
  Block* FindBlock(int64_t index) const;

  const int64_t width_;
  std::atomic<int64_t> size_{0};
  std::array<std::unique_ptr<std::unique_ptr<Block>[]>, kSegments> segments_;
};

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_PREDICTOR_VECTOR_TABLE_H_
