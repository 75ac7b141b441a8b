// Files that nobody vouches for are refused soon and without much memory, or read right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "images/encode_webp.h"
#include "images/made_pictures.h"
#include "resnet/error.h"
#include "resnet/images.h"
#include "support/in_child.h"
#include "support/message_of.h"
#include "support/scratch_folder.h"

namespace resnet::images {
namespace {

using namespace made;

enum class Expect { refused, read };
struct Hostile {
  std::string name;
  Bytes file;
  Expect expect = Expect::refused;
};

void add_png(std::vector<Hostile>& all) {
  const Bytes good = png(2, 3, 8, 2, kRows);
  const Bytes bomb = deflated(Bytes(std::size_t{80} << 20U, 0));
  for (const std::size_t size : {std::size_t{9}, std::size_t{20}, std::size_t{33}, std::size_t{40},
                                 good.size() - 20, good.size() - 12, good.size() - 1}) {
    all.push_back({"png cut to " + std::to_string(size), cut(good, size)});
  }
  for (const std::size_t at : {std::size_t{29}, good.size() - 13, good.size() - 1}) {
    Bytes wrong = good;
    wrong[at] ^= 1U;
    all.push_back({"png with a wrong check sum at " + std::to_string(at), wrong});
  }
  Bytes texts;  // each would be given room for a mebibyte
  const Bytes one = chunk("zTXt", text({"Raw profile type exif\0\0", 23}));
  for (int i = 0; i < 100'000; ++i) texts = std::move(texts) + one;
  all.push_back({"png of 100,000 compressed texts", png(2, 3, 8, 2, kRows, texts), Expect::read});
  Bytes wrong_text = chunk("tEXt", text("a"));
  wrong_text.back() ^= 1U;
  all.push_back({"png with a wrong check sum of a text", png(2, 3, 8, 2, kRows, wrong_text)});
  all.push_back({"png of 65500x65500", png(65500, 65500, 8, 2, kRows)});
  all.push_back({"png of 65500x65500, one bit", png(65500, 65500, 1, 0, kRows)});
  all.push_back({"png of 8192x8192 without rows", png(8192, 8192, 16, 6, kRows)});
  all.push_back({"png of 8192x8192 without rows, interlaced", png(8192, 8192, 8, 2, kRows, {}, 1)});
  all.push_back({"png of one bit, cut off, interlaced", png(8000, 8000, 1, 0, Bytes(60000, 0), {}, 1)});
  all.push_back({"png of 2^31 pixels", png(0x80000000U, 1, 8, 2, kRows)});
  all.push_back({"png of 100000x1", png(100000, 1, 1, 0, Bytes(12501, 0))});
  all.push_back({"png of no width", png(0, 3, 8, 2, kRows)});
  all.push_back({"png of no height", png(2, 0, 8, 2, kRows)});
  all.push_back({"png of 3 bits", png(2, 3, 3, 0, kRows)});
  all.push_back({"png of colour 7", png(2, 3, 8, 7, kRows)});
  all.push_back({"png of interlace 2", png(2, 3, 8, 2, kRows, {}, 2)});
  all.push_back({"png of filter 9", png(2, 3, 8, 2, repeated({9, 1, 2, 3, 4, 5, 6}, 3))});
  all.push_back({"png without a palette", png(2, 3, 8, 3, repeated({0, 1, 2}, 3))});
  all.push_back(
      {"png with a palette of 5 bytes", png(2, 3, 8, 3, repeated({0, 1, 2}, 3), chunk("PLTE", Bytes(5, 1)))});
  all.push_back({"png with indices beyond its palette",
                 png(2, 3, 8, 3, repeated({0, 1, 255}, 3), chunk("PLTE", Bytes(6, 1))), Expect::read});
  all.push_back({"png with a text of 80 MB", png(2, 3, 8, 2, kRows, chunk("zTXt", text({"a\0\0", 3}) + bomb)),
                 Expect::read});
  all.push_back({"png with EXIF as a text of 80 MB",
                 png(2, 3, 8, 2, kRows, chunk("zTXt", text({"Raw profile type exif\0\0", 23}) + bomb)),
                 Expect::read});
  all.push_back({"png with XMP of 80 MB",
                 png(2, 3, 8, 2, kRows, chunk("iTXt", text({"XML:com.adobe.xmp\0\1\0\0\0", 22}) + bomb)),
                 Expect::read});
  all.push_back({"png with a colour profile of 80 MB",
                 png(2, 3, 8, 2, kRows, chunk("iCCP", text({"a\0\0", 3}) + bomb)), Expect::read});
  all.push_back({"png with 20000 chunks",
                 png(2, 3, 8, 2, kRows, repeated(chunk("tEXt", text({"a\0b", 3})), 20000)), Expect::read});
  all.push_back(
      {"png with EXIF in a circle",
       png(2, 3, 8, 2, kRows,
           chunk("eXIf", text({"II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0", 26}))),
       Expect::read});
  all.push_back({"png with EXIF's offset outside",
                 png(2, 3, 8, 2, kRows, chunk("eXIf", text({"MM\0*\xFF\xFF\xFF\xFF", 8}))), Expect::read});
  all.push_back({"png with a chunk of 2 GB", png_header(2, 3, 8, 2) + big(0x7FFFFFFF) + text("IDAT")});
  all.push_back(
      {"png that goes on after its rows", png(2, 3, 8, 2, kRows + Bytes(1U << 24U, 0)), Expect::read});
}

void add_jpeg(std::vector<Hostile>& all) {
  all.push_back({"jpeg of one block", kFlat, Expect::read});
  for (const std::size_t size : {std::size_t{2}, std::size_t{4}, std::size_t{30}, std::size_t{100},
                                 kFlat.size() - 12, kFlat.size() - 3}) {
    all.push_back({"jpeg cut to " + std::to_string(size), cut(kFlat, size)});
  }
  all.push_back({"jpeg of 65500x65500", jpeg(65500, 65500, false, scan(0, 63, {0x3F}))});
  all.push_back({"jpeg of 65500x65500, progressive", jpeg(65500, 65500, true, scan(0, 0, {0x3F}))});
  all.push_back({"jpeg of 8192x8192 without data", jpeg(8192, 8192, false, scan(0, 63, {0x3F}))});
  all.push_back({"jpeg of 8192x8192 without data, progressive", jpeg(8192, 8192, true, scan(0, 0, {0x3F}))});
  all.push_back({"jpeg of no width", jpeg(0, 8, false, scan(0, 63, {0x3F}))});
  all.push_back({"jpeg of no height", jpeg(8, 0, false, scan(0, 63, {0x3F}))});
  // 4096 runs to the end of the band fill 2,048 x 2,048; a scan of 12 bytes is a pass over them.
  const Bytes endless = repeated(scan(1, 63, repeated({0x00}, 64)), 4000);
  all.push_back({"jpeg of endless passes", jpeg(2048, 2048, true, scan(0, 0, Bytes(8192, 0)) + endless)});
  all.push_back({"jpeg of endless passes of a small picture",
                 jpeg(8, 8, true, scan(0, 0, {0}) + repeated(scan(1, 63, {0, 0}), 20000)), Expect::read});
  all.push_back({"jpeg with 16 MB of a profile",
                 jpeg(8, 8, false, scan(0, 63, {0x3F}),
                      repeated(segment(0xE2, text("ICC_PROFILE") + Bytes(65000, 0)), 256)),
                 Expect::read});
  all.push_back({"jpeg with 16 MB of EXIF",
                 jpeg(8, 8, false, scan(0, 63, {0x3F}),
                      repeated(segment(0xE1, text({"Exif\0\0", 6}) + Bytes(65000, 0)), 256)),
                 Expect::read});
  all.push_back(
      {"jpeg with EXIF of 65535 entries",
       jpeg(8, 8, false, scan(0, 63, {0x3F}), segment(0xE1, text({"Exif\0\0II*\0\x08\0\0\0\xFF\xFF", 16}))),
       Expect::read});
  all.push_back({"jpeg with a segment beyond its end", cut(kFlat, 4) + big(0xFFFF, 2) + Bytes(10, 0)});
  all.push_back({"jpeg with a segment of no length",
                 jpeg(8, 8, false, scan(0, 63, {0x3F}), {0xFF, 0xE1, 0, 0}), Expect::read});
  all.push_back({"jpeg without tables",
                 cut(kFlat, 2) + segment(0xC0, {8, 0, 8, 0, 8, 1, 1, 0x11, 0}) + scan(0, 63, {0x3F})});
  all.push_back({"jpeg of two frames",
                 jpeg(8, 8, false, segment(0xC0, {8, 0, 9, 0, 9, 1, 1, 0x11, 0}) + scan(0, 63, {0x3F}))});
  all.push_back({"jpeg of 12 bits",
                 cut(kFlat, 2) + segment(0xC1, {12, 0, 8, 0, 8, 1, 1, 0x11, 0}) + scan(0, 63, {0x3F})});
  all.push_back(
      {"jpeg of two colours",
       cut(kFlat, 2) + segment(0xC0, {8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0}) + scan(0, 63, {0x3F})});
  all.push_back({"jpeg of a bad code", jpeg(16, 16, false, scan(0, 63, {0xFE, 0xFE, 0xFE, 0xFE}))});
  all.push_back({"jpeg of 16 MB of 0xFF", Bytes{0xFF, 0xD8} + Bytes(1U << 24U, 0xFF)});
}

void add_others(std::vector<Hostile>& all) {
  all.push_back({"bmp of 65500x65500", bmp(65500, 65500, 24, {})});
  all.push_back({"bmp of 8192x8192 without rows", bmp(8192, 8192, 24, Bytes(100, 0))});
  all.push_back({"bmp of 8192x8192 without runs", bmp(8192, 8192, 8, Bytes(1024, 0), 1, 256, 1078)});
  all.push_back({"bmp of no width", bmp(0, 4, 24, Bytes(100, 0))});
  all.push_back({"bmp of no height", bmp(4, 0, 24, Bytes(100, 0))});
  all.push_back({"bmp of a negative width", bmp(0xFFFFFFFC, 4, 24, Bytes(100, 0))});
  all.push_back({"bmp of the least height", bmp(4, 0x80000000, 24, Bytes(100, 0))});
  all.push_back({"bmp that begins at its end", bmp(4, 4, 24, Bytes(48, 0), 0, 0, 0xFFFFFFFF)});
  all.push_back({"bmp of 65536 colours", bmp(4, 4, 8, Bytes(100, 0), 0, 65536)});
  all.push_back({"bmp of 2^32 - 1 colours", bmp(4, 4, 8, Bytes(100, 0), 0, 0xFFFFFFFF)});
  all.push_back({"bmp of 5 bits", bmp(4, 4, 5, Bytes(100, 0))});
  all.push_back({"bmp of JPEG within", bmp(4, 4, 24, Bytes(100, 0), 4)});
  all.push_back({"bmp of a header of 41 bytes", bmp(4, 4, 24, Bytes(100, 0), 0, 0, 54, 41)});
  all.push_back({"bmp of strange masks", bmp(4, 4, 16, little(0xFFFF) + Bytes(100, 0), 3, 0, 66)});
  all.push_back({"bmp whose runs go beyond a row",
                 bmp(4, 4, 8, Bytes(1024, 0) + Bytes{0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0}, 1, 256, 1078)});
  all.push_back({"bmp whose runs move beyond a row",
                 bmp(4, 4, 8, Bytes(1024, 0) + Bytes{0, 2, 9, 0, 0, 1}, 1, 256, 1078)});
  all.push_back(
      {"bmp whose runs end early", bmp(4, 4, 8, Bytes(1024, 0) + Bytes{4, 1, 0, 0, 4}, 1, 256, 1078)});
  all.push_back({"bmp cut in its header", cut(bmp(4, 4, 24, Bytes(48, 0)), 30)});

  const Bytes lossless = riff(vp8l(8192, 8192, Bytes(20, 0)));
  all.push_back({"webp of 16383x16383", riff(vp8l(16383, 16383, Bytes(20, 0)))});
  all.push_back({"webp of 2^24 pixels a side", riff(vp8x(1U << 24U, 1U << 24U) + vp8l(1, 1, Bytes(20, 0)))});
  all.push_back({"webp of 65500x65500", riff(vp8x(65500, 65500) + vp8l(1, 1, Bytes(20, 0)))});
  all.push_back({"webp whose frame is no canvas", riff(vp8x(8000, 8000) + vp8l(1, 1, Bytes(20, 0)))});
  all.push_back({"webp of no data", riff(vp8(8000, 8000, {}))});
  all.push_back({"webp of false data", riff(vp8(8000, 8000, Bytes(40, 0xAB)))});
  all.push_back({"webp without a picture", riff(vp8x(10, 10))});
  all.push_back({"webp without a frame", riff(vp8x(10, 10, 2) + webp_chunk("ANIM", Bytes(6, 0)))});
  all.push_back({"webp of no size", riff(vp8(0, 0, Bytes(40, 0)))});
  all.push_back({"webp cut off", cut(lossless, lossless.size() - 4)});
  all.push_back(
      {"webp of 2 GB", text("RIFF") + little(0xFFFFFFF0) + text("WEBP") + vp8l(4, 4, Bytes(20, 0))});
  all.push_back({"webp that is empty", riff({})});

  all.push_back({"ppm of 65500x65500", text("P6 65500 65500 255\n")});
  all.push_back({"pgm of 8192x8192 without rows", text("P5 8192 8192 255\n") + Bytes(100, 0)});
  all.push_back({"plain ppm of 8192x8192 without rows", text("P3 8192 8192 255\n1 2 3")});
  all.push_back({"pbm of 8192x8192 without rows", text("P4 8192 8192\n") + Bytes(100, 0)});
  all.push_back({"ppm of no width", text("P6 0 1 255\n123")});
  all.push_back({"ppm of a negative width", text("P6 -1 1 255\n123")});
  all.push_back({"ppm of a width of many digits", text("P6 ") + Bytes(1000, '9') + text(" 1 255\n123")});
  all.push_back({"ppm of white 0", text("P6 1 1 0\n123")});
  all.push_back({"ppm of white 65536", text("P6 1 1 65536\n123456")});
  all.push_back({"plain ppm beyond white", text("P3 1 1 10\n1 2 11")});
  all.push_back({"plain pbm of letters", text("P1 2 1\n1 a")});
  all.push_back({"ppm that is a comment of 16 MB", text("P6 #") + Bytes(1U << 24U, 'a')});

  all.push_back({"empty", {}});
  all.push_back({"one byte", {0xFF}});
  all.push_back({"a gif", text("GIF89a") + Bytes(100, 0)});
  all.push_back({"a tiff", text({"II*\0", 4}) + Bytes(100, 0)});
  all.push_back({"an avif", Bytes{0, 0, 0, 32} + text("ftypavif") + Bytes(100, 0)});
  all.push_back({"a heic", Bytes{0, 0, 0, 32} + text("ftypheic") + Bytes(100, 0)});
  all.push_back({"a text", text("hello \x1b[31m")});
}

std::vector<Hostile> hostile_files() {
  std::vector<Hostile> all;
  add_png(all);
  add_jpeg(all);
  add_others(all);
  return all;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr bool kMeasured = false;  // they take time and memory of their own
#else
constexpr bool kMeasured = true;
#endif

double processor_seconds(const rusage& usage) {
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// What a child process finds: "" if all is well.
std::string outcome(const Hostile& hostile) {
  rusage before{}, after{};
  ::getrusage(RUSAGE_SELF, &before);
  std::string problem, message;
  try {
    const Image image = decode(hostile.file);
    if (hostile.expect == Expect::refused) problem += "read; ";
  } catch (const FormatError& error) {
    message = error.what();
    if (hostile.expect == Expect::read) problem += "refused; ";
    if (message.size() > 300 || message.find('\n') != std::string::npos) problem += "not a line; ";
    if (error.hint().empty()) problem += "no hint; ";
  } catch (const std::exception& error) {
    problem += std::string("threw ") + error.what() + "; ";
  }
  ::getrusage(RUSAGE_SELF, &after);
  const double seconds = processor_seconds(after) - processor_seconds(before);
  const long kilobytes = after.ru_maxrss - before.ru_maxrss;
  if (kMeasured && seconds > 1) problem += std::to_string(seconds) + " s; ";
  if (kMeasured && kilobytes > 64 * 1024) problem += std::to_string(kilobytes) + " KB; ";
  return problem.empty() ? "" : problem + message;
}

// Each in a process of its own: the peak of memory is a process's, and a crash shall have a name.
TEST(Hostile, IsRefusedInASecondAndIn64MB) {
  int count = 0;
  for (const Hostile& hostile : hostile_files()) {
    ++count;
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string problem = outcome(hostile);
      test::leave_child(
          ::write(ends[1], problem.data(), problem.size()) == static_cast<ssize_t>(problem.size()) ? 0 : 2);
    }
    ::close(ends[1]);
    std::string problem(1000, '\0');
    problem.resize(
        static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], problem.data(), problem.size()))));
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << hostile.name;
    EXPECT_EQ(problem, "") << hostile.name;
  }
  EXPECT_GE(count, 60);
}

