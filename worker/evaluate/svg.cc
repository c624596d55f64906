#include "worker/evaluate/svg.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace perfvec::train {
namespace {

// Okabe and Ito's palette, which the colour-blind can tell apart too; its
// yellow and black, lost on white or on black, replaced.
constexpr const char* kPalette[SvgPage::kColours] = {
    "#0072b2", "#e69f00", "#009e73", "#cc79a7",
    "#d55e00", "#56b4e9", "#8a8a8a", "#a6761d"};

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// A step of 1, 2 or 5 times a power of ten that gives about five of them.
double NiceStep(double span) {
  const double raw = std::max(span, 1e-12) / 5;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double f : {1.0, 2.0, 5.0}) {
    if (raw <= f * power) return f * power;
  }
  return 10 * power;
}

struct Axis {
  double low = 0, high = 1, step = 1;
  double from = 0, to = 1;  // pixels
  double At(double v) const {
    return from + (v - low) / (high - low) * (to - from);
  }
};

Axis MakeAxis(double low, double high, double from, double to) {
  if (!(high > low)) {
    low -= 0.5;
    high = low + 1;
  }
  Axis axis;
  axis.step = NiceStep(high - low);
  axis.low = std::floor(low / axis.step) * axis.step;
  axis.high = std::ceil(high / axis.step) * axis.step;
  axis.from = from;
  axis.to = to;
  return axis;
}

}  // namespace

SvgPage::SvgPage(double width, double height, absl::string_view title)
    : width_(width), height_(height), title_(Escape(title)) {}

void SvgPage::Text(double x, double y, absl::string_view text, Anchor anchor) {
  static constexpr const char* kAnchors[] = {"start", "middle", "end"};
  absl::StrAppendFormat(
      &body_, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x,
      y, kAnchors[anchor], Escape(text));
}

void SvgPage::VerticalText(double x, double y, absl::string_view text) {
  absl::StrAppendFormat(&body_,
                        "<text transform=\"translate(%.1f %.1f) rotate(-90)\" "
                        "text-anchor=\"middle\">%s</text>\n",
                        x, y, Escape(text));
}

void SvgPage::Line(double x1, double y1, double x2, double y2) {
  absl::StrAppendFormat(&body_,
                        "<line class=\"g\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                        "y2=\"%.1f\"/>\n",
                        x1, y1, x2, y2);
}

void SvgPage::Mark(double x1, double y1, double x2, double y2) {
  absl::StrAppendFormat(&body_,
                        "<line class=\"m\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                        "y2=\"%.1f\"/>\n",
                        x1, y1, x2, y2);
}

void SvgPage::Dot(double x, double y, double radius, int colour, bool ring) {
  const std::string style =
      ring ? absl::StrFormat("fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"",
                             kPalette[colour])
           : absl::StrFormat("fill=\"%s\" fill-opacity=\"0.7\"",
                             kPalette[colour]);
  absl::StrAppendFormat(&body_,
                        "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" %s/>\n", x,
                        y, radius, style);
}

void SvgPage::Bar(double x, double y, double width, double height, int colour) {
  absl::StrAppendFormat(&body_,
                        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                        "height=\"%.1f\" fill=\"%s\"/>\n",
                        x, y, width, height, kPalette[colour]);
}

