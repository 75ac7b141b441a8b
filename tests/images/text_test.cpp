#include "images/text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace resnet::images {
namespace {

// Gray, with a line for each row: '#' where a pixel is black.
std::string drawn(const std::string& text, std::int64_t scale = 1, std::int64_t height = kTextHeight) {
  Image image{height, kTextWidth * scale * static_cast<std::int64_t>(text.size()), 1, {}};
  image.pixels.assign(static_cast<std::size_t>(image.height * image.width), 255);
  draw_text(image, 0, 0, text, scale);
  std::string result;
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    result += image.pixels[i] == 0 ? '#' : '.';
    if ((i + 1) % static_cast<std::size_t>(image.width) == 0) result += '\n';
  }
  return result;
}

TEST(Text, IsWrittenInLettersOfFiveByEight) {
  EXPECT_EQ(drawn("Ag"),
            ".###........\n"
            "#...#.......\n"
            "#...#..####.\n"
            "#####.#...#.\n"
            "#...#.#...#.\n"
            "#...#..####.\n"
            "#...#.....#.\n"
            ".......###..\n"
            "............\n");
}

TEST(Text, HasAShapeForEachCharacterAndABoxForWhatIsNone) {
  std::set<std::string> shapes;
  for (char c = ' '; c <= '~'; ++c) shapes.insert(drawn(std::string(1, c)));
  EXPECT_EQ(shapes.size(), 95U);
  EXPECT_FALSE(shapes.contains(drawn("\n")));
  EXPECT_EQ(drawn("\n"), drawn("\xff"));
}

TEST(Text, IsLargerByAWholeNumber) {
  const std::string large = drawn("!", 2, 2 * kTextHeight);
  EXPECT_EQ(large.substr(0, 2 * 13), "....##......\n....##......\n");
}

TEST(Text, IsCutOffAtTheEdges) {
  Image image{3, 4, 3, {}};
  image.pixels.assign(36, 9);
  draw_text(image, 1, 2, "MMM");
  EXPECT_EQ(image.pixels[3 * (4 + 2)], 0);
  EXPECT_EQ(image.pixels[3 * (4 + 3)], 9);
  draw_text(image, 5, 9, "M");
  EXPECT_EQ(image.pixels.size(), 36U);
}

}  // namespace
}  // namespace resnet::images
