// perfvec matrix: all pairs of some programs and architectures.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/commands.h"
#include "client/cli/units.h"

namespace perfvec::client::cli {
namespace {

struct MatrixOptions {
  std::vector<std::string> programs, architectures;
  std::string model;
  bool csv = false, intervals = false;
  double confidence = 0;
};

// As many digits as a double has, so that nothing is lost on the way.
std::string Exact(double value) { return absl::StrFormat("%.17g", value); }

// Prints rows as they come, in one of three forms.
class MatrixPrinter {
 public:
  MatrixPrinter(bool json, bool csv) : json_(json), csv_(csv) {}

  absl::Status Print(const api::PredictMatrixResponse& answer) {
    if (columns_.empty() && answer.architectures_size() > 0) {
      columns_.assign(answer.architectures().begin(),
                      answer.architectures().end());
      Begin(answer);
    }
    const int width = static_cast<int>(columns_.size());
    const int cells = width * answer.programs_size();
    const int bounds = intervals_ ? cells : 0;
    if (answer.time_ns_size() != cells || answer.low_ns_size() != bounds ||
        answer.high_ns_size() != bounds ||
        answer.program_out_of_distribution_size() !=
            (intervals_ ? answer.programs_size() : 0)) {
      return absl::InternalError(absl::StrCat(
          "expected ", answer.programs_size(), " rows of ", width,
          " times and intervals if any, found ", answer.time_ns_size(),
          " times and ", answer.low_ns_size(), " intervals"));
    }
    for (int r = 0; r < answer.programs_size(); ++r) Row(answer, r);
    if (table_) std::cout << table_->Render();
    return std::cout.good()
               ? absl::OkStatus()
               : absl::ResourceExhaustedError("cannot write to the output");
  }

  void End() {
    if (json_ && begun_) std::cout << (rows_ > 0 ? "\n]}\n" : "]}\n");
  }

 private:
  // Names are [A-Za-z0-9._+@~-]: they need no quoting in any form.
  void Begin(const api::PredictMatrixResponse& answer) {
    begun_ = true;
    intervals_ = answer.confidence() > 0;
    if (json_) {
      std::cout << "{\"model_id\": \"" << answer.model_id()
                << "\", \"architectures\": [\""
                << absl::StrJoin(columns_, "\", \"") << "\"], ";
      if (intervals_) {
        std::vector<std::string> strange;
        for (bool one : answer.architecture_out_of_distribution()) {
          strange.push_back(one ? "true" : "false");
        }
        std::cout << "\"architecture_out_of_distribution\": ["
                  << absl::StrJoin(strange, ", ")
                  << "], \"confidence\": " << Exact(answer.confidence())
                  << ", ";
      }
      std::cout << "\"rows\": [";
    } else if (csv_) {
      std::cout << "program," << absl::StrJoin(columns_, ",");
      if (intervals_) {
        std::cout << "," << absl::StrJoin(columns_, ".low,") << ".low,"
                  << absl::StrJoin(columns_, ".high,")
                  << ".high,out_of_distribution";
      }
      std::cout << "\n";
    } else {
      std::vector<Table::Column> columns = {{"PROGRAM", Table::kLeft}};
      for (const auto& name : columns_) {
        columns.push_back({name, Table::kRight});
      }
      if (intervals_) columns.push_back({"NOTE"});
      table_ = std::make_unique<Table>(std::move(columns), 0);
    }
  }

  // NaN: no valid time.
  std::vector<std::string> Numbers(const double* values) const {
    std::vector<std::string> out;
    for (size_t c = 0; c < columns_.size(); ++c) {
      out.push_back(std::isfinite(values[c]) ? Exact(values[c])
                    : json_                  ? "null"
                                             : "");
    }
    return out;
  }

