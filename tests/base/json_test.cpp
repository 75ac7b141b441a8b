#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "resnet/error.h"

namespace resnet {
namespace {

std::string error_of(const std::string& text, const JsonLimits& limits = {}) {
  try {
    static_cast<void>(parse_json(text, limits));
  } catch (const FormatError& error) {
    EXPECT_FALSE(error.hint().empty());
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "";
}

TEST(Json, GivesEveryKindOfValue) {
  const Json value = parse_json(R"( {"a": [1, -2, 0.5, true, null, "\u00fc"], "b": {}, "c": []} )");
  ASSERT_TRUE(value.is_object());
  EXPECT_EQ(value.size(), 3U);
  const Json& a = *value.find("a");
  ASSERT_TRUE(a.is_list());
  ASSERT_EQ(a.size(), 6U);
  EXPECT_TRUE(a[0].is_natural());
  EXPECT_EQ(a[0].natural(), 1U);
  EXPECT_TRUE(a[1].is_whole() && !a[1].is_natural());
  EXPECT_EQ(a[1].whole(), -2);
  EXPECT_TRUE(a[2].is_float() && !a[2].is_whole());
  EXPECT_EQ(a[2].number(), 0.5);
  EXPECT_EQ(a[3].dump(), "true");
  EXPECT_EQ(a[4].dump(), "null");
  EXPECT_TRUE(a[5].is_text());
  EXPECT_EQ(a[5].text(), "ü");
  EXPECT_TRUE(value.find("b")->is_object() && value.find("b")->size() == 0);
  EXPECT_TRUE(value.find("c")->is_list() && value.find("c")->size() == 0);
  EXPECT_EQ(value.find("d"), nullptr);
  EXPECT_EQ(parse_json("7").whole(), 7);
  EXPECT_EQ(parse_json("[[1],[2,[3]]]").dump(), "[[1],[2,[3]]]");
}

TEST(Json, HoldsWholeNumbersOf64BitsExactly) {
  const Json largest = parse_json("18446744073709551615");
  EXPECT_TRUE(largest.is_natural() && !largest.is_whole());
  EXPECT_EQ(largest.natural(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(largest.dump(), "18446744073709551615");
  const Json least = parse_json("-9223372036854775808");
  EXPECT_EQ(least.whole(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(parse_json("9223372036854775807").is_whole());
  EXPECT_TRUE(parse_json("18446744073709551616").is_float());
}

TEST(Json, RefusesToBeReadAsAnotherKind) {
  EXPECT_THROW(static_cast<void>(parse_json("-1").natural()), FormatError);
  EXPECT_THROW(static_cast<void>(parse_json("0.5").whole()), FormatError);
  EXPECT_THROW(static_cast<void>(parse_json("[]").members()), FormatError);
  EXPECT_THROW(static_cast<void>(parse_json("{}").elements()), FormatError);
  EXPECT_THROW(static_cast<void>(parse_json("1").text()), FormatError);
}

TEST(Json, KeepsTheOrderOfTheText) {
  const std::string text = R"({"z":1,"a":{"y":[],"b":2},"m":3})";
  EXPECT_EQ(parse_json(text).dump(), text);
  EXPECT_EQ(parse_json(text).find("a")->find("b")->whole(), 2);
}

TEST(Json, WritesWhatItIsMadeOf) {
  const Json value = Json::object({{"numbers", Json::list(std::vector<int>{1, -2})},
                                   {"rate", 0.1},
                                   {"whole", 3.0},
                                   {"nothing", std::numeric_limits<double>::quiet_NaN()},
                                   {"yes", true},
                                   {"text", "a\"\n\x7f"},
                                   {"empty", Json::object()}});
  EXPECT_EQ(value.dump(),
            "{\"numbers\":[1,-2],\"rate\":0.1,\"whole\":3.0,\"nothing\":null,\"yes\":true,"
            "\"text\":\"a\\\"\\n\\u007f\",\"empty\":{}}");
  EXPECT_EQ(Json("ü\xff").dump({.ascii = true, .replace = true}), R"("\u00fc\ufffd")");
  EXPECT_THROW(static_cast<void>(Json("\xff").dump()), FormatError);
}

TEST(Json, RefusesWhatIsNotOneJsonValue) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "[1,]",
                           "{} {}",
                           "{}x",
                           "1 2",
                           "nul",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\t\"",
                           "01",
                           "+1",
                           "1.",
                           ".5",
                           "1e999",
                           "-",
                           "NaN",
                           "{1:2}",
                           "// c\n1",
                           "[1 2]",
                           "}",
                           "\"\\ud800\"",
                           "\xff\xfe",
                           "\"\xc3\x28\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\""}) {
    EXPECT_NE(error_of(text), "") << text;
  }
}

TEST(Json, RefusesNulBytesBehindWhichOtherParsersSeeNothing) {
  EXPECT_EQ(error_of(std::string("{}\0{}", 5)), "JSON: a NUL byte at byte 2");
  EXPECT_NE(error_of(std::string("\"a\0b\"", 5)), "");
}

TEST(Json, RefusesAKeyTwiceInOneObject) {
  EXPECT_EQ(error_of(R"({"a":1,"b":{"a":2},"a":3})"), "JSON: the key 'a' appears twice at byte 22");
  EXPECT_EQ(error_of(R"({"a":1,"\u0061":3})"), "JSON: the key 'a' appears twice at byte 15");
  EXPECT_EQ(error_of(R"([{"a":1},{"a":{"a":2}}])"), "") << "different objects";
}

TEST(Json, EscapesAHostileKey) {
  const std::string key = "\\u001b[31m" + std::string(1000, 'x');
  const std::string message = error_of("{\"" + key + "\":1,\"" + key + "\":2}");
  EXPECT_NE(message.find("'\\x1b[31mxxx"), std::string::npos) << message;
  EXPECT_LT(message.size(), 120U);
}

TEST(Json, NamesThePositionOfASyntaxError) {
  EXPECT_EQ(error_of("[1, x]"), "JSON: unexpected text or end at byte 5");
}

TEST(Json, HoldsTheLimitOfDepth) {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_EQ(error_of(nested(32)), "");
  EXPECT_EQ(error_of(nested(33)), "JSON: nested deeper than 32 at byte 33");
  EXPECT_EQ(error_of(std::string(1 << 20, '[')), "JSON: nested deeper than 32 at byte 33");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_NE(error_of(objects), "");
}

TEST(Json, HoldsTheLimitOfValues) {
  const JsonLimits limits{.values = 4};
  EXPECT_EQ(error_of("[1,2,3]", limits), "") << "three elements and the list";
  EXPECT_EQ(error_of("[1,2,3,4,5]", limits), "JSON: more than 4 values at byte 11");
  EXPECT_EQ(error_of(R"({"a":1,"b":[1,2]})", limits).substr(0, 24), "JSON: more than 4 values");
}

TEST(Json, RefusesALongTokenBeforeItIsGathered) {
  const JsonLimits limits{.key = 4, .text = 6};
  EXPECT_EQ(error_of(R"({"abcd":"abcdef","\"\\":["123456"]})", limits), "");
  EXPECT_EQ(error_of(R"({"abcde":1})", limits), "JSON: a key of more than 4 bytes at byte 1");
  EXPECT_EQ(error_of(R"({"abcde"  :1})", limits), "JSON: a key of more than 4 bytes at byte 1");
  EXPECT_EQ(error_of(R"([1,"abcdefg"])", limits), "JSON: a text of more than 6 bytes at byte 3");
  EXPECT_EQ(error_of(R"(["\"\"\"\""])", limits), "JSON: a text of more than 6 bytes at byte 1");
  EXPECT_EQ(error_of("[0." + std::string(62, '1') + "]"), "");
  EXPECT_EQ(error_of("[0." + std::string(63, '1') + "]"),
            "JSON: a number of more than 64 characters at byte 1");
  EXPECT_EQ(error_of("{\"a\":-1" + std::string(1'000'000, '0') + "}"),
            "JSON: a number of more than 64 characters at byte 5");
  for (const std::string text : {"\"", "[\"a", "[\"a\\", "{\"a\"", "{\"a\":", "1e", "[1"}) {
    EXPECT_EQ(error_of(text, limits).substr(0, 24), "JSON: unexpected text or") << text;
  }
}

TEST(Json, LimitsTheElementsOfEachListAndObject) {
  const JsonLimits limits{.elements = 2};
  EXPECT_EQ(error_of(R"([[1,2],{"a":1,"b":2}])", limits), "");
  EXPECT_EQ(error_of("[[1,2,3]]", limits), "JSON: a list or object of more than 2 elements at byte 8");
  EXPECT_EQ(error_of(R"({"a":1,"b":2,"c":[]})", limits).substr(0, 42),
            "JSON: a list or object of more than 2 elem");
}

TEST(Json, WritesNothingThatATerminalWouldObey) {
  EXPECT_EQ(Json("\x1b\x7f\u009b\u202e ü残").dump(), R"("\u001b\u007f\u009b\u202e ü残")");
  EXPECT_EQ(parse_json(Json("\x7f\u009b\u202e").dump()).text(), "\x7f\u009b\u202e");
}

TEST(Json, HoldsTheLimitOfBytes) {
  const JsonLimits limits{.bytes = 4};
  EXPECT_EQ(error_of("[10]", limits), "");
  EXPECT_EQ(error_of("[100]", limits), "JSON: 5 bytes, more than 4");
}

}  // namespace
}  // namespace resnet
