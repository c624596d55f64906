#include "storage/backup.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "storage/file_copy.h"
#include "storage/file_system.h"
#include "storage/rocksdb_registry.h"
#include "storage/sha256.h"
#include "storage/status_macros.h"

namespace perfvec::storage {
namespace {

constexpr int kBackupFormat = 1;
constexpr uint64_t kMaxManifestBytes = 64 << 20;

std::string ManifestPath(const std::string& directory) {
  return absl::StrCat(directory, "/backup.json");
}

struct FileEntry {
  uint64_t size_bytes = 0;
  std::string sha256_hex;
};

absl::StatusOr<std::map<std::string, FileEntry>> HashRegistryFiles(
    const std::string& directory) {
  const std::string registry = RegistryDirectory(directory);
  PERFVEC_ASSIGN_OR_RETURN(std::vector<std::string> names, ListFiles(registry));
  std::map<std::string, FileEntry> files;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(registry, "/", name);
    PERFVEC_ASSIGN_OR_RETURN(std::string digest, Sha256OfFile(path));
    PERFVEC_ASSIGN_OR_RETURN(uint64_t size, FileSize(path));
    files[name] = {size, absl::BytesToHexString(digest)};
  }
  return files;
}

// The distinct chunks that the registry in `directory` names.
absl::StatusOr<std::set<std::string>> ChunksOfBackup(
    const std::string& directory) {
  RocksDbOptions options;
  options.path = RegistryDirectory(directory);
  options.read_only = true;
  PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<Registry> registry,
                           OpenRocksDbRegistry(options));
  std::set<std::string> digests;
  PERFVEC_RETURN_IF_ERROR(registry->LiveChunks(
      [&](absl::string_view digest) { digests.emplace(digest); }));
  return digests;
}

absl::Status WriteManifest(const std::string& directory,
                           const std::map<std::string, FileEntry>& files) {
  nlohmann::json manifest;
  manifest["format"] = kBackupFormat;
  manifest["create_time"] =
      absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  for (const auto& [name, entry] : files) {
    manifest["registry"][name] = {{"size_bytes", entry.size_bytes},
                                  {"sha256", entry.sha256_hex}};
  }
  FileSystem* const file_system = FileSystem::Real();
  const std::string temporary = absl::StrCat(directory, "/backup.json.tmp");
  {
    PERFVEC_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file,
                             file_system->NewFile(temporary));
    PERFVEC_RETURN_IF_ERROR(file->Append(manifest.dump(2)));
    PERFVEC_RETURN_IF_ERROR(file->Sync());
  }
  PERFVEC_RETURN_IF_ERROR(
      file_system->Rename(temporary, ManifestPath(directory)));
  return file_system->SyncDirectory(directory);
}

absl::StatusOr<std::map<std::string, FileEntry>> ReadManifest(
    const std::string& directory) {
  const std::string path = ManifestPath(directory);
  absl::StatusOr<std::string> text = ReadFile(path, kMaxManifestBytes);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "'", directory,
        "': no backup.json: not a backup, or one that did not finish"));
  }
  if (!text.ok()) return text.status();
  std::map<std::string, FileEntry> files;
  try {
    const nlohmann::json manifest = nlohmann::json::parse(*text);
    const int format = manifest.at("format").get<int>();
    if (format != kBackupFormat) {
      return absl::FailedPreconditionError(
          absl::StrCat("'", path, "': backup format ", format,
                       ", this build reads ", kBackupFormat));
    }
    for (const auto& [name, entry] : manifest.at("registry").items()) {
      files[name] = {entry.at("size_bytes").get<uint64_t>(),
                     entry.at("sha256").get<std::string>()};
    }
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(
        absl::StrCat("'", path, "': not what a backup writes: ", error.what()));
  }
  return files;
}

absl::Status CompareRegistryFiles(
    const std::string& directory,
    const std::map<std::string, FileEntry>& expected) {
  for (const auto& [name, entry] : expected) {
    const std::string path =
        absl::StrCat(RegistryDirectory(directory), "/", name);
    absl::StatusOr<std::string> digest = Sha256OfFile(path);
    if (absl::IsNotFound(digest.status())) {
      return absl::DataLossError(
          absl::StrCat("backup file '", path, "' is missing"));
    }
    if (!digest.ok()) return digest.status();
    const std::string found = absl::BytesToHexString(*digest);
    if (found != entry.sha256_hex) {
      return absl::DataLossError(
          absl::StrCat("backup file '", path, "': expected SHA-256 ",
                       entry.sha256_hex, ", found ", found));
    }
  }
  return absl::OkStatus();
}

