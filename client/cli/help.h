// How --help and errors of usage look: lines that fit a terminal, types of
// values beside their options, the nearest command for one that is not known.
//
//   app->formatter(std::make_shared<HelpFormatter>());
#ifndef PERFVEC_CLIENT_CLI_HELP_H_
#define PERFVEC_CLIENT_CLI_HELP_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace perfvec::client::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_option_name(const CLI::Option* option,
                               bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_option_usage(const CLI::Option* option) const override;
  std::string make_subcommand(const CLI::App* command) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
};

// Breaks text at blanks so that no line is longer than `width` if it can be.
std::string Wrap(absl::string_view text, size_t width);

// Of `names` the one that `word` most likely means, empty if none is near.
std::string Nearest(absl::string_view word,
                    const std::vector<std::string>& names);

// The message of an error of usage.
std::string UsageMessage(const CLI::App& root, const CLI::Error& error);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_HELP_H_
