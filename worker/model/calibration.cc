#include "worker/model/calibration.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace perfvec::compute {
namespace {

using Json = nlohmann::json;

constexpr double kMaxValue = 1e10;
constexpr size_t kMaxReferences = 100'000;
constexpr size_t kMaxComponents = 64;

// Reads members of an object and keeps the first error.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  double Number(const char* key, double low, double high) {
    const Json* v = Find(key);
    if (v == nullptr) return low;
    if (!v->is_number() || !(v->get<double>() >= low) ||
        !(v->get<double>() <= high)) {
      Fail(key, absl::StrCat("a number from ", low, " to ", high), *v);
      return low;
    }
    return v->get<double>();
  }

  // Rows of `width` numbers each, `most` at most, in one list.
  std::vector<double> Rows(const char* key, size_t width, size_t most) {
    std::vector<double> out;
    const Json* v = Find(key);
    if (v == nullptr) return out;
    if (!v->is_array() || v->size() > most) {
      Fail(key, absl::StrCat("at most ", most, " rows"), *v);
      return out;
    }
    for (const Json& row : *v) {
      if (!row.is_array() || row.size() != width) {
        Fail(key, absl::StrCat("rows of ", width, " numbers"), row);
        return out;
      }
      for (const Json& x : row) {
        if (!x.is_number() || !(std::fabs(x.get<double>()) <= kMaxValue)) {
          Fail(key, absl::StrCat("numbers within +-", kMaxValue), x);
          return out;
        }
        out.push_back(x.get<double>());
      }
    }
    return out;
  }

  // Values by name, each from `low` to `high`; none if the key is not there.
  std::map<std::string, double> Named(const char* key, double low,
                                      double high) {
    std::map<std::string, double> out;
    if (!object_.contains(key)) return out;
    const Json& object = *Find(key);
    if (!object.is_object()) {
      Fail(key, "an object", object);
      return out;
    }
    for (const auto& [name, v] : object.items()) {
      if (!v.is_number() || !(v.get<double>() >= low) ||
          !(v.get<double>() <= high)) {
        Fail(key, absl::StrCat("numbers from ", low, " to ", high), v);
        return {};
      }
      out[name] = v.get<double>();
    }
    return out;
  }

  const Json* Find(const char* key) {
    ++asked_;
    const auto it = object_.find(key);
    if (it == object_.end()) {
      Fail(key, "a value", Json());
      return nullptr;
    }
    return &*it;
  }

  void Fail(absl::string_view key, absl::string_view expected,
            const Json& found) {
    status_.Update(absl::InvalidArgumentError(
        absl::StrCat("\"calibration.", key, "\": expected ", expected,
                     ", found ", found.dump().substr(0, 80))));
  }

  absl::Status Done() {
    if (status_.ok() && object_.size() != asked_) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("\"calibration\": expected ", asked_, " keys, found ",
                       object_.size()));
    }
    return status_;
  }

 private:
  const Json& object_;
  size_t asked_ = 0;
  absl::Status status_;
};

