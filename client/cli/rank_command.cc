// perfvec rank
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

struct RankOptions {
  std::string program, architecture, model, objective = "time", deadline;
  std::vector<std::string> where, candidates;
  int32_t limit = 20;
  double confidence = 0;
};

absl::StatusOr<int32_t> ParseRankLimit(absl::string_view text) {
  int32_t limit;
  if (!absl::SimpleAtoi(text, &limit) || limit < 1 || limit > 10000) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": expected a number from 1 to 10000"));
  }
  return limit;
}

absl::StatusOr<api::RankRequest> ToRequest(const RankOptions& options) {
  api::RankRequest request;
  if (options.architecture.empty()) {
    request.set_program(options.program);
  } else {
    request.set_architecture(options.architecture);
  }
  request.set_model(options.model);
  auto objective = ParseObjective(options.objective);
  if (!objective.ok()) return objective.status();
  request.set_objective(*objective);
  for (const std::string& text : options.where) {
    auto constraint = ParseConstraint(text);
    if (!constraint.ok()) return constraint.status();
    *request.add_constraints() = *std::move(constraint);
  }
  if (!options.deadline.empty()) {
    auto deadline = ParseDuration(options.deadline);
    if (!deadline.ok()) return deadline.status();
    request.set_deadline_ns(absl::ToDoubleNanoseconds(*deadline));
  }
  request.set_limit(options.limit);
  request.set_confidence(options.confidence);
  for (const std::string& name : options.candidates) {
    request.add_candidates(name);
  }
  return request;
}

std::string ObjectiveValue(api::Objective objective, double value) {
  if (objective == api::OBJECTIVE_ENERGY) return FormatJoules(value);
  return FormatNumber(value);
}

void PrintTable(const api::RankRequest& request,
                const api::RankResponse& answer) {
  const api::Objective objective = request.objective();
  const bool by_time = objective == api::OBJECTIVE_TIME;
  const bool architectures = request.has_program();
  std::cout << answer.subject() << " under model " << ShortId(answer.model_id())
            << ", " << answer.considered()
            << (architectures ? " architectures" : " programs")
            << " considered";
  auto excluded = [](uint64_t count, const char* why) {
    if (count > 0) std::cout << ", " << count << " " << why;
  };
  excluded(answer.excluded_by_constraints(), "excluded by --where");
  excluded(answer.excluded_by_deadline(), "too slow");
  excluded(answer.excluded_without_objective(), objective == api::OBJECTIVE_COST
                                                    ? "without a price"
                                                    : "without a power");
  excluded(answer.excluded_out_of_range(), "without a valid time");
  std::cout << "\n";
  std::vector<Table::Column> columns = {
      {"RANK", Table::kRight},
      {architectures ? "ARCHITECTURE" : "PROGRAM", Table::kElastic},
      {"TIME", Table::kRight}};
  if (!by_time) {
    columns.push_back(
        {objective == api::OBJECTIVE_COST ? "COST" : "ENERGY", Table::kRight});
  }
  columns.push_back({"RELATIVE", Table::kRight});
  const bool intervals = answer.confidence() > 0;
  if (intervals) {
    columns.push_back({"FROM", Table::kRight});
    columns.push_back({"TO", Table::kRight});
    columns.push_back({"NOTE"});
  }
  Table table(std::move(columns), OutputWidth());
  int rank = 0;
  for (const auto& item : answer.items()) {
    std::vector<std::string> row = {absl::StrCat(++rank), item.name(),
                                    FormatTimeNs(item.time_ns())};
    if (!by_time) {
      row.push_back(ObjectiveValue(objective, item.objective_value()));
    }
    row.push_back(absl::StrFormat("%.2fx", item.relative_to_best()));
    if (intervals) {
      row.push_back(FormatTimeNs(item.low_ns()));
      row.push_back(FormatTimeNs(item.high_ns()));
      row.push_back(item.program_out_of_distribution()
                        ? "program out of distribution"
                    : item.architecture_out_of_distribution()
                        ? "architecture out of distribution"
                        : "");
    }
    table.Add(std::move(row));
  }
  std::cout << table.Render();
}

absl::Status Rank(Context& context, const RankOptions& options) {
  auto request = ToRequest(options);
  if (!request.ok()) return request.status();
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto answer = (*client)->Rank(*request);
  if (!answer.ok()) return answer.status();
  if (context.json) return PrintJson(std::cout, *answer);
  PrintTable(*request, *answer);
  return absl::OkStatus();
}

}  // namespace

void AddRankCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<RankOptions>();
  CLI::App* command = AddCommand(
      app, "rank",
      "Rank architectures for a program, or programs on an architecture",
      {"perfvec rank lbm", "perfvec rank lbm --objective energy --limit 5",
       "perfvec rank lbm --where 'core.numROBEntries>=128' --deadline 10ms",
       "perfvec rank --architecture cortex_a15_like --json"});
  auto* program = command
                      ->add_option("program", options->program,
                                   "Rank architectures for this program")
                      ->type_name(kProgramType);
  command
      ->add_option("--architecture", options->architecture,
                   "Rank programs on this architecture")
      ->type_name(kArchitectureType)
      ->excludes(program);
  command
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command
      ->add_option("--objective", options->objective,
                   "What is best: least time, cost (time x price) or energy "
                   "(time x power) [time]")
      ->check(Parses(&ParseObjective))
      ->type_name("time|cost|energy");
  command
      ->add_option("--where", options->where,
                   "Only where this attribute, tag (tag.KEY), name, "
                   "price_per_hour or power_watts is so; may be repeated, "
                   "all must hold")
      ->check(Parses(&ParseConstraint))
      ->type_name("ATTRIBUTE>=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--deadline", options->deadline,
                   "Only what ends within this time")
      ->check(Parses(&ParseDuration))
      ->type_name("TIME");
  command
      ->add_option("--candidate", options->candidates,
                   "Rank these only; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command->add_option("--limit", options->limit, "At most so many rows [20]")
      ->check(Parses(&ParseRankLimit))
      ->type_name("N");
  command
      ->add_option("--confidence", options->confidence,
                   "Of the intervals: 0.9 if not given, 0.99 at most")
      ->check(CLI::Range(0.01, 0.99))
      ->type_name("SHARE");
  command->callback([&context, options] {
    if (options->program.empty() && options->architecture.empty()) {
      throw CLI::RequiredError("rank needs PROGRAM or --architecture");
    }
    context.action = [&context, options] { return Rank(context, *options); };
  });
}

}  // namespace perfvec::client::cli
