// Each opcode of a pickle that a state dict may have, and what it leaves on the stack.
#include "io/pth/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "resnet/error.h"
#include "support/message_of.h"
#include "support/pth_file.h"

namespace resnet::io {
namespace {

using test::little_endian;
using ::testing::HasSubstr;
namespace p = test::pickle;

// The value that the opcodes leave: what it is, with its number or its text.
std::string value_of(const std::string& opcodes) {
  const std::string bytes = p::of(opcodes);
  const Pickle pickle = read_pickle(bytes);
  const PickleValue& value = pickle.root;
  switch (value.kind) {
    case PickleValue::Kind::boolean:
    case PickleValue::Kind::whole:
      return described(value) + " " + std::to_string(value.whole);
    case PickleValue::Kind::text:
      return described(value) + " " + std::string(value.text);
    case PickleValue::Kind::tuple:
    case PickleValue::Kind::list:
      return described(value) + " of " + std::to_string(pickle.sequences[value.place].size());
    case PickleValue::Kind::dict:
      return described(value) + " of " + std::to_string(pickle.dicts[value.place].size());
    default:
      return described(value);
  }
}

std::string refusal_of(const std::string& opcodes) {
  return test::message_of<FormatError>([&] { static_cast<void>(read_pickle(p::of(opcodes))); });
}

std::string raw(std::initializer_list<int> values) {
  std::string result;
  for (const int value : values) result += static_cast<char>(value);
  return result;
}

TEST(Pickle, HasNumbersOfEveryWidth) {
  EXPECT_EQ(value_of("N"), "None");
  EXPECT_EQ(value_of("\x88"), "a bool 1");
  EXPECT_EQ(value_of("\x89"), "a bool 0");
  EXPECT_EQ(value_of("K\xff"), "a whole number 255");
  EXPECT_EQ(value_of("M\xff\xff"), "a whole number 65535");
  EXPECT_EQ(value_of("J\xfe\xff\xff\xff"), "a whole number -2");
  EXPECT_EQ(value_of(raw({0x8a, 0})), "a whole number 0");
  EXPECT_EQ(value_of(raw({0x8a, 1, 0x80})), "a whole number -128");
  EXPECT_EQ(value_of(raw({0x8a, 2, 0x80, 0})), "a whole number 128");
  EXPECT_EQ(value_of(raw({0x8b, 3, 0, 0, 0, 0, 0, 0xff})), "a whole number -65536");
  EXPECT_EQ(value_of(p::whole(std::numeric_limits<std::int64_t>::min())),
            "a whole number -9223372036854775808");
  EXPECT_EQ(value_of(raw({0x8a, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0})), "plain data") << "too long for any size";
  EXPECT_EQ(value_of("G" + std::string(8, '\0')), "plain data");
}

TEST(Pickle, HasTextsAndBytesOfEveryLength) {
  EXPECT_EQ(value_of("\x8c\x02"
                     "ab"),
            "a text ab");
  EXPECT_EQ(value_of("X" + little_endian(2, 4) + "ab"), "a text ab");
  EXPECT_EQ(value_of("\x8d" + little_endian(2, 8) + "ab"), "a text ab");
  EXPECT_EQ(value_of("U\x02"
                     "ab"),
            "a text ab")
      << "Python 2's";
  EXPECT_EQ(value_of("T" + little_endian(2, 4) + "ab"), "a text ab") << "Python 2's";
  EXPECT_EQ(value_of("C\x02"
                     "ab"),
            "plain data");
  EXPECT_EQ(value_of("B" + little_endian(2, 4) + "ab"), "plain data");
  EXPECT_EQ(value_of("\x8e" + little_endian(2, 8) + "ab"), "plain data");
  EXPECT_EQ(value_of("\x96" + little_endian(2, 8) + "ab"), "plain data");
  EXPECT_THAT(refusal_of("C\x09"
                         "ab"),
              HasSubstr("its pickle ends early"));
}

TEST(Pickle, HasContainers) {
  EXPECT_EQ(value_of(")"), "a tuple of 0");
  EXPECT_EQ(value_of("N\x85"), "a tuple of 1");
  EXPECT_EQ(value_of("NN\x86"), "a tuple of 2");
  EXPECT_EQ(value_of("NNN\x87"), "a tuple of 3");
  EXPECT_EQ(value_of("(NNNNt"), "a tuple of 4");
  EXPECT_EQ(value_of("]Na(NNe"), "a list of 3");
  EXPECT_EQ(value_of("}NNs(NNNNu"), "a dict of 3");
  EXPECT_EQ(value_of("\x8f(NN\x90"), "plain data") << "a set";
  EXPECT_EQ(value_of("(NN\x91"), "plain data") << "a frozen set";
  EXPECT_EQ(refusal_of("](NN\x90"), "its pickle adds items to a list");
  EXPECT_EQ(refusal_of("}Na"), "its pickle appends to a dict");
  EXPECT_EQ(refusal_of("](NNu"), "its pickle sets items of a list");
  EXPECT_EQ(refusal_of("}(NNNu"), "its pickle sets a key without a value");
  EXPECT_EQ(refusal_of("\x85"), "its pickle takes a value from an empty stack");
  EXPECT_EQ(refusal_of("Na"), "its pickle takes a value from an empty stack");
}

TEST(Pickle, RemembersAndForgets) {
  EXPECT_EQ(value_of("K\x01K\x02"
                     "0"),
            "a whole number 1");
  EXPECT_EQ(value_of("K\x01(NN1"), "a whole number 1") << "down to a mark";
  EXPECT_EQ(value_of("K\x01(0"), "a whole number 1") << "a mark alone";
  EXPECT_EQ(value_of("K\x07"
                     "2\x86"),
            "a tuple of 2")
      << "the same once more";
  EXPECT_EQ(refusal_of("(2"), "its pickle takes a mark for a value");
  EXPECT_EQ(value_of("K\x01\x94K\x02\x94"
                     "00h" +
                     std::string(1, '\0')),
            "a whole number 1");
  EXPECT_EQ(value_of("K\x01\x94K\x02\x94"
                     "00j" +
                     little_endian(1, 4)),
            "a whole number 2");
  EXPECT_EQ(value_of("K\x01q\x05K\x02q\x05"
                     "00h\x05"),
            "a whole number 2")
      << "one place twice";
  EXPECT_EQ(value_of("K\x01r" + little_endian(300, 4) + "0j" + little_endian(300, 4)), "a whole number 1");
  EXPECT_EQ(refusal_of("Nq\x05h\x04"), "its pickle asks for value 4 of its memo, which is not there");
  EXPECT_EQ(refusal_of("Nq\x05h\x06"), "its pickle asks for value 6 of its memo, which is not there");
}

TEST(Pickle, MayHaveFramesAndProtocolsWithin) {
  EXPECT_EQ(value_of("\x95" + little_endian(2, 8) + "N"), "None");
  EXPECT_EQ(value_of("\x80\x05N"), "None");
  EXPECT_EQ(refusal_of("\x80\x01N"), "its pickle has protocol 1; 2 to 5 are read");
  EXPECT_EQ(refusal_of("c"
                       "torch"),
            "its pickle ends early")
      << "a line without its end";
}

TEST(Pickle, CallsWhatMeansSomethingAndNothingElse) {
  EXPECT_EQ(value_of(p::global("collections", "OrderedDict")), "'collections.OrderedDict'");
  EXPECT_EQ(value_of(p::global("collections", "defaultdict") + ")R"), "a dict of 0");
  EXPECT_EQ(value_of(p::global("torch", "device") + p::tuple({p::text("cpu")}) + "R"), "plain data");
  EXPECT_EQ(value_of(p::global("__builtin__", "set") + ")R"), "plain data") << "Python 2's name of it";
  const std::string size = p::global("torch", "Size");
  EXPECT_EQ(value_of(size + p::tuple({p::wholes({2, 3})}) + "R"), "a tuple of 2");
  EXPECT_EQ(value_of(size + p::tuple({"](NNNe"}) + "R"), "a tuple of 3");
  const char* const refused = "its pickle gives 'torch.Size' arguments that it does not take";
  EXPECT_EQ(refusal_of(size + ")R"), refused);
  EXPECT_EQ(refusal_of(size + p::tuple({"N"}) + "R"), refused);
  EXPECT_EQ(refusal_of(size + p::tuple({")", ")"}) + "R"), refused);
  const std::string parameter = p::global("torch._utils", "_rebuild_parameter");
  const std::string storage = p::storage("FloatStorage", "0", 6);
  EXPECT_EQ(value_of(storage), "a storage");
  EXPECT_EQ(value_of(parameter + p::tuple({p::tensor(storage, 0, {6}, {1}), "\x88", ")"}) + "R"), "a tensor");
  EXPECT_THAT(refusal_of(parameter + ")R"), HasSubstr("'torch._utils._rebuild_parameter' arguments"));
  EXPECT_THAT(refusal_of(parameter + p::tuple({"N"}) + "R"), HasSubstr("_rebuild_parameter' arguments"));
  EXPECT_THAT(refusal_of("NN\x93"), HasSubstr("has None for a callable's name"));
  EXPECT_THAT(refusal_of("N" + p::text("x") + "\x93"), HasSubstr("has None for a module's name"));
  EXPECT_EQ(value_of("}}b"), "a dict of 0") << "attributes of a dict say nothing";
}

// Whatever one argument is not.
TEST(Pickle, MakesTensorsOfAStorageAnOffsetSizesAndStrides) {
  const std::string storage = p::storage("FloatStorage", "0", 6);
  const std::vector<std::string> good = {storage, p::whole(0), p::wholes({6}), p::wholes({1}), "\x89",
                                         "}",     "N"};
  const auto with = [](const std::vector<std::string>& arguments) {
    return p::global("torch._utils", "_rebuild_tensor_v2") + p::tuple(arguments) + "R";
  };
  EXPECT_EQ(value_of(with(good)), "a tensor") << "a seventh: attributes";
  EXPECT_EQ(value_of(with({good.begin(), good.begin() + 6})), "a tensor");
  const char* const refused =
      "its pickle makes a tensor of something else than a storage, an offset, sizes and strides";
  EXPECT_EQ(refusal_of(with({good.begin(), good.begin() + 5})), refused);
  std::vector<std::string> other = good;
  other.push_back("N");
  EXPECT_EQ(refusal_of(with(other)), refused);
  for (std::size_t i = 0; i < 4; ++i) {
    other = good;
    other[i] = "\x88";
    EXPECT_EQ(refusal_of(with(other)), refused) << i;
  }
  other = good;
  other[6] = "}" + p::text("neg") + "\x88s";
  EXPECT_EQ(refusal_of(with(other)), "its pickle has a tensor that is marked as negated or conjugated");
}

TEST(Pickle, HasStoragesOfTheFormOfPyTorch) {
  const std::vector<std::string> good = {p::text("storage"), p::global("torch", "FloatStorage"), p::text("0"),
                                         p::text("cpu"), p::whole(6)};
  const auto with = [](const std::vector<std::string>& parts) { return p::tuple(parts) + "Q"; };
  ASSERT_EQ(value_of(with(good)), "a storage");
  const char* const refused = "its pickle has a persistent id that is no storage's";
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::vector<std::string> other = good;
    other[i] = "N";
    EXPECT_EQ(refusal_of(with(other)), refused) << i;
  }
  std::vector<std::string> other = good;
  other[0] = p::text("module");
  EXPECT_EQ(refusal_of(with(other)), refused);
  other = good;
  other[1] = p::global("torch", "Size");
  EXPECT_EQ(refusal_of(with(other)), refused) << "a callable that is no type of storage";
  other = good;
  other[4] = p::whole(-1);
  EXPECT_EQ(refusal_of(with(other)), refused);
  EXPECT_EQ(refusal_of(with({good.begin(), good.begin() + 4})), refused);
  EXPECT_EQ(refusal_of("NQ"), "its pickle has None for a storage's id");
  EXPECT_EQ(refusal_of("(Q"), "its pickle takes a mark for a value");
}

// Nothing of protocols 0 and 1, no object and no extension: each by its name.
TEST(Pickle, RefusesOtherOpcodesByName) {
  for (const auto& [code, name] : {std::pair{'I', "INT"},
                                   {'L', "LONG"},
                                   {'F', "FLOAT"},
                                   {'V', "UNICODE"},
                                   {'p', "PUT"},
                                   {'g', "GET"},
                                   {'d', "DICT"},
                                   {'l', "LIST"},
                                   {'\x83', "EXT2"},
                                   {'\x84', "EXT4"},
                                   {'\x98', "READONLY_BUFFER"}})
    EXPECT_EQ(refusal_of(std::string(1, code)),
              "its pickle has the opcode " + std::string(name) + ", which no state dict needs");
}

}  // namespace
}  // namespace resnet::io
