#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "report/simulated_run.h"
#include "report/text.h"

namespace resnet::report {
namespace {

std::string svg(const Series& series) {
  return curves_svg(std::span(&series, 1));
}

/// What is wrong with `text` as XML: tags that do not close each other, attributes without quotes or
/// twice, '&' that begins no entity, characters that XML forbids. Empty if it is well-formed.
/// (By hand: std::regex recurses once a character and overflows the stack on long attributes.)
std::string attribute_error(std::string_view text) {
  std::vector<std::string_view> names;
  while (!text.empty()) {
    if (text.front() != ' ' && text.front() != '\n')
      return "no space before " + std::string(text.substr(0, 30));
    text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
    if (text.empty()) break;
    const std::size_t equals = text.find("=\"");
    const std::size_t end = equals == text.npos ? text.npos : text.find('"', equals + 2);
    if (end == text.npos) return "no value: " + std::string(text.substr(0, 30));
    const std::string_view name = text.substr(0, equals);
    if (name.empty() ||
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-:") != name.npos) {
      return "no name: " + std::string(name);
    }
    if (std::find(names.begin(), names.end(), name) != names.end()) return "twice: " + std::string(name);
    names.push_back(name);
    text.remove_prefix(end + 1);
  }
  return "";
}

std::string entity_error(std::string_view text) {
  for (std::size_t at = text.find('&'); at != text.npos; at = text.find('&', at + 1)) {
    const std::string_view name = text.substr(at, text.find(';', at) - at);
    if (name != "&amp" && name != "&lt" && name != "&gt" && name != "&quot")
      return "no entity: " + std::string(name);
  }
  return "";
}

std::string xml_error(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return "a control character";
  }
  if (const std::string error = entity_error(text); !error.empty()) return error;
  std::vector<std::string_view> open;
  bool rooted = false;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '<') {
      if (open.empty() && text[at] != '\n') return "text outside the root";
      ++at;
      continue;
    }
    const std::size_t end = text.find('>', at);
    if (end == text.npos) return "no end of a tag";
    std::string_view tag = text.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return "closes what is not open: " + std::string(tag);
      open.pop_back();
      continue;
    }
    if (open.empty() && rooted) return "a second root";
    rooted = true;
    const bool empty = tag.ends_with('/');
    if (empty) tag.remove_suffix(1);
    const std::string_view name = tag.substr(0, tag.find_first_of(" \n"));
    if (name.empty() || tag.find('<') != tag.npos) return "no tag: " + std::string(tag);
    if (const std::string error = attribute_error(tag.substr(name.size())); !error.empty()) return error;
    if (!empty) open.push_back(name);
  }
  if (!rooted) return "empty";
  return open.empty() ? "" : "not closed: " + std::string(open.back());
}

struct Point {
  double x, y;
};

/// The points of every piece of the curve of class `name` within the field, in pixels.
std::vector<std::vector<Point>> curve(const std::string& text, const std::string& name) {
  const std::string begin = "<path class=\"line " + name + "\" d=\"";
  std::vector<std::vector<Point>> pieces;
  for (std::size_t at = text.find(begin); at != text.npos; at = text.find(begin, at)) {
    at += begin.size();
    const std::string d = text.substr(at, text.find('"', at) - at);
    if (d.find("h40") != d.npos) continue;  // of the legend
    for (std::size_t step = d.find_first_of("ML"); step != d.npos; step = d.find_first_of("ML", step + 1)) {
      if (d[step] == 'M') pieces.emplace_back();
      char* y = nullptr;
      const double x = std::strtod(d.c_str() + step + 1, &y);
      pieces.back().push_back({x, std::strtod(y, nullptr)});
    }
  }
  return pieces;
}

