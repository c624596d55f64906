// perfvec program list|get|update|delete|represent
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

std::string Models(const api::Program& program) {
  std::vector<std::string> ids;
  for (const auto& vector : program.vectors()) {
    ids.push_back(ShortId(vector.model_id()));
  }
  return absl::StrJoin(ids, " ");
}

absl::Status List(Context& context, const ListOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return PrintList(
      context, options, "programs",
      {{"NAME", Table::kElastic},
       {"INSTRUCTIONS", Table::kRight},
       {"ISA"},
       {"VECTORS", Table::kElastic},
       {"CREATED"},
       {"ALIASES", Table::kElastic},
       {"TAGS", Table::kElastic}},
      [&](const api::PageRequest& page) {
        return (*client)->ListPrograms(page);
      },
      [](const auto& answer) { return answer.programs(); },
      [](const api::Program& program) -> std::vector<std::string> {
        return {absl::StrCat(program.name(), "@", program.version()),
                FormatCount(program.instructions()),
                program.isa(),
                Models(program),
                FormatDate(program.create_time()),
                JoinAliases(program.aliases()),
                JoinTags(program.tags())};
      });
}

absl::Status Show(const Context& context,
                  const absl::StatusOr<api::Program>& program) {
  if (!program.ok()) return program.status();
  if (context.json) return PrintJson(std::cout, *program);
  std::vector<std::string> vectors;
  for (const auto& vector : program->vectors()) {
    vectors.push_back(vector.model_id());
  }
  std::cout << RenderFields(
      {{"program", absl::StrCat(program->name(), "@", program->version())},
       {"aliases", JoinAliases(program->aliases())},
       {"tags", JoinTags(program->tags())},
       {"instructions", absl::StrCat(program->instructions())},
       {"isa", program->isa()},
       {"trace", program->trace_id()},
       {"represented under",
        vectors.empty() ? "no model" : absl::StrJoin(vectors, " ")},
       {"created", FormatDate(program->create_time())},
       {"updated", FormatDate(program->update_time())},
       {"revision", absl::StrCat(program->revision())}});
  return absl::OkStatus();
}

absl::Status Get(Context& context, const std::string& program) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return Show(context, (*client)->GetProgram(program));
}

absl::Status Update(Context& context, const std::string& program,
                    const MetadataOptions& options) {
  auto update = ToUpdate(options);
  if (!update.ok()) return update.status();
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  api::UpdateProgramRequest request;
  request.set_program(program);
  *request.mutable_update() = *std::move(update);
  return Show(context, (*client)->UpdateProgram(request));
}

absl::Status Delete(Context& context, const std::string& program, bool all) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  return (*client)->DeleteProgram(program, all);
}

absl::Status Represent(Context& context, const std::string& program,
                       const std::string& model, bool wait,
                       const PartCommandOptions& parts) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  api::RepresentProgramRequest request;
  request.set_program(program);
  request.set_model(model);
  api::PartOptions wanted;
  if (SetParts(parts, &wanted)) *request.mutable_parts() = wanted;
  auto job = (*client)->RepresentProgram(request);
  if (!job.ok()) return job.status();
  if (wait) {
    InterruptGuard interrupts(
        "interrupted; the job goes on, see perfvec job list", "");
    job = FollowJob(**client, job->job_id());
    if (!job.ok()) return job.status();
  }
  absl::Status printed;
  if (context.json) {
    printed = PrintJson(std::cout, *job);
  } else {
    std::cout << DescribeJob(*job);
  }
  if (wait && job->state() != api::JOB_STATE_SUCCEEDED) {
    return JobFailedError(*job);
  }
  return printed;
}

struct ProgramOptions {
  ListOptions list;
  MetadataOptions metadata;
  std::string program, model;
  bool all_versions = false, wait = false;
  PartCommandOptions parts;
};

}  // namespace

void AddProgramCommands(CLI::App& app, Context& context) {
  auto options = std::make_shared<ProgramOptions>();
  CLI::App* group =
      AddGroup(app, "program", "Programs: traces registered under a name");
  auto add_program = [options](CLI::App* command) {
    command
        ->add_option("program", options->program,
                     "Name, name@version or name@alias")
        ->type_name(kProgramType)
        ->required();
  };

  CLI::App* list = AddCommand(*group, "list", "List programs",
                              {"perfvec program list --prefix 505",
                               "perfvec program list --tag suite=spec --json"});
  AddListOptions(list, &options->list);
  SetAction(list, context,
            [&context, options] { return List(context, options->list); });

  CLI::App* get = AddCommand(*group, "get", "Show one program",
                             {"perfvec program get lbm",
                              "perfvec program get "
                              "lbm@2 --json"});
  add_program(get);
  SetAction(get, context,
            [&context, options] { return Get(context, options->program); });

  CLI::App* update =
      AddCommand(*group, "update", "Change the tags and aliases of a program",
                 {"perfvec program update lbm --tag owner=ann --alias gold"});
  add_program(update);
  AddMetadataOptions(update, &options->metadata);
  SetAction(update, context, [&context, options] {
    return Update(context, options->program, options->metadata);
  });

  CLI::App* erase = AddCommand(
      *group, "delete",
      "Delete the latest (or the given) version of a program, with its "
      "vectors and unfinished jobs",
      {"perfvec program delete lbm@1",
       "perfvec program delete lbm --all-versions"});
  add_program(erase);
  erase->add_flag("--all-versions", options->all_versions,
                  "Every version of the name");
  SetAction(erase, context, [&context, options] {
    return Delete(context, options->program, options->all_versions);
  });

  CLI::App* represent = AddCommand(
      *group, "represent", "Queue the computation of a program's vector",
      {"perfvec program represent lbm --model base@2 --wait",
       "perfvec program represent lbm --interval 100000 --by-address"});
  add_program(represent);
  represent
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  AddPartOptions(represent, &options->parts);
  represent->add_flag("--wait", options->wait,
                      "Wait until the job has ended; exit code 11 if it "
                      "fails");
  SetAction(represent, context, [&context, options] {
    return Represent(context, options->program, options->model, options->wait,
                     options->parts);
  });
}

}  // namespace perfvec::client::cli
