#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/text.h"
#include "io/folder_test.h"
#include "resnet/error.h"
#include "support/passed_on.h"

namespace resnet::io {
namespace {

using ::testing::HasSubstr;

class SafetensorsFile : public FolderTest {};

template <class T>
Tensor tensor_of(const Shape& shape, const std::vector<T>& values) {
  Tensor tensor(shape, dtype_of<T>());
  std::copy(values.begin(), values.end(), tensor.view<T>().span().begin());
  return tensor;
}

// Numbers that only survive as bits: a NaN with a payload, -0, a denormal, the extremes.
NamedTensors all_kinds() {
  float payload = 0;
  const std::uint32_t bits = 0x7fc12345;
  std::memcpy(&payload, &bits, sizeof payload);
  NamedTensors tensors;
  tensors.emplace_back("z.weight",
                       tensor_of<float>({2, 3}, {payload, -0.0F, 1e-45F, 3.4e38F, -INFINITY, 0.1F}));
  tensors.emplace_back("bytes", tensor_of<std::uint8_t>({3}, {0, 255, 7}));
  tensors.emplace_back("a.count",
                       tensor_of<std::int64_t>(Shape{}, {std::numeric_limits<std::int64_t>::min()}));
  tensors.emplace_back("double", tensor_of<double>({1, 1, 1, 1, 2}, {5e-324, -1.7976931348623157e308}));
  tensors.emplace_back("int", tensor_of<std::int32_t>({1}, {-2147483647 - 1}));
  tensors.emplace_back("nothing", Tensor({2, 0, 3}));
  tensors.emplace_back("name \"with\" ü\n\t\\ and more", tensor_of<float>({1}, {1}));
  return tensors;
}

void expect_same(const NamedTensors& expected, const NamedTensors& got) {
  ASSERT_EQ(expected.size(), got.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, tensor] = expected[i];
    EXPECT_EQ(got[i].first, name) << "order";
    EXPECT_EQ(got[i].second.shape(), tensor.shape()) << name;
    ASSERT_EQ(got[i].second.dtype(), tensor.dtype()) << name;
    if (tensor.bytes() > 0) {
      EXPECT_EQ(std::memcmp(got[i].second.raw(), tensor.raw(), tensor.bytes()), 0) << name;
    }
  }
}

TEST_F(SafetensorsFile, GivesBackEveryBitInTheOrderWritten) {
  const NamedTensors tensors = all_kinds();
  const Metadata metadata = {{"format", "pt"}, {"ü\"", std::string("a\nb")}};
  write_safetensors(file("m"), tensors, metadata);
  const Safetensors got = read_safetensors(file("m"));
  expect_same(tensors, got.tensors);
  EXPECT_EQ(got.metadata, metadata);
  const std::string bytes = read(file("m"));
  expect_same(tensors, parse_safetensors(std::as_bytes(std::span(bytes)), "m").tensors);
}

TEST_F(SafetensorsFile, IsTheSameBytesForTheSameTensors) {
  write_safetensors(file("a"), all_kinds(), {{"b", "1"}, {"a", "2"}});
  write_safetensors(file("b"), all_kinds(), {{"a", "2"}, {"b", "1"}});
  EXPECT_EQ(read(file("a")), read(file("b")));
}

TEST_F(SafetensorsFile, IsLaidOutAsTheFormatSays) {
  write_safetensors(file("m"),
                    {{"x", tensor_of<std::uint8_t>({3}, {1, 2, 3})}, {"y", tensor_of<float>({1}, {1})}},
                    {{"format", "pt"}});
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"x":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},)"
      R"("y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::size_t padded = (header.size() + 7) / 8 * 8;
  std::string expected(8, '\0');
  expected[0] = static_cast<char>(padded);
  expected += header + std::string(padded - header.size(), ' ');
  expected += std::string("\0\0\x80\x3f", 4) + "\1\2\3";
  EXPECT_EQ(read(file("m")), expected);
}

