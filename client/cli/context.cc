#include "client/cli/context.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

constexpr char kGlobalOptions[] =
    "Global options: --server, --timeout, --json, --config, --tls-ca,\n"
    "--tls-cert, --tls-key, --token-file, --request-id; see perfvec --help.";

}  // namespace

absl::StatusOr<Client*> Context::Connect() {
  if (client_) return client_.get();
  auto parsed = ParseDuration(timeout);
  if (!parsed.ok()) return parsed.status();
  ClientOptions options;
  options.server = server;
  options.timeout = *parsed;
  options.tls_ca = tls_ca;
  options.tls_certificate = tls_certificate;
  options.tls_key = tls_key;
  options.token_file = token_file;
  options.request_id = request_id;
  // Not an option: command lines are seen by all users of a machine.
  const char* token = std::getenv("PERFVEC_TOKEN");
  if (token != nullptr && token_file.empty()) options.token = token;
  auto client = Client::Create(options);
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  return client_.get();
}

CLI::App* AddCommand(CLI::App& parent, const std::string& name,
                     const std::string& description,
                     const std::vector<std::string>& examples) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer(absl::StrCat("Examples:\n  ", absl::StrJoin(examples, "\n  "),
                               "\n\n", kGlobalOptions));
  return command;
}

CLI::App* AddGroup(CLI::App& parent, const std::string& name,
                   const std::string& description) {
  CLI::App* group = parent.add_subcommand(name, description);
  group->require_subcommand(1);
  group->footer(kGlobalOptions);
  return group;
}

void SetAction(CLI::App* command, Context& context,
               std::function<absl::Status()> action) {
  command->callback(
      [&context, action = std::move(action)] { context.action = action; });
}

void AddListOptions(CLI::App* command, ListOptions* options) {
  command
      ->add_option("--prefix", options->prefix,
                   "Only names that begin with this")
      ->type_name("TEXT");
  command
      ->add_option("--tag", options->tags,
                   "Only those with this tag; may be repeated, all must "
                   "match")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_flag("--all-versions", options->all_versions,
                    "All versions, not only the latest of each name");
  command->add_option("--limit", options->limit, "At most so many")
      ->type_name("N");
}

absl::StatusOr<api::PageRequest> FirstPage(const ListOptions& options) {
  api::PageRequest page;
  page.set_name_prefix(options.prefix);
  page.set_all_versions(options.all_versions);
  page.set_page_size(1000);
  if (options.limit > 0) {
    page.set_page_size(
        static_cast<int32_t>(std::min<uint64_t>(options.limit, 1000)));
  }
  absl::Status status = SetTags(options.tags, page.mutable_tags());
  if (!status.ok()) return status;
  return page;
}

void AddMetadataOptions(CLI::App* command, MetadataOptions* options) {
  command->add_option("--tag", options->set_tags, "Set a tag; may be repeated")
      ->check(Parses(&ParseKeyValue))
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--remove-tag", options->remove_tags,
                   "Remove a tag; may be repeated")
      ->type_name("KEY")
      ->allow_extra_args(false);
  command
      ->add_option("--alias", options->add_aliases,
                   "Let an alias point here; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      ->add_option("--remove-alias", options->remove_aliases,
                   "Remove an alias; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command
      ->add_option("--if-revision", options->expected_revision,
                   "Only if the object still has this revision")
      ->type_name("N");
}

absl::StatusOr<api::MetadataUpdate> ToUpdate(const MetadataOptions& options) {
  api::MetadataUpdate update;
  absl::Status status = SetTags(options.set_tags, update.mutable_set_tags());
  if (!status.ok()) return status;
  for (const auto& tag : options.remove_tags) update.add_remove_tags(tag);
  for (const auto& alias : options.add_aliases) update.add_add_aliases(alias);
  for (const auto& alias : options.remove_aliases) {
    update.add_remove_aliases(alias);
  }
  update.set_expected_revision(options.expected_revision);
  return update;
}

absl::Status SetTags(const std::vector<std::string>& texts,
                     google::protobuf::Map<std::string, std::string>* tags) {
  for (const std::string& text : texts) {
    auto tag = ParseKeyValue(text);
    if (!tag.ok()) return tag.status();
    (*tags)[tag->first] = tag->second;
  }
  return absl::OkStatus();
}

std::string JoinTags(
    const google::protobuf::Map<std::string, std::string>& tags) {
  std::vector<std::string> texts;
  for (const auto& [key, value] : tags) {
    texts.push_back(absl::StrCat(key, "=", value));
  }
  std::sort(texts.begin(), texts.end());
  return absl::StrJoin(texts, " ");
}

std::string JoinAliases(
    const google::protobuf::RepeatedPtrField<std::string>& aliases) {
  return absl::StrJoin(aliases, " ");
}

std::string ShortId(const std::string& id) { return id.substr(0, 12); }

absl::StatusOr<api::Job> FollowJob(Client& client, const std::string& job_id) {
  Progress progress("queued");
  auto job = client.WatchJob(job_id, [&](const api::Job& now) {
    progress.SetLabel(absl::StrCat(FormatJobState(now.state()), " ",
                                   now.program_name(), "@",
                                   now.program_version()));
    progress.Instructions(now.instructions_done(), now.instructions());
    return true;
  });
  progress.Clear();
  return job;
}

std::string DescribeJob(const api::Job& job) {
  std::string progress =
      absl::StrCat(FormatCount(job.instructions_done()), " of ",
                   FormatCount(job.instructions()), " instructions, ",
                   job.shards_done(), " of ", job.shards(), " shards");
  std::string took;
  if (job.has_start_time() && job.has_finish_time()) {
    took = FormatSeconds(absl::Seconds(job.finish_time().seconds() -
                                       job.start_time().seconds()));
  }
  return RenderFields(
      {{"job", job.job_id()},
       {"state", FormatJobState(job.state())},
       {"program",
        absl::StrCat(job.program_name(), "@", job.program_version())},
       {"model", job.model_id()},
       {"request", job.request_id()},
       {"trace", job.trace_id()},
       {"progress", progress},
       {"created", FormatDate(job.create_time())},
       {"took", took},
       {"failed attempts",
        job.failed_attempts() > 0 ? absl::StrCat(job.failed_attempts()) : ""},
       {"error", job.error()}});
}

void AddPartOptions(CLI::App* command, PartCommandOptions* options) {
  options->interval_option =
      command
          ->add_option("--interval", options->interval,
                       "Keep vectors of intervals of so many instructions, "
                       "rounded up to the model's segments; 0: none; at most "
                       "512 of them. Without it the server chooses")
          ->check(CLI::NonNegativeNumber)
          ->type_name("N");
  command->add_flag("--by-address", options->by_address,
                    "Keep vectors of functions and of the most executed "
                    "instruction addresses");
}

bool SetParts(const PartCommandOptions& options, api::PartOptions* parts) {
  const bool interval = options.interval_option != nullptr &&
                        options.interval_option->count() > 0;
  if (!interval && !options.by_address) return false;
  if (interval) parts->set_interval_instructions(options.interval);
  parts->set_by_address(options.by_address);
  return true;
}

}  // namespace perfvec::client::cli