// Rounded to six significant digits: nothing here is known better.
Json Rows(const std::vector<double>& values, size_t width) {
  Json rows = Json::array();
  for (size_t at = 0; at < values.size(); at += width) {
    Json row = Json::array();
    for (size_t i = 0; i < width; ++i) {
      row.push_back(std::strtod(absl::StrCat(values[at + i]).c_str(), nullptr));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

std::vector<double> Calibration::Project(const double* vector,
                                         double instructions) const {
  const size_t h = mean.size();
  std::vector<double> y(h), out;
  for (size_t i = 0; i < h; ++i) {
    y[i] = std::log(std::max(0.0, vector[i]) / instructions + floor) - mean[i];
  }
  for (size_t r = 0; r < components.size(); r += h) {
    double sum = 0;
    for (size_t i = 0; i < h; ++i) sum += components[r + i] * y[i];
    out.push_back(sum);
  }
  return out;
}

double Calibration::Distance(const double* vector, double instructions) const {
  const std::vector<double> at = Project(vector, instructions);
  std::vector<double> squares;
  for (size_t p = 0; p < references.size(); p += at.size()) {
    double square = 0;
    for (size_t r = 0; r < at.size(); ++r) {
      square += (references[p + r] - at[r]) * (references[p + r] - at[r]);
    }
    squares.push_back(square);
  }
  const size_t n = std::min(neighbours, squares.size());
  std::partial_sort(squares.begin(), squares.begin() + n, squares.end());
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += squares[i];
  return std::sqrt(sum / static_cast<double>(n));
}

double Calibration::ErrorFactor(const std::string& architecture) const {
  const auto it = error_factors.find(architecture);
  return it == error_factors.end() ? 1 : it->second;
}

double Calibration::Quantile(double level) const {
  double below = 0, value = 0;
  for (const auto& [at, quantile] : quantiles) {
    if (level <= at) {
      return value + (quantile - value) * (level - below) / (at - below);
    }
    below = at;
    value = quantile;
  }
  return value;
}

absl::StatusOr<Calibration> ParseCalibration(absl::string_view text,
                                             int width) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("\"calibration\": expected an object");
  }
  const size_t h = static_cast<size_t>(width);
  Reader reader(json);
  Calibration c;
  c.growth = reader.Number("growth", 0, 100);
  c.noise = reader.Number("noise", 1e-4, 10);
  c.floor = reader.Number("floor", 1e-12, 1);
  c.neighbours = static_cast<size_t>(reader.Number("neighbours", 1, 100));
  c.limit = reader.Number("limit", 1e-9, kMaxValue);
  // A calibration made by an earlier release has none.
  c.error_factors = reader.Named("error_factors", 1e-3, 1e3);
  c.mean = reader.Rows("mean", h, 1);
  c.components = reader.Rows("components", h, kMaxComponents);
  c.references =
      reader.Rows("references", c.components.size() / h, kMaxReferences);
  c.directions = reader.Rows("directions", h, kMaxComponents);
  const std::vector<double> quantiles = reader.Rows("quantiles", 2, 100);
  for (size_t i = 0; i + 1 < quantiles.size(); i += 2) {
    const auto last =
        c.quantiles.empty() ? std::pair<double, double>() : c.quantiles.back();
    if (!(quantiles[i] > last.first) || !(quantiles[i] < 1) ||
        !(quantiles[i + 1] >= last.second)) {
      reader.Fail("quantiles", "ascending levels below 1 and values",
                  Json(quantiles));
      break;
    }
    c.quantiles.emplace_back(quantiles[i], quantiles[i + 1]);
  }
  if (const Json* record = reader.Find("record"); record != nullptr) {
    if (!record->is_object()) reader.Fail("record", "an object", *record);
    c.record_json = record->dump();
  }
  if (absl::Status s = reader.Done(); !s.ok()) return s;
  if (c.quantiles.empty() || c.mean.empty() || c.components.empty() ||
      c.references.empty() || c.directions.empty()) {
    return absl::InvalidArgumentError(
        "\"calibration\": expected a row at least in each of its lists");
  }
  return c;
}

std::string SerializeCalibration(const Calibration& c, int width) {
  const size_t h = static_cast<size_t>(width);
  Json quantiles = Json::array();
  for (const auto& [level, value] : c.quantiles) {
    quantiles.push_back({level, value});
  }
  return Json({{"growth", c.growth},
               {"noise", c.noise},
               {"floor", c.floor},
               {"neighbours", c.neighbours},
               {"limit", c.limit},
               {"error_factors", Json(c.error_factors)},
               {"mean", Rows(c.mean, h)},
               {"components", Rows(c.components, h)},
               {"references", Rows(c.references, c.components.size() / h)},
               {"directions", Rows(c.directions, h)},
               {"quantiles", std::move(quantiles)},
               {"record", Json::parse(c.record_json)}})
      .dump();
}

}  // namespace perfvec::compute
