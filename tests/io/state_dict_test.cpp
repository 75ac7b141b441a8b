// Which dict of a pickle is the state dict, and which tensors of it are taken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/pth/pth.h"
#include "resnet/error.h"
#include "support/message_of.h"
#include "support/pth_file.h"

namespace resnet::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace p = test::pickle;

const std::string kTensor = p::tensor(p::storage("FloatStorage", "0", 1), 0, {1}, {1});

PthFile read(const std::string& value) {
  const std::string file = test::pth_of(p::of(value), {{"0", std::string(4, '\0')}});
  return read_pth(std::as_bytes(std::span(file)));
}
std::string refusal(const std::string& value) {
  return test::message_of<FormatError>([&] { static_cast<void>(read(value)); });
}
std::string dict_of(const char* name) {
  return p::dict({{name, kTensor}});
}

TEST(StateDict, IsTheFirstWrapperThatHoldsOne) {
  const PthFile three =
      read(p::dict({{"net", dict_of("n")}, {"model", dict_of("m")}, {"ema", dict_of("e")}}));
  EXPECT_EQ(three.tensors[0].first, "e");
  EXPECT_THAT(three.notes, ElementsAre("'ema' was taken of 'net', 'model', 'ema', and not 'model'"));
  // Wrappers that are no dict, or an empty one, are none; a key need be no text.
  const std::string odd = "}(" + p::whole(1) + "N" + p::text("ema") + "N" + p::text("state_dict") + "}" +
                          p::text("model") + dict_of("m") + "u";
  EXPECT_EQ(read(odd).tensors[0].first, "m");
  EXPECT_EQ(refusal("}" + p::whole(1) + "Ns"), "it has no state dict, but a whole number");
  EXPECT_EQ(refusal(p::dict({{"model", "}"}})), "it has no state dict, but 'model'");
  std::string deep = dict_of("w");
  for (int i = 0; i < 5; ++i) deep = p::dict({{"model", deep}});
  EXPECT_EQ(refusal(deep), "it has no state dict, but 'model'") << "five in one another";
  EXPECT_EQ(refusal(p::dict({{"a", "N"}, {"b", "N"}, {"c", "N"}, {"d", "N"}, {"e", "N"}})),
            "it has no state dict, but 'a', 'b', 'c', 'd', ...");
}

TEST(StateDict, LeavesOutWhatIsNoTensor) {
  const std::string odd =
      "}(" + p::whole(1) + "N" + p::text("w") + kTensor + p::text("epoch") + p::whole(3) + "u";
  const PthFile got = read(odd);
  ASSERT_EQ(got.tensors.size(), 1U);
  EXPECT_THAT(got.notes, ElementsAre("2 entries that are no tensors were left out, such as a whole number"));
}

TEST(StateDict, HasNamesAndTensorsWithinTheirLimits) {
  const std::string longest(1024, 'n');
  EXPECT_EQ(read(dict_of(longest.c_str())).tensors[0].first, longest);
  EXPECT_EQ(refusal(dict_of((longest + "n").c_str())),
            "a tensor's name has 1025 bytes; at most 1024, of UTF-8");
  const std::string empty = p::tensor(p::storage("FloatStorage", "0", 1), 0, {0}, {1}) + "q\x07" + "0";
  std::string many = empty + "}(";
  for (int i = 0; i < 1 << 14; ++i) many += p::text(std::to_string(i)) + "h\x07";
  EXPECT_EQ(read(many + "u").tensors.size(), std::size_t{1} << 14U);
  EXPECT_EQ(refusal(many + p::text("more") + "h\x07" + "u"), "its state dict has more than 16384 tensors");
}

TEST(StateDict, TakesItsBytesFromAStorageOfAShortName) {
  const std::string key(61, 'k');
  EXPECT_THAT(refusal(p::dict({{"w", p::tensor(p::storage("FloatStorage", key, 1), 0, {1}, {1})}})),
              HasSubstr("a persistent id that is no storage's"));
  EXPECT_THAT(refusal(p::dict({{"w", p::tensor(p::storage("FloatStorage", key.substr(1), 1), 0, {1}, {1})}})),
              HasSubstr("its zip archive has no entry 'archive/data/kkk"));
  const std::string script =
      test::zip_of({{"archive/data.pkl", p::of(dict_of("w"))}, {"archive/constants.pkl", "x"}});
  EXPECT_EQ(
      test::message_of<FormatError>([&] { static_cast<void>(read_pth(std::as_bytes(std::span(script)))); }),
      "it is a TorchScript archive, which is code");
}

}  // namespace
}  // namespace resnet::io
