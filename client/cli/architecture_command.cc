// perfvec arch list|get|create|update|delete (learn: learn_command.cc)
#include <algorithm>
#include <iterator>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/architecture_file.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"
#include "client/local_file.h"

namespace perfvec::client::cli {
namespace {

constexpr uint64_t kFileLimitBytes = 256 << 20;

struct ArchitectureOptions {
  ListOptions list;
  MetadataOptions metadata;
  std::string architecture, file;
  std::vector<std::string> tags, set_attributes, remove_attributes;
  std::string price, power;
  bool all_versions = false;
};

absl::StatusOr<double> ParseAmount(absl::string_view text) {
  double amount;
  if (!absl::SimpleAtod(text, &amount) || !(amount >= 0) || amount > 1e15) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected a number of 0 or more"));
  }
  return amount;
}

absl::Status List(Context& context, const ListOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintList(
      context, options, "architectures",
      {{"NAME", Table::kElastic},
       {"PRICE/H", Table::kRight},
       {"WATTS", Table::kRight},
       {"ATTRIBUTES", Table::kRight},
       {"CREATED"},
       {"ALIASES", Table::kElastic},
       {"TAGS", Table::kElastic}},
      [&](const api::PageRequest& page) {
        return (*client)->ListArchitectures(page);
      },
      [](const auto& answer) { return answer.architectures(); },
      [](const api::Architecture& architecture) -> std::vector<std::string> {
        return {absl::StrCat(architecture.name(), "@", architecture.version()),
                architecture.has_price_per_hour()
                    ? FormatNumber(architecture.price_per_hour())
                    : "-",
                architecture.has_power_watts()
                    ? FormatNumber(architecture.power_watts())
                    : "-",
                absl::StrCat(architecture.attributes_size()),
                FormatDate(architecture.create_time()),
                JoinAliases(architecture.aliases()),
                JoinTags(architecture.tags())};
      });
}

absl::Status Show(const Context& context,
                  const absl::StatusOr<api::Architecture>& architecture) {
  if (!architecture.ok()) return architecture.status();
  if (context.json) return PrintJson(std::cout, *architecture);
  std::vector<std::pair<std::string, std::string>> fields = {
      {"architecture",
       absl::StrCat(architecture->name(), "@", architecture->version())},
      {"aliases", JoinAliases(architecture->aliases())},
      {"tags", JoinTags(architecture->tags())}};
  if (architecture->has_price_per_hour()) {
    fields.emplace_back("price per hour",
                        FormatNumber(architecture->price_per_hour()));
  }
  if (architecture->has_power_watts()) {
    fields.emplace_back(
        "power", absl::StrCat(FormatNumber(architecture->power_watts()), " W"));
  }
  for (const auto& vector : architecture->vectors()) {
    fields.emplace_back(
        "vector", absl::StrCat(vector.origin(), ", model ", vector.model_id()));
  }
  fields.emplace_back("created", FormatDate(architecture->create_time()));
  fields.emplace_back("updated", FormatDate(architecture->update_time()));
  fields.emplace_back("revision", absl::StrCat(architecture->revision()));
  std::cout << RenderFields(fields);
  const std::map<std::string, api::AttributeValue> attributes(
      architecture->attributes().begin(), architecture->attributes().end());
  if (attributes.empty()) return absl::OkStatus();
  Table table({{"ATTRIBUTE"}, {"VALUE", Table::kElastic}}, OutputWidth());
  for (const auto& [name, value] : attributes) {
    table.Add({name, FormatAttribute(value)});
  }
  std::cout << "\n" << table.Render();
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadInput(const std::string& file) {
  if (file != "-") return ReadWholeFile(file, kFileLimitBytes);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

absl::Status Create(Context& context, const ArchitectureOptions& options) {
  auto text = ReadInput(options.file);
  if (!text.ok()) return text.status();
  auto drafts = ParseArchitectures(
      *text, options.file == "-" ? "standard input" : options.file);
  if (!drafts.ok()) return drafts.status();
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  std::map<std::string, std::string> model_ids;
  JsonList list(std::cout, "architectures");
  for (ArchitectureDraft& draft : *drafts) {
    api::Architecture& architecture = draft.architecture;
    absl::Status tags = SetTags(options.tags, architecture.mutable_tags());
    if (!tags.ok()) return tags;
    for (size_t v = 0; v < draft.vector_models.size(); ++v) {
      const std::string& name = draft.vector_models[v];
      if (name.empty()) continue;
      std::string& id = model_ids[name];
      if (id.empty()) {
        auto model = (*client)->GetModel(name);
        if (!model.ok()) return model.status();
        id = model->model_id();
      }
      architecture.mutable_vectors(static_cast<int>(v))->set_model_id(id);
    }
    auto created = (*client)->CreateArchitecture(architecture);
    if (!created.ok()) return created.status();
    if (context.json) {
      absl::Status printed = list.Add(*created);
      if (!printed.ok()) return printed;
    } else {
      std::cout << created->name() << "@" << created->version() << "\n";
    }
  }
  if (context.json) list.Close();
  return absl::OkStatus();
}

absl::Status Update(Context& context, const ArchitectureOptions& options) {
  auto update = ToUpdate(options.metadata);
  if (!update.ok()) return update.status();
  api::UpdateArchitectureRequest request;
  request.set_architecture(options.architecture);
  *request.mutable_update() = *std::move(update);
  for (const std::string& text : options.set_attributes) {
    auto attribute = ParseKeyValue(text);
    if (!attribute.ok()) return attribute.status();
    (*request.mutable_set_attributes())[attribute->first] =
        ParseAttributeValue(attribute->second);
  }
  for (const std::string& name : options.remove_attributes) {
    request.add_remove_attributes(name);
  }
  if (!options.price.empty()) {
    request.set_price_per_hour(ParseAmount(options.price).value_or(0));
  }
  if (!options.power.empty()) {
    request.set_power_watts(ParseAmount(options.power).value_or(0));
  }
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return Show(context, (*client)->UpdateArchitecture(request));
}

void AddUpdateCommand(CLI::App* group, Context& context,
                      std::shared_ptr<ArchitectureOptions> options) {
  CLI::App* update = AddCommand(
      *group, "update",
      "Change tags, aliases, attributes, price or power of an architecture",
      {"perfvec arch update a15 --price 0.12 --set l2.size_kib=512",
       "perfvec arch update a15 --tag site=lab --alias gold"});
  update
      ->add_option("architecture", options->architecture,
                   "Name, name@version or name@alias")
      ->type_name(kArchitectureType)
      ->required();
  AddMetadataOptions(update, &options->metadata);
  update
      ->add_option("--set", options->set_attributes,
                   "Set an attribute: a number, or a text; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  update
      ->add_option("--unset", options->remove_attributes,
                   "Remove an attribute; may be repeated")
      ->type_name("KEY")
      ->allow_extra_args(false);
  update->add_option("--price", options->price, "Price of an hour")
      ->check(Parses(&ParseAmount))
      ->type_name("NUMBER");
  update->add_option("--power", options->power, "Power in watts")
      ->check(Parses(&ParseAmount))
      ->type_name("WATTS");
  SetAction(update, context,
            [&context, options] { return Update(context, *options); });
}

}  // namespace

void AddArchitectureCommands(CLI::App& app, Context& context) {
  auto options = std::make_shared<ArchitectureOptions>();
  CLI::App* group = AddGroup(app, "arch", "Architectures");

  CLI::App* list = AddCommand(*group, "list", "List architectures",
                              {"perfvec arch list",
                               "perfvec arch list --tag "
                               "site=lab --json"});
  AddListOptions(list, &options->list);
  SetAction(list, context,
            [&context, options] { return List(context, options->list); });

  CLI::App* get = AddCommand(*group, "get", "Show one architecture",
                             {"perfvec arch get cortex_a15_like"});
  get->add_option("architecture", options->architecture,
                  "Name, name@version or name@alias")
      ->type_name(kArchitectureType)
      ->required();
  SetAction(get, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return Show(context, (*client)->GetArchitecture(options->architecture));
  });

  CLI::App* create =
      AddCommand(*group, "create",
                 "Register the architectures of a JSON file: name, attributes, "
                 "price_per_hour, power_watts, tags, aliases, vectors",
                 {"perfvec arch create a15.json",
                  "echo '{\"name\": \"a15\", \"attributes\": {\"rob\": 40}, "
                  "\"power_watts\": 3}' | perfvec arch create -"});
  create
      ->add_option("file", options->file,
                   "One architecture or an array of them; - is standard input")
      ->type_name(kFileType)
      ->required();
  create->add_option("--tag", options->tags, "Set a tag; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  SetAction(create, context,
            [&context, options] { return Create(context, *options); });

  AddLearnCommand(*group, context);
  AddUpdateCommand(group, context, options);

  CLI::App* erase = AddCommand(
      *group, "delete",
      "Delete the latest (or the given) version of an architecture",
      {"perfvec arch delete a15@1", "perfvec arch delete a15 --all-versions"});
  erase
      ->add_option("architecture", options->architecture,
                   "Name, name@version or name@alias")
      ->type_name(kArchitectureType)
      ->required();
  erase->add_flag("--all-versions", options->all_versions,
                  "Every version of the name");
  SetAction(erase, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return (*client)->DeleteArchitecture(options->architecture,
                                         options->all_versions);
  });
}

}  // namespace perfvec::client::cli
