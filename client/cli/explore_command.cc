// perfvec explore: a space file to the server, and what it found.
#include "client/cli/explore_command.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/space_file.h"
#include "client/cli/units.h"
#include "worker/explore/surface_svg.h"
#include "worker/model/files.h"

namespace perfvec::client::cli {
namespace {

constexpr uint64_t kMaxFileBytes = 16 << 20;
constexpr int32_t kMaxLimit = 100000;  // the server's

struct ExploreOptions {
  std::string file, model, objective, plot;
  std::vector<std::string> programs;
  bool csv = false;
  int32_t limit = 10;
};

api::ExploreDesignSpaceRequest ToRequest(const SpaceFile& file,
                                         const ExploreOptions& options) {
  api::ExploreDesignSpaceRequest request;
  for (const explore::Parameter& from : file.space.parameters) {
    api::DesignParameter* p = request.add_parameters();
    p->set_name(from.name);
    p->set_type(from.type == explore::ParameterType::kCategory
                    ? api::DesignParameter::CATEGORY
                : from.type == explore::ParameterType::kInteger
                    ? api::DesignParameter::INTEGER
                    : api::DesignParameter::REAL);
    p->mutable_values()->Add(from.values.begin(), from.values.end());
    for (const std::string& label : from.labels) p->add_labels(label);
    p->set_log_scale(from.log_scale);
  }
  request.mutable_constants()->insert(file.space.constants.begin(),
                                      file.space.constants.end());
  for (const std::string& text : file.space.constraints) {
    request.add_constraints(text);
  }
  for (const SpaceFile::Sample& from : file.samples) {
    api::DesignSample* sample = request.add_samples();
    sample->set_architecture(from.architecture);
    sample->mutable_point()->Add(from.point.begin(), from.point.end());
  }
  for (const SpaceFile::Program& from : file.programs) {
    api::DesignProgram* program = request.add_programs();
    program->set_program(from.program);
    program->set_weight(from.weight);
  }
  request.set_model(options.model);
  request.set_objective(options.objective.empty() ? file.request.objective
                                                  : options.objective);
  for (const std::string& text : file.request.constraints) {
    request.add_limits(text);
  }
  for (const std::string& text : file.request.front) request.add_front(text);
  request.set_confidence(file.request.confidence);
  request.set_limit(options.limit);
  return request;
}

// What the server found; designs have the numbers of its answer.
struct Found {
  std::string model_id;
  uint64_t designs = 0;  // of the space
  std::vector<explore::Point> points;
  struct Row {
    explore::ExploredTimes times;
    uint64_t allowed = 0;
    bool strange = false;
  };
  std::vector<Row> rows;
};

absl::StatusOr<Found> FromResponse(
    const SpaceFile& file, const api::ExploreDesignSpaceResponse& answer) {
  Found found;
  found.model_id = answer.model_id();
  found.designs = answer.designs();
  const int width = static_cast<int>(file.space.parameters.size());
  const int count = answer.points_size() / width;
  for (int i = 0; i < count; ++i) {
    const double* at = answer.points().data() + i * width;
    found.points.emplace_back(at, at + width);
  }
  std::vector<const api::ExploreDesignSpaceResponse::Times*> all;
  for (const auto& one : answer.programs()) all.push_back(&one);
  if (answer.has_all()) all.push_back(&answer.all());
  for (const auto* from : all) {
    Found::Row row;
    explore::ExploredTimes& t = row.times;
    t.name = from->program().empty() ? "weighted set" : from->program();
    t.time_ns.assign(from->time_ns().begin(), from->time_ns().end());
    t.low_ns.assign(from->low_ns().begin(), from->low_ns().end());
    t.high_ns.assign(from->high_ns().begin(), from->high_ns().end());
    t.objective.assign(from->objective().begin(), from->objective().end());
    t.ranking.assign(from->ranking().begin(), from->ranking().end());
    t.front.assign(from->front().begin(), from->front().end());
    row.allowed = from->allowed();
    row.strange = from->out_of_distribution();
    bool sound = true;
    for (const auto* values :
         {&t.time_ns, &t.low_ns, &t.high_ns, &t.objective}) {
      sound &= values->size() == found.points.size();
    }
    for (const auto* numbers : {&t.ranking, &t.front}) {
      for (size_t i : *numbers) sound &= i < found.points.size();
    }
    if (!sound) {
      return absl::InternalError(absl::StrCat("expected ", count, " times of ",
                                              t.name, ", found other sizes"));
    }
    found.rows.push_back(std::move(row));
  }
  return found;
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

void PrintTables(const SpaceFile& file, const Found& found) {
  for (const Found::Row& one : found.rows) {
    const explore::ExploredTimes& t = one.times;
    std::cout << t.name << ": " << one.allowed << " of " << found.designs
              << " designs allowed"
              << (one.strange ? "; out of distribution" : "") << "\n";
    std::vector<Table::Column> columns = {{"RANK", Table::kRight}};
    for (const auto& p : file.space.parameters) {
      columns.push_back({p.name, Table::kRight});
    }
    for (const char* title : {"TIME", "FROM", "TO", "OBJECTIVE", "RELATIVE"}) {
      columns.push_back({title, Table::kRight});
    }
    const bool has_front = !file.request.front.empty();
    if (has_front) columns.push_back({"FRONT", Table::kLeft});
    Table table(std::move(columns), OutputWidth());
    const std::set<size_t> front(t.front.begin(), t.front.end());
    for (size_t r = 0; r < t.ranking.size(); ++r) {
      const size_t i = t.ranking[r];
      std::vector<std::string> row = {absl::StrCat(r + 1)};
      for (size_t p = 0; p < file.space.parameters.size(); ++p) {
        row.push_back(file.space.parameters[p].Text(found.points[i][p]));
      }
      row.push_back(FormatTimeNs(t.time_ns[i]));
      row.push_back(FormatTimeNs(t.low_ns[i]));
      row.push_back(FormatTimeNs(t.high_ns[i]));
      row.push_back(FormatNumber(t.objective[i]));
      row.push_back(
          absl::StrFormat("%.2fx", t.objective[i] / t.objective[t.ranking[0]]));
      if (has_front) row.push_back(front.count(i) ? "*" : "");
      table.Add(std::move(row));
    }
    std::cout << table.Render();
  }
}

void PrintCsv(const SpaceFile& file, const Found& found) {
  std::cout << "program";
  for (const auto& p : file.space.parameters) std::cout << "," << p.name;
  std::cout << ",time_ns,low_ns,high_ns,objective,rank\n";
  for (const Found::Row& row : found.rows) {
    const explore::ExploredTimes& t = row.times;
    const std::vector<size_t> ranks = Ranks(t);
    for (size_t i = 0; i < found.points.size(); ++i) {
      std::cout << t.name;
      for (size_t p = 0; p < file.space.parameters.size(); ++p) {
        std::cout << "," << file.space.parameters[p].Text(found.points[i][p]);
      }
      for (double v :
           {t.time_ns[i], t.low_ns[i], t.high_ns[i], t.objective[i]}) {
        std::cout << "," << Exact(v);
      }
      std::cout << "," << (ranks[i] > 0 ? absl::StrCat(ranks[i]) : "") << "\n";
    }
  }
}

// A time that is out of range is null.
void PrintJson(const SpaceFile& file, const Found& found) {
  using Json = nlohmann::ordered_json;
  Json parameters = Json::array(), programs = Json::array();
  for (const auto& p : file.space.parameters) parameters.push_back(p.name);
  for (const Found::Row& row : found.rows) {
    const explore::ExploredTimes& t = row.times;
    programs.push_back({{"program", t.name},
                        {"time_ns", t.time_ns},
                        {"low_ns", t.low_ns},
                        {"high_ns", t.high_ns},
                        {"objective", t.objective},
                        {"ranking", t.ranking},
                        {"front", t.front},
                        {"out_of_distribution", row.strange}});
  }
  std::cout << Json{{"model_id", found.model_id},
                    {"parameters", parameters},
                    {"points", found.points},
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
  if (file->programs.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.file, ": expected programs, or --program"));
  }
  api::ExploreDesignSpaceRequest request = ToRequest(*file, options);
  const bool whole = context.json || options.csv || !options.plot.empty();
  request.set_surface(whole);
  if (context.json || options.csv) request.set_limit(kMaxLimit);
  auto client = context.Connect();
  if (!client.ok()) return client.status();
  auto answer = (*client)->ExploreDesignSpace(request);
  if (!answer.ok()) return answer.status();
  auto found = FromResponse(*file, *answer);
  if (!found.ok()) return found.status();
  if (!options.plot.empty()) {
    std::vector<explore::Surface> surfaces;
    for (const Found::Row& row : found->rows) {
      surfaces.push_back({row.times.name, row.times.objective, {}});
    }
    auto svg = explore::DrawSurfaces(request.objective(), file->space,
                                     found->points, surfaces);
    if (!svg.ok()) return svg.status();
    absl::Status status = compute::WriteFileAtomically(options.plot, *svg);
    if (!status.ok()) return status;
  }
  if (context.json) {
    PrintJson(*file, *found);
  } else if (options.csv) {
    PrintCsv(*file, *found);
  } else {
    PrintTables(*file, *found);
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
      ->check(CLI::Range(1, kMaxLimit))
      ->type_name("N");
  SetAction(command, context,
            [&context, options] { return Explore(context, *options); });
}

}  // namespace perfvec::client::cli
