// perfvec job list|get|watch|cancel
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

struct JobOptions {
  std::string job_id, program;
  std::vector<std::string> states;
  uint64_t limit = 0;
};

absl::StatusOr<api::JobState> ParseState(absl::string_view text) {
  for (api::JobState state :
       {api::JOB_STATE_QUEUED, api::JOB_STATE_RUNNING, api::JOB_STATE_SUCCEEDED,
        api::JOB_STATE_FAILED, api::JOB_STATE_CANCELLED}) {
    if (FormatJobState(state) == text) return state;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\": expected queued, running, succeeded, ",
                   "failed or cancelled"));
}

std::string Percent(const api::Job& job) {
  if (job.instructions() == 0) return "-";
  return absl::StrCat(
      static_cast<int>(100.0 * job.instructions_done() / job.instructions()),
      "%");
}

absl::Status List(Context& context, const JobOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  ListOptions paging;
  paging.limit = options.limit;
  return PrintList(
      context, paging, "jobs",
      {{"JOB"},
       {"STATE"},
       {"PROGRAM", Table::kElastic},
       {"MODEL"},
       {"INSTRUCTIONS", Table::kRight},
       {"DONE", Table::kRight},
       {"CREATED"},
       {"ERROR", Table::kElastic}},
      [&](const api::PageRequest& page) {
        api::ListJobsRequest request;
        request.set_page_size(page.page_size());
        request.set_page_token(page.page_token());
        request.set_program(options.program);
        for (const auto& text : options.states) {
          request.add_states(
              ParseState(text).value_or(api::JOB_STATE_UNSPECIFIED));
        }
        return (*client)->ListJobs(request);
      },
      [](const auto& answer) { return answer.jobs(); },
      [](const api::Job& job) -> std::vector<std::string> {
        return {job.job_id(),
                FormatJobState(job.state()),
                absl::StrCat(job.program_name(), "@", job.program_version()),
                ShortId(job.model_id()),
                FormatCount(job.instructions()),
                Percent(job),
                FormatDate(job.create_time()),
                job.error()};
      });
}

absl::Status Show(const Context& context, const absl::StatusOr<api::Job>& job) {
  if (!job.ok()) return job.status();
  if (context.json) return PrintJson(std::cout, *job);
  std::cout << DescribeJob(*job);
  return absl::OkStatus();
}

// For programs each change is a line of JSON, as it comes.
absl::StatusOr<api::Job> WatchAsJson(Client& client,
                                     const std::string& job_id) {
  absl::Status printed;
  auto job = client.WatchJob(job_id, [&](const api::Job& now) {
    std::string line;
    printed = AppendJson(now, &line);
    std::cout << line << std::endl;
    return printed.ok() && std::cout.good();
  });
  if (!printed.ok()) return printed;
  return job;
}

absl::Status Watch(Context& context, const std::string& job_id) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto job = context.json ? WatchAsJson(**client, job_id)
                          : FollowJob(**client, job_id);
  if (!job.ok()) return job.status();
  if (!context.json) std::cout << DescribeJob(*job);
  if (job->state() != api::JOB_STATE_SUCCEEDED) return JobFailedError(*job);
  return absl::OkStatus();
}

}  // namespace

void AddJobCommands(CLI::App& app, Context& context) {
  auto options = std::make_shared<JobOptions>();
  CLI::App* group =
      AddGroup(app, "job", "Jobs: computations of program vectors");
  auto add_job = [options](CLI::App* command) {
    command->add_option("job", options->job_id, "The job's id")
        ->type_name(kJobType)
        ->required();
  };

  CLI::App* list =
      AddCommand(*group, "list", "List jobs, newest first",
                 {"perfvec job list --state running --state queued",
                  "perfvec job list --program lbm --json"});
  list->add_option("--state", options->states,
                   "Only in this state; may be repeated")
      ->check(Parses(&ParseState))
      ->type_name("STATE")
      ->allow_extra_args(false);
  list->add_option("--program", options->program, "Only of this program")
      ->type_name(kProgramType);
  list->add_option("--limit", options->limit, "At most so many")
      ->type_name("N");
  SetAction(list, context,
            [&context, options] { return List(context, *options); });

  CLI::App* get = AddCommand(*group, "get", "Show one job",
                             {"perfvec job get 4f1c09 --json"});
  add_job(get);
  SetAction(get, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return Show(context, (*client)->GetJob(options->job_id));
  });

  CLI::App* watch = AddCommand(
      *group, "watch",
      "Follow a job until it has ended; exit code 11 if it did not succeed",
      {"perfvec job watch 4f1c09"});
  add_job(watch);
  SetAction(watch, context,
            [&context, options] { return Watch(context, options->job_id); });

  CLI::App* cancel = AddCommand(*group, "cancel", "Cancel a job",
                                {"perfvec job cancel 4f1c09"});
  add_job(cancel);
  SetAction(cancel, context, [&context, options]() -> absl::Status {
    auto client = context.Connect();
    if (!client.ok()) return client.status();
    return Show(context, (*client)->CancelJob(options->job_id));
  });
}

}  // namespace perfvec::client::cli
