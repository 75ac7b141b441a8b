// PyTorch's files: what torch.save() wrote, and the same made by hand.
#include "io/pth/pth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "base/files.h"
#include "support/message_of.h"
#include "support/paths.h"
#include "support/pth_file.h"

namespace resnet::io {
namespace {

using test::pth_of;
using test::ZipEntry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace p = test::pickle;

PthFile read(const std::string& file) {
  return read_pth(std::as_bytes(std::span(file)));
}

std::string error_of(const std::string& file) {
  try {
    static_cast<void>(read(file));
  } catch (const FormatError& error) {
    return std::string(error.what()) + " | " + error.hint();
  }
  return "nothing was refused";
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), 4 * values.size()};
}

std::vector<float> values_of(const Tensor& tensor) {
  const auto values = tensor.values();
  return {values.begin(), values.end()};
}

const std::string kSix = floats({0, 1, 2, 3, 4, 5});

TEST(Pth, ReadsTensorsInTheDictsOrder) {
  const std::string file =
      pth_of(p::of(p::dict({{"b", p::tensor(p::storage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})},
                            {"a", p::tensor(p::storage("FloatStorage", "1", 1), 0, {}, {})}})),
             {{"0", kSix}, {"1", floats({7})}});
  const PthFile got = read(file);
  ASSERT_EQ(got.tensors.size(), 2U);
  EXPECT_EQ(got.tensors[0].first, "b");
  EXPECT_EQ(got.tensors[0].second.shape(), Shape({2, 3}));
  EXPECT_THAT(values_of(got.tensors[0].second), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(got.tensors[1].second.shape(), Shape{});
  EXPECT_THAT(values_of(got.tensors[1].second), ElementsAre(7));
  EXPECT_THAT(got.notes, ElementsAre());
}

TEST(Pth, ReadsViewsOfASharedStorage) {
  constexpr std::int64_t kMostStride =
      std::numeric_limits<std::int64_t>::max();  // of an axis of one, never taken
  const std::string storage = p::storage("FloatStorage", "0", 6);
  const PthFile got =
      read(pth_of(p::of(p::dict({{"transposed", p::tensor(storage, 0, {3, 2}, {1, 3})},
                                 {"every second", p::tensor(storage, 1, {3}, {2})},
                                 {"same", p::tensor(storage, 2, {2, 2}, {0, 1})},
                                 {"none", p::tensor(storage, 6, {0, 3}, {3, 1})},
                                 {"one column", p::tensor(storage, 0, {3, 1}, {2, kMostStride})}})),
                  {{"0", kSix}}, true));
  EXPECT_THAT(values_of(got.tensors[0].second), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(values_of(got.tensors[1].second), ElementsAre(1, 3, 5));
  EXPECT_THAT(values_of(got.tensors[2].second), ElementsAre(2, 3, 2, 3));
  EXPECT_TRUE(got.tensors[3].second.empty());
  EXPECT_THAT(values_of(got.tensors[4].second), ElementsAre(0, 2, 4));
}

TEST(Pth, WidensHalvesExactly) {
  // Every binary16 number, against its definition.
  std::string all;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) all += test::little_endian(bits, 2);
  const PthFile got =
      read(pth_of(p::of(p::dict({{"h", p::tensor(p::storage("HalfStorage", "0", 65536), 0, {65536}, {1})},
                                 {"b", p::tensor(p::storage("BFloat16Storage", "1", 2), 0, {2}, {1})}})),
                  {{"0", all}, {"1", std::string("\x80\x3f\x00\xc0", 4)}}));
  const auto values = got.tensors[0].second.values();
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = static_cast<int>(bits >> 10U & 31U), fraction = static_cast<int>(bits & 1023U);
    const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
    const double expected =
        exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(values[bits]), fraction != 0) << bits;
      ASSERT_TRUE(fraction != 0 || values[bits] == sign * HUGE_VAL) << bits;
    } else {
      ASSERT_EQ(values[bits], expected) << bits;
      ASSERT_EQ(std::signbit(values[bits]), sign < 0) << bits;
    }
  }
  EXPECT_THAT(values_of(got.tensors[1].second), ElementsAre(1, -2));
  EXPECT_EQ(got.widened.at("float16"), 1);
  EXPECT_EQ(got.widened.at("bfloat16"), 1);
}

TEST(Pth, ReadsIntegersOfEveryWidth) {
  std::vector<std::pair<std::string, std::string>> items, storages;
  const std::pair<const char*, std::string> types[] = {{"LongStorage", test::little_endian(~0ULL, 8)},
                                                       {"IntStorage", test::little_endian(~0ULL, 4)},
                                                       {"ShortStorage", test::little_endian(~0ULL, 2)},
                                                       {"CharStorage", "\xff"},
                                                       {"ByteStorage", "\xff"},
                                                       {"BoolStorage", "\x01"},
                                                       {"DoubleStorage", std::string(8, '\0')}};
  for (const auto& [type, bytes] : types) {
    items.emplace_back(type, p::tensor(p::storage(type, type, 1), 0, {1}, {1}));
    storages.emplace_back(type, bytes);
  }
  const PthFile got = read(pth_of(p::of(p::dict(items)), storages));
  EXPECT_EQ(*got.tensors[0].second.view<std::int64_t>().data, -1);
  for (const std::size_t i : {1, 2, 3}) EXPECT_EQ(*got.tensors[i].second.view<std::int32_t>().data, -1) << i;
  EXPECT_EQ(*got.tensors[4].second.view<std::uint8_t>().data, 255);
  EXPECT_EQ(*got.tensors[5].second.view<std::uint8_t>().data, 1);
  EXPECT_EQ(got.tensors[6].second.dtype(), DType::f64);
}

