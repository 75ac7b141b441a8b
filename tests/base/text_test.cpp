#include "base/text.h"

#include <gtest/gtest.h>

#include "resnet/error.h"

namespace resnet {
namespace {

TEST(Text, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("run\x1b[2J\n\x7f"), "run\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("a\xff"
                      "b\xC3"),
            "a\\xffb\\xc3");
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf") << "an overlong form";
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\u009b2J"), "\\u009b2J") << "CSI in one character";
  EXPECT_EQ(printable("残差 ü \U0001f600"), "残差 ü \U0001f600");
}

TEST(Text, IsUtf8OrNot) {
  for (const char* text : {"", "a", "ü", "残", "\U0001f600", "\x1b"}) EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* text : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3(",
                           "\xe6\xae(", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf5\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(text)) << text;
}

TEST(Text, OfWhatIsNoCharacterIsEscaped) {
  for (const char* none : {"\ufffe", "\uffff"}) {
    EXPECT_TRUE(is_utf8(none));
    EXPECT_EQ(printable(none).substr(0, 4), "\\uff");
  }
  EXPECT_EQ(printable("\ufffd"), "\ufffd");
}

TEST(Text, IsWrittenForXmlAndForTables) {
  EXPECT_EQ(xml_text("a < b & \"c\" > d\n"), "a &lt; b &amp; &quot;c&quot; &gt; d\\x0a");
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a \"b\"\n"), "\"a \"\"b\"\"\n\"");
  EXPECT_EQ(in_quotes("0123456789abcdef", 10), "'0123...def'");
}

TEST(Text, EscapesWhatTurnsTheDirectionOfALine) {
  for (const char* mark : {"\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b", "\u202c",
                           "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"}) {
    const std::string text = printable(std::string("a") + mark + "b");
    EXPECT_EQ(text.size(), 8U) << text;
    EXPECT_TRUE(text.starts_with("a\\u")) << text;
  }
}

TEST(Text, OfAnEditorHasLines) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(lines_of("\xEF\xBB\xBF"
                     "cat\r\ndog\r\n"),
            (Lines{"cat", "dog"}));
  EXPECT_EQ(lines_of("cat\n\ndog"), (Lines{"cat", "", "dog"}));
  EXPECT_EQ(lines_of("\n"), Lines{""});
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("\xEF\xBB\xBF"), Lines{});
}

TEST(Text, IsLeftAloneTheSecondTime) {
  const std::string once = printable("\x1b \u202e \xff \\");
  EXPECT_EQ(printable(once), once);
  const std::string cut = shown(std::string(1000, '\xff'), 280);
  EXPECT_EQ(shown(cut, 280), cut);
}

TEST(Text, IsShownByItsEnds) {
  EXPECT_EQ(shown("0123456789", 10), "0123456789");
  EXPECT_EQ(shown("0123456789abcdef", 10), "0123...def");
  for (std::size_t size = 0; size < 40; ++size) {
    for (const std::string piece : {"a", "ü", "残", "\U0001f600", "\x1b", "\xff", "\u202e"}) {
      std::string text;
      for (std::size_t i = 0; i < size; ++i) text += piece;
      const std::string got = shown(text, 20);
      EXPECT_LE(got.size(), 20U) << got;
      EXPECT_EQ(printable(got), got) << "no character is cut: " << got;
      if (printable(text).size() <= 20) EXPECT_EQ(got, printable(text));
    }
  }
}

TEST(Text, OfManyMegabytesIsShownFromItsEnds) {
  std::string text(15'000'000, 'n');
  text.back() = 'e';
  const std::string got = shown(text, 280);
  EXPECT_EQ(got.size(), 280U);
  EXPECT_TRUE(got.ends_with("nne")) << got;
}

TEST(Counted, AgreesWithTheNumber) {
  EXPECT_EQ(counted(0, "class", "classes"), "0 classes");
  EXPECT_EQ(counted(1, "class", "classes"), "1 class");
  EXPECT_EQ(counted(2, "class", "classes"), "2 classes");
}

TEST(ErrorText, IsOneLineThatMayBePrinted) {
  const std::string file(5000, 'f');
  const FormatError error(std::string("m.safetensors: \x1b]0;title\a\0 ", 27) + file + "\nwhy", "do\nthis");
  const std::string what = error.what();
  EXPECT_LE(what.size(), 280U);
  EXPECT_TRUE(what.starts_with("m.safetensors: \\x1b]0;title\\x07\\x00 ff")) << what;
  EXPECT_TRUE(what.ends_with("f\\x0awhy")) << what;
  EXPECT_EQ(error.hint(), "do\\x0athis");
}

}  // namespace
}  // namespace resnet
