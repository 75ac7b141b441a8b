#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "report/plot.h"
#include "report/simulated_run.h"
#include "report/text.h"

namespace resnet::report {
namespace {

std::string plot(const Series& series, int width, int height, bool utf8, int colors = 0) {
  return curves_text(std::span(&series, 1),
                     {.width = width, .height = height, .colors = colors, .utf8 = utf8});
}

/// Lines of `text`; checks that none is wider than `width`.
int lines_of(const std::string& text, int width) {
  int lines = 0;
  for (std::size_t at = 0; at < text.size(); ++lines) {
    const std::size_t end = text.find('\n', at);
    EXPECT_LE(cells(text.substr(at, end - at)), width);
    at = end + 1;
  }
  return lines;
}

TEST(CurvesText, DrawsTheThreeCurvesInBraille) {
  EXPECT_EQ(plot({.epochs = 3, .points = learning(3)}, 44, 12, true),
            R"(── train loss   ╌╌ train acc   ─· test acc
  1.0 ┤  ⠐⢄
      │    ⠑⢄         ⣀⣀⡀⢀⣤⣤⡄⢀⡔⢒⣂⣀⡒⢒⡂⠠⠶⠶⠅⠠⠍⠩
      │      ⠉⣢⡤⠂ ⠉⠉⠉⠉⠁⠈⠁
      │   ⣀⠤⠂  ⠈⠑⠢⢄⣀
  0.5 ┤  ⠈          ⠉⠒⠒⠤⠤⢄⣀⡀
      │                    ⠈⠑⠒⠢⠤⠤⠤⠤⣀⣀⡀
      │                              ⠈⠉⠉⠉⠉⠑⠒
      │
      │
    0 └────────────┬───────────┬───────────┬
epoch              1           2           3
)");
}

TEST(CurvesText, DrawsThemInAscii) {
  EXPECT_EQ(plot({.epochs = 3, .points = learning(3)}, 44, 12, false),
            R"(* loss 0.300   + train 0.914   o test 0.857
  1.0 +  **
      |    **            ++++++++++++ooooooo
      |      ++++++oooooooooooooooooo
      |    ++   ****
  0.5 +  ++         ********
      |                     ************
      |                                 ****
      |
      |
    0 +------------+-----------+-----------+
epoch              1           2           3
)");
}

TEST(CurvesText, KeepsItsAxisWhileTheRunGrows) {
  auto points = learning(3);
  points.resize(1);
  EXPECT_EQ(plot({.epochs = 3, .points = points}, 44, 8, true),
            R"(── loss 1.000   ╌╌ train 0.571   ─· test
    1 ┤  ⠛
      │
      │  ⠛
      │
      │
    0 └────────────┬───────────┬───────────┬
epoch              1           2           3
)");
}

TEST(CurvesText, IsAnEmptyFieldWithoutPoints) {
  EXPECT_EQ(plot({.epochs = 3}, 44, 8, true),
            R"(── train loss   ╌╌ train acc   ─· test acc
    1 ┤
      │
      │
      │
      │
    0 └────────────┬───────────┬───────────┬
epoch              1           2           3
)");
}

TEST(CurvesText, NamesSeveralRunsAlongTheirCurvesAndListsThem) {
  const Series runs[] = {{.name = "runs/first", .epochs = 3, .points = learning(3)},
                         {.name = "runs/\x1b[2Jsecond", .epochs = 2, .points = learning(2)}};
  EXPECT_EQ(curves_text(runs, {.width = 70, .height = 12, .utf8 = false}),
            R"(* train loss   + train acc   o test acc
  1.0 +    **
      |      ****                     ++++a+++++b++++++++a+ooooooooooa
      |          ++b++++++a+ooooooboooooooaoooooboooooooooo
      |      ++++     ****a***
  0.5 +    ++                 ****b*******
      |                                   a*****b********a*****
      |                                                        ******a
      |
      |
    0 +---------------------+-------------------+--------------------+
epoch                       1                   2                    3
a runs/first         train loss 0.300  train acc 0.914  test acc 0.857
b ~ns/\x1b[2Jsecond  train loss 0.400  train acc 0.880  test acc 0.840
)");
}

TEST(CurvesText, LeavesAGapWhereALossIsNotFinite) {
  auto points = learning(3);
  for (std::size_t i = 5; i < 10; ++i) points[i].loss = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 10; i < 15; ++i) points[i].loss = std::numeric_limits<double>::infinity();
  const std::string text = plot({.epochs = 3, .points = points}, 60, 12, false);
  EXPECT_EQ(text.substr(0, text.find('\n')), "* train loss inf   + train acc 0.914   o test acc 0.857");
  EXPECT_EQ(lines_of(text, 60), 12);
}

TEST(CurvesText, LetsAHugeLossLeaveThePictureAtTheTop) {
  auto points = learning(3);
  points[0].loss = 1e30;
  const std::string text = plot({.epochs = 3, .points = points}, 60, 14, true);
  EXPECT_NE(text.find("10 ┤"), std::string::npos) << text;
  EXPECT_EQ(lines_of(text, 60), 14);
}

TEST(CurvesText, ShortensWordsBeforeItLosesACurve) {
  const Series series{.epochs = 3, .points = learning(3)};
  const auto first_line = [&](int width) {
    const std::string text = plot(series, width, 12, true);
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(first_line(60), "── train loss 0.300   ╌╌ train acc 0.914   ─· test acc 0.857");
  EXPECT_EQ(first_line(50), "── loss 0.300   ╌╌ train 0.914   ─· test 0.857");
  EXPECT_EQ(first_line(44), "── train loss   ╌╌ train acc   ─· test acc");
  EXPECT_EQ(first_line(40), "── loss   ╌╌ train   ─· test");
  const Series runs[] = {{.name = "runs/first", .points = learning(3)}, {.name = "b", .points = learning(2)}};
  const std::string text = curves_text(runs, {.width = 40, .height = 12, .utf8 = true});
  EXPECT_NE(text.find("a …rst loss 0.300 train 0.914 test 0.857\n"), std::string::npos) << text;
}

TEST(CurvesText, CallsRunsByLettersOfTheirOwn) {
  std::set<char> letters;
  for (std::size_t i = 0; i < kMostRuns; ++i) EXPECT_TRUE(letters.insert(letter_of(i)).second) << i;
  EXPECT_EQ(letter_of(0), 'a');
  EXPECT_EQ(letter_of(26), 'A');
  EXPECT_EQ(letter_of(kMostRuns), '?');
}

TEST(CurvesText, NeverExceedsItsCells) {
  for (int width = 1; width <= 200; ++width) {
    for (const int height : {1, 7, 8, 9, 18, 50}) {
      for (const std::int64_t epochs : {1, 10, 1000}) {
        for (const bool utf8 : {false, true}) {
          const std::string text = plot({.epochs = epochs, .points = learning(1)}, width, height, utf8, 256);
          ASSERT_EQ(lines_of(text, width), width >= 24 && height >= 8 ? height : 0)
              << width << " x " << height;
        }
      }
      const Series runs[] = {{.name = std::string(300, 'n'), .points = learning(2)},
                             {.name = "残差", .points = {}}};
      const std::string text = curves_text(runs, {.width = width, .height = height});
      ASSERT_EQ(lines_of(text, width), width >= 24 && height >= 8 ? height + 2 : 0);
    }
  }
}

TEST(CurvesText, ColoursOnlyWhereAsked) {
  const Series series{.epochs = 3, .points = learning(3)};
  EXPECT_EQ(plot(series, 60, 12, true, 0).find('\x1b'), std::string::npos);
  EXPECT_NE(plot(series, 60, 12, true, 16).find("\x1b[35m"), std::string::npos);
  EXPECT_NE(plot(series, 60, 12, true, 256).find("\x1b[38;5;164m"), std::string::npos);
}

TEST(TextPlot, NamesRunsThatLieOnEachOther) {
  Series one{.name = "one", .epochs = 10, .points = learning(10)}, other = one;
  other.name = "other";
  const std::vector<Series> runs = {one, other};
  for (const bool utf8 : {true, false}) {
    const std::string text = curves_text(runs, {.width = 80, .height = 18, .utf8 = utf8});
    std::string field = text.substr(text.find('\n') + 1);
    field = field.substr(0, field.find("epoch"));
    for (const char name : {'a', 'b'}) EXPECT_GE(std::count(field.begin(), field.end(), name), 6) << text;
  }
}

TEST(CurvesText, DrawsWhateverASeriesHolds) {
  const double huge = 1e300, inf = std::numeric_limits<double>::infinity(), nan = inf - inf;
  const std::vector<CurvePoint> ordinary = {{.x = 1, .loss = 0.5, .train_acc = 0.5, .test_acc = 0.5}};
  for (const double x : {huge, -huge, inf, nan, 9.3e18, 1e12, -1.0}) {
    for (const double y : {huge, inf, nan, 0.5}) {
      const std::vector<CurvePoint> points = {{.x = x, .loss = y, .train_acc = y, .test_acc = y}};
      for (const std::int64_t epochs : {std::int64_t{0}, std::numeric_limits<std::int64_t>::max()}) {
        const std::vector<Series> runs = {{.epochs = epochs, .points = points}, {.points = ordinary}};
        for (const int width : {24, 80}) {
          for (const bool utf8 : {true, false}) {
            const TextPlotOptions options{.width = width, .height = 8, .utf8 = utf8};
            lines_of(curves_text(runs, options), width);
            lines_of(curves_text(std::span(runs).first(1), options), width);
          }
        }
        EXPECT_LT(curves_svg(runs).size(), 20'000U);
      }
    }
  }
}

TEST(CurvesText, IsAtMostAThousandCellsWide) {
  const Series series{.epochs = 3, .points = learning(3)};
  lines_of(plot(series, 200'000'000, 200'000'000, true), 1000);
}

}  // namespace
}  // namespace resnet::report
