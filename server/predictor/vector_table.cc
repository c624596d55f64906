#include "server/predictor/vector_table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace perfvec::server {

void AlignedFree::operator()(float* p) const {
  ::operator delete[](p, std::align_val_t(64));
}

AlignedFloats NewAlignedFloats(int64_t count) {
  auto* p = static_cast<float*>(
      ::operator new[](count * sizeof(float), std::align_val_t(64)));
  std::memset(p, 0, count * sizeof(float));
  return AlignedFloats(p);
}

VectorTable::Block* VectorTable::FindBlock(int64_t index) const {
  const int segment = 63 - __builtin_clzll(index + 1);
  return segments_[segment][index + 1 - (int64_t{1} << segment)].get();
}

int64_t VectorTable::Append(const float* values, const Item* item,
                            uint64_t instructions, uint64_t begin,
                            uint64_t end) {
  const int64_t index = size_.load(std::memory_order_relaxed);
  const int64_t block_index = index / kBlockRows;
  if (index % kBlockRows == 0) {
    const int segment = 63 - __builtin_clzll(block_index + 1);
    const int64_t first = (int64_t{1} << segment) - 1;
    if (block_index == first) {
      segments_[segment] =
          std::make_unique<std::unique_ptr<Block>[]>(int64_t{1} << segment);
    }
    auto block = std::make_unique<Block>();
    block->values = NewAlignedFloats(kBlockRows * width_);
    block->panels = NewAlignedFloats(kBlockRows * width_);
    segments_[segment][block_index - first] = std::move(block);
  }
  Block& block = *FindBlock(block_index);
  const int64_t i = index % kBlockRows;
  Row& row = block.rows[i];
  row.item = item;
  row.instructions = instructions;
  row.begin = begin;
  row.end.store(end, std::memory_order_relaxed);
  std::copy(values, values + width_, block.values.get() + i * width_);
  float* lane = block.panels.get() + i / kPanelRows * kPanelRows * width_ +
                i % kPanelRows;
  for (int64_t k = 0; k < width_; ++k) lane[k * kPanelRows] = values[k];
  size_.store(index + 1, std::memory_order_release);
  return index;
}

void VectorTable::End(int64_t index, uint64_t epoch) {
  FindBlock(index / kBlockRows)
      ->rows[index % kBlockRows]
      .end.store(epoch, std::memory_order_release);
}

void VectorTable::Pack(const int64_t* indices, int64_t count,
                       float* panels) const {
  const int64_t panel_size = kPanelRows * width_;
  for (int64_t begin = 0; begin < count; begin += kPanelRows) {
    float* panel = panels + begin / kPanelRows * panel_size;
    const int64_t lanes = std::min<int64_t>(kPanelRows, count - begin);
    if (lanes < kPanelRows) std::memset(panel, 0, panel_size * sizeof(float));
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const float* from = values(indices[begin + lane]);
      for (int64_t k = 0; k < width_; ++k) {
        panel[k * kPanelRows + lane] = from[k];
      }
    }
  }
}

}  // namespace perfvec::server
