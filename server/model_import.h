// Brings a foundation model into the registry: from its files, checked tensor
// by tensor, to a model version, its chunks, and the architectures it was
// trained with.
//
// Any thread; blocks: run it on the bulk pool. Registering a model that is
// there returns it, so every step may be repeated.
//
//   ModelImport import;
//   import.name = "base";
//   import.directory = "deploy/models/default";
//   import.create_architectures = true;
//   auto model = ImportModel(context, import);
#ifndef PERFVEC_SERVER_MODEL_IMPORT_H_
#define PERFVEC_SERVER_MODEL_IMPORT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "perfvec/v1/resources.pb.h"
#include "server/service_context.h"

namespace perfvec::server {

struct ModelImport {
  std::string directory;  // with manifest.json and model.safetensors
  std::string name;       // empty: the manifest's
  std::map<std::string, std::string> tags;
  std::vector<std::string> aliases;
  bool create_architectures = false;
  bool default_if_none = false;  // alias "default" if no model has it
};

absl::StatusOr<v1::Model> ImportModel(const ServiceContext& context,
                                      ModelImport import);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_MODEL_IMPORT_H_
