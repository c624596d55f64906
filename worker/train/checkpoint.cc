#include "worker/train/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/trace/format.h"

namespace perfvec::train {
namespace {

using nlohmann::json;

constexpr char kMagic[9] = "PVTRAIN1";
constexpr size_t kMagicBytes = 8;

// In the order in which they stand in the file.
template <typename C>
auto Arrays(C& c) {
  return std::vector{&c.parameters, &c.mean,       &c.square,
                     &c.average,    &c.lane_state, &c.best.parameters};
}

// Doubles as bits: text would round.
uint64_t Bits(double v) {
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof bits);
  return bits;
}
double FromBits(uint64_t bits) {
  double v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

json Header(const Checkpoint& c) {
  json sizes = json::array(), lanes = json::array();
  for (const auto* array : Arrays(c)) sizes.push_back(array->size());
  for (const Lane& l : c.sampler.lanes) {
    lanes.push_back({l.slice, l.position, l.pieces_left, l.skip});
  }
  return {{"options", c.options},
          {"data", c.data},
          {"steps", c.steps},
          {"sizes", sizes},
          {"random", c.sampler.random},
          {"lanes", lanes},
          {"best",
           {Bits(c.best.error), c.best.update, c.best.averaged,
            c.best.worse_since}},
          {"shown",
           {Bits(c.shown_loss), Bits(c.shown_error), c.shown,
            Bits(c.shown_gradient)}}};
}

// Throws what nlohmann-json throws where the header is not as written above.
void ReadHeader(const json& header, Checkpoint* c, std::vector<size_t>* sizes) {
  c->options = header.at("options");
  c->data = header.at("data").get<std::string>();
  c->steps = header.at("steps").get<int64_t>();
  *sizes = header.at("sizes").get<std::vector<size_t>>();
  c->sampler.random = header.at("random").get<uint64_t>();
  for (const json& l : header.at("lanes")) {
    c->sampler.lanes.push_back(
        {l.at(0).get<uint64_t>(), l.at(1).get<uint64_t>(),
         l.at(2).get<uint64_t>(), l.at(3).get<uint64_t>()});
  }
  const json& best = header.at("best");
  c->best.error = FromBits(best.at(0).get<uint64_t>());
  c->best.update = best.at(1).get<int64_t>();
  c->best.averaged = best.at(2).get<bool>();
  c->best.worse_since = best.at(3).get<int64_t>();
  const json& shown = header.at("shown");
  c->shown_loss = FromBits(shown.at(0).get<uint64_t>());
  c->shown_error = FromBits(shown.at(1).get<uint64_t>());
  c->shown = shown.at(2).get<int64_t>();
  c->shown_gradient = FromBits(shown.at(3).get<uint64_t>());
}

absl::Status WriteSynced(const std::string& path, const std::string& bytes) {
  const int fd =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  absl::Status status;
  for (size_t done = 0; status.ok() && done < bytes.size();) {
    const ssize_t n = ::write(fd, &bytes[done], bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = absl::ErrnoToStatus(errno, path);
    done += n < 0 ? 0 : n;
  }
  if (status.ok() && ::fsync(fd) != 0) {
    status = absl::ErrnoToStatus(errno, path);
  }
  if (::close(fd) != 0 && status.ok()) {
    status = absl::ErrnoToStatus(errno, path);
  }
  return status;
}

}  // namespace

absl::Status SaveCheckpoint(const std::string& path, const Checkpoint& state) {
  const std::string header = Header(state).dump();
  std::string bytes(kMagic, kMagicBytes);
  trace::PutU64(header.size(), &bytes);
  bytes += header;
  for (const auto* array : Arrays(state)) {
    bytes.append(reinterpret_cast<const char*>(array->data()),
                 array->size() * sizeof(float));
  }
  trace::PutU64(trace::Checksum(bytes), &bytes);
  const std::string next = path + ".next";
  absl::Status status = WriteSynced(next, bytes);
  if (status.ok() && std::rename(next.c_str(), path.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno, path);
  }
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("checkpoint ", status.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("checkpoint ", path));
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  const std::string name = absl::StrCat("checkpoint ", path, ": ");
  if (bytes.compare(0, kMagicBytes, kMagic, kMagicBytes) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, "not a checkpoint of this version; remove it"));
  }
  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      name, "cut or damaged; remove it to begin anew, or restore a copy"));
  const size_t frame = kMagicBytes + 8, end = bytes.size() - 8;
  if (bytes.size() < frame + 8 ||
      trace::Checksum({bytes.data(), end}) != trace::GetU64(&bytes[end])) {
    return damaged;
  }
  const uint64_t header_size = trace::GetU64(&bytes[kMagicBytes]);
  if (header_size > end - frame) return damaged;
  Checkpoint state;
  std::vector<size_t> sizes;
  try {
    ReadHeader(json::parse(bytes.substr(frame, header_size)), &state, &sizes);
  } catch (const json::exception&) {
    return damaged;
  }
  const auto arrays = Arrays(state);
  if (sizes.size() != arrays.size()) return damaged;
  size_t at = frame + header_size;
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (sizes[i] > (end - at) / sizeof(float)) return damaged;
    arrays[i]->resize(sizes[i]);
    std::memcpy(arrays[i]->data(), &bytes[at], sizes[i] * sizeof(float));
    at += sizes[i] * sizeof(float);
  }
  if (at != end) return damaged;
  return state;
}

absl::Status CheckSameRun(const std::string& path, const Checkpoint& found,
                          const json& options, const std::string& data) {
  std::string differences;
  json all = found.options;
  all.update(options);
  for (const auto& item : all.items()) {
    if (item.key() == "updates") continue;
    const json then = found.options.value(item.key(), json());
    const json now = options.value(item.key(), json());
    if (then == now) continue;
    absl::StrAppend(&differences, differences.empty() ? "" : ", ", item.key(),
                    " (then ", then.dump(), ", now ", now.dump(), ")");
  }
  if (differences.empty() && found.data != data) differences = "the data";
  if (differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("checkpoint ", path, ": of another run: ", differences,
                   "; remove it, or give what it was made with"));
}

}  // namespace perfvec::train