// Readers that look at the bytes as elements need them aligned, whatever the order of the tensors.
TEST_F(SafetensorsFile, AlignsTheDataOfEveryTensor) {
  NamedTensors tensors = {
      {"b", tensor_of<std::uint8_t>({3}, {1, 2, 3})}, {"f", tensor_of<float>({1}, {1})},
      {"u", tensor_of<std::uint8_t>({1}, {4})},       {"d", tensor_of<double>({1}, {1})},
      {"i", tensor_of<std::int32_t>({3}, {1, 2, 3})}, {"l", tensor_of<std::int64_t>(Shape{}, {9})}};
  write_safetensors(file("m"), tensors);
  const std::string bytes = read(file("m"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0U);
  for (const auto& [name, tensor] : tensors) {
    const std::size_t entry = bytes.find("\"" + name + "\":{");
    ASSERT_NE(entry, std::string::npos);
    const std::size_t offsets = bytes.find("data_offsets\":[", entry) + 15;
    EXPECT_EQ(std::stoul(bytes.substr(offsets)) % size_of(tensor.dtype()), 0U) << name;
  }
  expect_same(tensors, read_safetensors(file("m")).tensors);
}

TEST_F(SafetensorsFile, MayHoldNothing) {
  write_safetensors(file("m"), {});
  EXPECT_TRUE(read_safetensors(file("m")).tensors.empty());
}

TEST_F(SafetensorsFile, RefusesToWriteWhatTheFormatCannotHold) {
  const Tensor one({1});
  EXPECT_THROW(write_safetensors(file("m"), {{"a", one}, {"a", one}}), FormatError);
  EXPECT_THROW(write_safetensors(file("m"), {{"__metadata__", one}}), FormatError);
  EXPECT_THROW(write_safetensors(file("m"), {{"\xff", one}}), FormatError);
  EXPECT_THROW(write_safetensors(file("m"), {{"a", one}}, {{"k", "\xc3"}}), FormatError);
  EXPECT_THROW(write_safetensors(file("m"), {{"half", Tensor({1}, DType::bf16)}}), FormatError)
      << "nothing is written that would not be read";
  NamedTensors many;
  for (int i = 0; i <= 1 << 14; ++i) many.emplace_back(std::to_string(i), Tensor());
  EXPECT_THROW(write_safetensors(file("m"), many), FormatError);
  EXPECT_FALSE(std::filesystem::exists(file("m")));
}

// Whoever makes it shorter between the look at its size and the last byte.
TEST_F(SafetensorsFile, ThatBecomesShorterWhileItIsReadIsRefused) {
  class Shrinking final : public test::PassedOn {
   public:
    explicit Shrinking(std::size_t left) : PassedOn(file_system()), left_(left) {}
    ssize_t read(int fd, void* out, std::size_t size) noexcept override {
      const ssize_t got = PassedOn::read(fd, out, std::min(size, left_));
      left_ -= static_cast<std::size_t>(got);
      return got;
    }

   private:
    std::size_t left_;
  };
  write_safetensors(file("m"), all_kinds());
  const std::size_t size = read(file("m")).size();
  for (const std::size_t left :
       {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{100}, size - 1}) {
    Shrinking files(left);
    const test::FilesReplaced replaced(files);
    try {
      static_cast<void>(read_safetensors(file("m")));
      ADD_FAILURE() << "read with " << left << " of " << size << " bytes";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr("it ended while it was being read"));
    }
  }
}

TEST_F(SafetensorsFile, FailsToWriteWithoutHarmToTheOldFile) {
  write_safetensors(file("m"), all_kinds());
  const std::string before = read(file("m"));
  {
    const SmallDisk disk(100);  // bytes: the header does not even fit
    EXPECT_THROW(write_safetensors(file("m"), {{"a", Tensor({1000})}}), IoError);
  }
  EXPECT_THROW(write_safetensors(file("none") / "m", all_kinds()), IoError);
  std::filesystem::create_directory(file("folder"));
  EXPECT_THROW(write_safetensors(file("folder"), {}), IoError);
  EXPECT_EQ(read(file("m")), before);
  EXPECT_EQ(folder_.entries(), 2U) << "no temporary file stays";
}

TEST_F(SafetensorsFile, SaysWhichFileIsMissing) {
  try {
    static_cast<void>(read_safetensors(file("none")));
    FAIL() << "nothing thrown";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file("none").string()));
  }
  EXPECT_THROW(static_cast<void>(read_safetensors(folder_.path())), IoError);
}

