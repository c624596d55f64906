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
  bool csv = false;
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
      Begin(answer.model_id());
    }
    const size_t width = columns_.size();
    if (static_cast<size_t>(answer.time_ns_size()) !=
        width * answer.programs_size()) {
      return absl::InternalError(
          absl::StrCat("expected ", answer.programs_size(), " rows of ", width,
                       " times, found ", answer.time_ns_size(), " times"));
    }
    for (int r = 0; r < answer.programs_size(); ++r) {
      Row(answer.programs(r), answer.time_ns().data() + r * width);
    }
    if (table_) std::cout << table_->Render();
    return std::cout.good()
               ? absl::OkStatus()
               : absl::ResourceExhaustedError("cannot write to the output");
  }

  void End() {
    if (json_ && begun_) std::cout << (rows_ > 0 ? "\n]}\n" : "]}\n");
  }

 private:
  // Names are [A-Za-z0-9._+@-]: they need no quoting in any form.
  void Begin(const std::string& model_id) {
    begun_ = true;
    if (json_) {
      std::cout << "{\"model_id\": \"" << model_id
                << "\", \"architectures\": [\""
                << absl::StrJoin(columns_, "\", \"") << "\"], \"rows\": [";
    } else if (csv_) {
      std::cout << "program," << absl::StrJoin(columns_, ",") << "\n";
    } else {
      std::vector<Table::Column> columns = {{"PROGRAM", Table::kLeft}};
      for (const auto& name : columns_) {
        columns.push_back({name, Table::kRight});
      }
      table_ = std::make_unique<Table>(std::move(columns), 0);
    }
  }

  void Row(const std::string& program, const double* time_ns) {
    std::vector<std::string> cells;
    for (size_t c = 0; c < columns_.size(); ++c) {
      // NaN: no valid time.
      if (!std::isfinite(time_ns[c])) {
        cells.push_back(json_ ? "null" : csv_ ? "" : "-");
      } else if (json_ || csv_) {
        cells.push_back(Exact(time_ns[c]));
      } else {
        cells.push_back(FormatTimeNs(time_ns[c]));
      }
    }
    if (json_) {
      std::cout << (rows_ > 0 ? ",\n" : "\n") << "{\"program\": \"" << program
                << "\", \"time_ns\": [" << absl::StrJoin(cells, ", ") << "]}";
    } else if (csv_) {
      std::cout << program << "," << absl::StrJoin(cells, ",") << "\n";
    } else {
      cells.insert(cells.begin(), program);
      table_->Add(std::move(cells));
    }
    ++rows_;
  }

  const bool json_, csv_;
  bool begun_ = false;
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
       "perfvec matrix --csv > times.csv"});
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
  SetAction(command, context,
            [&context, options] { return Matrix(context, *options); });
}

}  // namespace perfvec::client::cli
