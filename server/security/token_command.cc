#include "server/security/token_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/security/tokens.h"

namespace perfvec::server {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "perfvec-server token: %s\n",
               std::string(status.message()).c_str());
  return EXIT_FAILURE;
}

std::string FormatEnd(absl::Time expires) {
  return expires == absl::InfiniteFuture()
             ? "never"
             : absl::FormatTime(absl::RFC3339_sec, expires,
                                absl::UTCTimeZone());
}

int Create(const std::string& file, Token token, const std::string& role,
           double days) {
  const auto parsed = ParseRole(role);
  if (!parsed.ok()) return Fail(parsed.status());
  token.role = *parsed;
  if (days > 0) token.expires = absl::Now() + absl::Hours(24) * days;
  const auto text = AddToken(file, token);
  if (!text.ok()) return Fail(text.status());
  // The token alone on standard output, for `> file`.
  std::printf("%s\n", text->c_str());
  std::fprintf(stderr, "%s: role %s, tenant %s, expires %s; kept nowhere\n",
               token.id.c_str(), role.c_str(), token.tenant.c_str(),
               FormatEnd(token.expires).c_str());
  return std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int List(const std::string& file) {
  const auto set = TokenSet::Read(file);
  if (!set.ok()) return Fail(set.status());
  const absl::Time now = absl::Now();
  std::printf("%-24s %-10s %-16s %s\n", "id", "role", "tenant", "expires");
  for (const Token& token : (*set)->tokens()) {
    std::printf("%-24s %-10s %-16s %s%s\n", token.id.c_str(),
                std::string(RoleName(token.role)).c_str(), token.tenant.c_str(),
                FormatEnd(token.expires).c_str(),
                now >= token.expires ? " (expired)" : "");
  }
  return EXIT_SUCCESS;
}

}  // namespace

int TokenMain(int argc, char** argv) {
  CLI::App app{
      "Tokens by which perfvec-server --tokens FILE knows its callers. The "
      "server takes changes of the file within two seconds.",
      "perfvec-server token"};
  app.require_subcommand(1);
  app.fallthrough();
  std::string file;
  app.add_option("--tokens", file, "The tokens file")->required();

  Token token;
  token.tenant = "default";
  std::string role;
  double days = 90;
  CLI::App* create = app.add_subcommand("create", "Make a token and print it");
  create->add_option("id", token.id, "Its name in lists and logs")->required();
  create
      ->add_option("--role", role, "reader, uploader, operator, admin, worker")
      ->required();
  create
      ->add_option("--tenant", token.tenant, "Whose: what it sees and changes")
      ->capture_default_str();
  create->add_option("--days", days, "Until it expires; 0: never")
      ->check(CLI::Range(0.0, 36500.0))
      ->capture_default_str();
  CLI::App* list = app.add_subcommand("list", "Show all, without secrets");
  CLI::App* revoke = app.add_subcommand("revoke", "Remove one");
  std::string id;
  revoke->add_option("id", id, "Its name")->required();
  CLI11_PARSE(app, argc, argv);
  if (*create) return Create(file, token, role, days);
  if (*list) return List(file);
  const absl::Status status = RevokeToken(file, id);
  return status.ok() ? EXIT_SUCCESS : Fail(status);
}

}  // namespace perfvec::server