TEST(Hostile, EveryTruncationIsRefusedAndNoChangedByteHarms) {
  const Bytes exif = text({"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", 32});
  const std::map<std::string, Bytes> files = {
      {"png", png(2, 3, 8, 2, kRows, chunk("eXIf", exif))},
      {"jpeg", jpeg(8, 8, false, scan(0, 63, {0x3F}), segment(0xE1, exif))},
      {"bmp", bmp(3, 2, 24, Bytes(24, 7))},
      {"bmp of runs",
       bmp(4, 4, 8, Bytes(1024, 9) + Bytes{4, 1, 0, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 2, 1, 0, 3, 3, 0, 1}, 1,
           256, 1078)},
      {"bmp of runs of four bits",
       bmp(5, 1, 4, Bytes(64, 9) + Bytes{2, 0x12, 0, 3, 0x34, 0x50, 0, 1}, 2, 16, 118)},
      {"bmp of masks", bmp(2, 2, 16, little(0xF800) + little(0x7E0) + little(0x1F) + Bytes(8, 7), 3, 0, 66)},
      {"png of a palette", png(2, 3, 4, 3, repeated({0, 0x12}, 3), chunk("PLTE", Bytes(9, 1)))},
      {"png of 16 bits", png(2, 1, 16, 4, Bytes{0, 1, 2, 3, 4, 5, 6, 7, 8})},
      {"pbm", text("P4 9 1\n\xAA\x80")},
      {"pgm of 16 bits", text({"P5 2 1 300\n\0\1\1\0", 15})},
      {"ppm", text("P6 2 1 255\nabcdef")},
  };
  for (const auto& [name, file] : files) {
    EXPECT_NO_THROW(decode(file)) << name;
    for (std::size_t size = 0; size < file.size(); ++size) {
      if (name == "bmp" && size >= file.size() - 3) continue;  // the padding of its last row
      EXPECT_THROW(decode(cut(file, size)), FormatError) << name << " cut to " << size;
    }
    for (std::size_t i = 0; i < 8 * file.size(); ++i) {
      Bytes changed = file;
      changed[i / 8] = static_cast<std::uint8_t>(changed[i / 8] ^ 1U << i % 8);
      try {
        const Image image = decode(changed, {.pixels = 1 << 16});
        EXPECT_EQ(image.pixels.size(), static_cast<std::size_t>(image.height * image.width * 3));
      } catch (const FormatError&) {
      }
    }
  }
}