/// Where the numbers of the axes stand, so that pixels can be read as a person reads them.
struct Scale {
  double zero_x = 0, epoch = 0, zero_y = 0, one = 0;
};
Scale scale_of(const std::string& text) {
  // The number that stands after `key` in the element before `content`.
  const auto number = [&](const std::string& element, const std::string& key, const std::string& content) {
    const std::size_t end = content.empty() ? text.find(element) + 200 : text.find(content);
    const std::size_t begin = content.empty() ? text.find(element) : text.rfind(element, end);
    const std::size_t at = begin == text.npos ? text.npos : text.find(key, begin);
    if (at >= end) {
      ADD_FAILURE() << "no " << element << " " << content;
      return 0.0;
    }
    return std::strtod(text.c_str() + at + key.size(), nullptr);
  };
  Scale scale;
  constexpr double kBaseline = 4.5;  // of the numbers, below what they name
  scale.zero_x = number("<path class=\"axis\"", "d=\"M", "");
  scale.epoch = number("<text class=\"number middle\"", " x=\"", ">1</text>") - scale.zero_x;
  scale.zero_y = number("<text class=\"number end\"", " y=\"", ">0</text>") - kBaseline;
  scale.one = scale.zero_y + kBaseline - number("<text class=\"number end\"", " y=\"", ">1.0</text>");
  return scale;
}

TEST(CurvesSvg, HoldsTheValuesOfThePoints) {
  const auto points = learning(10);
  const std::string text =
      svg({.model = "d2l_resnet18", .dataset = "fashion-mnist", .epochs = 10, .points = points});
  ASSERT_EQ(xml_error(text), "");
  const Scale scale = scale_of(text);
  const auto check = [&](const char* name, double (*value)(const CurvePoint&)) {
    const auto pieces = curve(text, name);
    ASSERT_EQ(pieces.size(), 1U) << name;
    std::size_t i = 0;
    for (const CurvePoint& point : points) {
      if (value(point) < 0) continue;
      ASSERT_LT(i, pieces[0].size()) << name;
      EXPECT_NEAR((pieces[0][i].x - scale.zero_x) / scale.epoch, point.x, 0.011 / scale.epoch * 10)
          << name << " " << i;
      EXPECT_NEAR((scale.zero_y - pieces[0][i].y) / scale.one, value(point), 0.02 / scale.one)
          << name << " " << i;
      ++i;
    }
    EXPECT_EQ(i, pieces[0].size()) << name;
  };
  check("loss", [](const CurvePoint& p) { return p.loss; });
  check("train", [](const CurvePoint& p) { return p.train_acc; });
  check("test", [](const CurvePoint& p) { return p.test_acc; });
  EXPECT_NE(text.find(">0.109</text>"), std::string::npos) << "the last loss stands beside its curve";
}

TEST(CurvesSvg, SaysWhatItShowsToThoseWhoCannotSeeIt) {
  const std::string text =
      svg({.model = "d2l_resnet18", .dataset = "fashion-mnist", .epochs = 3, .points = learning(3)});
  EXPECT_NE(text.find("role=\"img\" aria-labelledby=\"title desc\""), std::string::npos);
  EXPECT_NE(text.find("<title id=\"title\">d2l_resnet18 on fashion-mnist</title>"), std::string::npos);
  EXPECT_NE(text.find("Last values: train loss 0.300, train acc 0.914, test acc 0.857."), std::string::npos);
}

TEST(CurvesSvg, NeedsNothingBesideItself) {
  const std::string text = svg({.epochs = 3, .points = learning(3)});
  for (const char* word : {"<script", "href", "@import", "onload", "<foreignObject", "<image"}) {
    EXPECT_EQ(text.find(word), std::string::npos) << word;
  }
  EXPECT_NE(text.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(CurvesSvg, EscapesNamesFromOutside) {
  const std::string name = "a<script>\"&'\x01\xff]]>";
  const Series runs[] = {{.name = name, .model = name, .points = learning(2)},
                         {.name = "b", .model = name, .points = learning(3)}};
  const std::string text = curves_svg(runs);
  EXPECT_EQ(xml_error(text), "");
  EXPECT_NE(text.find("a&lt;script&gt;&quot;&amp;'\\x01\\xff]]&gt;"), std::string::npos);
}

TEST(CurvesSvg, NamesAFolderOfDataByItsLastPart) {
  Series run;
  run.model = "net";
  run.dataset = "idx:/home/somebody/with/a/long/path/own";
  EXPECT_NE(curves_svg(std::span(&run, 1)).find(">net on idx:own<"), std::string::npos);
}

TEST(CurvesSvg, BreaksACurveWhereItIsNotFinite) {
  auto points = learning(3);
  points[5].loss = std::numeric_limits<double>::quiet_NaN();
  points[6].loss = -std::numeric_limits<double>::infinity();
  points[14].loss = std::numeric_limits<double>::infinity();
  points[14].test_acc = std::numeric_limits<double>::quiet_NaN();
  const std::string text = svg({.epochs = 3, .points = points});
  EXPECT_EQ(xml_error(text), "");
  const auto pieces = curve(text, "loss");
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0].size(), 5U);
  EXPECT_EQ(pieces[1].size(), 7U);
  EXPECT_NE(text.find(">inf</text>"), std::string::npos);
  for (const auto& piece : pieces) {
    for (const Point& point : piece) EXPECT_TRUE(std::isfinite(point.x) && std::isfinite(point.y));
  }
  for (const char* attribute : {"=\"nan", "=\"-nan", "=\"inf", "Mnan", "Lnan", " nan\""}) {
    EXPECT_EQ(text.find(attribute), std::string::npos) << attribute;
  }
}

