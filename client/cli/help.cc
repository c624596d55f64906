#include "client/cli/help.h"

#include <algorithm>
#include <numeric>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace perfvec::client::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kLeftColumn = 28;

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  return names;
}

}  // namespace

HelpFormatter::HelpFormatter() { column_width(kLeftColumn); }

std::string HelpFormatter::make_option_name(const CLI::Option* option,
                                            bool is_positional) const {
  if (is_positional) return option->get_type_name();
  return absl::StrJoin(absl::StrSplit(option->get_name(false, true), ','),
                       ", ");
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  if (option->get_positional() || option->get_items_expected_max() == 0) {
    return "";
  }
  return absl::StrCat(" ", option->get_type_name());
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  return Wrap(absl::StrCat(option->get_description(),
                           option->get_required() && !option->get_positional()
                               ? " (required)"
                               : ""),
              kWidth - kLeftColumn);
}

std::string HelpFormatter::make_option_usage(const CLI::Option* option) const {
  return option->get_required()
             ? option->get_type_name()
             : absl::StrCat("[", option->get_type_name(), "]");
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  std::ostringstream out;
  CLI::detail::format_help(
      out, command->get_name(),
      Wrap(command->get_description(), kWidth - kLeftColumn), kLeftColumn);
  return out.str();
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return absl::StrCat(Wrap(app->get_description(), kWidth), "\n\n");
}

std::string HelpFormatter::make_usage(const CLI::App* app,
                                      std::string name) const {
  std::string usage = absl::StrCat("Usage: ", name);
  std::vector<std::string> positionals;
  for (const CLI::Option* option : app->get_options(
           [](const CLI::Option* o) { return o->get_positional(); })) {
    positionals.push_back(make_option_usage(option));
  }
  absl::StrAppend(&usage, " [OPTIONS]", positionals.empty() ? "" : " ",
                  absl::StrJoin(positionals, " "),
                  CommandNames(*app).empty() ? "" : " COMMAND", "\n");
  return usage;
}

std::string Wrap(absl::string_view text, size_t width) {
  std::string out, line;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() && line.size() + 1 + word.size() > width) {
      absl::StrAppend(&out, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  return out + line;
}

std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& names) {
  std::string best;
  size_t least = std::max<size_t>(word.size() / 2, 1) + 1;
  for (const std::string& name : names) {
    const size_t distance = !word.empty() && absl::StartsWith(name, word)
                                ? 0
                                : EditDistance(word, name);
    if (distance < least) {
      least = distance;
      best = name;
    }
  }
  return best;
}

std::string UsageMessage(const CLI::App& root, const CLI::Error& error) {
  const CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  const std::vector<std::string> names = CommandNames(*app);
  if (names.empty()) return error.what();
  // A group without a command, or with one that is not known.
  std::string path = app->get_name();
  if (app != &root) path = absl::StrCat(root.get_name(), " ", path);
  for (const std::string& word : root.remaining(true)) {
    if (absl::StartsWith(word, "-")) continue;
    const std::string nearest = Nearest(word, names);
    return absl::StrCat(
        path, " has no command \"", word, "\"",
        nearest.empty() ? absl::StrCat("; it has ", absl::StrJoin(names, ", "))
                        : absl::StrCat("; did you mean ", nearest, "?"));
  }
  if (error.get_name() != "RequiredError") return error.what();
  return absl::StrCat(path, " needs a command: ", absl::StrJoin(names, ", "));
}

}  // namespace perfvec::client::cli