std::string SvgPage::Finish() const {
  return absl::StrFormat(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" role="img">
<title>%s</title>
<style>
.ground { fill: #ffffff; }
text { font: 12px sans-serif; fill: #1a1a1a; }
text.title { font: bold 15px sans-serif; }
.g { stroke: #c8c8c8; stroke-width: 1; }
.m { stroke: #1a1a1a; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
.ground { fill: #16181c; }
text { fill: #e8e8e8; }
.g { stroke: #44484f; }
.m { stroke: #e8e8e8; }
}
</style>
<rect class="ground" width="100%%" height="100%%"/>
<text class="title" x="16" y="26">%s</text>
%s</svg>
)",
      width_, height_, width_, height_, title_, title_, body_);
}

std::string ScatterPlot(absl::string_view title, absl::string_view x_label,
                        absl::string_view y_label,
                        const std::vector<DotSeries>& series) {
  constexpr double kWidth = 860, kHeight = 560, kLeftEdge = 70,
                   kRightEdge = 660, kTop = 45, kBottom = 500;
  double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY,
         y_high = -INFINITY;
  for (const DotSeries& s : series) {
    for (const auto& [x, y] : s.points) {
      x_low = std::min(x_low, x);
      x_high = std::max(x_high, x);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
  if (!std::isfinite(x_low)) x_low = x_high = y_low = y_high = 0;
  const Axis x_axis = MakeAxis(x_low, x_high, kLeftEdge, kRightEdge);
  const Axis y_axis = MakeAxis(y_low, y_high, kBottom, kTop);
  SvgPage page(kWidth, kHeight, title);
  for (double v = x_axis.low; v <= x_axis.high + x_axis.step / 2;
       v += x_axis.step) {
    page.Line(x_axis.At(v), kTop, x_axis.At(v), kBottom);
    page.Text(x_axis.At(v), kBottom + 18,
              absl::StrFormat("%.4g", v + 0.0 == 0 ? 0.0 : v),
              SvgPage::kMiddle);
  }
  for (double v = y_axis.low; v <= y_axis.high + y_axis.step / 2;
       v += y_axis.step) {
    page.Line(kLeftEdge, y_axis.At(v), kRightEdge, y_axis.At(v));
    page.Text(kLeftEdge - 8, y_axis.At(v) + 4,
              absl::StrFormat("%.4g", std::fabs(v) < 1e-9 ? 0.0 : v),
              SvgPage::kRight);
  }
  page.Text((kLeftEdge + kRightEdge) / 2, kBottom + 42, x_label,
            SvgPage::kMiddle);
  page.VerticalText(20, (kTop + kBottom) / 2, y_label);
  double y = kTop + 12;
  for (const DotSeries& s : series) {
    for (size_t i = 0; i < s.points.size(); ++i) {
      const double px = x_axis.At(s.points[i].first);
      const double py = y_axis.At(s.points[i].second);
      page.Dot(px, py, s.radius, s.colour, s.ring);
      if (i < s.labels.size()) page.Text(px + 6, py - 4, s.labels[i]);
    }
    page.Dot(kRightEdge + 22, y - 4, std::max(4.0, s.radius), s.colour, s.ring);
    page.Text(kRightEdge + 34, y,
              absl::StrCat(s.name, " (", s.points.size(), ")"));
    y += 22;
  }
  return page.Finish();
}

std::string BarChart(absl::string_view title, absl::string_view x_label,
                     const std::vector<BarRow>& rows,
                     const std::vector<std::pair<std::string, int>>& legend) {
  constexpr double kWidth = 860, kLeftEdge = 170, kRightEdge = 820, kTop = 78,
                   kRow = 17;
  const double bottom = kTop + kRow * rows.size();
  double most = 0.01;
  for (const BarRow& r : rows) most = std::max({most, r.value, r.mark});
  const Axis axis = MakeAxis(0, 100 * most, kLeftEdge, kRightEdge);
  SvgPage page(kWidth, bottom + 60, title);
  for (double v = 0; v <= axis.high + axis.step / 2; v += axis.step) {
    page.Line(axis.At(v), kTop, axis.At(v), bottom);
    page.Text(axis.At(v), bottom + 18, absl::StrFormat("%g %%", v),
              SvgPage::kMiddle);
  }
  page.Text((kLeftEdge + kRightEdge) / 2, bottom + 42, x_label,
            SvgPage::kMiddle);
  double x = kLeftEdge;
  for (const auto& [name, colour] : legend) {
    page.Bar(x, 46, 12, 12, colour);
    page.Text(x + 18, 57, name);
    x += 190;
  }
  double y = kTop;
  for (const BarRow& r : rows) {
    page.Text(kLeftEdge - 8, y + 12, r.name, SvgPage::kRight);
    page.Bar(kLeftEdge, y + 3, axis.At(100 * r.value) - kLeftEdge, kRow - 6,
             r.colour);
    page.Mark(axis.At(100 * r.mark), y + 2, axis.At(100 * r.mark),
              y + kRow - 2);
    y += kRow;
  }
  return page.Finish();
}

}  // namespace perfvec::train
