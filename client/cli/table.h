// Aligned columns for people. On a terminal a table is as wide as the terminal
// at most: elastic columns are cut, and marked with "...", then the lines.
// Elsewhere nothing is cut, so that a pipe sees whole names.
//
// One thread.
//
//   Table table({{"NAME", Table::kElastic}, {"TIME", Table::kRight}}, 80);
//   table.Add({"lbm@1", "12.3 ms"});
//   std::cout << table.Render();
#ifndef PERFVEC_CLIENT_CLI_TABLE_H_
#define PERFVEC_CLIENT_CLI_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace perfvec::client::cli {

class Table {
 public:
  enum Kind { kLeft, kRight, kElastic };  // kElastic: left, may be cut
  struct Column {
    std::string title;
    Kind kind = kLeft;
  };

  // max_width 0: unlimited.
  Table(std::vector<Column> columns, int max_width);

  // One cell a column. Control characters are replaced by '?': what a server
  // sends is not to steer a terminal.
  void Add(std::vector<std::string> cells);

  size_t rows() const { return rows_.size(); }

  // The title (the first time) and the rows added since the last call. Columns
  // never become narrower from one call to the next, so that a long listing
  // can be printed page by page.
  std::string Render();

 private:
  std::vector<size_t> Widths() const;

  const std::vector<Column> columns_;
  const size_t max_width_;
  std::vector<size_t> widest_;
  std::vector<std::vector<std::string>> rows_;
  bool titled_ = false;
};

// "name  value" lines, aligned; empty values are left out.
std::string RenderFields(
    const std::vector<std::pair<std::string, std::string>>& fields);

// Replaces control characters by '?'.
std::string Printable(absl::string_view text);

}  // namespace perfvec::client::cli

#endif  // PERFVEC_CLIENT_CLI_TABLE_H_
