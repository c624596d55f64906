#include "worker/features/feature_schema.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "worker/features/rich_schema.h"
#include "worker/features/set_stacks.h"

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

namespace {

FeatureSchema MakePublishedSchema() {
  FeatureSchema schema{kFeatureSchemaId, {}};
  for (std::string_view name : FeatureNames()) {
    schema.features.push_back({name, FeatureKind::kFlag});
  }
  auto set = [&schema](int feature, FeatureKind kind, float limit = 0) {
    schema.features[feature].kind = kind;
    schema.features[feature].limit = limit;
  };
  set(kFeatureOperation, FeatureKind::kName);
  set(kFeatureEntropyBefore, FeatureKind::kNumber);
  set(kFeatureEntropyAfter, FeatureKind::kNumber);
  for (int f :
       {kFeatureFetchDistance, kFeatureLoadDistance, kFeatureStoreDistance}) {
    set(f, FeatureKind::kDistance, kMaxStackDistance);
  }
  set(kFeatureReuseInstructions, FeatureKind::kCount);
  for (int f = kFeatureSources; f < kFeatureCount; ++f) {
    set(f, FeatureKind::kName);
  }
  return schema;
}

FeatureSchema MakeRichSchema() {
  FeatureSchema schema = MakePublishedSchema();
  schema.id = kRichFeatureSchemaId;
  constexpr auto kFlag = FeatureKind::kFlag;
  constexpr auto kNumber = FeatureKind::kNumber;
  constexpr auto kCount = FeatureKind::kCount;
  constexpr auto kDistance = FeatureKind::kDistance;
  constexpr float kFirst = kMaxStackDistance;
  constexpr float kFar = kMaxFarInstructions;
  constexpr float kSet = kMaxSetDistance;
  for (const FeatureInfo& f : std::initializer_list<FeatureInfo>{
           {"producer_0_instructions", kCount},
           {"producer_1_instructions", kCount},
           {"producer_2_instructions", kCount},
           {"nearest_producer_load", kFlag},
           {"any_producer_load", kFlag},
           {"store_forward_instructions", kDistance, kMaxReuseInstructions},
           {"store_forward_full", kFlag},
           {"growth_w16", kCount},
           {"growth_w64", kCount},
           {"growth_w256", kCount},
           {"growth_w128_memory", kCount},
           {"growth_in_order", kCount},
           {"growth_w64_branches", kCount},
           {"growth_in_order_full", kCount},
           {"growth_w32_full", kCount},
           {"growth_w128_full", kCount},
           {"growth_w128_slow", kCount},
           {"growth_in_order_slow", kCount},
           {"growth_dataflow", kCount},
           {"slack_dataflow", kCount},
           {"wait_w64", kCount},
           {"slack_w64", kCount},
           {"wait_w128_full", kCount},
           {"slack_w128_full", kCount},
           {"data_stack_distance", kDistance, kFirst},
           {"unified_data_stack_distance", kDistance, kFirst},
           {"unified_fetch_stack_distance", kDistance, kFirst},
           {"data_page_stack_distance", kDistance, kFirst},
           {"fetch_page_stack_distance", kDistance, kFirst},
           {"data_set_distance_64", kDistance, kSet},
           {"data_set_distance_256", kDistance, kSet},
           {"unified_data_set_distance_1024", kDistance, kSet},
           {"fetch_set_distance_64", kDistance, kSet},
           {"unified_fetch_set_distance_1024", kDistance, kSet},
           {"access_bytes", kCount},
           {"crosses_line", kFlag},
           {"stride_bytes", kDistance, kMaxStrideBytes},
           {"stride_repeats", kNumber},
           {"stride_backward", kFlag},
           {"instructions_since_line_before", kDistance, kFar},
           {"instructions_since_line_after", kDistance, kFar},
           {"instructions_since_far_load", kCount},
           {"loads_in_64", kNumber},
           {"stores_in_64", kNumber},
           {"near_misses_in_64", kCount},
           {"far_misses_in_64", kCount},
           {"mispredicted_bimodal", kFlag},
           {"mispredicted_global_8", kFlag},
           {"mispredicted_global_16", kFlag},
           {"mispredicted_global_32", kFlag},
           {"mispredicted_local_10", kFlag},
           {"mispredicted_tournament", kFlag},
           {"target_changed", kFlag},
           {"target_mispredicted", kFlag},
           {"return_mispredicted", kFlag},
           {"instructions_since_executed", kDistance, kFar},
           {"after_taken", kFlag},
           {"taken_in_16", kNumber},
           {"line_offset", kNumber},
       }) {
    schema.features.push_back(f);
  }
  return schema;
}

FeatureSchema MakeCoresSchema() {
  FeatureSchema schema = MakeRichSchema();
  schema.id = kCoresFeatureSchemaId;
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (int core = 0; core < kReferenceCoreCount; ++core) {
      all.push_back(absl::StrFormat("growth_core_%02d", core));
    }
    return all;
  }();
  for (const std::string& name : names) {
    schema.features.push_back({name, FeatureKind::kCount});
  }
  return schema;
}

}  // namespace

const FeatureSchema& PublishedFeatureSchema() {
  static const FeatureSchema schema = MakePublishedSchema();
  return schema;
}

const FeatureSchema& RichFeatureSchema() {
  static const FeatureSchema schema = MakeRichSchema();
  return schema;
}

const FeatureSchema& CoresFeatureSchema() {
  static const FeatureSchema schema = MakeCoresSchema();
  return schema;
}

const FeatureSchema* FindFeatureSchema(std::string_view id) {
  if (id == kFeatureSchemaId) return &PublishedFeatureSchema();
  if (id == kRichFeatureSchemaId) return &RichFeatureSchema();
  if (id == kCoresFeatureSchemaId) return &CoresFeatureSchema();
  return nullptr;
}

std::string_view FeatureSchemaIds() {
  return "perfvec-51-v1, perfvec-rich-v1 or perfvec-rich-v2";
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
