// JSON: a text that is accepted is written as one line, and that is read back as the same.
#include "base/json.h"
#include "base/text.h"
#include "found.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

bool run(std::string_view input) {
  Json value;
  if (!accepted<FormatError>("", [&] { value = parse_json(input); })) return false;
  constexpr JsonLimits kWide = {.bytes = std::size_t{1} << 26U,
                                .elements = std::size_t{1} << 26U,
                                .key = std::size_t{1} << 20U,
                                .text = std::size_t{1} << 20U};  // escapes are longer
  for (const bool ascii : {false, true}) {
    const std::string text = value.dump({.ascii = ascii});
    demand(printable(text) == text, "JSON that is not printable");
    demand(parse_json(text, kWide).dump({.ascii = ascii}) == text, "other JSON is read back");
  }
  return true;
}

}  // namespace

Target json_target() {
  return {
      "json",
      run,
      {R"({"a":[1,-2,3.5e-3,18446744073709551615,true,false,null],"b":{"c":"\u00e4\ud83d\ude00\n"}})",
       R"([[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]])", "\"\xe2\x80\xae\"", "-0.0e+1",
       R"({"a":0,"a":0})", "1e999"},
      words_of(R"({ } [ ] : , null true false "" \u0000 \ud800 \udc00 1e308 -0 9223372036854775808 "a":)")};
}

}  // namespace resnet::fuzz
