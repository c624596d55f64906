// All that a registry holds as text, to compare two of them.
//
//   EXPECT_EQ(Dump(*rocksdb), Dump(*memory));
#ifndef PERFVEC_TESTS_STORAGE_REGISTRY_DUMP_H_
#define PERFVEC_TESTS_STORAGE_REGISTRY_DUMP_H_

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "storage/registry.h"

namespace perfvec::storage {

inline std::string Text(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  EXPECT_TRUE(printer.PrintToString(message, &text));  // maps: sorted by key
  return text;
}

// Pages of `list`, all of them.
template <typename Request, typename List>
std::string DumpPages(Request request, List list) {
  std::string dump;
  do {
    auto page = list(request);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) return dump;
    for (const auto& item : page->items)
      absl::StrAppend(&dump, item.GetTypeName(), " ", Text(item), "\n");
    request.set_page_token(page->next_page_token);
  } while (!request.page_token().empty());
  return dump;
}

inline std::string Dump(Registry& registry) {
  api::PageRequest all;
  all.set_all_versions(true);
  all.set_page_size(1000);
  std::string dump =
      DumpPages(all, [&](const auto& r) { return registry.ListPrograms(r); });
  dump += DumpPages(api::PageRequest(),
                    [&](const auto& r) { return registry.ListPrograms(r); });
  dump += DumpPages(all, [&](const auto& r) { return registry.ListModels(r); });
  dump += DumpPages(api::ListJobsRequest(),
                    [&](const auto& r) { return registry.ListJobs(r); });
  auto vector_or_bad = [&](auto status) { ADD_FAILURE() << status; };
  EXPECT_TRUE(registry
                  .ForEachArchitecture(
                      [&](const api::Architecture& architecture) {
                        absl::StrAppend(&dump, Text(architecture), "\n");
                      },
                      vector_or_bad)
                  .ok());
  EXPECT_TRUE(registry
                  .ForEachProgramVector(
                      [&](const v1::ProgramVectorRecord& vector) {
                        absl::StrAppend(&dump, Text(vector), "\n");
                        auto parts = registry.GetProgramParts(
                            vector.program_name(), vector.program_version(),
                            vector.model_id());
                        if (parts.ok()) {
                          absl::StrAppend(&dump, Text(*parts), "\n");
                        }
                      },
                      vector_or_bad)
                  .ok());
  auto unfinished = registry.UnfinishedJobs();
  EXPECT_TRUE(unfinished.ok()) << unfinished.status();
  if (unfinished.ok()) {
    for (const api::Job& job : *unfinished) {
      absl::StrAppend(&dump, "unfinished ", job.job_id(), "\n");
      auto shards = registry.ListShards(job.job_id());
      EXPECT_TRUE(shards.ok()) << shards.status();
      if (!shards.ok()) continue;
      for (const v1::ShardRecord& shard : *shards)
        absl::StrAppend(&dump, Text(shard), "\n");
    }
  }
  auto uploads = registry.ListUploads();
  EXPECT_TRUE(uploads.ok()) << uploads.status();
  if (uploads.ok())
    for (const v1::UploadRecord& upload : *uploads)
      absl::StrAppend(&dump, Text(upload), "\n");
  EXPECT_TRUE(registry
                  .LiveChunks([&](absl::string_view digest) {
                    absl::StrAppend(&dump, "live ", digest, "\n");
                  })
                  .ok());
  auto counts = registry.GetCounts();
  EXPECT_TRUE(counts.ok()) << counts.status();
  if (counts.ok()) {
    absl::StrAppend(&dump, "counts ", counts->programs, " ",
                    counts->architectures, " ", counts->models, " ",
                    counts->jobs_queued, " ", counts->jobs_running, " ",
                    counts->trace_bytes, "\n");
  }
  return dump;
}

}  // namespace perfvec::storage

#endif  // PERFVEC_TESTS_STORAGE_REGISTRY_DUMP_H_