// ---- hostile files

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + rest;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, '\1'));
}

std::string error_of(const std::string& bytes) {
  try {
    static_cast<void>(parse_safetensors(std::as_bytes(std::span(bytes)), "m.safetensors"));
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), ::testing::AnyOf(::testing::StartsWith("m.safetensors: "),
                                               ::testing::StartsWith("m.safetensors is ")));
    EXPECT_NE(error.hint(), "");
    EXPECT_LE(std::strlen(error.what()), 300U);
    EXPECT_EQ(printable(error.what()), error.what());
    return error.what();
  }
  return "";
}

std::string entry(const char* dtype, const char* shape, const char* offsets) {
  return std::string(R"({"x":{"dtype":)") + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

TEST(HostileSafetensors, TheHarmlessFormOfTheCasesIsRead) {
  EXPECT_EQ(error_of(file_of(entry("\"F32\"", "[1]", "[0,4]"), 4)), "");
  EXPECT_EQ(error_of(file_of(entry("\"F32\"", "[1]", "[0,4]") + "   ", 4)), "") << "padding";
  EXPECT_EQ(error_of(file_of(R"({"__metadata__":{}})", 0)), "");
  EXPECT_EQ(error_of(file_of("{}", 0)), "");
}

struct HostileCase {
  const char* name;
  std::string bytes;
  const char* expected;  // part of the message
};

std::string numbered_texts(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"\"";
  return text;
}

std::vector<HostileCase> hostile_cases() {
  const auto one = [](const char* dtype, const char* shape, const char* offsets, std::size_t bytes) {
    return file_of(entry(dtype, shape, offsets), bytes);
  };
  const std::string x = R"("x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const auto two = [&](const char* offsets, std::size_t bytes) {
    return file_of("{" + x + R"(,"y":{"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}}", bytes);
  };
  std::string many = "{";
  for (int i = 0; i < 20000; ++i) {
    many +=
        (i > 0 ? ",\"" : "\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  return {
      {"empty", "", "m.safetensors is empty"},
      {"seven bytes", std::string(7, '\0'), "7 bytes are too few"},
      {"no header", with_length(0, ""), "does not begin"},
      {"header longer than the file", with_length(100, "{}"),
       "its header would have 100 bytes, the file has 10"},
      {"header length overflows", with_length(~std::uint64_t{0}, "{}"), "18446744073709551615 bytes"},
      {"header length wraps to the file's", with_length(~std::uint64_t{0} - 7, "{}"), "would have"},
      {"header too large", with_length(17U << 20U, std::string(17U << 20U, ' ')), "at most 8388608"},
      {"header of spaces", file_of("        ", 0), "does not begin"},
      {"space before the header", file_of(" {}", 0), "does not begin"},
      {"newline as padding", file_of("{}\n", 0), "does not begin"},
      {"list as header", file_of("[]", 0), "does not begin"},
      {"two values", file_of("{}{}", 0), "unexpected text"},
      {"hidden behind NUL", file_of(std::string("{}\0{}", 5), 0), "NUL"},
      {"cut short in a text", with_length(5, "{\"abc"), "does not begin"},
      {"not UTF-8", file_of("{\"\xff\":{}}", 0), "unexpected text"},
      {"lone surrogate", file_of("{\"\\ud800\":{}}", 0), "unexpected text"},
      {"depth bomb", file_of("{\"x\":" + std::string(100000, '[') + "}", 0), "nested deeper"},
      {"depth bomb of objects",
       file_of(
           [] {
             std::string text;
             for (int i = 0; i < 5000; ++i) text += "{\"x\":";
             return text + "1" + std::string(5000, '}');
           }(),
           0),
       "nested deeper"},
      {"list bomb",
       file_of(
           [] {
             std::string text = "{\"x\":[0";
             for (int i = 0; i < 400000; ++i) text += ",0";
             return text + "]}";
           }(),
           0),
       "more than 32768 elements"},
      {"bomb of lists",
       file_of(
           [] {
             std::string text = "{\"x\":[0", list = ",[0";
             for (int i = 0; i < 10'000; ++i) list += ",0";
             for (int i = 0; i < 30; ++i) text += list + "]";
             return text + "]}";
           }(),
           0),
       "more than 262144 values"},
      {"too many tensors", file_of(many + "}", 0), "more than 16384 tensors"},
      {"two tensors of one name", file_of("{" + x + "," + x + "}", 4), "'x' appears twice"},
      {"two tensors of one name, escaped",
       file_of("{" + x + R"(,"\u0078":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})", 4),
       "'x' appears twice"},
      {"shape twice", file_of(R"({"x":{"dtype":"U8","shape":[4],"shape":[2],"data_offsets":[0,2]}})", 2),
       "appears twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "appears twice"},
      {"metadata of numbers", file_of(R"({"__metadata__":{"a":1}})", 0), "not a text"},
      {"metadata of objects", file_of(R"({"__metadata__":{"a":{}}})", 0), "not a text"},
      {"metadata as list", file_of(R"({"__metadata__":[]})", 0), "not an object"},
      {"tensor as list", file_of(R"({"x":[]})", 0), "expected exactly"},
      {"tensor as null", file_of(R"({"x":null})", 0), "expected exactly"},
      {"no dtype", file_of(R"({"x":{"shape":[0],"data_offsets":[0,0]}})", 0), "expected exactly"},
      {"no shape", file_of(R"({"x":{"dtype":"U8","data_offsets":[0,0]}})", 0), "expected exactly"},
      {"no offsets", file_of(R"({"x":{"dtype":"U8","shape":[0]}})", 0), "expected exactly"},
      {"something more", file_of(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"y":1}})", 0),
       "expected exactly"},
      {"something else", file_of(R"({"x":{"dtype":"U8","shape":[0],"offsets":[0,0]}})", 0),
       "expected exactly"},
      {"half precision", one("\"F16\"", "[2]", "[0,4]", 4), "tensor 'x': dtype 'F16' is not supported"},
      {"bfloat16", one("\"BF16\"", "[2]", "[0,4]", 4), "dtype 'BF16' is not supported"},
      {"lower case", one("\"f32\"", "[1]", "[0,4]", 4), "not supported"},
      {"dtype as number", one("32", "[1]", "[0,4]", 4), "dtype is not a text"},
      {"wrong dtype", one("\"F64\"", "[1]", "[0,4]", 4), "F64 [1] takes 8 bytes"},
      {"shape as number", one("\"F32\"", "1", "[0,4]", 4), "list of whole numbers"},
      {"negative extent", one("\"F32\"", "[-1]", "[0,4]", 4), "list of whole numbers"},
      {"two negative extents", one("\"F32\"", "[-1,-1]", "[0,4]", 4), "list of whole numbers"},
      {"fractional extent", one("\"F32\"", "[1.0]", "[0,4]", 4), "list of whole numbers"},
      {"extent beyond 63 bits", one("\"F32\"", "[9223372036854775808]", "[0,4]", 4), "list of whole numbers"},
      {"extent beyond 64 bits", one("\"F32\"", "[18446744073709551617]", "[0,4]", 4),
       "list of whole numbers"},
      {"seven axes", one("\"F32\"", "[1,1,1,1,1,1,1]", "[0,4]", 4), "7 axes"},
      {"product wraps to one", one("\"F32\"", "[4194305,4194305,211106198978564]", "[0,16]", 16),
       "overflows"},
      {"bytes wrap to zero", one("\"F32\"", "[4611686018427387904]", "[0,0]", 0), "at most 2^40"},
      {"zero hides an overflow", one("\"F32\"", "[4611686018427387904,4,0]", "[0,0]", 0), "overflows"},
      {"size differs", one("\"F32\"", "[2]", "[0,4]", 4), "F32 [2] takes 8 bytes"},
      {"offsets reversed", one("\"F32\"", "[1]", "[4,0]", 4), "takes 4 bytes"},
      {"offsets reversed, wrapping", one("\"U8\"", "[4]", "[18446744073709551615,3]", 4), "takes 4 bytes"},
      {"negative offset", one("\"F32\"", "[1]", "[-4,0]", 4), "two whole numbers"},
      {"fractional offset", one("\"F32\"", "[1]", "[0.0,4.0]", 4), "two whole numbers"},
      {"one offset", one("\"F32\"", "[1]", "[4]", 4), "two whole numbers"},
      {"three offsets", one("\"F32\"", "[1]", "[0,4,4]", 4), "two whole numbers"},
      {"offsets as text", one("\"F32\"", "[1]", "\"0,4\"", 4), "two whole numbers"},
      {"offsets beyond 64 bits", one("\"F32\"", "[1]", "[18446744073709551616,18446744073709551620]", 4),
       "two whole numbers"},
      {"beyond the file", one("\"F32\"", "[2]", "[0,8]", 7), "end at byte 8, the file holds 7"},
      {"far beyond the file", one("\"U8\"", "[1099511627776]", "[0,1099511627776]", 4), "the file holds 4"},
      {"begins late", one("\"F32\"", "[1]", "[4,8]", 8), "a hole"},
      {"bytes behind", one("\"F32\"", "[1]", "[0,4]", 5), "5 bytes of data, the tensors take 4"},
      {"bytes without tensors", file_of("{}", 1), "1 bytes of data, the tensors take 0"},
      {"hole", two("[5,9]", 9), "a hole"},
      {"overlap", two("[3,7]", 7), "tensors overlap"},
      {"same range", two("[0,4]", 4), "tensors overlap"},
      {"hostile name",
       file_of(R"({"\u001b[2J\n)" + std::string(900, 'n') +
                   R"(":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})",
               2),
       "'\\x1b[2J\\x0annn"},
      {"name of 15 MB",
       file_of("{\"" + std::string(7'000'000, 'n') + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
               4),
       "a key of more than 1024 bytes"},
      {"number of 7 MB", file_of("{\"x\":" + std::string(7'000'000, '1') + "}", 4),
       "a number of more than 64 characters"},
      {"header of 9 MB", file_of("{" + std::string(9'000'000, ' ') + "}", 0), "a header of 9000002 bytes"},
      {"2,000 texts of metadata", file_of(R"({"__metadata__":{)" + numbered_texts(2000) + "}}", 0),
       "more than 1024 texts"},
      {"210,000 texts of metadata", file_of(R"({"__metadata__":{)" + numbered_texts(210'000) + "}}", 0),
       "more than 32768 elements"},
      {"extent beside 0", one("\"F32\"", "[4611686018427387904,0]", "[0,0]", 0), "beside an extent of 0"},
  };
}

TEST(HostileSafetensors, EveryCaseIsAFormatErrorThatSaysWhatIsWrong) {
  for (const HostileCase& hostile : hostile_cases()) {
    SCOPED_TRACE(hostile.name);
    const std::string message = error_of(hostile.bytes);
    EXPECT_NE(message, "");
    EXPECT_THAT(message, HasSubstr(hostile.expected));
  }
}

TEST_F(SafetensorsFile, IsRefusedWhereverItIsCutOrExtended) {
  write_safetensors(file("m"), all_kinds(), {{"format", "pt"}});
  const std::string bytes = read(file("m"));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(error_of(bytes.substr(0, length)), "") << "cut to " << length << " of " << bytes.size();
  }
  EXPECT_NE(error_of(bytes + " "), "");
  EXPECT_EQ(error_of(bytes), "");
  write(file("cut"), bytes.substr(0, bytes.size() - 1));
  EXPECT_THROW(static_cast<void>(read_safetensors(file("cut"))), FormatError);
}

// No byte of the header can be changed so that reading does anything but succeed or throw FormatError.
TEST_F(SafetensorsFile, SurvivesAnyChangedByteOfItsHeader) {
  write_safetensors(file("m"), all_kinds(), {{"format", "pt"}});
  const std::string bytes = read(file("m"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  for (std::size_t at = 0; at < 8 + length; ++at) {
    for (const char c : {'\0', '0', '9', '-', '"', '{', ']', ' ', '\x7f', '\xff'}) {
      std::string changed = bytes;
      changed[at] = c;
      static_cast<void>(error_of(changed));
    }
  }
}

}  // namespace
}  // namespace resnet::io
