// Where the orientation may stand in a file, and what is none; and damage that is none.
#include <gtest/gtest.h>

#include "images/made_pictures.h"
#include "resnet/error.h"
#include "resnet/images.h"

namespace resnet::images {
namespace {

using namespace made;

// One entry of EXIF's first directory: the orientation.
Bytes exif(bool big_endian, std::uint32_t type, std::uint32_t count, const Bytes& value,
           std::uint32_t tag = 0x112) {
  const auto n = [&](std::uint32_t v, int bytes) { return number(v, bytes, big_endian); };
  return text(big_endian ? "MM" : "II") + n(42, 2) + n(8, 4) + n(1, 2) + n(tag, 2) + n(type, 2) +
         n(count, 4) + value + n(0, 4);
}
Bytes hexadecimal(const Bytes& bytes, std::string_view digits) {
  Bytes out;
  for (const std::uint8_t byte : bytes)
    out = out + Bytes{std::uint8_t(digits[byte >> 4]), std::uint8_t(digits[byte & 15])};
  return out;
}

// Whether a picture of 2x3 pixels with this chunk is shown as one of 3x2, as orientation 6 has it.
bool turned(const Bytes& chunks) {
  const Bytes file = png(2, 3, 8, 2, kRows, chunks);
  const Image image = decode(file);
  EXPECT_EQ(probe(file).width, image.width);
  return image.width == 3;
}

const Bytes kSix = exif(false, 3, 1, {6, 0, 0, 0});

TEST(Orientation, IsReadOfEveryIntegerInBothOrdersOfBytes) {
  const auto is = [](const Bytes& data) { return turned(chunk("eXIf", data)); };
  EXPECT_TRUE(is(kSix));
  EXPECT_TRUE(is(exif(true, 3, 1, {0, 6, 0, 0})));
  EXPECT_TRUE(is(exif(false, 8, 1, {6, 0, 0, 0})));  // a signed short
  EXPECT_TRUE(is(exif(true, 4, 1, {0, 0, 0, 6})));
  EXPECT_TRUE(is(exif(false, 9, 1, {6, 0, 0, 0})));
  EXPECT_TRUE(is(exif(false, 6, 1, {6, 0, 0, 0})));   // a signed byte
  EXPECT_FALSE(is(exif(false, 1, 1, {6, 0, 0, 0})));  // Pillow takes a byte as a text
  EXPECT_FALSE(is(exif(false, 2, 1, {6, 0, 0, 0})));
  EXPECT_FALSE(is(exif(false, 3, 0, {6, 0, 0, 0}))) << "no value";
  EXPECT_FALSE(is(exif(false, 3, 1, {6, 0, 0, 0}, 0x113))) << "another tag";
  EXPECT_FALSE(is(exif(false, 4, 1, {9, 0, 0, 0xFF}))) << "none of the eight";
  EXPECT_FALSE(is(exif(false, 3, 1, {0, 0, 0, 0})));
  EXPECT_TRUE(is(exif(false, 3, 3, {26, 0, 0, 0}) + Bytes{6, 0, 1, 0, 1, 0}))
      << "the first of three, elsewhere";
  EXPECT_FALSE(is(exif(false, 3, 3, {27, 0, 0, 0}) + Bytes{6, 0, 1, 0, 1, 0})) << "beyond the end";
  EXPECT_TRUE(is(text({"Exif\0\0Exif\0\0", 12}) + kSix));
}

TEST(Orientation, OfADirectoryThatIsNoneIsOne) {
  const auto is = [](const Bytes& data) { return turned(chunk("eXIf", data)); };
  for (std::size_t size = 0; size < 22; ++size) EXPECT_FALSE(is(cut(kSix, size))) << size;
  for (const auto& [at, byte] :
       {std::pair<std::size_t, int>(0, 'M'), {0, 'X'}, {1, 'X'}, {2, 0}, {3, 1}, {4, 200}}) {
    Bytes wrong = kSix;
    wrong[at] = static_cast<std::uint8_t>(byte);
    EXPECT_FALSE(is(wrong)) << at;
  }
}

TEST(Orientation, MayStandInATextOfAPng) {
  const std::string_view kKey = {"Raw profile type exif\0", 22};
  const Bytes lines = text("\nexif\n      26\n");
  const Bytes hex = lines + hexadecimal(kSix, "0123456789abcdef") + text("\n");
  EXPECT_TRUE(turned(chunk("tEXt", text(kKey) + hex)));
  EXPECT_TRUE(turned(chunk("tEXt", text(kKey) + lines + hexadecimal(kSix, "0123456789ABCDEF"))));
  EXPECT_TRUE(turned(chunk("zTXt", text(kKey) + Bytes{0} + deflated(hex))));
  EXPECT_FALSE(turned(chunk("zTXt", text(kKey) + Bytes{0} + cut(deflated(hex), 12)))) << "damaged";
  EXPECT_FALSE(turned(chunk("zTXt", text(kKey)))) << "not even a method";
  EXPECT_FALSE(turned(chunk("tEXt", text(kKey) + lines + text("4949xx00"))));
  EXPECT_FALSE(turned(chunk("tEXt", text(kKey) + text("one line"))));
  EXPECT_FALSE(turned(chunk("tEXt", text("Raw profile type exif")))) << "no end of the key";
  EXPECT_FALSE(turned(chunk("tEXt", text("Raw profile type exifs") + Bytes{0} + hex))) << "another key";
  EXPECT_FALSE(turned(chunk("tEXt", text(kKey) + hex + Bytes(1 << 20, '0')))) << "longer than any";
  EXPECT_FALSE(turned(chunk("teXt", text(kKey) + hex))) << "another chunk";
  EXPECT_TRUE(turned(chunk("tEXt", text(kKey) + hex) + chunk("tEXt", text({"Comment\0none", 12}))));
}

TEST(Orientation, MayStandInXmp) {
  const std::string_view kKey = {"XML:com.adobe.xmp\0", 18};
  const auto xmp = [&](std::string_view said) {
    return turned(chunk("iTXt", text(kKey) + Bytes{0, 0, 'e', 'n', 0, 'k', 0} + text(said)));
  };
  EXPECT_TRUE(xmp("<x tiff:Orientation=\"6\"/>"));
  EXPECT_TRUE(xmp("<tiff:Orientation>6</tiff:Orientation>"));
  EXPECT_TRUE(xmp("tiff:Orientation tiff:Orientation=\"x\" tiff:Orientation=\"6\""));
  for (const char* other :
       {"", "tiff:Orientation", "tiff:Orientation=\"", "tiff:Orientation='6'", "tiff:Orientation=\"9\"",
        "tiff:Orientation=\"0\"", "tiff:Orientation=\"-6\"", "tiff:Orientation>:</"})
    EXPECT_FALSE(xmp(other)) << other;
  const Bytes said = text("<x tiff:Orientation=\"6\"/>");
  EXPECT_TRUE(turned(chunk("iTXt", text(kKey) + Bytes{1, 0, 0, 0} + deflated(said))));
  EXPECT_FALSE(turned(chunk("iTXt", text(kKey) + Bytes{0}))) << "nothing of it";
  EXPECT_FALSE(turned(chunk("iTXt", text(kKey) + Bytes{0, 0} + text("en")))) << "no end of the language";
  EXPECT_FALSE(turned(chunk("iTXt", text(kKey) + Bytes{0, 0, 0} + text("key")))) << "no end of the key";
  // EXIF says it before XMP, whatever it says.
  EXPECT_FALSE(turned(chunk("iTXt", text(kKey) + Bytes{0, 0, 0, 0} + said) +
                      chunk("eXIf", exif(false, 3, 1, {1, 0, 0, 0}))));
}

TEST(Orientation, OfAJpegMayGoOnInAnotherSegment) {
  const Bytes scan63 = scan(0, 63, {0x3F});
  const auto info = [&](const Bytes& before) { return probe(jpeg(8, 16, false, scan63, before)); };
  const Bytes whole = text({"Exif\0\0", 6}) + kSix;
  EXPECT_EQ(info({}).width, 8);
  EXPECT_EQ(info(segment(0xE1, whole)).width, 16);
  EXPECT_EQ(info(segment(0xE1, cut(whole, 20)) +
                 segment(0xE1, text({"Exif\0\0", 6}) + Bytes(whole.begin() + 20, whole.end())))
                .width,
            16);
  EXPECT_EQ(info(segment(0xE1, text({"http://ns.adobe.com/xap/1.0/\0tiff:Orientation=\"6\"", 49}))).width,
            16);
  EXPECT_EQ(info(segment(0xE1, text("of another program"))).width, 8);
  EXPECT_EQ(info(segment(0xE0, whole)).width, 8);
  // Bytes that no marker is, markers without a length, and more 0xFF than one.
  EXPECT_EQ(info(segment(0xFE, {}) + Bytes{1, 2, 0xFF, 0, 0xFF, 1, 0xFF, 0xD3, 0xFF, 0xFF, 0xFF} +
                 segment(0xE1, whole))
                .width,
            16);
}

TEST(Orientation, TurnsTheSizeThatADraftIsWantedAt) {
  const Bytes whole = text({"Exif\0\0", 6}) + kSix;
  const auto draft = [&](const Bytes& before, const Draft& wanted) {
    const Image image = decode(jpeg(64, 32, false, scan(0, 63, Bytes(8, 0)), before), {}, wanted);
    return std::pair(image.height, image.width);
  };
  const Bytes turned_by = segment(0xE1, whole);
  EXPECT_EQ(draft(turned_by, {32, 8}), std::pair(std::int64_t{32}, std::int64_t{16})) << "a half is enough";
  EXPECT_EQ(draft({}, {32, 8}), std::pair(std::int64_t{32}, std::int64_t{64}));
  EXPECT_EQ(draft({}, {8, 0}), std::pair(std::int64_t{32}, std::int64_t{64})) << "no size is wanted";
  EXPECT_EQ(draft({}, {0, 8}), std::pair(std::int64_t{32}, std::int64_t{64}));
}

// The library warns of these, and reads every pixel.
TEST(Jpeg, OddsThatHarmNoPixelAreNoDamage) {
  const Image flat = decode(kFlat);
  const Bytes sequential = scan(0, 63, {0x3F});
  const Bytes jfif = segment(0xE0, text({"JFIF\0", 5}) + Bytes{9, 0, 0, 0, 1, 0, 1, 0, 0});
  EXPECT_EQ(decode(jpeg(8, 8, false, sequential, jfif)).pixels, flat.pixels) << "a version to come";
  EXPECT_EQ(decode(jpeg(8, 8, false, sequential, segment(0xFE, {}) + Bytes{1, 2, 3})).pixels, flat.pixels)
      << "bytes between segments";
  EXPECT_EQ(decode(jpeg(8, 8, false, scan(0, 0, {0x3F}))).pixels, flat.pixels) << "a band that is not all";
  // Three components, and Adobe's segment with a way to make colours that there is not.
  const Bytes adobe = segment(0xEE, text("Adobe") + Bytes{0, 100, 0, 0, 0, 0, 9});
  const Bytes tables = segment(0xDB, Bytes{0} + Bytes(64, 1)) +
                       segment(0xC4, Bytes{0, 1} + Bytes(15, 0) + Bytes{0}) +
                       segment(0xC4, Bytes{0x10, 1} + Bytes(15, 0) + Bytes{0});
  const Bytes color = Bytes{0xFF, 0xD8} + adobe + tables +
                      segment(0xC0, {8, 0, 8, 0, 8, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0}) +
                      segment(0xDA, {3, 1, 0, 2, 0, 3, 0, 0, 63, 0}) + Bytes{0x03, 0xFF, 0xD9};
  EXPECT_EQ(decode(color).pixels, flat.pixels);
}

}  // namespace
}  // namespace resnet::images
