#include "worker/train/evidence.h"

#include <cblas.h>

#include <algorithm>

#include "worker/train/validation.h"

namespace perfvec::train {
namespace {

// gram = RᵀR and cross = RᵀT for r [rows][h], t [rows][a].
void Products(const std::vector<float>& r, const std::vector<float>& t,
              int rows, int h, int a, std::vector<float>& gram,
              std::vector<float>& cross) {
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, h, h, rows, 1.0f,
              r.data(), h, r.data(), h, 0.0f, gram.data(), h);
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, h, a, rows, 1.0f,
              r.data(), h, t.data(), a, 0.0f, cross.data(), a);
}

}  // namespace

ProgramEvidence GatherEvidence(TrainedModel& model, const Slice& slice,
                               size_t interval_instructions) {
  const ProgramRows& rows = *slice.program->rows;
  const size_t a = model.scales.size();
  const size_t h = model.network->shape().width;
  const size_t inputs = model.encoding.width();
  const size_t begin = slice.begin, end = slice.end;
  const size_t intervals =
      (end - begin + interval_instructions - 1) / interval_instructions;
  ProgramEvidence e;
  e.gram.resize(h * h);
  e.cross.resize(h * a);
  e.interval_sums.resize(intervals * h);
  e.interval_times.resize(intervals * a);
  constexpr int kLanes = 64, kSteps = 128;
  std::vector<float> x(kSteps * kLanes * inputs);
  std::vector<float> gram(h * h), cross(h * a), r, t;
  std::vector<float> features(kSteps * rows.features());
  std::vector<float> piece(kSteps * inputs);
  std::vector<uint16_t> latency(rows.architectures());
  for (size_t s = begin; s < end; s += size_t(kLanes) * kSegment) {
    const int lanes =
        std::min<size_t>(kLanes, (end - s + kSegment - 1) / kSegment);
    model.network->ResetLanes(lanes);
    for (int step = -kSegmentWarmUp - 1; step < kSegment; step += kSteps) {
      std::fill(x.begin(), x.end(), 0.0f);
      for (int b = 0; b < lanes; ++b) {
        const int64_t from = int64_t(s) + int64_t(b) * kSegment + step;
        const int64_t first = std::max<int64_t>(from, 0);
        const int64_t last = std::min<int64_t>(from + kSteps, end);
        if (first >= last) continue;
        rows.Features(first, last - first, features.data());
        model.encoding.Encode(features.data(), last - first, piece.data());
        for (int64_t i = first; i < last; ++i) {
          std::copy_n(&piece[(i - first) * inputs], inputs,
                      &x[((i - from) * lanes + b) * inputs]);
        }
      }
      model.network->Represent(x.data(), kSteps, lanes);
      if (step < 0) {
        // Two pieces of kSteps: one step more than the warm-up. The trace's
        // start has no warm-up: its lane stays at zero state.
        for (int b = 0; b < lanes; ++b) {
          if (int64_t(s) + int64_t(b) * kSegment + step + kSteps <= 0) {
            model.network->ResetLane(b);
          }
        }
        continue;
      }
      r.clear();
      t.clear();
      for (int u = 0; u < kSteps; ++u) {
        for (int b = 0; b < lanes; ++b) {
          const size_t i = s + size_t(b) * kSegment + step + u;
          if (i >= end) continue;
          const float* row =
              &model.network->representations()[(size_t(u) * lanes + b) * h];
          r.insert(r.end(), row, row + h);
          const size_t k = (i - begin) / interval_instructions;
          for (size_t j = 0; j < h; ++j) e.interval_sums[k * h + j] += row[j];
          rows.Latency(i, 1, latency.data());
          for (size_t j = 0; j < a; ++j) {
            const double y = latency[j] / model.scales[j];
            t.push_back(y);
            e.interval_times[k * a + j] += y;
          }
        }
      }
      const size_t n = r.size() / h;
      e.instructions += n;
      Products(r, t, n, h, a, gram, cross);
      for (size_t i = 0; i < gram.size(); ++i) e.gram[i] += gram[i];
      for (size_t i = 0; i < cross.size(); ++i) e.cross[i] += cross[i];
    }
  }
  return e;
}

}  // namespace perfvec::train
