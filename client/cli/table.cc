#include "client/cli/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace perfvec::client::cli {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kMinElastic = 12;

// Columns on the screen: UTF-8 continuation bytes take none.
size_t DisplayWidth(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  });
}

// The first `width` columns, of which the last three become "..." if anything
// is cut.
std::string Cut(const std::string& text, size_t width) {
  if (DisplayWidth(text) <= width) return text;
  size_t bytes = 0, columns = 0;
  while (bytes < text.size()) {
    const bool starts =
        (static_cast<unsigned char>(text[bytes]) & 0xC0) != 0x80;
    if (starts && columns == width - 3) break;
    columns += starts;
    ++bytes;
  }
  return text.substr(0, bytes) + "...";
}

void AppendLine(const std::vector<std::string>& cells,
                const std::vector<size_t>& widths,
                const std::vector<Table::Column>& columns, size_t max_width,
                std::string* out) {
  std::string line;
  for (size_t c = 0; c < columns.size(); ++c) {
    const std::string cell = Cut(cells[c], std::max<size_t>(widths[c], 3));
    const size_t width = DisplayWidth(cell);
    const std::string padding(widths[c] > width ? widths[c] - width : 0, ' ');
    if (c > 0) line.append(kGap, ' ');
    absl::StrAppend(&line, columns[c].kind == Table::kRight ? padding : "",
                    cell, columns[c].kind == Table::kRight ? "" : padding);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  if (max_width > 0) line = Cut(line, std::max<size_t>(max_width, 3));
  absl::StrAppend(out, line, "\n");
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string clean(text);
  for (char& c : clean) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return clean;
}

Table::Table(std::vector<Column> columns, int max_width)
    : columns_(std::move(columns)),
      max_width_(max_width > 0 ? max_width : 0),
      widest_(columns_.size()) {
  for (size_t c = 0; c < columns_.size(); ++c) {
    widest_[c] = DisplayWidth(columns_[c].title);
  }
}

void Table::Add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (size_t c = 0; c < cells.size(); ++c) {
    cells[c] = Printable(cells[c]);
    widest_[c] = std::max(widest_[c], DisplayWidth(cells[c]));
  }
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths = widest_;
  size_t total = kGap * (columns_.size() - 1);
  for (size_t width : widths) total += width;
  // The last columns give way first: the first is the name.
  for (size_t c = columns_.size(); max_width_ > 0 && c-- > 0;) {
    if (columns_[c].kind != kElastic || total <= max_width_) continue;
    const size_t least = std::min(widths[c], kMinElastic);
    const size_t saved = std::min(widths[c] - least, total - max_width_);
    widths[c] -= saved;
    total -= saved;
  }
  return widths;
}

std::string Table::Render() {
  const std::vector<size_t> widths = Widths();
  std::string out;
  if (!titled_) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    AppendLine(titles, widths, columns_, max_width_, &out);
    titled_ = true;
  }
  for (const auto& row : rows_) {
    AppendLine(row, widths, columns_, max_width_, &out);
  }
  rows_.clear();
  return out;
}

std::string RenderFields(
    const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t widest = 0;
  for (const auto& [name, value] : fields) {
    if (!value.empty()) widest = std::max(widest, DisplayWidth(name));
  }
  std::string out;
  for (const auto& [name, value] : fields) {
    if (value.empty()) continue;
    absl::StrAppend(&out, name,
                    std::string(widest + kGap - DisplayWidth(name), ' '),
                    Printable(value), "\n");
  }
  return out;
}

}  // namespace perfvec::client::cli