TEST(CurvesSvg, StandsWithoutPointsAndWithOne) {
  EXPECT_EQ(xml_error(curves_svg({})), "");
  EXPECT_EQ(xml_error(svg({})), "");
  auto points = learning(1);
  points.resize(1);
  const std::string text = svg({.epochs = 1, .points = points});
  EXPECT_EQ(xml_error(text), "");
  ASSERT_EQ(curve(text, "loss").size(), 1U);
  EXPECT_TRUE(curve(text, "test").empty());
}

TEST(CurvesSvg, TellsRunsApart) {
  std::vector<Series> runs;
  for (int i = 0; i < 9; ++i)
    runs.push_back({.name = "run " + std::to_string(i), .model = "resnet18", .points = learning(2 + i)});
  const std::string text = curves_svg(runs);
  EXPECT_EQ(xml_error(text), "");
  EXPECT_NE(text.find(">resnet18: 9 runs</text>"), std::string::npos);
  EXPECT_EQ(curve(text, "loss").size(), 9U);
  for (int i = 0; i < 9; ++i)
    EXPECT_NE(text.find(">run " + std::to_string(i) + "</text>"), std::string::npos);
  EXPECT_NE(text.find("opacity=\"0.4\""), std::string::npos) << "the last run, the faintest";
}

TEST(CurvesSvg, StaysSmallForManyEpochs) {
  const std::string text = svg({.epochs = 300, .points = learning(300)});
  EXPECT_EQ(xml_error(text), "");
  EXPECT_LT(text.size(), 200'000U);
}

TEST(XmlError, SeesWhatIsBroken) {
  EXPECT_EQ(xml_error("<a b=\"c\"><d/></a>"), "");
  EXPECT_NE(xml_error("<a><b></a></b>"), "");
  EXPECT_NE(xml_error("<a>&nbsp;</a>"), "");
  EXPECT_NE(xml_error("<a b=\"1\" b=\"2\"/>"), "");
  EXPECT_NE(xml_error("<a b=c/>"), "");
  EXPECT_NE(xml_error("<a/><b/>"), "");
  EXPECT_NE(xml_error("<a>"), "");
  EXPECT_NE(xml_error(""), "");
  EXPECT_NE(xml_error("<a>\x01</a>"), "");
}

TEST(CurvesSvg, OfManyPointsKeepsWhatTheEyeCanTellApart) {
  Series series{.epochs = 100'000, .points = {}};
  for (int i = 1; i <= 200'000; ++i) {
    const double x = i / 2.0;
    series.points.push_back({.x = x, .loss = i == 77'777 ? 9.5 : 1 / x, .train_acc = 0.5, .test_acc = 0.25});
  }
  const std::string text = svg(series);
  EXPECT_LT(text.size(), 1'000'000U);
  EXPECT_EQ(xml_error(text), "");
  series.points[77'776].loss = 0.1;
  EXPECT_NE(svg(series), text) << "a single peak is seen";
}

TEST(CurvesSvg, StaysSmallWhereEverySecondLossIsNoNumber) {
  Series series{.epochs = 100'000, .points = {}};
  for (int i = 0; i < 262'144; ++i) {
    const double value = i % 2 == 0 ? 0.5 : std::numeric_limits<double>::quiet_NaN();
    series.points.push_back({.x = i / 4.0, .loss = value, .train_acc = value, .test_acc = value});
  }
  EXPECT_LT(svg(series).size(), 1'000'000U);
}

}  // namespace
}  // namespace resnet::report
