#include "worker/explore/surface_svg.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace perfvec::explore {
namespace {

constexpr double kCell = 44, kRow = 24, kLeft = 110, kGap = 40, kTop = 64;
constexpr size_t kMaxSide = 40;
// A value so many times the least has the palest colour.
constexpr double kPale = 4;

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

void Text(std::string& out, double x, double y, absl::string_view text,
          absl::string_view anchor = "start",
          absl::string_view colour = "#222") {
  absl::StrAppendFormat(
      &out,
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%s"
      "</text>\n",
      x, y, anchor, colour, Escape(text));
}

size_t Least(const std::vector<double>& values) {
  size_t best = values.size();
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    if (best == values.size() || values[i] < values[best]) best = i;
  }
  return best;
}

struct Axes {
  size_t x = 0, y = 0;  // parameters; the same: one row
  std::vector<double> x_values, y_values;
};

absl::StatusOr<Axes> FindAxes(const ParameterSpace& space,
                              const std::vector<Point>& points) {
  std::vector<size_t> varied;
  std::vector<std::vector<double>> values;
  for (size_t i = 0; i < space.parameters.size(); ++i) {
    std::set<double> seen;
    for (const Point& p : points) seen.insert(p[i]);
    if (seen.size() < 2) continue;
    varied.push_back(i);
    values.emplace_back(seen.begin(), seen.end());
    if (seen.size() > kMaxSide) {
      return absl::InvalidArgumentError(
          absl::StrCat("picture: parameter ", space.parameters[i].name, " has ",
                       seen.size(), " values, expected at most ", kMaxSide));
    }
  }
  if (varied.empty() || varied.size() > 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "picture: expected one or two parameters with several values, found ",
        varied.size(), ": hold the others with a constraint such as ",
        space.parameters[0].name,
        " == ", space.parameters[0].Text(points[0][0])));
  }
  Axes axes;
  axes.y = varied[0];
  axes.x = varied.back();
  axes.x_values = values.back();
  axes.y_values = varied.size() == 2 ? values[0] : std::vector<double>{};
  return axes;
}

// One map at (left, top); `mark` is outlined.
void Map(std::string& out, const ParameterSpace& space, const Axes& axes,
         const std::vector<Point>& points, const std::vector<double>& values,
         size_t mark, double left, double top) {
  const size_t best = Least(values);
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const auto index = [&](const std::vector<double>& all, double v) {
      return std::lower_bound(all.begin(), all.end(), v) - all.begin();
    };
    const double x = left + kCell * index(axes.x_values, points[i][axes.x]);
    const double y =
        top + (axes.y_values.empty()
                   ? 0
                   : kRow * index(axes.y_values, points[i][axes.y]));
    const double ratio = best < values.size() ? values[i] / values[best] : 1;
    const double pale =
        ratio > 0 ? std::clamp(std::log(ratio) / std::log(kPale), 0.0, 1.0) : 1;
    const auto mix = [&](int dark, int light) {
      return static_cast<int>(std::lround(dark + pale * (light - dark)));
    };
    absl::StrAppendFormat(
        &out,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
        "fill=\"#%02x%02x%02x\"%s/>\n",
        x + 1, y + 1, kCell - 2, kRow - 2, mix(0x12, 0xe8), mix(0x4a, 0xee),
        mix(0x78, 0xf2),
        i == mark ? " stroke=\"#d95f02\" stroke-width=\"3\"" : "");
    Text(out, x + kCell / 2, y + kRow / 2 + 4, absl::StrFormat("%.2f", ratio),
         "middle", pale < 0.5 ? "#fff" : "#222");
  }
  for (size_t i = 0; i < axes.x_values.size(); ++i) {
    Text(out, left + kCell * (i + 0.5), top - 4,
         space.parameters[axes.x].Text(axes.x_values[i]), "middle");
  }
}

}  // namespace

absl::StatusOr<std::string> DrawSurfaces(absl::string_view title,
                                         const ParameterSpace& space,
                                         const std::vector<Point>& points,
                                         const std::vector<Surface>& surfaces) {
  if (surfaces.empty() || surfaces.size() > kMaxSurfaces || points.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("picture: expected 1 to ", kMaxSurfaces,
                     " programs, found ", surfaces.size()));
  }
  auto axes = FindAxes(space, points);
  if (!axes.ok()) return axes.status();
  bool truth = false;
  for (const Surface& s : surfaces) {
    truth = truth || !s.simulated.empty();
    if (s.predicted.size() != points.size() ||
        (!s.simulated.empty() && s.simulated.size() != points.size())) {
      return absl::InvalidArgumentError(absl::StrCat("picture: ", s.name,
                                                     ": expected values of ",
                                                     points.size(), " points"));
    }
  }
  const double wide = kCell * axes->x_values.size();
  const double high = kRow * std::max<size_t>(1, axes->y_values.size());
  const double block = high + 62;
  const double width =
      std::max(640.0, kLeft + wide + (truth ? kGap + wide : 0) + 20);
  std::string out = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" "
      "height=\"100%%\" fill=\"#fff\"/>\n",
      width, kTop + block * surfaces.size());
  Text(out, 12, 22, title);
  Text(out, 12, 42,
       absl::StrCat(
           "Objective over the least of its map; across ",
           space.parameters[axes->x].name,
           axes->y_values.empty()
               ? ""
               : absl::StrCat(", down ", space.parameters[axes->y].name),
           ". Outlined: the design chosen by prediction."));
  for (size_t s = 0; s < surfaces.size(); ++s) {
    const double top = kTop + block * s + 36;
    const size_t chosen = Least(surfaces[s].predicted);
    Text(out, 12, top - 20,
         truth ? absl::StrCat(surfaces[s].name, ", predicted")
               : surfaces[s].name);
    for (size_t i = 0; i < axes->y_values.size(); ++i) {
      Text(out, kLeft - 8, top + kRow * i + kRow / 2 + 4,
           space.parameters[axes->y].Text(axes->y_values[i]), "end");
    }
    Map(out, space, *axes, points, surfaces[s].predicted, chosen, kLeft, top);
    if (surfaces[s].simulated.empty()) continue;
    const double left = kLeft + wide + kGap;
    Text(out, left, top - 20, "simulated");
    Map(out, space, *axes, points, surfaces[s].simulated, chosen, left, top);
  }
  return out + "</svg>\n";
}

}  // namespace perfvec::explore
