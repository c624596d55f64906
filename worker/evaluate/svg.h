// A page of an SVG picture: text, lines, dots and bars in a few named colours
// that can be told apart on light and on dark ground; the picture follows the
// reader's colour scheme.
//
//   SvgPage page(640, 480, "Errors");
//   page.Bar(100, 20, 300, 10, 0);
//   page.Text(95, 28, "floyd", SvgPage::kRight);
//   std::string svg = page.Finish();
//
// Coordinates in pixels from the upper left. Plain value; one thread.
#ifndef PERFVEC_WORKER_EVALUATE_SVG_H_
#define PERFVEC_WORKER_EVALUATE_SVG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace perfvec::train {

class SvgPage {
 public:
  enum Anchor { kLeft, kMiddle, kRight };
  static constexpr int kColours = 8;  // of Dot and Bar: 0..7

  SvgPage(double width, double height, absl::string_view title);

  void Text(double x, double y, absl::string_view text, Anchor anchor = kLeft);
  void VerticalText(double x, double y, absl::string_view text);
  void Line(double x1, double y1, double x2, double y2);  // of axes and grids
  void Mark(double x1, double y1, double x2, double y2);  // of data
  // Filled, or a ring.
  void Dot(double x, double y, double radius, int colour, bool ring = false);
  void Bar(double x, double y, double width, double height, int colour);

  std::string Finish() const;

 private:
  std::string body_;
  double width_, height_;
  std::string title_;
};

// One set of dots of a scatter plot.
struct DotSeries {
  std::string name;
  int colour = 0;
  bool ring = false;
  double radius = 2;
  std::vector<std::pair<double, double>> points;
  std::vector<std::string> labels;  // of points, or empty
};

// Dots over labelled axes with a legend beside them.
std::string ScatterPlot(absl::string_view title, absl::string_view x_label,
                        absl::string_view y_label,
                        const std::vector<DotSeries>& series);

struct BarRow {
  std::string name;
  int colour = 0;
  double value = 0, mark = 0;  // the bar's end, and a tick beyond; shares
};
// Horizontal bars in per cent, with a legend of the colours used.
std::string BarChart(absl::string_view title, absl::string_view x_label,
                     const std::vector<BarRow>& rows,
                     const std::vector<std::pair<std::string, int>>& legend);

}  // namespace perfvec::train

#endif  // PERFVEC_WORKER_EVALUATE_SVG_H_