absl::Status FillBackup(Registry& registry, ChunkStore& chunks,
                        const std::string& directory) {
  PERFVEC_RETURN_IF_ERROR(registry.Backup(RegistryDirectory(directory)));
  PERFVEC_ASSIGN_OR_RETURN(std::set<std::string> digests,
                           ChunksOfBackup(directory));
  for (const std::string& digest : digests) {
    PERFVEC_RETURN_IF_ERROR(LinkOrCopyFile(
        chunks.Path(digest), ChunkPath(ChunksDirectory(directory), digest)));
  }
  PERFVEC_ASSIGN_OR_RETURN(auto files, HashRegistryFiles(directory));
  PERFVEC_RETURN_IF_ERROR(SyncTree(directory));
  return WriteManifest(directory, files);
}

}  // namespace

std::string RegistryDirectory(const std::string& data_directory) {
  return absl::StrCat(data_directory, "/registry");
}
std::string ChunksDirectory(const std::string& data_directory) {
  return absl::StrCat(data_directory, "/chunks");
}

absl::StatusOr<BackupSummary> CreateBackup(Registry& registry,
                                           ChunkStore& chunks,
                                           const std::string& directory) {
  PERFVEC_RETURN_IF_ERROR(MakeNewDirectory(directory));
  auto make = [&]() -> absl::StatusOr<BackupSummary> {
    {
      // What the registry's copy names must still be there when it is linked.
      std::shared_ptr<void> held = chunks.HoldCollection();
      PERFVEC_RETURN_IF_ERROR(FillBackup(registry, chunks, directory));
    }
    return VerifyBackup(directory);
  };
  absl::StatusOr<BackupSummary> summary = make();
  if (!summary.ok()) {
    std::error_code ignored;  // the first error is the one that counts
    std::filesystem::remove_all(directory, ignored);
  }
  return summary;
}

absl::StatusOr<BackupSummary> VerifyBackup(const std::string& directory) {
  PERFVEC_ASSIGN_OR_RETURN(auto files, ReadManifest(directory));
  PERFVEC_RETURN_IF_ERROR(CompareRegistryFiles(directory, files));
  PERFVEC_RETURN_IF_ERROR(VerifyRocksDbStore(RegistryDirectory(directory)));
  PERFVEC_ASSIGN_OR_RETURN(std::set<std::string> digests,
                           ChunksOfBackup(directory));
  BackupSummary summary;
  for (const auto& [name, entry] : files) {
    ++summary.files;
    summary.size_bytes += entry.size_bytes;
  }
  for (const std::string& digest : digests) {
    const std::string path = ChunkPath(ChunksDirectory(directory), digest);
    absl::StatusOr<std::string> found = Sha256OfFile(path);
    if (!found.ok() || *found != digest) {
      return absl::DataLossError(absl::StrCat(
          "backup chunk '", path, "': ",
          found.ok() ? "its content does not have the SHA-256 of its name"
                     : found.status().message()));
    }
    PERFVEC_ASSIGN_OR_RETURN(uint64_t size, FileSize(path));
    ++summary.files;
    summary.size_bytes += size;
  }
  return summary;
}

absl::StatusOr<BackupSummary> RestoreBackup(const std::string& from,
                                            const std::string& to) {
  PERFVEC_RETURN_IF_ERROR(VerifyBackup(from).status());
  PERFVEC_RETURN_IF_ERROR(RequireAbsentOrEmpty(to));
  const std::string partial = absl::StrCat(to, ".restoring");
  std::error_code error;
  std::filesystem::remove_all(partial, error);  // of an attempt that was cut
  auto copy = [&]() -> absl::StatusOr<BackupSummary> {
    PERFVEC_RETURN_IF_ERROR(CopyTree(from, partial));
    return VerifyBackup(partial);
  };
  absl::StatusOr<BackupSummary> summary = copy();
  if (!summary.ok()) {
    std::filesystem::remove_all(partial, error);
    return summary;
  }
  FileSystem* const file_system = FileSystem::Real();
  PERFVEC_RETURN_IF_ERROR(file_system->Remove(ManifestPath(partial)));
  PERFVEC_RETURN_IF_ERROR(SyncTree(partial));
  std::filesystem::remove(to, error);  // empty, or absent
  PERFVEC_RETURN_IF_ERROR(file_system->Rename(partial, to));
  PERFVEC_RETURN_IF_ERROR(file_system->SyncDirectory(ParentDirectory(to)));
  return summary;
}

}  // namespace perfvec::storage