std::string refusal_of(const Bytes& file) {
  return test::message_of<FormatError>([&] { decode(file); });
}

TEST(Hostile, IsRefusedWithWhatIsWrong) {
  const Bytes frame = cut(kFlat, kFlat.size() - 4 - 9);  // up to its scan
  const char* const early = "a JPEG picture: the file ends early";
  EXPECT_EQ(refusal_of(frame + Bytes{0xFF, 0xE5, 0x70, 0, 1, 2, 3, 4}), early) << "a segment of 28,672 bytes";
  EXPECT_EQ(refusal_of(text("RIFF1234")), "no picture of a known format");
  EXPECT_EQ(refusal_of(text("RIFF1234WAVEfmt ")), "no picture of a known format");
  EXPECT_EQ(decode(text("P3 2 1 255\n1 2 3 4 5 6")).pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(decode(text("P3\n\n 1 1 10 \n\t10 5 0")).pixels, (Bytes{255, 128, 0}));
}

// Of a picture that libwebp wrote.
TEST(Hostile, WebpIsRefusedWithWhatIsWrong) {
  Image image{24, 32, 3, {}};
  for (int i = 0; i < 24 * 32 * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * i / 7));
  const Bytes good = encode_webp(image, 90);
  ASSERT_EQ(decode(good).width, 32);
  ASSERT_GT(good.size(), 300U);
  const char* const early = "a WebP picture: the file ends early";
  for (const std::size_t size :
       {std::size_t{12}, std::size_t{18}, std::size_t{26}, std::size_t{60}, good.size() / 2})
    EXPECT_EQ(refusal_of(cut(good, size)), early) << size;
  Bytes damaged = good;
  damaged[20] ^= 1U;  // no key frame
  EXPECT_THAT(refusal_of(damaged), testing::StartsWith("a WebP picture: "));
  damaged = good;
  std::fill(damaged.begin() + 30, damaged.begin() + 60, std::uint8_t{0xFF});
  EXPECT_EQ(refusal_of(damaged), early) << "the library misses what they ask for";
  damaged = good;
  damaged[21] = 0;  // of the length of the first partition
  EXPECT_EQ(refusal_of(damaged), "a WebP picture: its data are damaged");
  // EXIF stands in a chunk of its own, before or behind the picture.
  const Bytes vp8_chunk(good.begin() + 12, good.end());
  const Bytes six =
      text("EXIF") + little(26) + text({"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", 26});
  EXPECT_EQ(decode(riff(vp8x(32, 24, 8) + vp8_chunk + six)).width, 24);
  const Bytes xmp = webp_chunk("XMP ", text("<x tiff:Orientation=\"6\"/>"));
  EXPECT_EQ(decode(riff(vp8x(32, 24, 4) + vp8_chunk + xmp)).width, 24);
}

