// perfvec predict (one pair or a batch)
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

constexpr int kBatch = 10000;  // requests of one call, the server's limit

struct PredictOptions {
  std::string program, architecture, model, batch;
  double confidence = 0;
};

std::string Interval(const api::PredictResponse& answer) {
  if (!answer.has_low_ns()) return "";
  return absl::StrFormat("%s to %s (%g %%)", FormatTimeNs(answer.low_ns()),
                         FormatTimeNs(answer.high_ns()),
                         100 * answer.confidence());
}

std::string Doubts(const api::PredictResponse& answer) {
  std::vector<std::string> doubts;
  if (answer.program_out_of_distribution()) {
    doubts.push_back("the program is unlike those the model was trained on");
  }
  if (answer.architecture_out_of_distribution()) {
    doubts.push_back("the architecture is unlike those the model knows");
  }
  return absl::StrJoin(doubts, "; ");
}

absl::Status PredictOne(Context& context, const PredictOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  api::PredictRequest request;
  request.set_program(options.program);
  request.set_architecture(options.architecture);
  request.set_model(options.model);
  request.set_confidence(options.confidence);
  auto answer = (*client)->Predict(request);
  if (!answer.ok()) return answer.status();
  if (context.json) return PrintJson(std::cout, *answer);
  const double per_instruction =
      answer->instructions() > 0 ? answer->time_ns() / answer->instructions()
                                 : 0;
  std::cout << RenderFields(
      {{"program", answer->program()},
       {"architecture", answer->architecture()},
       {"time", FormatTimeNs(answer->time_ns())},
       {"interval", Interval(*answer)},
       {"sampling error", answer->sampling_error() > 0
                              ? absl::StrFormat("%.1f %% (standard deviation)",
                                                100 * answer->sampling_error())
                              : ""},
       {"out of distribution", Doubts(*answer)},
       {"instructions", FormatCount(answer->instructions())},
       {"per instruction", FormatTimeNs(per_instruction)},
       {"model", answer->model_id()}});
  return absl::OkStatus();
}

// The next pairs of the file, at most kBatch.
absl::Status ReadPairs(std::istream& in, const PredictOptions& options,
                       int* line_number, api::PredictBatchRequest* request) {
  request->Clear();
  std::string line;
  while (request->requests_size() < kBatch && std::getline(in, line)) {
    ++*line_number;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r,"), absl::SkipEmpty());
    if (words.empty() || words[0][0] == '#') continue;
    if (words.size() != 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          options.batch, ":", *line_number,
          ": expected PROGRAM ARCHITECTURE, found ", words.size(), " words"));
    }
    auto* pair = request->add_requests();
    pair->set_program(words[0]);
    pair->set_architecture(words[1]);
    pair->set_model(options.model);
    pair->set_confidence(options.confidence);
  }
  return absl::OkStatus();
}

// Prints every pair; the first that failed decides the exit code.
absl::Status PredictBatch(Context& context, const PredictOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  std::ifstream file;
  if (options.batch != "-") {
    file.open(options.batch);
    if (!file) {
      return absl::NotFoundError(
          absl::StrCat(options.batch, ": cannot be opened"));
    }
  }
  std::istream& in = options.batch == "-" ? std::cin : file;
  JsonList list(std::cout, "items");
  Table table({{"PROGRAM", Table::kElastic},
               {"ARCHITECTURE", Table::kElastic},
               {"TIME", Table::kRight},
               {"LOW", Table::kRight},
               {"HIGH", Table::kRight},
               {"NOTE"}},
              OutputWidth());
  absl::Status first_failure;
  int line_number = 0;
  api::PredictBatchRequest request;
  while (true) {
    absl::Status read = ReadPairs(in, options, &line_number, &request);
    if (!read.ok()) return read;
    if (request.requests_size() == 0) break;
    auto answer = (*client)->PredictBatch(request);
    if (!answer.ok()) return answer.status();
    if (answer->items_size() != request.requests_size()) {
      return absl::InternalError(
          absl::StrCat("expected ", request.requests_size(),
                       " predictions, found ", answer->items_size()));
    }
    for (int i = 0; i < answer->items_size(); ++i) {
      const auto& item = answer->items(i);
      if (item.code() != 0) {
        first_failure.Update(absl::Status(
            static_cast<absl::StatusCode>(item.code()), item.message()));
      }
      if (context.json) {
        absl::Status printed = list.Add(item);
        if (!printed.ok()) return printed;
      } else if (item.code() == 0) {
        const api::PredictResponse& answered = item.prediction();
        const bool known = answered.has_low_ns();
        table.Add({answered.program(), answered.architecture(),
                   FormatTimeNs(answered.time_ns()),
                   known ? FormatTimeNs(answered.low_ns()) : "-",
                   known ? FormatTimeNs(answered.high_ns()) : "-",
                   Doubts(answered)});
      } else {
        table.Add({request.requests(i).program(),
                   request.requests(i).architecture(), "-", "-", "-",
                   item.message()});
      }
    }
    if (!context.json) std::cout << table.Render();
  }
  if (context.json) list.Close();
  return first_failure;
}

}  // namespace

void AddPredictCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* command = AddCommand(
      app, "predict", "Predict the time of a program on an architecture",
      {"perfvec predict lbm cortex_a15_like",
       "perfvec predict lbm@2 cortex_a15_like --model base@1 --json",
       "perfvec predict --batch pairs.txt   # PROGRAM ARCHITECTURE a line",
       "printf 'lbm o3_1\\nmcf o3_1\\n' | perfvec predict --batch -"});
  auto* program =
      command->add_option("program", options->program, "The program")
          ->type_name(kProgramType);
  command->add_option("architecture", options->architecture, "The architecture")
      ->type_name(kArchitectureType)
      ->needs(program);
  command
      ->add_option("--batch", options->batch,
                   "Predict the pairs of this file instead, one a line; - is "
                   "standard input. A pair that fails is printed with its "
                   "error, and the first one gives the exit code")
      ->type_name(kFileType)
      ->excludes(program);
  command
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command
      ->add_option("--confidence", options->confidence,
                   "Of the interval: 0.9 if not given, 0.99 at most")
      ->check(CLI::Range(0.01, 0.99))
      ->type_name("SHARE");
  command->callback([&context, options] {
    if (options->batch.empty() && options->architecture.empty()) {
      throw CLI::RequiredError("predict needs PROGRAM ARCHITECTURE or --batch");
    }
    context.action = [&context, options] {
      return options->batch.empty() ? PredictOne(context, *options)
                                    : PredictBatch(context, *options);
    };
  });
}

}  // namespace perfvec::client::cli
