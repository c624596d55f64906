#include "worker/features/feature_schema.h"

#include <cmath>

namespace perfvec::compute {

const std::array<std::string_view, kFeatureCount>& FeatureNames() {
  static constexpr std::array<std::string_view, kFeatureCount> kNames = {
      "fault",
      "operation",
      "store",
      "load",
      "micro_op",
      "conditional_branch",
      "unconditional_branch",
      "direct_branch",
      "squash_after",
      "serialize_after",
      "serialize_before",
      "exclusive",
      "read_barrier",
      "write_barrier",
      "non_speculative",
      "taken",
      "branch_entropy_before",
      "branch_entropy_after",
      "fetch_stack_distance",
      "has_address",
      "load_stack_distance",
      "store_stack_distance",
      "reuse_instructions",
      "source_0_class",
      "source_0_index",
      "source_1_class",
      "source_1_index",
      "source_2_class",
      "source_2_index",
      "source_3_class",
      "source_3_index",
      "source_4_class",
      "source_4_index",
      "source_5_class",
      "source_5_index",
      "source_6_class",
      "source_6_index",
      "source_7_class",
      "source_7_index",
      "destination_0_class",
      "destination_0_index",
      "destination_1_class",
      "destination_1_index",
      "destination_2_class",
      "destination_2_index",
      "destination_3_class",
      "destination_3_index",
      "destination_4_class",
      "destination_4_index",
      "destination_5_class",
      "destination_5_index",
  };
  return kNames;
}

float RoundedStackDistance(uint32_t distance) {
  float value = static_cast<float>(distance);
  // Eight digits, six printed: the printed number is the multiple of 100
  // nearest to the distance, ties to the even multiple.
  auto printed = [](double x) { return std::nearbyint(x / 100) * 100; };
  const double wanted = printed(distance);
  if (printed(value) != wanted) {
    value = std::nextafter(value, static_cast<float>(wanted));
  }
  return value;
}

}  // namespace perfvec::compute
