// An arithmetic expression over named numbers, as people write objectives and
// constraints: `(1000 + 10*l1_kb + l2_kb) * time`, `l2_kb >= 4*l1_kb`.
//
// What muParser knows: + - * / ^, comparisons, && || and `c ? a : b`, min, max,
// sqrt, exp, ln, log2, log10, abs and more; comparisons give 1 or 0. It cannot
// assign, and gives one number. The text may come from anywhere: its length is
// bounded and evaluation takes no longer than the text.
//
// One thread at a time. INVALID_ARGUMENT quotes the expression and what is
// wrong with it.
//
//   ASSIGN e = Expression::Parse("2*x + y", {"x", "y"});
//   e.Evaluate({3, 4});  // 10
#ifndef PERFVEC_WORKER_EXPLORE_EXPRESSION_H_
#define PERFVEC_WORKER_EXPLORE_EXPRESSION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace perfvec::explore {

inline constexpr size_t kMaxExpressionLength = 2000;

// INVALID_ARGUMENT if `name` cannot stand for a number in an expression: not
// [A-Za-z_][A-Za-z0-9_]*, or the name of a function.
absl::Status CheckVariableName(absl::string_view name);

class Expression {
 public:
  // `names` are the variables it may use.
  static absl::StatusOr<Expression> Parse(
      absl::string_view text, const std::vector<std::string>& names);
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  // `values` in the order of the names. The result may be infinite or NaN.
  double Evaluate(const std::vector<double>& values);
  const std::string& text() const { return text_; }

 private:
  struct Parser;
  Expression(std::string text, std::unique_ptr<Parser> parser);

  std::string text_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_EXPRESSION_H_
