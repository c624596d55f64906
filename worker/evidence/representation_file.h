// The representations of a trace's instructions, kept in a file: latencies on
// further architectures then cost a read of it in place of a pass of the
// network.
//
// Read by the machine that wrote it (native byte order, told by the magic). The
// file names the model and a digest of the instructions it is of; every block
// of 1024 rows is under a checksum. It appears under its name once it is whole.
//
// One thread each.
//
//   ASSIGN file = RepresentationWriter::Create(path, key);
//   RETURN_IF_ERROR(file->Append(rows, count));   // again and again
//   RETURN_IF_ERROR(file->Finish());
//   ASSIGN kept = RepresentationReader::Open(path, key);   // null: none
//   RETURN_IF_ERROR(kept->Read(count, rows));
#ifndef PERFVEC_WORKER_EVIDENCE_REPRESENTATION_FILE_H_
#define PERFVEC_WORKER_EVIDENCE_REPRESENTATION_FILE_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace perfvec::evidence {

// What representations depend on.
struct RepresentationKey {
  std::string model_id;
  uint64_t digest = 0;  // DigestOfTrace
  bool bf16 = false;    // precision of the network's products
  uint64_t width = 0;
  uint64_t instructions = 0;
  // "DIRECTORY/…"
  std::string PathIn(const std::string& directory) const;
  uint64_t FileBytes() const;
};

// Of the instructions of a .pvt file, whatever its latencies; counts them too.
// The reader's errors come through.
absl::StatusOr<uint64_t> DigestOfTrace(const std::string& path,
                                       uint64_t* instructions);

class RepresentationWriter {
 public:
  static absl::StatusOr<std::unique_ptr<RepresentationWriter>> Create(
      const std::string& path, const RepresentationKey& key);
  ~RepresentationWriter();

  absl::Status Append(const float* rows, size_t count);
  // INTERNAL if there were not as many rows as the key says.
  absl::Status Finish();

 private:
  RepresentationWriter(std::string path, const RepresentationKey& key);
  absl::Status WriteBlock();

  const std::string path_;
  const RepresentationKey key_;
  std::ofstream out_;
  std::vector<float> block_;
  uint64_t rows_ = 0;
};

class RepresentationReader {
 public:
  // Null where there is no file, or one of another key.
  static absl::StatusOr<std::unique_ptr<RepresentationReader>> Open(
      const std::string& path, const RepresentationKey& key);

  // The next `count` rows, [count][width], in place of what `rows` held.
  // DATA_LOSS if the file is damaged or over.
  absl::Status Read(size_t count, std::vector<float>* rows);

 private:
  RepresentationReader(std::string path, const RepresentationKey& key)
      : path_(std::move(path)), key_(key) {}

  const std::string path_;
  const RepresentationKey key_;
  std::ifstream in_;
  std::vector<float> block_;
  size_t at_ = 0;      // in block_
  uint64_t rows_ = 0;  // read from the file
};

}  // namespace perfvec::evidence

#endif  // PERFVEC_WORKER_EVIDENCE_REPRESENTATION_FILE_H_
