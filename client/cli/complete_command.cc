// perfvec __complete: what the shell asks for after the Tab key.
//
// The words of the command line so far, the one under the cursor last; prints
// one proposal a line, or "@file" or "@dir" where the shell completes paths.
// Options name the type of their value, so a new option completes itself.
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands.h"

namespace perfvec::client::cli {
namespace {

// A shell that waits is worse than one that does not know.
constexpr absl::Duration kTimeout = absl::Milliseconds(400);
constexpr int kProposals = 200;

std::vector<std::string> ServerNames(const Context& context,
                                     const std::string& type,
                                     const std::string& prefix) {
  ClientOptions options;
  options.server = context.server;
  options.timeout = kTimeout;
  options.retry.max_attempts = 1;
  auto client = Client::Create(options);
  if (!client.ok()) return {};
  api::PageRequest page;
  page.set_page_size(kProposals);
  page.set_name_prefix(prefix);
  std::vector<std::string> names;
  if (type == kProgramType) {
    auto answer = (*client)->ListPrograms(page);
    if (!answer.ok()) return {};
    for (const auto& item : answer->programs()) names.push_back(item.name());
  } else if (type == kArchitectureType) {
    auto answer = (*client)->ListArchitectures(page);
    if (!answer.ok()) return {};
    for (const auto& item : answer->architectures()) {
      names.push_back(item.name());
    }
  } else if (type == kModelType) {
    auto answer = (*client)->ListModels(page);
    if (!answer.ok()) return {};
    for (const auto& item : answer->models()) names.push_back(item.name());
  } else if (type == kJobType) {
    api::ListJobsRequest jobs;
    jobs.set_page_size(kProposals);
    auto answer = (*client)->ListJobs(jobs);
    if (!answer.ok()) return {};
    for (const auto& item : answer->jobs()) names.push_back(item.job_id());
  }
  return names;
}

std::vector<std::string> Values(const Context& context,
                                const CLI::Option& option,
                                const std::string& prefix) {
  const std::string type = option.get_type_name();
  if (type == kFileType) return {"@file"};
  if (type == kDirectoryType) return {"@dir"};
  if (absl::StrContains(type, "|")) {  // the values themselves
    return absl::StrSplit(type, '|');
  }
  return ServerNames(context, type, prefix);
}

bool TakesValue(const CLI::Option& option) {
  return option.get_items_expected_max() > 0;
}

const CLI::Option* FindOption(const CLI::App* app, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_positional() && option->check_name(name)) return option;
    }
  }
  return nullptr;
}

std::vector<std::string> Proposals(Context& context, const CLI::App* root,
                                   const std::vector<std::string>& words) {
  const CLI::App* app = root;
  size_t positionals = 0;
  const CLI::Option* pending = nullptr;  // an option that waits for its value
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (pending != nullptr) {
      if (pending->check_lname("server")) context.server = word;
      pending = nullptr;
    } else if (absl::StartsWith(word, "-") && word.size() > 1) {
      const CLI::Option* option = FindOption(app, word);
      if (option == nullptr || !TakesValue(*option)) continue;
      if (!absl::StrContains(word, "=")) {
        pending = option;
      } else if (option->check_lname("server")) {
        context.server = word.substr(word.find('=') + 1);
      }
    } else if (const auto below = app->get_subcommands(
                   [&](const CLI::App* sub) { return sub->check_name(word); });
               !below.empty()) {
      app = below.front();
      positionals = 0;
    } else {
      ++positionals;
    }
  }
  const std::string& word = words.back();
  if (pending != nullptr) return Values(context, *pending, word);
  std::vector<std::string> proposals;
  if (const size_t equals = word.find('=');
      absl::StartsWith(word, "--") && equals != std::string::npos) {
    const CLI::Option* option = FindOption(app, word);
    if (option == nullptr) return {};
    for (const auto& value :
         Values(context, *option, word.substr(equals + 1))) {
      proposals.push_back(absl::StartsWith(value, "@")
                              ? value
                              : word.substr(0, equals + 1) + value);
    }
    return proposals;
  }
  if (absl::StartsWith(word, "-")) {
    for (const CLI::App* a = app; a != nullptr; a = a->get_parent()) {
      for (const CLI::Option* option : a->get_options()) {
        for (const std::string& name : option->get_lnames()) {
          proposals.push_back(absl::StrCat("--", name));
        }
      }
    }
    return proposals;
  }
  for (const CLI::App* sub : app->get_subcommands(
           [](const CLI::App* s) { return !s->get_group().empty(); })) {
    proposals.push_back(sub->get_name());
  }
  const auto places = app->get_options(
      [](const CLI::Option* option) { return option->get_positional(); });
  // The last place may take many.
  if (positionals >= places.size() && !places.empty() &&
      places.back()->get_items_expected_max() > 1) {
    positionals = places.size() - 1;
  }
  if (positionals < places.size()) {
    for (auto& value : Values(context, *places[positionals], word)) {
      proposals.push_back(std::move(value));
    }
  }
  return proposals;
}

}  // namespace

void Complete(Context& context, const CLI::App& app,
              std::vector<std::string> words) {
  if (words.empty()) words.emplace_back();
  std::vector<std::string> proposals = Proposals(context, &app, words);
  std::sort(proposals.begin(), proposals.end());
  proposals.erase(std::unique(proposals.begin(), proposals.end()),
                  proposals.end());
  for (const std::string& proposal : proposals) {
    if (absl::StartsWith(proposal, words.back()) ||
        absl::StartsWith(proposal, "@")) {
      std::cout << proposal << "\n";
    }
  }
}

}  // namespace perfvec::client::cli
