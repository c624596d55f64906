// perfvec explore
//
// The network is trained here, on times: with the programs that are asked for
// as the evidence, the loss over architecture vectors depends on nothing but
// the samples' predicted times of those programs. So times take the place of
// vectors, one element a program, and no vector travels.
#include "client/cli/explore_command.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/space_file.h"
#include "client/cli/units.h"
#include "worker/explore/surface_svg.h"
#include "worker/model/files.h"

namespace perfvec::client::cli {
namespace {

constexpr uint64_t kMaxFileBytes = 16 << 20;
constexpr size_t kMaxExploredPrograms = 500;  // networks grow with them
constexpr double kTimeUnitNs = 0.1;

struct ExploreOptions {
  std::string file, model, objective, plot;
  std::vector<std::string> programs;
  bool csv = false;
  size_t limit = 10;
};

// Predicted times of samples, [architecture][program], in the order asked for.
struct SampleTimes {
  std::string model_id;
  std::vector<std::string> programs;  // "name@version"
  std::vector<std::vector<double>> time_ns;
};

absl::StatusOr<SampleTimes> Fetch(Context& context, const SpaceFile& file,
                                  const std::string& model) {
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  SampleTimes times;
  for (const SpaceFile::Program& p : file.programs) {
    api::PredictBatchRequest request;
    for (const SpaceFile::Sample& s : file.samples) {
      api::PredictRequest* one = request.add_requests();
      one->set_program(p.program);
      one->set_architecture(s.architecture);
      one->set_model(model);
    }
    auto answer = (*client)->PredictBatch(request);
    if (!answer.ok()) return answer.status();
    if (answer->items_size() != static_cast<int>(file.samples.size())) {
      return absl::InternalError(absl::StrCat("expected ", file.samples.size(),
                                              " predictions, found ",
                                              answer->items_size()));
    }
    times.time_ns.resize(file.samples.size());
    for (int a = 0; a < answer->items_size(); ++a) {
      const auto& item = answer->items(a);
      if (item.code() != 0) {
        return absl::Status(static_cast<absl::StatusCode>(item.code()),
                            item.message());
      }
      times.time_ns[a].push_back(item.prediction().time_ns());
      if (a > 0 && item.prediction().model_id() == times.model_id) continue;
      if (!times.model_id.empty() &&
          item.prediction().model_id() != times.model_id) {
        return absl::AbortedError(
            "the model changed between two calls: try again");
      }
      times.programs.push_back(item.prediction().program());
      times.model_id = item.prediction().model_id();
    }
  }
  return times;
}

absl::StatusOr<explore::Exploration> Sweep(const SpaceFile& file,
                                           const SampleTimes& times,
                                           explore::ExploreRequest& request) {
  const size_t width = times.programs.size();
  std::vector<explore::DesignSample> samples;
  for (size_t a = 0; a < file.samples.size(); ++a) {
    explore::DesignSample sample;
    sample.point = file.samples[a].point;
    auto metric = std::make_shared<std::vector<double>>(width * width);
    for (size_t p = 0; p < width; ++p) {
      sample.vector.push_back(times.time_ns[a][p] / kTimeUnitNs);
      (*metric)[p * width + p] = 1 / (sample.vector[p] * sample.vector[p]);
    }
    sample.metric = std::move(metric);
    samples.push_back(std::move(sample));
  }
  explore::DesignModelOptions options;
  options.threads =
      std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  auto model = explore::DesignModel::Fit(file.space, samples, options);
  if (!model.ok()) return model.status();
  for (size_t p = 0; p < width; ++p) {
    explore::ExploredProgram program;
    program.name = times.programs[p];
    program.vector.assign(width, 0);
    program.vector[p] = 1;
    program.weight = file.programs[p].weight;
    request.programs.push_back(std::move(program));
  }
  return explore::Explore(file.space, *model, samples, request);
}

// As many digits as a double has; nothing for NaN.
std::string Exact(double value) {
  return std::isnan(value) ? "" : absl::StrFormat("%.17g", value);
}

// Place of every point in the ranking from 1 on; 0: in none.
std::vector<size_t> Ranks(const explore::ExploredTimes& t) {
  std::vector<size_t> ranks(t.time_ns.size());
  for (size_t i = 0; i < t.ranking.size(); ++i) ranks[t.ranking[i]] = i + 1;
  return ranks;
}

std::vector<const explore::ExploredTimes*> Rows(const explore::Exploration& e) {
  std::vector<const explore::ExploredTimes*> rows;
  for (const auto& one : e.programs) rows.push_back(&one);
  if (rows.size() > 1) rows.push_back(&e.all);
  return rows;
}

void PrintTables(const SpaceFile& file, const explore::ExploreRequest& request,
                 const explore::Exploration& e, size_t limit) {
  for (const explore::ExploredTimes* t : Rows(e)) {
    std::cout << t->name << ": " << t->ranking.size() << " of "
              << request.points.size() << " designs allowed\n";
    std::vector<Table::Column> columns = {{"RANK", Table::kRight}};
    for (const auto& p : file.space.parameters) {
      columns.push_back({p.name, Table::kRight});
    }
    for (const char* title : {"TIME", "FROM", "TO", "OBJECTIVE", "RELATIVE"}) {
      columns.push_back({title, Table::kRight});
    }
    if (!request.front.empty()) columns.push_back({"FRONT", Table::kLeft});
    Table table(std::move(columns), OutputWidth());
    const std::set<size_t> front(t->front.begin(), t->front.end());
    for (size_t r = 0; r < std::min(limit, t->ranking.size()); ++r) {
      const size_t i = t->ranking[r];
      std::vector<std::string> row = {absl::StrCat(r + 1)};
      for (size_t p = 0; p < file.space.parameters.size(); ++p) {
        row.push_back(file.space.parameters[p].Text(request.points[i][p]));
      }
      row.push_back(FormatTimeNs(t->time_ns[i]));
      row.push_back(FormatTimeNs(t->low_ns[i]));
      row.push_back(FormatTimeNs(t->high_ns[i]));
      row.push_back(FormatNumber(t->objective[i]));
      row.push_back(absl::StrFormat(
          "%.2fx", t->objective[i] / t->objective[t->ranking[0]]));
      if (!request.front.empty()) row.push_back(front.count(i) ? "*" : "");
      table.Add(std::move(row));
    }
    std::cout << table.Render();
  }
}

void PrintCsv(const SpaceFile& file, const explore::ExploreRequest& request,
              const explore::Exploration& e) {
  std::cout << "program";
  for (const auto& p : file.space.parameters) std::cout << "," << p.name;
  std::cout << ",time_ns,low_ns,high_ns,objective,rank\n";
  for (const explore::ExploredTimes* t : Rows(e)) {
    const std::vector<size_t> ranks = Ranks(*t);
    for (size_t i = 0; i < request.points.size(); ++i) {
      std::cout << t->name;
      for (size_t p = 0; p < file.space.parameters.size(); ++p) {
        std::cout << "," << file.space.parameters[p].Text(request.points[i][p]);
      }
      for (double v :
           {t->time_ns[i], t->low_ns[i], t->high_ns[i], t->objective[i]}) {
        std::cout << "," << Exact(v);
      }
      std::cout << "," << (ranks[i] > 0 ? absl::StrCat(ranks[i]) : "") << "\n";
    }
  }
}

// A time that is out of range is null.
void PrintJson(const SpaceFile& file, const SampleTimes& times,
               const explore::ExploreRequest& request,
               const explore::Exploration& e) {
  using Json = nlohmann::ordered_json;
  Json parameters = Json::array(), programs = Json::array();
  for (const auto& p : file.space.parameters) parameters.push_back(p.name);
  for (const explore::ExploredTimes* t : Rows(e)) {
    programs.push_back({{"program", t->name},
                        {"time_ns", t->time_ns},
                        {"low_ns", t->low_ns},
                        {"high_ns", t->high_ns},
                        {"objective", t->objective},
                        {"ranking", t->ranking},
                        {"front", t->front}});
  }
  std::cout << Json{{"model_id", times.model_id},
                    {"parameters", parameters},
                    {"points", request.points},
                    {"programs", programs}}
                   .dump(1)
            << "\n";
}

absl::Status Explore(Context& context, const ExploreOptions& options) {
  auto text = compute::ReadWholeFile(options.file, kMaxFileBytes);
  if (!text.ok()) return text.status();
  auto file = ParseSpaceFile(*text, options.file);
  if (!file.ok()) return file.status();
  if (!options.programs.empty()) {
    file->programs.clear();
    for (const std::string& p : options.programs) {
      file->programs.push_back({p, 1});
    }
  }
  if (file->programs.empty() || file->samples.empty() ||
      file->programs.size() > kMaxExploredPrograms ||
      file->samples.size() > explore::kMaxSamples) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.file, ": expected 1 to ", kMaxExploredPrograms,
                     " programs (or --program) and ", explore::kMinSamples,
                     " to ", explore::kMaxSamples, " samples, found ",
                     file->programs.size(), " and ", file->samples.size()));
  }
  explore::ExploreRequest request = file->request;
  if (!options.objective.empty()) request.objective = options.objective;
  auto points = explore::Points(file->space);
  if (!points.ok()) return points.status();
  request.points = *std::move(points);
  auto times = Fetch(context, *file, options.model);
  if (!times.ok()) return times.status();
  auto result = Sweep(*file, *times, request);
  if (!result.ok()) return result.status();
  if (!options.plot.empty()) {
    std::vector<explore::Surface> surfaces;
    for (const explore::ExploredTimes* t : Rows(*result)) {
      surfaces.push_back({t->name, t->objective, {}});
    }
    auto svg = explore::DrawSurfaces(request.objective, file->space,
                                     request.points, surfaces);
    if (!svg.ok()) return svg.status();
    absl::Status status = compute::WriteFileAtomically(options.plot, *svg);
    if (!status.ok()) return status;
  }
  if (context.json) {
    PrintJson(*file, *times, request, *result);
  } else if (options.csv) {
    PrintCsv(*file, request, *result);
  } else {
    PrintTables(*file, request, *result, options.limit);
  }
  return absl::OkStatus();
}

}  // namespace