TEST(Read, NamesTheFile) {
  const ScratchFolder folder;
  const auto path = folder.path() / "a\x1b[31m.jpg";
  std::ofstream(path) << "GIF89a";
  try {
    read(path);
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("a\\x1b[31m.jpg: a GIF file"), std::string::npos)
        << error.what();
    EXPECT_EQ(error.hint(), "convert it to PNG or JPEG");
  }
  EXPECT_THROW(read(folder.path() / "none.png"), IoError);
  EXPECT_THROW(read(path, {.file_bytes = 3}), FormatError);
  EXPECT_THROW(read(folder.path()), IoError);
}

TEST(Limits, AreOfTheCaller) {
  const Bytes file = png(2, 3, 8, 2, kRows);
  EXPECT_NO_THROW(decode(file, {.pixels = 6}));
  EXPECT_THROW(decode(file, {.pixels = 5}), FormatError);
  EXPECT_THROW(decode(file, {.file_bytes = 20}), FormatError);
  const Bytes passes = jpeg(8, 8, true, scan(0, 0, {0}) + repeated(scan(1, 63, {0, 0}), 9));
  EXPECT_NO_THROW(decode(passes, {.scan_pixels = 640}));
  EXPECT_THROW(decode(passes, {.scan_pixels = 600}), FormatError);
}

TEST(EncodePng, IsReadBack) {
  for (const std::int64_t channels : {1, 3}) {
    Image image{7, 5, channels, {}};
    for (std::int64_t i = 0; i < 35 * channels; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * i));
    const Image back = decode(encode_png(image));
    ASSERT_EQ(back.height, 7);
    ASSERT_EQ(back.width, 5);
    for (std::size_t i = 0; i < 105; ++i) {
      EXPECT_EQ(back.pixels[i], image.pixels[channels == 1 ? i / 3 : i]) << i;
    }
  }
  EXPECT_THROW(encode_png({2, 2, 3, {1}}), ShapeError);
}

}  // namespace
}  // namespace resnet::images
