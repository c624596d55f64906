#include "server/ranking_constraint.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/ranking.h"

namespace perfvec::server {
namespace {

std::optional<double> ToNumber(const std::string& text) {
  double number;
  if (absl::SimpleAtod(text, &number) && !std::isnan(number)) return number;
  return std::nullopt;
}

template <typename T>
bool Compare(const T& a, v1::Constraint::Operator op, const T& b) {
  switch (op) {
    case v1::Constraint::EQUAL:
      return a == b;
    case v1::Constraint::NOT_EQUAL:
      return a != b;
    case v1::Constraint::LESS:
      return a < b;
    case v1::Constraint::LESS_OR_EQUAL:
      return a <= b;
    case v1::Constraint::GREATER:
      return a > b;
    case v1::Constraint::GREATER_OR_EQUAL:
      return a >= b;
    default:
      return false;
  }
}

}  // namespace

CompiledConstraint::CompiledConstraint(const v1::Constraint& constraint)
    : field_(Field::kAttribute),
      attribute_(constraint.attribute()),
      op_(constraint.op()) {
  if (attribute_ == "name") field_ = Field::kName;
  if (attribute_ == "price_per_hour") field_ = Field::kPrice;
  if (attribute_ == "power_watts") field_ = Field::kPower;
  if (constraint.value().value_case() == v1::AttributeValue::kNumber) {
    number_ = constraint.value().number();
  } else {
    text_ = constraint.value().text();
    number_ = ToNumber(*text_);
  }
}

bool CompiledConstraint::HoldsFor(double number) const {
  return number_ && Compare(number, op_, *number_);
}

bool CompiledConstraint::HoldsFor(const std::string& text) const {
  if (text_) return Compare(text, op_, *text_);
  const std::optional<double> number = ToNumber(text);
  return number && HoldsFor(*number);
}

bool CompiledConstraint::Holds(const Item& item, const ItemInfo& info) const {
  switch (field_) {
    case Field::kName:
      return HoldsFor(item.name);
    case Field::kPrice:
      return info.price_per_hour && HoldsFor(*info.price_per_hour);
    case Field::kPower:
      return info.power_watts && HoldsFor(*info.power_watts);
    case Field::kAttribute:
      break;
  }
  const auto it = info.attributes.find(attribute_);
  if (it == info.attributes.end()) return false;
  return std::visit([&](const auto& value) { return HoldsFor(value); },
                    it->second);
}

absl::StatusOr<std::vector<CompiledConstraint>> CompileConstraints(
    Kind kind,
    const google::protobuf::RepeatedPtrField<v1::Constraint>& constraints,
    const NameBook* known) {
  if (constraints.size() > kMaxConstraints) {
    return absl::InvalidArgumentError(
        absl::StrCat(constraints.size(), " constraints; expected at most ",
                     kMaxConstraints));
  }
  std::vector<CompiledConstraint> compiled;
  for (const v1::Constraint& constraint : constraints) {
    const std::string& attribute = constraint.attribute();
    const std::string what = absl::StrCat("constraint on \"", attribute, "\"");
    if (constraint.op() == v1::Constraint::OPERATOR_UNSPECIFIED ||
        !v1::Constraint::Operator_IsValid(constraint.op())) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " has no known operator"));
    }
    if (constraint.value().value_case() == v1::AttributeValue::VALUE_NOT_SET ||
        std::isnan(constraint.value().number())) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " has no value; expected a number or a text"));
    }
    const bool built_in =
        attribute == "name" ||
        (kind == Kind::kArchitecture &&
         (attribute == "price_per_hour" || attribute == "power_watts"));
    if (!built_in && known != nullptr && !known->Has(attribute)) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ": no ",
                       kind == Kind::kArchitecture ? "architecture" : "program",
                       " has this attribute", NearestHint(*known, attribute)));
    }
    compiled.emplace_back(constraint);
  }
  return compiled;
}

}  // namespace perfvec::server
