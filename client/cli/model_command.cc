// perfvec model list|get|create|update|delete
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

struct ModelOptions {
  ListOptions list;
  MetadataOptions metadata;
  std::string model, directory, name;
  std::vector<std::string> tags, aliases;
  bool create_architectures = false;
};

absl::Status List(Context& context, const ListOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintList(
      context, options, "models",
      {{"NAME", Table::kElastic},
       {"MODEL ID"},
       {"WIDTH", Table::kRight},
       {"SIZE", Table::kRight},
       {"CREATED"},
       {"ALIASES", Table::kElastic},
       {"TAGS", Table::kElastic}},
      [&](const api::PageRequest& page) { return (*client)->ListModels(page); },
      [](const auto& answer) { return answer.models(); },
      [](const api::Model& model) -> std::vector<std::string> {
        return {absl::StrCat(model.name(), "@", model.version()),
                ShortId(model.model_id()),
                absl::StrCat(model.width()),
                FormatBytes(model.weights_size_bytes()),
                FormatDate(model.create_time()),
                JoinAliases(model.aliases()),
                JoinTags(model.tags())};
      });
}

absl::Status Show(const Context& context,
                  const absl::StatusOr<api::Model>& model) {
  if (!model.ok()) return model.status();
  if (context.json) return PrintJson(std::cout, *model);
  std::cout << RenderFields(
      {{"model", absl::StrCat(model->name(), "@", model->version())},
       {"model id", model->model_id()},
       {"aliases", JoinAliases(model->aliases())},
       {"tags", JoinTags(model->tags())},
       {"width", absl::StrCat(model->width())},
       {"segment",
        absl::StrCat(model->segment_instructions(), " instructions")},
       {"weights", FormatBytes(model->weights_size_bytes())},
       {"weights sha256", model->weights_sha256()},
       {"created", FormatDate(model->create_time())},
       {"updated", FormatDate(model->update_time())},
       {"revision", absl::StrCat(model->revision())}});
  return absl::OkStatus();
}

absl::Status Create(Context& context, const ModelOptions& options) {
  api::CreateModelRequest::Header header;
  header.set_name(options.name);
  header.set_create_architectures(options.create_architectures);
  absl::Status tags = SetTags(options.tags, header.mutable_tags());
  if (!tags.ok()) return tags;
  for (const auto& alias : options.aliases) header.add_aliases(alias);
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return Show(context, (*client)->CreateModel(options.directory, header));
}

}  // namespace

void AddModelCommands(CLI::App& app, Context& context) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* group = AddGroup(app, "model", "Foundation models");
  auto add_model = [options](CLI::App* command) {
    command
        ->add_option("model", options->model,
                     "Name, name@version, name@alias or model id")
        ->type_name(kModelType)
        ->required();
  };

  CLI::App* list =
      AddCommand(*group, "list", "List foundation models",
                 {"perfvec model list", "perfvec model list --json"});
  AddListOptions(list, &options->list);
  SetAction(list, context,
            [&context, options] { return List(context, options->list); });

  CLI::App* get = AddCommand(
      *group, "get", "Show one foundation model",
      {"perfvec model get base", "perfvec model get base@default --json"});
  add_model(get);
  SetAction(get, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return Show(context, (*client)->GetModel(options->model));
  });

  CLI::App* create = AddCommand(
      *group, "create",
      "Register the foundation model of a directory with manifest.json and "
      "model.safetensors",
      {"perfvec model create models/base --name base --alias default "
       "--architectures"});
  create
      ->add_option("directory", options->directory,
                   "Directory with manifest.json and model.safetensors")
      ->type_name(kDirectoryType)
      ->required();
  create->add_option("--name", options->name, "The model's name")
      ->type_name("NAME")
      ->required();
  create->add_option("--tag", options->tags, "Set a tag; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  create
      ->add_option("--alias", options->aliases,
                   "Let an alias point to it; may be repeated. \"default\" is "
                   "what commands use that name no model")
      ->type_name("NAME")
      ->allow_extra_args(false);
  create->add_flag("--architectures", options->create_architectures,
                   "Register the architectures it was trained on, with their "
                   "vectors");
  SetAction(create, context,
            [&context, options] { return Create(context, *options); });

  CLI::App* update =
      AddCommand(*group, "update", "Change the tags and aliases of a model",
                 {"perfvec model update base@2 --alias default"});
  add_model(update);
  AddMetadataOptions(update, &options->metadata);
  SetAction(update, context, [&context, options]() -> absl::Status {
    auto changes = ToUpdate(options->metadata);
    if (!changes.ok()) return changes.status();
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    api::UpdateModelRequest request;
    request.set_model(options->model);
    *request.mutable_update() = *std::move(changes);
    return Show(context, (*client)->UpdateModel(request));
  });

  CLI::App* erase = AddCommand(
      *group, "delete",
      "Delete a model with every vector made under it; refused while jobs "
      "use it",
      {"perfvec model delete base@1"});
  add_model(erase);
  SetAction(erase, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return (*client)->DeleteModel(options->model);
  });
}

}  // namespace perfvec::client::cli
