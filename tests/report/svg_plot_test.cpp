#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <regex>
#include <string>
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
std::string xml_error(const std::string& text) {
  static const std::regex kTag(R"(<(/?)([A-Za-z][A-Za-z0-9]*)((?:\s+[A-Za-z:-]+="[^"<]*")*)\s*(/?)>)");
  static const std::regex kAttribute(R"(\s([A-Za-z:-]+)=)");
  static const std::regex kEntity(R"(&(amp|lt|gt|quot|#\d+);)");
  if (text.empty()) return "empty";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n') return "a control character";
  }
  std::vector<std::string> open;
  bool rooted = false;
  for (std::size_t at = 0; at < text.size();) {
    std::smatch match;
    if (text[at] == '<') {
      if (!std::regex_search(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), match, kTag,
                             std::regex_constants::match_continuous)) {
        return "no tag: " + text.substr(at, 60);
      }
      const std::string name = match[2], attributes = match[3];
      std::vector<std::string> names;
      for (std::sregex_iterator i(attributes.begin(), attributes.end(), kAttribute), end; i != end; ++i) {
        for (const std::string& other : names) {
          if (other == (*i)[1]) return "twice: " + other;
        }
        names.push_back((*i)[1]);
      }
      if (match[1].length() != 0) {
        if (open.empty() || open.back() != name) return "closes what is not open: " + name;
        open.pop_back();
      } else if (open.empty() && rooted) {
        return "a second root";
      } else if (match[4].length() == 0) {
        open.push_back(name);
      }
      rooted = true;
      at += static_cast<std::size_t>(match.length());
    } else if (text[at] == '&') {
      if (!std::regex_search(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), match, kEntity,
                             std::regex_constants::match_continuous)) {
        return "no entity: " + text.substr(at, 20);
      }
      at += static_cast<std::size_t>(match.length());
    } else {
      if (open.empty() && text[at] != '\n') return "text outside the root";
      ++at;
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

struct Point {
  double x, y;
};

/// The points of every piece of the curve of class `name` within the field, in pixels.
std::vector<std::vector<Point>> curve(const std::string& text, const std::string& name) {
  const std::regex path("<path class=\"line " + name + "\" d=\"([^\"]*)\"/>");
  std::vector<std::vector<Point>> pieces;
  for (std::sregex_iterator i(text.begin(), text.end(), path), end; i != end; ++i) {
    const std::string d = (*i)[1];
    if (d.find("h40") != std::string::npos) continue;  // of the legend
    const std::regex step(R"(([ML])(\S+?) ([^MLh]+))");
    for (std::sregex_iterator s(d.begin(), d.end(), step); s != end; ++s) {
      if ((*s)[1] == "M") pieces.emplace_back();
      pieces.back().push_back({std::atof((*s)[2].str().c_str()), std::atof((*s)[3].str().c_str())});
    }
  }
  return pieces;
}

/// Where the numbers of the axes stand, so that pixels can be read as a person reads them.
struct Scale {
  double zero_x = 0, epoch = 0, zero_y = 0, one = 0;
};
Scale scale_of(const std::string& text) {
  Scale scale;
  std::smatch m;
  const auto find = [&](const char* expression, double& value) {
    ASSERT_TRUE(std::regex_search(text, m, std::regex(expression))) << expression;
    value = std::atof(m[1].str().c_str());
  };
  find(R"re(<path class="axis" d="M([\d.]+) )re", scale.zero_x);
  find(R"re(<text class="number middle" x="([\d.]+)" y="[\d.]+">1</text>)re", scale.epoch);
  find(R"re(<text class="number end" x="[\d.]+" y="([\d.]+)">0</text>)re", scale.zero_y);
  find(R"re(<text class="number end" x="[\d.]+" y="([\d.]+)">1.0</text>)re", scale.one);
  constexpr double kBaseline = 4.5;  // of the numbers, below what they name
  scale.epoch -= scale.zero_x;
  scale.one = scale.zero_y - scale.one;
  scale.zero_y -= kBaseline;
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
  EXPECT_NE(text.find("a&lt;script&gt;&quot;&amp;'??]]&gt;"), std::string::npos);
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
  EXPECT_EQ(std::regex_replace(
                text, std::regex("infinite|font|nan</text>|inf</text>|test acc nan|train loss inf"), "")
                .find("nan"),
            std::string::npos)
      << "no coordinate is nan";
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
  EXPECT_NE(xml_error("<a>\x01</a>"), "");
}

}  // namespace
}  // namespace resnet::report
