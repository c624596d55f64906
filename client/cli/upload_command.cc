// perfvec upload: sends a trace, registers it as a program, and on request
// waits for the program's vector.
#include "client/cli/upload_command.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

absl::StatusOr<api::Trace> Send(Client& client, const std::string& file,
                                const std::string& draft) {
  InterruptGuard interrupts(
      "interrupted; the same command goes on where it ended", "");
  Progress progress("checksum");
  UploadOptions upload;
  upload.draft = draft;
  upload.progress = [&](const UploadProgress& now) {
    switch (now.stage) {
      case UploadProgress::Stage::kHashing:
        break;
      case UploadProgress::Stage::kSending:
        progress.SetLabel("upload");
        break;
      case UploadProgress::Stage::kFinishing:
        progress.SetLabel("server checks");
        break;
    }
    progress.Bytes(now.done_bytes, now.size_bytes);
    return true;
  };
  return client.UploadTrace(file, upload);
}

}  // namespace

absl::Status UploadProgram(Context& context,
                           const UploadCommandOptions& options,
                           std::ostream& out) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  api::CreateProgramRequest request;
  request.set_name(options.program);
  request.set_skip_represent(options.skip_represent);
  absl::Status tags = SetTags(options.tags, request.mutable_tags());
  if (!tags.ok()) return tags;
  for (const auto& alias : options.aliases) request.add_aliases(alias);
  for (const auto& model : options.models) request.add_models(model);

  api::PartOptions parts;
  if (SetParts(options.parts, &parts)) *request.mutable_parts() = parts;

  auto trace = Send(**client, options.file, options.draft);
  if (!trace.ok()) return trace.status();
  request.set_trace_id(trace->trace_id());
  auto created = (*client)->CreateProgram(request);
  if (!created.ok()) return created.status();

  absl::Status failed;
  if (options.wait) {
    InterruptGuard interrupts(
        "interrupted; the job goes on, see perfvec job list", "");
    for (api::Job& job : *created->mutable_jobs()) {
      auto ended = FollowJob(**client, job.job_id());
      if (!ended.ok()) return ended.status();
      job = *std::move(ended);
      if (job.state() != api::JOB_STATE_SUCCEEDED) {
        failed.Update(JobFailedError(job));
      }
    }
    // With the vectors it has now.
    auto program = (*client)->GetProgram(absl::StrCat(
        created->program().name(), "@", created->program().version()));
    if (program.ok()) *created->mutable_program() = *std::move(program);
  }
  if (context.json) {
    absl::Status printed = PrintJson(out, *created);
    return failed.ok() ? printed : failed;
  }
  const api::Program& program = created->program();
  out << program.name() << "@" << program.version() << ": "
      << FormatCount(program.instructions()) << " instructions, "
      << FormatBytes(trace->size_bytes()) << "\n";
  for (const api::Job& job : created->jobs()) {
    out << "job " << job.job_id() << ": " << FormatJobState(job.state())
        << " under model " << ShortId(job.model_id()) << "\n";
  }
  return failed;
}

void AddUploadOptions(CLI::App* command, UploadCommandOptions* options,
                      CLI::Option* needed) {
  std::vector<CLI::Option*> added;
  added.push_back(
      command->add_option("--tag", options->tags, "Set a tag; may be repeated")
          ->check(Parses(&ParseKeyValue))
          ->type_name("KEY=VALUE")
          ->allow_extra_args(false));
  added.push_back(
      command
          ->add_option("--alias", options->aliases,
                       "Let an alias point to this version; may be repeated")
          ->type_name("NAME")
          ->allow_extra_args(false));
  added.push_back(
      command
          ->add_option("--model", options->models,
                       "Represent it under this model instead of the alias "
                       "\"default\"; may be repeated")
          ->type_name(kModelType)
          ->allow_extra_args(false));
  if (needed == nullptr) {
    AddPartOptions(command, &options->parts);
  } else {  // `trace run` has an --interval of its own
    added.push_back(command->add_flag(
        "--by-address", options->parts.by_address,
        "Keep vectors of functions and of the most executed instruction "
        "addresses"));
  }
  auto* wait = command->add_flag(
      "--wait", options->wait,
      "Wait until the program's vector is there; exit code 11 if its job "
      "fails");
  added.push_back(wait);
  added.push_back(command
                      ->add_flag("--skip-represent", options->skip_represent,
                                 "Only register it, without a job")
                      ->excludes(wait));
  if (needed == nullptr) return;
  for (CLI::Option* option : added) option->needs(needed);
}

void AddUploadCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<UploadCommandOptions>();
  CLI::App* command = AddCommand(
      app, "upload",
      "Send a .pvt trace to the server as a program. After a cut or Ctrl-C "
      "the same command goes on where it ended.",
      {"perfvec upload lbm.pvt --program lbm --wait",
       "perfvec upload lbm.pvt --program lbm --tag suite=spec --alias gold",
       "perfvec upload lbm.pvt --program lbm --interval 100000 --by-address"});
  command->add_option("file", options->file, "The .pvt trace")
      ->type_name(kFileType)
      ->required();
  command
      ->add_option("--program", options->program,
                   "The program's name; a name that is there gets a new "
                   "version")
      ->type_name("NAME")
      ->required();
  AddUploadOptions(command, options.get(), nullptr);
  SetAction(command, context, [&context, options] {
    return UploadProgram(context, *options, std::cout);
  });
}

}  // namespace perfvec::client::cli
