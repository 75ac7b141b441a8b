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
  EXPECT_FALSE(entries[3].value.has_value());
  EXPECT_FALSE(entries[4].value.has_value());
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
       {"", "plain", "with \"quotes\"", "back\\slash", "'single'", "line\nbreak", "ü"}) {
    const auto entries = parse_toml("x = " + toml_quoted(text) + "\n", "file");
    ASSERT_EQ(entries.size(), 1U) << text;
    EXPECT_EQ(entries[0].value, text);
  }
}

}  // namespace
}  // namespace resnet
