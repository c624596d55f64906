// What the commands of `perfvec` share: the global options, the connection,
// and the helpers that each of them would write again. One thread.
//
//   void AddServerCommand(CLI::App& app, Context& context) {
//     CLI::App* status = ...;
//     status->callback([&context] {
//       context.action = [&context] { return ShowStatus(context); };
//     });
//   }
//
// A command's callback only stores its action; main() runs it once the whole
// command line has been read without error.
#ifndef PERFVEC_CLIENT_CLI_CONTEXT_H_
#define PERFVEC_CLIENT_CLI_CONTEXT_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/json_output.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"
#include "client/client.h"

namespace perfvec::client::cli {

struct Context {
  std::string server = "127.0.0.1:7450";
  std::string timeout = "30s";
  bool json = false;
  std::string tls_ca, tls_certificate, tls_key, token_file;
  std::string request_id;  // empty: the client makes one
  std::function<absl::Status()> action;

  // The connection, made at the first call. INVALID_ARGUMENT: bad options.
  absl::StatusOr<Client*> Connect();

 private:
  std::unique_ptr<Client> client_;
};

// Type names of options: shown in the help, and what completion goes by.
inline constexpr char kProgramType[] = "PROGRAM";
inline constexpr char kArchitectureType[] = "ARCHITECTURE";
inline constexpr char kModelType[] = "MODEL";
inline constexpr char kJobType[] = "JOB";
inline constexpr char kFileType[] = "FILE";
inline constexpr char kDirectoryType[] = "DIR";

// A subcommand with its help: what it does, and examples (one a line).
CLI::App* AddCommand(CLI::App& parent, const std::string& name,
                     const std::string& description,
                     const std::vector<std::string>& examples);
// A subcommand that only holds others.
CLI::App* AddGroup(CLI::App& parent, const std::string& name,
                   const std::string& description);
// Runs `action` when the command is given.
void SetAction(CLI::App* command, Context& context,
               std::function<absl::Status()> action);

// For Option::check: what `parse` refuses is an error of usage.
template <typename Result>
std::function<std::string(const std::string&)> Parses(
    absl::StatusOr<Result> (*parse)(absl::string_view)) {
  return [parse](const std::string& text) {
    return std::string(parse(text).status().message());
  };
}

// --- Options that several commands have -----------------------------------
struct ListOptions {
  std::string prefix;
  std::vector<std::string> tags;
  bool all_versions = false;
  uint64_t limit = 0;  // 0: all
};
void AddListOptions(CLI::App* command, ListOptions* options);
absl::StatusOr<api::PageRequest> FirstPage(const ListOptions& options);

struct MetadataOptions {
  std::vector<std::string> set_tags, remove_tags, add_aliases, remove_aliases;
  int64_t expected_revision = 0;
};
void AddMetadataOptions(CLI::App* command, MetadataOptions* options);
absl::StatusOr<api::MetadataUpdate> ToUpdate(const MetadataOptions& options);

// --interval, --by-address: the parts kept beside a program's vector.
struct PartCommandOptions {
  uint64_t interval = 0;
  bool by_address = false;
  CLI::Option* interval_option = nullptr;
};
void AddPartOptions(CLI::App* command, PartCommandOptions* options);
// Whether either was given; then `parts` is filled in.
bool SetParts(const PartCommandOptions& options, api::PartOptions* parts);

// Tags from KEY=VALUE texts.
absl::Status SetTags(const std::vector<std::string>& texts,
                     google::protobuf::Map<std::string, std::string>* tags);
std::string JoinTags(
    const google::protobuf::Map<std::string, std::string>& tags);
std::string JoinAliases(
    const google::protobuf::RepeatedPtrField<std::string>& aliases);

// The first 12 digits of a model or trace id.
std::string ShortId(const std::string& id);

// Follows the job with a progress line until it has ended.
absl::StatusOr<api::Job> FollowJob(Client& client, const std::string& job_id);
// A job's fields for people.
std::string DescribeJob(const api::Job& job);

// Lists page by page: `fetch(page)` gives an answer, `items(answer)` its
// repeated field, `print(item)` prints one, `page_end()` follows each page.
template <typename Fetch, typename Items, typename Print, typename PageEnd>
absl::Status ForEachItem(const ListOptions& options, Fetch fetch, Items items,
                         Print print, PageEnd page_end) {
  auto page = FirstPage(options);
  if (!page.ok()) return page.status();
  uint64_t count = 0;
  do {
    auto answer = fetch(*page);
    if (!answer.ok()) return answer.status();
    for (const auto& item : items(*answer)) {
      if (options.limit > 0 && count == options.limit) break;
      ++count;
      absl::Status status = print(item);
      if (!status.ok()) return status;
    }
    page_end();
    page->set_page_token(answer->next_page_token());
  } while (!page->page_token().empty() &&
           (options.limit == 0 || count < options.limit));
  return absl::OkStatus();
}

// Prints a listing as a table or as JSON under `key`.
template <typename Fetch, typename Items, typename Row>
absl::Status PrintList(const Context& context, const ListOptions& options,
                       const std::string& key,
                       std::vector<Table::Column> columns, Fetch fetch,
                       Items items, Row row) {
  if (context.json) {
    JsonList list(std::cout, key);
    absl::Status status = ForEachItem(
        options, fetch, items, [&](const auto& item) { return list.Add(item); },
        [] {});
    if (status.ok()) list.Close();
    return status;
  }
  Table table(std::move(columns), OutputWidth());
  return ForEachItem(
      options, fetch, items,
      [&](const auto& item) {
        table.Add(row(item));
        return absl::OkStatus();
      },
      [&] { std::cout << table.Render() << std::flush; });
}

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_CONTEXT_H_