  void Row(const api::PredictMatrixResponse& answer, int r) {
    const size_t at = static_cast<size_t>(r) * columns_.size();
    const double* const time_ns = answer.time_ns().data() + at;
    const double* const low_ns =
        intervals_ ? answer.low_ns().data() + at : nullptr;
    const double* const high_ns =
        intervals_ ? answer.high_ns().data() + at : nullptr;
    const std::string& program = answer.programs(r);
    const bool strange = intervals_ && answer.program_out_of_distribution(r);
    if (json_) {
      std::cout << (rows_ > 0 ? ",\n" : "\n") << "{\"program\": \"" << program
                << "\", \"time_ns\": ["
                << absl::StrJoin(Numbers(time_ns), ", ");
      if (intervals_) {
        std::cout << "], \"low_ns\": [" << absl::StrJoin(Numbers(low_ns), ", ")
                  << "], \"high_ns\": ["
                  << absl::StrJoin(Numbers(high_ns), ", ")
                  << "], \"out_of_distribution\": "
                  << (strange ? "true" : "false") << "}";
      } else {
        std::cout << "]}";
      }
    } else if (csv_) {
      std::cout << program << "," << absl::StrJoin(Numbers(time_ns), ",");
      if (intervals_) {
        std::cout << "," << absl::StrJoin(Numbers(low_ns), ",") << ","
                  << absl::StrJoin(Numbers(high_ns), ",") << ","
                  << (strange ? 1 : 0);
      }
      std::cout << "\n";
    } else {
      std::vector<std::string> cells = {program};
      for (size_t c = 0; c < columns_.size(); ++c) {
        if (!std::isfinite(time_ns[c])) {
          cells.push_back("-");
        } else if (intervals_) {
          cells.push_back(absl::StrCat(FormatTimeNs(time_ns[c]), " (",
                                       FormatTimeNs(low_ns[c]), " to ",
                                       FormatTimeNs(high_ns[c]), ")"));
        } else {
          cells.push_back(FormatTimeNs(time_ns[c]));
        }
      }
      if (intervals_) cells.push_back(strange ? "out of distribution" : "");
      table_->Add(std::move(cells));
    }
    ++rows_;
  }

  const bool json_, csv_;
  bool begun_ = false;
  bool intervals_ = false;
  uint64_t rows_ = 0;
  std::vector<std::string> columns_;
  std::unique_ptr<Table> table_;
};

absl::Status Matrix(Context& context, const MatrixOptions& options) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  api::PredictMatrixRequest request;
  for (const auto& name : options.programs) request.add_programs(name);
  for (const auto& name : options.architectures) {
    request.add_architectures(name);
  }
  request.set_model(options.model);
  request.set_intervals(options.intervals);
  request.set_confidence(options.confidence);
  MatrixPrinter printer(context.json, options.csv);
  absl::Status status = (*client)->PredictMatrix(
      request, [&](const api::PredictMatrixResponse& answer) {
        return printer.Print(answer);
      });
  if (status.ok()) printer.End();
  return status;
}

}  // namespace

void AddMatrixCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<MatrixOptions>();
  CLI::App* command = AddCommand(
      app, "matrix", "Predict every pair of some programs and architectures",
      {"perfvec matrix --program lbm --program mcf",
       "perfvec matrix --csv > times.csv",
       "perfvec matrix --program lbm --intervals --json"});
  command
      ->add_option("--program", options->programs,
                   "A row; may be repeated. Without it: all programs that "
                   "have a vector")
      ->type_name(kProgramType)
      ->allow_extra_args(false);
  command
      ->add_option("--architecture", options->architectures,
                   "A column; may be repeated. Without it: all architectures "
                   "that have a vector")
      ->type_name(kArchitectureType)
      ->allow_extra_args(false);
  command
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command->add_flag("--csv", options->csv,
                    "Comma-separated values, times in ns");
  auto* intervals = command->add_flag(
      "--intervals", options->intervals,
      "Also the interval of each time, if the model is calibrated");
  command
      ->add_option("--confidence", options->confidence,
                   "Of the intervals: 0.9 if not given, 0.99 at most")
      ->check(CLI::Range(0.01, 0.99))
      ->type_name("SHARE")
      ->needs(intervals);
  SetAction(command, context,
            [&context, options] { return Matrix(context, *options); });
}

}  // namespace perfvec::client::cli
