#include "base/toml.h"

#include <gtest/gtest.h>

#include "resnet/error.h"

namespace resnet {
namespace {

TEST(Toml, GivesTextsAndNumbersAsTextsInTheOrderOfNames) {
  const auto entries = parse_toml("b = 'two'\na = 1\nc = 0.05\n# a comment\nd = [1]\ne = true\n", "file");
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].value, "1");
  EXPECT_EQ(entries[1].value, "two");
  EXPECT_EQ(entries[2].value, "0.05");
  EXPECT_EQ(parse_toml("x = 3.0", "file")[0].value, "3.0") << "no whole number";
  EXPECT_EQ(entries[3].value, "1");
  EXPECT_FALSE(entries[4].value.has_value());
}

TEST(Toml, GivesListsOfNumbersAndTheEntriesOfTables) {
  const auto entries =
      parse_toml("z = [1, 2.5]\n[b]\ny = [1, 'a']\nx = [[1]]\n[a]\n[a.deep]\n[c]\nv = []\n", "file");
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[0].table + "." + entries[0].name, "a.deep");
  EXPECT_FALSE(entries[0].value.has_value()) << "a table in a table";
  EXPECT_EQ(entries[1].table + "." + entries[1].name, "b.x");
  EXPECT_FALSE(entries[1].value.has_value());
  EXPECT_FALSE(entries[2].value.has_value()) << "numbers and texts";
  EXPECT_EQ(entries[3].value, "");
  EXPECT_EQ(entries[4].table, "");
  EXPECT_EQ(entries[4].value, "1,2.5");
}

// toml++ asserts that these are digits.
TEST(Toml, RefusesATimeWithoutDigits) {
  for (const char* text :
       {"a = 1\nx = 1979-05-27T'\n", "x = 1979-05-27 x", "x = 1979-05-27T07:32:00+x", "x = 07:32:x"})
    EXPECT_THROW(parse_toml(text, "run/config.toml"), FormatError) << text;
}

// toml++ tells the compiler that nobody asks whether letters from U+00A1 to U+0499 are white space; the sanitizers
// see it.
TEST(Toml, RefusesLettersThatAreNoSpace) {
  for (const char* text :
       {"\u00e9 = 1", "e\u035d\x0f", "a = 1 \u0411", "a = \u3001", "[\u2010]", "a.\ufefe = 1", "a =\u00a01"})
    EXPECT_THROW(parse_toml(text, "file"), FormatError) << text;
}

TEST(Toml, NamesFileAndLineOfWhatIsNone) {
  try {
    parse_toml("a = 1\nb = = 2\n", "run/config.toml");
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_EQ(std::string(error.what()).rfind("run/config.toml:2: ", 0), 0U) << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_THROW(parse_toml("a = 1\na = 2\n", "file"), FormatError) << "a name twice";
}

TEST(Toml, QuotesAnyText) {
  for (const std::string text :
       {"", "plain", "with \"quotes\"", "back\\slash", "'single'", "line\nbreak", "ü", "\n", "\nfirst",
        "\r\n", "\t", "\x1b[2J\x7f", "'''", "\"\"\"", "\u009b\u202e\u2028", "\U0001f600"}) {
    const std::string quoted = toml_quoted(text);
    EXPECT_EQ(quoted.find('\n'), std::string::npos) << quoted;
    const auto entries = parse_toml("x = " + quoted + "\n", "file");
    ASSERT_EQ(entries.size(), 1U) << text;
    EXPECT_EQ(entries[0].value, text);
  }
}

TEST(Toml, HoldsNoTextThatIsNotUtf8) {
  for (const std::string text : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80"}) {
    EXPECT_THROW(toml_quoted(text), ConfigError) << text;
    EXPECT_THROW(parse_toml("x = '" + text + "'\n", "file"), FormatError) << text;
  }
}

TEST(Toml, RefusesWhatWouldOverflowTheStackInsideTheLibrary) {
  const auto repeated = [](const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
  };
  for (const std::string& text : {repeated("a.", 400'000) + "a = 1\n", repeated("a.", 30'000) + "a = 1\n",
                                  "[" + repeated("a.", 30'000) + "a]\n", "x = " + repeated("[", 60'000),
                                  "x = " + repeated("{a=", 20'000), repeated("{a.b = [", 8'000),
                                  "x = '" + repeated("a", 1 << 16) + "'\n"}) {
    EXPECT_THROW(parse_toml(text, "file"), FormatError) << text.substr(0, 20);
  }
  for (const std::string& front :
       std::vector<std::string>{"x = ['a', ", R"(x = ['\', )", "# don't\nx = ", R"(x = ["a\"", )",
                                "x = ['''\nb''', ", "x = [\"\"\"\nb\"\"\", ", "x = 'a'\r\ny = "})
    EXPECT_THROW(parse_toml(front + repeated("[", 20'000), "file"), FormatError) << front;
  for (const std::string quote : {"'", "\""})  // within a text nothing nests
    EXPECT_EQ(parse_toml("x = " + quote + repeated("../[{", 3000) + quote + "\n", "file").size(), 1U);
}

}  // namespace
}  // namespace resnet
