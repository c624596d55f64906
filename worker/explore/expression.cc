#include "worker/explore/expression.h"

#include <muParser.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace perfvec::explore {
namespace {

absl::Status Error(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("expression \"", text.substr(0, 200), "\": ", what));
}

// muParser's "=" writes to a variable.
bool Assigns(absl::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') continue;
    const bool compares =
        (i > 0 && absl::StrContains("<>!=", text.substr(i - 1, 1))) ||
        (i + 1 < text.size() && text[i + 1] == '=');
    if (!compares) return true;
  }
  return false;
}

}  // namespace

struct Expression::Parser {
  mu::Parser parser;
  std::vector<double> values;
};

absl::Status CheckVariableName(absl::string_view name) {
  const auto word = [](char c) { return absl::ascii_isalnum(c) || c == '_'; };
  if (name.empty() || name.size() > 100 || absl::ascii_isdigit(name[0]) ||
      !std::all_of(name.begin(), name.end(), word)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", name.substr(0, 100),
        "\": expected a name of letters, digits and _ that does not start "
        "with a digit, of at most 100"));
  }
  try {
    const mu::Parser parser;
    const std::string text(name);
    if (parser.GetFunDef().count(text) + parser.GetConst().count(text) > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", name,
                       "\" is a function or constant of expressions: choose "
                       "another name"));
    }
  } catch (const mu::Parser::exception_type& e) {
    return absl::InternalError(e.GetMsg());
  }
  return absl::OkStatus();
}

Expression::Expression(std::string text, std::unique_ptr<Parser> parser)
    : text_(std::move(text)), parser_(std::move(parser)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

absl::StatusOr<Expression> Expression::Parse(
    absl::string_view text, const std::vector<std::string>& names) {
  if (text.empty() || text.size() > kMaxExpressionLength) {
    return Error(text, absl::StrCat("expected 1 to ", kMaxExpressionLength,
                                    " characters, found ", text.size()));
  }
  const auto printable = [](char c) {
    return absl::ascii_isprint(c) || c == '\t' || c == '\n';
  };
  if (!std::all_of(text.begin(), text.end(), printable)) {
    return Error("", "has characters that are not printable ASCII");
  }
  if (Assigns(text)) return Error(text, "cannot assign; compare with ==");
  if (absl::StrContains(text, "\"")) return Error(text, "has no use for texts");
  auto parser = std::make_unique<Parser>();
  parser->values.assign(names.size(), 1);
  try {
    for (size_t i = 0; i < names.size(); ++i) {
      absl::Status status = CheckVariableName(names[i]);
      if (!status.ok()) return status;
      parser->parser.DefineVar(names[i], &parser->values[i]);
    }
    parser->parser.SetExpr(std::string(text));
    int results = 0;
    parser->parser.Eval(results);  // parses
    if (results != 1) {
      return Error(text, absl::StrCat("expected one value, found ", results,
                                      "; a decimal point is \".\""));
    }
  } catch (const mu::Parser::exception_type& e) {
    return Error(text, absl::StrCat(e.GetMsg(), "; it may use ",
                                    absl::StrJoin(names, ", ")));
  }
  return Expression(std::string(text), std::move(parser));
}

double Expression::Evaluate(const std::vector<double>& values) {
  std::copy_n(values.begin(), std::min(values.size(), parser_->values.size()),
              parser_->values.begin());
  try {
    return parser_->parser.Eval();
  } catch (const mu::Parser::exception_type&) {
    return std::nan("");
  }
}

}  // namespace perfvec::explore