TEST(Pth, TakesWrappersOffAndSaysSo) {
  const std::string dict = p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})}});
  const std::string other = p::dict({{"v", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})}});
  const auto of = [&](const std::string& value) { return read(pth_of(p::of(value), {{"0", kSix}})); };
  const PthFile checkpoint =
      of(p::dict({{"epoch", p::whole(3)}, {"state_dict", dict}, {"best", "G" + std::string(8, '\0')}}));
  EXPECT_EQ(checkpoint.tensors[0].first, "w");
  EXPECT_THAT(checkpoint.notes, ElementsAre("'state_dict' was taken of 'epoch', 'state_dict', 'best'"));
  const PthFile averaged = of(p::dict({{"model", other}, {"model_ema", dict}}));
  EXPECT_EQ(averaged.tensors[0].first, "w");
  EXPECT_THAT(averaged.notes, ElementsAre("'model_ema' was taken of 'model', 'model_ema', and not 'model'"));
  const PthFile scored = of(p::dict(
      {{"state_dict", dict}, {"best_acc1", p::tensor(p::storage("FloatStorage", "0", 6), 0, {1}, {1})}}));
  ASSERT_EQ(scored.tensors.size(), 1U) << "a trainer's best accuracy is no weight";
  EXPECT_EQ(scored.tensors[0].first, "w");
  const PthFile flat = of(p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})},
                                   {"params", p::dict({{"lr", p::whole(1)}})}}));
  EXPECT_EQ(flat.tensors[0].first, "w");
  const PthFile nested = of(p::dict({{"model", p::dict({{"state_dict", dict}})}}));
  EXPECT_EQ(nested.notes.size(), 2U);
  const std::string milestones =
      p::global("collections", "Counter") + p::tuple({"}" + p::whole(30) + p::whole(1) + "s"}) + "R";
  const PthFile scheduled =
      of(p::dict({{"state_dict", dict}, {"scheduler", p::dict({{"milestones", milestones}})}}));
  EXPECT_EQ(scheduled.tensors[0].first, "w") << "what MultiStepLR keeps";
  const PthFile mixed = of(
      p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})}, {"extra", p::text("x")}}));
  EXPECT_THAT(mixed.notes, ElementsAre("1 entries that are no tensors were left out, such as 'extra'"));
}

TEST(Pth, RefusesWhatHoldsNoStateDict) {
  const auto of = [&](const std::string& value) { return error_of(pth_of(p::of(value), {{"0", kSix}})); };
  EXPECT_THAT(of(p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})),
              HasSubstr("it holds a tensor, not a state dict"));
  EXPECT_THAT(of(p::dict({{"epoch", "N"}, {"a", "N"}})), HasSubstr("it has no state dict, but 'epoch', 'a'"));
  EXPECT_THAT(of("}"), HasSubstr("its state dict is empty"));
  EXPECT_THAT(of("]"), HasSubstr("it holds a list"));
}

// ---- archives

std::vector<ZipEntry> good_entries() {
  return {{"archive/data.pkl",
           p::of(p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})}}))},
          {"archive/data/0", kSix}};
}

TEST(Pth, ReadsEntriesAnywhereAndPackedToo) {
  for (ZipEntry& entry : good_entries()) entry.deflated = true;
  auto entries = good_entries();
  for (ZipEntry& entry : entries) entry = {entry.name.substr(8), entry.bytes, true};  // without "archive/"
  EXPECT_EQ(read(test::zip_of(entries)).tensors.size(), 1U);
  EXPECT_EQ(read("something in front of it" + test::zip_of(good_entries())).tensors.size(), 1U);
}

TEST(Pth, RefusesOtherArchivesByName) {
  EXPECT_THAT(error_of(test::zip_of({{"word/document.xml", "x"}})), HasSubstr("it has no 'data.pkl'"));
  auto script = good_entries();
  script.push_back({"archive/code/__torch__.py", "x"});
  EXPECT_THAT(error_of(test::zip_of(script)), HasSubstr("TorchScript"));
  auto big = good_entries();
  big.push_back({"archive/byteorder", "big"});
  EXPECT_THAT(error_of(test::zip_of(big)), HasSubstr("big-endian"));
  auto twice = good_entries();
  twice.push_back(twice[0]);
  EXPECT_THAT(error_of(test::zip_of(twice)), HasSubstr("two entries of the zip archive are called"));
  auto two = good_entries();
  two.push_back({"other/data.pkl", two[0].bytes});
  EXPECT_THAT(error_of(test::zip_of(two)), HasSubstr("two of 'data.pkl'"));
}

