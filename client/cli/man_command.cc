// perfvec __man DIR: writes the manual pages, perfvec.1 and one for each
// command, from the same descriptions as --help. The build runs it
// (client/cli/CMakeLists.txt).
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands.h"

namespace perfvec::client::cli {
namespace {

// Text in roff: '-' is a hyphen unless escaped, and a line that begins with a
// dot or an apostrophe is a request.
std::string Escape(absl::string_view text) {
  std::string escaped =
      absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  std::vector<std::string> lines = absl::StrSplit(escaped, '\n');
  for (std::string& line : lines) {
    if (!line.empty() && (line[0] == '.' || line[0] == '\'')) {
      line.insert(0, "\\&");
    }
  }
  return absl::StrJoin(lines, "\n");
}

bool Visible(const CLI::App* app) { return !app->get_group().empty(); }

std::string OptionName(const CLI::Option& option) {
  if (option.get_positional()) return option.get_type_name();
  std::vector<std::string> names;
  for (const auto& name : option.get_snames()) {
    names.push_back(absl::StrCat("-", name));
  }
  for (const auto& name : option.get_lnames()) {
    names.push_back(absl::StrCat("--", name));
  }
  std::string text = absl::StrJoin(names, ", ");
  if (option.get_items_expected_max() > 0) {
    absl::StrAppend(&text, " ", option.get_type_name());
  }
  return text;
}

std::string Synopsis(const CLI::App& app, const std::string& path) {
  std::string text = absl::StrCat(".B ", Escape(path), "\n");
  const auto options = app.get_options(
      [](const CLI::Option* option) { return !option->get_positional(); });
  if (!options.empty()) absl::StrAppend(&text, "[OPTIONS]\n");
  for (const CLI::Option* option : app.get_options(
           [](const CLI::Option* o) { return o->get_positional(); })) {
    absl::StrAppend(&text, ".I ", Escape(option->get_type_name()), "\n");
  }
  if (!app.get_subcommands(&Visible).empty()) {
    absl::StrAppend(&text, ".I COMMAND\n");
  }
  return text;
}

std::string Options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    if (option == app.get_help_ptr()) continue;
    absl::StrAppend(&text, ".TP\n.B ", Escape(OptionName(*option)), "\n",
                    Escape(option->get_description()),
                    option->get_required() ? " (required)" : "", "\n");
  }
  return text;
}

std::string Examples(const CLI::App& app) {
  const std::string footer = app.get_footer();
  if (footer.empty()) return "";
  std::vector<std::string> lines = absl::StrSplit(footer, '\n');
  std::string text = ".nf\n";
  for (const std::string& line : lines) {
    if (!absl::StartsWith(line, "  ")) continue;  // titles and remarks
    absl::StrAppend(&text, Escape(absl::StripAsciiWhitespace(line)), "\n");
  }
  return text + ".fi\n";
}

// A command of a group: a section of the group's page.
void AppendSubcommand(const CLI::App& app, const std::string& path,
                      std::string* page) {
  absl::StrAppend(page, ".SS ", Escape(app.get_name()), "\n",
                  Synopsis(app, path), ".PP\n", Escape(app.get_description()),
                  ".\n", Options(app));
  const std::string examples = Examples(app);
  if (!examples.empty()) absl::StrAppend(page, ".PP\n", examples);
}

constexpr char kExitStatus[] = R"(.SH EXIT STATUS
.TS
l l.
0	success
1	a fault of perfvec or of its server
2	the command line or the configuration file is wrong
3	not found: a name, a job, a file
4	an input has the wrong form or value
5	a file is damaged
6	refused in this state: no vector yet, in use, exists
7	not allowed
8	a quota, a full queue, a full disk
9	the server cannot be reached
10	no answer in time
11	the job waited for failed or was cancelled
130	interrupted
.TE
)";

constexpr char kEnvironment[] = R"(.SH ENVIRONMENT
.TP
.B PERFVEC_SERVER
The server's address, unless
.B \-\-server
is given.
.TP
.BR PERFVEC_TLS_CA ", " PERFVEC_TLS_CERT ", " PERFVEC_TLS_KEY ", " \
PERFVEC_TOKEN_FILE
As the options of these names.
.TP
.B PERFVEC_TOKEN
The token itself, unless there is a file with it.
.TP
.B XDG_CONFIG_HOME
Where the configuration is looked for; else
.IR ~/.config .
.SH FILES
.TP
.I $XDG_CONFIG_HOME/perfvec/config.toml
Long options without their dashes as keys, such as
.BR "server = \(dqhost:7450\(dq" ;
those of a command stand in a section of its name, such as
.BR [rank] .
The command line wins over the environment, and that over the file.
)";

std::string Page(const CLI::App& root, const CLI::App& app) {
  const bool whole = &app == &root;
  const std::string path =
      whole ? root.get_name() : absl::StrCat("perfvec ", app.get_name());
  const std::string title =
      whole ? "perfvec" : absl::StrCat("perfvec-", app.get_name());
  std::string page = absl::StrCat(
      whole ? "'\\\" t\n" : "", ".TH ", absl::AsciiStrToUpper(title),
      " 1 \"\" \"perfvec ", PERFVEC_VERSION, "\" \"PerfVec Serve\"\n",
      ".SH NAME\n", Escape(title), " \\- ",
      Escape(absl::StripSuffix(app.get_description(), ".")), "\n",
      ".SH SYNOPSIS\n", Synopsis(app, path), ".SH DESCRIPTION\n",
      Escape(app.get_description()), "\n");
  const std::string options = Options(app);
  if (!options.empty()) absl::StrAppend(&page, ".SH OPTIONS\n", options);
  const auto commands = app.get_subcommands(&Visible);
  if (!commands.empty()) absl::StrAppend(&page, ".SH COMMANDS\n");
  for (const CLI::App* command : commands) {
    if (whole) {
      absl::StrAppend(&page, ".TP\n.BR perfvec\\-", Escape(command->get_name()),
                      " (1)\n", Escape(command->get_description()), "\n");
    } else {
      AppendSubcommand(*command, absl::StrCat(path, " ", command->get_name()),
                       &page);
    }
  }
  const std::string examples = Examples(app);
  if (!examples.empty()) absl::StrAppend(&page, ".SH EXAMPLES\n", examples);
  if (whole) {
    absl::StrAppend(&page, kExitStatus, kEnvironment);
  } else {
    absl::StrAppend(&page, ".SH SEE ALSO\n.BR perfvec (1)\n");
  }
  return page;
}

}  // namespace

void AddManCommand(CLI::App& app, Context& context) {
  auto directory = std::make_shared<std::string>();
  CLI::App* man = app.add_subcommand("__man", "");
  man->group("");  // hidden
  man->add_option("directory", *directory, "")->required();
  const CLI::App* root = &app;
  SetAction(man, context, [directory, root]() -> absl::Status {
    std::vector<const CLI::App*> pages = root->get_subcommands(&Visible);
    pages.push_back(root);
    for (const CLI::App* page : pages) {
      const std::string path = absl::StrCat(
          *directory, "/perfvec",
          page == root ? "" : absl::StrCat("-", page->get_name()), ".1");
      std::ofstream out(path);
      out << Page(*root, *page);
      out.close();
      if (!out) return absl::UnknownError(absl::StrCat("cannot write ", path));
    }
    return absl::OkStatus();
  });
}

}  // namespace perfvec::client::cli
