// One condition of a ranking, "attribute OP value", checked once and then held
// against each candidate.
//
// Known attributes: those of the candidates and their tags ("tag.site"),
// "name", and for architectures "price_per_hour" and "power_watts". A candidate
// without the attribute does not meet the condition, whatever the operator.
// Numbers compare as numbers, texts byte by byte; a text that reads as a number
// compares with a number, any other pair of number and text meets no condition.
//
// Any thread; holds copies only.
//
//   auto constraints = CompileConstraints(Kind::kArchitecture,
//                                         request.constraints(), book);
//   if ((*constraints)[0].Holds(item, *item.info.load())) ...
#ifndef PERFVEC_SERVER_RANKING_CONSTRAINT_H_
#define PERFVEC_SERVER_RANKING_CONSTRAINT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "perfvec/v1/prediction_service.pb.h"
#include "server/predictor/name_book.h"
#include "server/predictor/state.h"

namespace perfvec::server {

class CompiledConstraint {
 public:
  explicit CompiledConstraint(const v1::Constraint& constraint);
  bool Holds(const Item& item, const ItemInfo& info) const;

 private:
  bool HoldsFor(double number) const;
  bool HoldsFor(const std::string& text) const;

  enum class Field { kName, kPrice, kPower, kAttribute };
  Field field_;
  std::string attribute_;
  v1::Constraint::Operator op_;
  std::optional<double> number_;     // of a number, or of a text that reads so
  std::optional<std::string> text_;  // of a text
};

// INVALID_ARGUMENT: no value, a NaN, an operator or an attribute that nothing
// has (with the nearest of `known`; null: anything might), or too many.
absl::StatusOr<std::vector<CompiledConstraint>> CompileConstraints(
    Kind kind,
    const google::protobuf::RepeatedPtrField<v1::Constraint>& constraints,
    const NameBook* known);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_RANKING_CONSTRAINT_H_
