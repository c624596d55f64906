#include "worker/train/encoding.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "worker/features/rich_schema.h"

namespace perfvec::train {
namespace {

using compute::FeatureInfo;
using compute::FeatureKind;
using compute::InputColumn;
using compute::InputEncoding;
using Transform = InputColumn::Transform;

// The class of the first three sources and two destinations; the index follows.
constexpr int kRegisterClassFeatures[] = {
    compute::kFeatureSources, compute::kFeatureSources + 2,
    compute::kFeatureSources + 4, compute::kFeatureDestinations,
    compute::kFeatureDestinations + 2};
constexpr int kRegisterClassBits = 3, kRegisterIndexBits = 7;
// An operation class rarer than this in training shares one meaning: none.
constexpr double kRareShare = 2e-5;
// Statistics are taken of every seventh instruction.
constexpr size_t kSampleStep = 7;
constexpr size_t kPiece = 4096;

void Add(InputEncoding* encoding, int feature, Transform transform,
         float value = 0) {
  encoding->columns.push_back({feature, transform, value, 0, 1});
}

// Visits the slices' features by pieces [n][feature_count].
template <typename Visit>
void ForEachPiece(const std::vector<Slice>& slices, Visit visit) {
  std::vector<float> features;
  for (const Slice& s : slices) {
    for (size_t i = s.begin; i < s.end; i += kPiece) {
      const size_t n = std::min(kPiece, s.end - i);
      features.resize(n * s.program->rows->features());
      s.program->rows->Features(i, n, features.data());
      visit(features.data(), n);
    }
  }
}

void AddOperations(const std::vector<Slice>& slices, InputEncoding* encoding) {
  std::map<float, double> op_classes;
  double total = 0;
  ForEachPiece(slices, [&](const float* features, size_t n) {
    total += n;
    for (size_t i = 0; i < n; ++i) {
      op_classes[features[i * encoding->feature_count +
                          compute::kFeatureOperation]] += 1;
    }
  });
  for (const auto& [op_class, count] : op_classes) {
    if (count < kRareShare * total) continue;
    Add(encoding, compute::kFeatureOperation, Transform::kEquals, op_class);
  }
}

// Registers are names, not amounts: which one it is stands in their bits.
void AddRegisterBits(bool index_bits, InputEncoding* encoding) {
  for (int f : kRegisterClassFeatures) {
    for (int bit = 0; bit < kRegisterClassBits; ++bit) {
      Add(encoding, f, Transform::kBit, bit);
    }
    for (int bit = 0; index_bits && bit < kRegisterIndexBits; ++bit) {
      Add(encoding, f + 1, Transform::kBit, bit);
    }
  }
}

// The least deviation of a column; below it a rare event would become a huge
// input. One that is less than `constant` counts as a constant column's: 1.
struct DeviationLimits {
  double indicator, other, constant;
};
constexpr DeviationLimits kRichLimits = {0.1, 0.1, 0};
constexpr DeviationLimits kPublishedLimits = {0.1, 0, 1e-3};
constexpr DeviationLimits kRawLimits = {0, 0, 1e-12};

void SetStatistics(const std::vector<Slice>& slices,
                   const DeviationLimits& limits, InputEncoding* encoding) {
  const size_t width = encoding->width();
  std::vector<double> sum(width), square(width);
  std::vector<float> row(width);
  double samples = 0;
  ForEachPiece(slices, [&](const float* features, size_t n) {
    for (size_t i = 0; i < n; i += kSampleStep) {
      encoding->Encode(features + i * encoding->feature_count, 1, row.data());
      for (size_t c = 0; c < width; ++c) {
        sum[c] += row[c];
        square[c] += double{row[c]} * row[c];
      }
      ++samples;
    }
  });
  for (size_t c = 0; c < width; ++c) {
    InputColumn& column = encoding->columns[c];
    const double mean = sum[c] / samples;
    const double deviation =
        std::sqrt(std::max(0.0, square[c] / samples - mean * mean));
    column.mean = mean;
    const bool indicator = column.transform == Transform::kEquals ||
                           column.transform == Transform::kBit;
    const double least = indicator ? limits.indicator : limits.other;
    column.deviation = least > 0 ? std::max(deviation, least)
                       : deviation > limits.constant ? deviation
                                                     : 1.0;
  }
}

}  // namespace

InputEncoding MakeEncoding(const compute::FeatureSchema& schema,
                           const std::vector<Slice>& slices) {
  const bool rich = schema.id == compute::kRichFeatureSchemaId ||
                    schema.id == compute::kCoresFeatureSchemaId;
  InputEncoding encoding;
  encoding.feature_count = schema.count();
  for (int f = 0; f < encoding.feature_count; ++f) {
    const FeatureInfo& info = schema.features[f];
    if (f == compute::kFeatureOperation) continue;
    if (rich && info.kind == FeatureKind::kName) continue;
    const bool wide =
        info.kind == FeatureKind::kCount || info.kind == FeatureKind::kDistance;
    Add(&encoding, f, wide ? Transform::kLog2OnePlus : Transform::kIdentity);
  }
  AddOperations(slices, &encoding);
  AddRegisterBits(/*index_bits=*/!rich, &encoding);
  for (int f = 0; f < encoding.feature_count; ++f) {
    const FeatureInfo& info = schema.features[f];
    if (info.kind != FeatureKind::kDistance) continue;
    Add(&encoding, f, Transform::kEquals, info.limit);
  }
  // The reference cores' growth itself, from nought.
  for (int f = compute::kRichFeatureCount; f < encoding.feature_count; ++f) {
    Add(&encoding, f, Transform::kIdentity);
    ++encoding.passed;
  }
  SetStatistics(slices, rich ? kRichLimits : kPublishedLimits, &encoding);
  for (int c = 0; c < encoding.passed; ++c) {
    InputColumn& column = *(encoding.columns.rbegin() + c);
    column.mean = 0;
    column.deviation =
        std::max<float>(column.deviation, float{compute::kMaxFarInstructions} /
                                              compute::kMaxPassedInput);
  }
  return encoding;
}

InputEncoding MakeRawEncoding(const compute::FeatureSchema& schema,
                              const std::vector<Slice>& slices) {
  InputEncoding encoding;
  encoding.feature_count = schema.count();
  for (int f = 0; f < encoding.feature_count; ++f) {
    Add(&encoding, f, Transform::kIdentity);
  }
  SetStatistics(slices, kRawLimits, &encoding);
  return encoding;
}

}  // namespace perfvec::train
