#include "client/cli/table.h"

#include <sstream>

#include "client/cli/help.h"
#include "client/cli/json_output.h"
#include "gtest/gtest.h"
#include "perfvec/v1/resources.pb.h"

namespace perfvec::client::cli {
namespace {

TEST(TableTest, AlignsColumns) {
  Table table({{"NAME", Table::kElastic}, {"TIME", Table::kRight}, {"ISA"}}, 0);
  table.Add({"lbm", "12.3 ms", "aarch64"});
  table.Add({"a_long_name", "1 s", ""});
  EXPECT_EQ(table.Render(),
            "NAME            TIME  ISA\n"
            "lbm          12.3 ms  aarch64\n"
            "a_long_name      1 s\n");
}

TEST(TableTest, ElasticColumnsGiveWayOnATerminal) {
  Table table({{"NAME", Table::kElastic}, {"N", Table::kRight}}, 20);
  table.Add({"an_extraordinarily_long_name", "7"});
  EXPECT_EQ(table.Render(),
            "NAME               N\n"
            "an_extraordina...  7\n");
}

TEST(TableTest, NoLineIsWiderThanTheTerminal) {
  Table table({{"NAME", Table::kElastic}, {"A LONG TITLE"}, {"CREATED"}}, 24);
  table.Add({"name_of_something", "x", "2025-01-01 10:00"});
  EXPECT_EQ(table.Render(),
            "NAME          A LONG ...\n"
            "name_of_s...  x      ...\n");
}

TEST(TableTest, PagesKeepTheirWidthsAndOneTitle) {
  Table table({{"NAME"}, {"N", Table::kRight}}, 0);
  table.Add({"abcdef", "1"});
  EXPECT_EQ(table.Render(), "NAME    N\nabcdef  1\n");
  table.Add({"a", "2"});
  EXPECT_EQ(table.Render(), "a       2\n");
  EXPECT_EQ(table.Render(), "");
}

TEST(TableTest, AnEmptyListingHasItsTitle) {
  Table table({{"NAME"}, {"TAGS"}}, 0);
  EXPECT_EQ(table.Render(), "NAME  TAGS\n");
}

TEST(TableTest, CountsUtf8ByCharactersAndCutsBetweenThem) {
  Table table({{"NAME", Table::kElastic}, {"X"}}, 15);
  table.Add({"\xC3\xA9t\xC3\xA9_\xC3\xA9t\xC3\xA9_\xC3\xA9t\xC3\xA9_x", "y"});
  EXPECT_EQ(table.Render(),
            "NAME          X\n"
            "\xC3\xA9t\xC3\xA9_\xC3\xA9t\xC3\xA9_\xC3\xA9...  y\n");
}

TEST(TableTest, ControlCharactersNeverReachATerminal) {
  EXPECT_EQ(Printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  Table table({{"NAME"}}, 0);
  table.Add({"\x1b]0;title\x07"});
  EXPECT_EQ(table.Render(), "NAME\n?]0;title?\n");
}

TEST(TableTest, FieldsWithoutValueAreLeftOut) {
  EXPECT_EQ(RenderFields({{"a", "1"}, {"long name", ""}, {"bcd", "2"}}),
            "a    1\nbcd  2\n");
}

TEST(HelpTest, Wraps) {
  EXPECT_EQ(Wrap("aaa bbb ccc", 7), "aaa bbb\nccc");
  EXPECT_EQ(Wrap("a_word_that_is_long b", 5), "a_word_that_is_long\nb");
}

TEST(HelpTest, TheNearestName) {
  const std::vector<std::string> names = {"rank", "predict", "program"};
  EXPECT_EQ(Nearest("rnak", names), "rank");
  EXPECT_EQ(Nearest("prog", names), "program");
  EXPECT_EQ(Nearest("xyzzy", names), "");
}

TEST(JsonOutputTest, AListIsValidWhateverItsLength) {
  perfvec::v1::AttributeValue item;
  item.set_number(2);
  for (int n : {0, 1, 2}) {
    std::ostringstream out;
    JsonList list(out, "items");
    EXPECT_EQ(out.str(), "");
    for (int i = 0; i < n; ++i) ASSERT_TRUE(list.Add(item).ok());
    list.Close();
    EXPECT_EQ(out.str(), n == 0   ? "{\"items\": []}\n"
                         : n == 1 ? "{\"items\": [\n{\"number\":2}\n]}\n"
                                  : "{\"items\": [\n{\"number\":2},\n"
                                    "{\"number\":2}\n]}\n");
  }
}

}  // namespace
}  // namespace perfvec::client::cli