TEST(Pth, RefusesDamagedArchives) {
  const std::string good = test::zip_of(good_entries());
  EXPECT_THAT(error_of("PK\3\4"), HasSubstr("has no end"));
  std::string other = good;
  other[good.find(kSix) + 9] ^= 1;
  EXPECT_THAT(error_of(other), HasSubstr("other bytes than its checksum is of"));
  // Nothing that is cut off is taken for a file.
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_NE(error_of(good.substr(0, size)), "nothing was refused") << size;
  other = good;
  other[good.rfind("PK\1\2") + 8] = 1;  // the flag of encryption
  EXPECT_THAT(error_of(other), HasSubstr("is encrypted"));
  other = good;
  other[good.rfind("PK\1\2") + 10] = 12;  // bzip2
  EXPECT_THAT(error_of(other), HasSubstr("neither stored nor deflated"));
  auto missing = good_entries();
  missing[1].name = "archive/data/1";
  EXPECT_THAT(error_of(test::zip_of(missing)), HasSubstr("no entry 'archive/data/0'"));
  auto short_one = good_entries();
  short_one[1].bytes.pop_back();
  EXPECT_THAT(error_of(test::zip_of(short_one)), HasSubstr("storage '0' has 23 bytes; 6 float32 take 24"));
}

TEST(Pth, RefusesEntriesThatShareBytes) {
  // Two names in the directory for one place.
  const std::string pickle =
      p::of(p::dict({{"a", p::tensor(p::storage("FloatStorage", "0", 6), 0, {6}, {1})},
                     {"b", p::tensor(p::storage("FloatStorage", "1", 6), 0, {6}, {1})}}));
  std::string file = test::zip_of({{"a/data.pkl", pickle}, {"a/data/0", kSix}, {"a/data/1", kSix}});
  const std::size_t second = file.find("PK\1\2", file.find("PK\1\2") + 1),
                    third = file.find("PK\1\2", second + 1);
  const std::size_t first_place = file.find("a/data/0") - 30;
  file.replace(third + 42, 4, test::little_endian(first_place, 4));
  EXPECT_THAT(error_of(file), HasSubstr("shares bytes with another one"));
}

TEST(Pth, RefusesWhatUnpacksTooFar) {
  const std::int64_t elements = 8 << 20;
  const std::string file = pth_of(
      p::of(p::dict({{"w", p::tensor(p::storage("FloatStorage", "0", elements), 0, {elements}, {1})}})),
      {{"0", std::string(static_cast<std::size_t>(4 * elements), '\0')}}, true);
  ASSERT_LT(file.size(), 40000U);
  EXPECT_THAT(error_of(file), HasSubstr("unpacks to 33554432 bytes, too many for a file of"));
}

// ---- what torch.save() wrote (reference/pth_files.py)

std::string golden(const std::string& name) {
  const auto bytes = read_file(test::source_folder() / "tests/golden/pth" / name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The tensors of pth_files.py: element i, in the order of the axes, is i + 1 over 4, negative where i is odd.
void expect_ramp(const Tensor& tensor) {
  const auto value = [](std::int64_t i) { return static_cast<double>(i + 1) / 4 * (i % 2 == 0 ? 1 : -1); };
  for (std::int64_t i = 0; i < tensor.shape().elements(); ++i) {
    const double got = tensor.dtype() == DType::f64   ? tensor.view<double>()[i]
                       : tensor.dtype() == DType::f32 ? static_cast<double>(tensor.view<float>()[i])
                                                      : NAN;
    ASSERT_EQ(got, value(i)) << i;
  }
}

TEST(Pth, ReadsWhatPyTorchWrites) {
  for (const char* name : {"state_dict.pth", "protocol5.pth", "checkpoint.pth"}) {
    SCOPED_TRACE(name);
    const PthFile got = read(golden(name));
    std::vector<std::string> names;
    for (const auto& [tensor, value] : got.tensors) {
      names.push_back(tensor);
      SCOPED_TRACE(tensor);
      if (tensor != "count") expect_ramp(value);
    }
    EXPECT_THAT(names, ElementsAre("plain", "half", "brain", "double", "transposed", "slice", "shared",
                                   "parameter", "scalar", "empty", "count"));
    EXPECT_EQ(*got.tensors.back().second.view<std::int64_t>().data, 12345678901);
  }
}

TEST(Pth, RefusesWholeModelsScriptsAndOldFilesWithAHint) {
  EXPECT_THAT(error_of(golden("whole_model.pth")),
              ::testing::AllOf(HasSubstr("'torch.nn."), HasSubstr("torch.save(model.state_dict(), FILE)")));
  EXPECT_THAT(error_of(golden("script.pt")), HasSubstr("TorchScript"));
  EXPECT_THAT(error_of(golden("namespace.pth")), HasSubstr("'argparse.Namespace'"));
}

}  // namespace
}  // namespace resnet::io
