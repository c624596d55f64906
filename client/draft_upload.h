// Sends a .pvt trace while it is being written.
//
//   DraftUpload draft(client, "run.pvt.partial");
//   while (...) { append to the file; draft.Grown(size); }
//   UploadOptions options;               // the file is complete
//   options.draft = draft.End();
//   auto trace = client->UploadTrace("run.pvt", options);   // what is missing
//
// A thread of its own reads the file behind the writer, so the writer waits
// neither for the network nor for the server, and memory is one message. It
// sends the whole pieces that are there, keeps trying while the server is away
// and gives up where the server refuses; UploadTrace then sends all that is
// missing, or says why not. Nothing here can harm the file.
//
// Grown and End from one thread at a time.
#ifndef PERFVEC_CLIENT_DRAFT_UPLOAD_H_
#define PERFVEC_CLIENT_DRAFT_UPLOAD_H_

#include <cstdint>
#include <memory>
#include <string>

#include "client/client.h"

namespace perfvec::client {

class DraftUpload {
 public:
  // `path` is opened at the first Grown(), and may be renamed after that.
  // `client` must outlive this.
  DraftUpload(const Client* client, std::string path);
  // Without End() before: the server is told to drop what it has, if it
  // answers within two seconds.
  ~DraftUpload();
  DraftUpload(const DraftUpload&) = delete;
  DraftUpload& operator=(const DraftUpload&) = delete;

  // So many bytes are in the file. Fewer than before: the rest was taken back,
  // and other bytes may follow; what was sent of it makes the draft useless.
  void Grown(uint64_t size_bytes);

  // Ends the sending at once. Returns the draft's name, or nothing where it is
  // of no use.
  std::string End();

  // What the server has said that it keeps.
  uint64_t committed_bytes() const;

 private:
  class Sender;
  const std::unique_ptr<Sender> sender_;
};

}  // namespace perfvec::client

#endif  // PERFVEC_CLIENT_DRAFT_UPLOAD_H_