void AddExploreCommand(CLI::App& app, Context& context) {
  auto options = std::make_shared<ExploreOptions>();
  CLI::App* command = AddCommand(
      app, "explore", "Find the best designs of a space of architectures",
      {"perfvec explore caches.json",
       "perfvec explore caches.json --objective '(1000 + l2_kb) * time'",
       "perfvec explore caches.json --program lbm --csv",
       "perfvec explore caches.json --plot caches.svg"});
  command
      ->add_option("file", options->file,
                   "Parameters, sampled architectures, programs and objective "
                   "as JSON (docs/exploration.md)")
      ->required()
      ->type_name(kFileType);
  command
      ->add_option("--program", options->programs,
                   "Explore for this program, not those of the file; may be "
                   "repeated")
      ->type_name(kProgramType)
      ->allow_extra_args(false);
  command
      ->add_option("--objective", options->objective,
                   "Minimised, over time (ns), parameters and constants; not "
                   "the file's [time]")
      ->type_name("EXPRESSION");
  command
      ->add_option("--model", options->model,
                   "Foundation model; else the alias \"default\"")
      ->type_name(kModelType);
  command
      ->add_option("--plot", options->plot,
                   "SVG file of the objective over one or two parameters")
      ->type_name(kFileType);
  command->add_flag("--csv", options->csv,
                    "Print every design of every program as CSV");
  command
      ->add_option("--limit", options->limit,
                   "At most so many designs a program in tables [10]")
      ->type_name("N");
  SetAction(command, context,
            [&context, options] { return Explore(context, *options); });
}

}  // namespace perfvec::client::cli
