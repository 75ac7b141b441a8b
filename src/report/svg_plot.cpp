// The chapter's plot as SVG: plain shapes with classes, and a style sheet with a light and a dark half.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "report/plot.h"
#include "report/seeds.h"
#include "report/svg.h"
#include "report/text.h"

namespace resnet {

namespace {

using report::kCurves;
using report::Last;
using report::pixel;
using report::Ranges;
using report::Ticks;
using report::XY;

// Pixels. The field leaves room for title and legend above, labels left and below, values at right.
constexpr double kWidth = 760, kFieldLeft = 64, kFieldRight = 656, kFieldTop = 92, kFieldBottom = 392;
constexpr double kHeight = 452, kRunLine = 24;

constexpr const char* kClass[] = {"loss", "train", "test"};

// Colours of text and curves have a contrast of at least 4.5 to their background (WCAG AA).
constexpr const char* kStyleSheet = R"(
  text { font: 13px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; fill: #57606a }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328 }
  .name { fill: #1f2328 }
  .value, .number { font-variant-numeric: tabular-nums }
  .value { font-weight: 600 }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .page { fill: #ffffff }
  .grid { stroke: #d8dee4; stroke-width: 1; fill: none; shape-rendering: crispEdges }
  .axis { stroke: #8c959f; stroke-width: 1; fill: none; shape-rendering: crispEdges }
  .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }
  .thin { fill: none; stroke-width: 1; stroke-linejoin: round; opacity: .45 }
  .band { stroke: none; opacity: .16 } .band.loss { fill: #1668b8 } .band.train { fill: #b3169e } .band.test { fill: #15803d }
  .line.train { stroke-dasharray: 7 5 }
  .line.test { stroke-dasharray: 10 4.5 .1 4.5 }
  .loss { stroke: #1668b8 } .train { stroke: #b3169e } .test { stroke: #15803d }
  .dot { stroke: none } .dot.loss, text.loss { fill: #1668b8; stroke: none }
  .dot.train, text.train { fill: #b3169e; stroke: none } .dot.test, text.test { fill: #15803d; stroke: none }
  .ring { fill: #ffffff; stroke-width: 1.8 }
  .mark { fill: #57606a; stroke: none }
  .hover { fill: #000000; fill-opacity: 0; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa4af } .title, .name { fill: #f0f3f6 }
    .page { fill: #0d1117 } .grid { stroke: #262c36 } .axis { stroke: #656c76 }
    .loss { stroke: #6cb6ff } .train { stroke: #f78df0 } .test { stroke: #57d364 }
    .dot.loss, .band.loss, text.loss { fill: #6cb6ff } .dot.train, .band.train, text.train { fill: #f78df0 }
    .dot.test, .band.test, text.test { fill: #57d364 }
    .ring { fill: #0d1117 } .mark { fill: #9aa4af }
  }
)";

class Drawing {
 public:
  /// With a `band` the runs are thin lines around its mean.
  explicit Drawing(std::span<const Series> runs, const report::Band* band = nullptr)
      : runs_(runs), band_(band), ranges_(report::ranges_of(runs)) {}

  std::string text() {
    const double height =
        kHeight + (runs_.size() > 1 ? kRunLine * static_cast<double>(runs_.size()) + 32 : 0);
    const std::string title = xml_text(report::title_of(runs_));
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
        "role=\"img\" "
        "aria-labelledby=\"title desc\">\n",
        kWidth, height);
    add("<title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n", title, xml_text(description()));
    out_ += "<style>";
    out_ += kStyleSheet;
    out_ += "</style>\n";
    add("<clipPath id=\"field\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
        kFieldLeft - 4, kFieldTop, kFieldRight - kFieldLeft + 8, kFieldBottom - kFieldTop + 4);
    add("<rect class=\"page\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n", kWidth, height);
    add("<text class=\"title\" x=\"{}\" y=\"38\">{}</text>\n", kFieldLeft, title);
    legend();
    axes();
    if (band_ != nullptr) {
      spread();
    } else {
      for (std::size_t run = 0; run < runs_.size(); ++run) curves(run);
    }
    if (runs_.size() == 1) final_values(runs_[0]);
    if (runs_.size() > 1) table();
    out_ += "</svg>\n";
    return std::move(out_);
  }

 private:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format(format, std::forward<Args>(args)...);
  }

  double x_of(double x) const { return kFieldLeft + x / ranges_.x * (kFieldRight - kFieldLeft); }
  double y_of(double y) const { return kFieldBottom - y / ranges_.y * (kFieldBottom - kFieldTop); }

  std::string description() const {
    const bool validated = report::are_validated(runs_);
    std::string text = fmt::format("Train loss, train accuracy and {} accuracy over epochs.",
                                   validated ? "validation" : "test");
    for (const Series& run : runs_) {
      text += runs_.size() > 1 ? " " + run.name + ":" : " Last values:";
      for (std::size_t i = 0; i < kCurves.size(); ++i) {
        const Last last = report::last_of(kCurves[i], run);
        text += fmt::format("{} {} {}", i == 0 ? "" : ",", report::name_of(i, runs_),
                            last.measured ? report::figure(last.value) : "not measured");
      }
      text += ".";
    }
    return text;
  }

  void legend() {
    double x = kFieldLeft;
    for (std::size_t i = 0; i < kCurves.size(); ++i) {
      add("<path class=\"line {}\" d=\"M{} 64h40\"/>\n", kClass[i], pixel(x));
      add("<text class=\"name\" x=\"{}\" y=\"68.5\">{}</text>\n", pixel(x + 49), report::name_of(i, runs_));
      x += 49 + 100;
    }
  }

  void axes() {
    const Ticks across = report::ticks(ranges_.x, 20, true), up = report::ticks(ranges_.y, 9, false);
    out_ += "<g class=\"grid\">\n";
    for (const double y : up.at) {
      if (y > 0) add("<path d=\"M{} {}H{}\"/>\n", kFieldLeft, pixel(y_of(y)), kFieldRight);
    }
    for (const double x : across.at) {
      if (x > 0) add("<path d=\"M{} {}V{}\"/>\n", pixel(x_of(x)), kFieldTop, kFieldBottom);
    }
    add("</g>\n<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", kFieldLeft, kFieldTop, kFieldBottom,
        kFieldRight);
    for (const double y : up.at) {
      add("<text class=\"number end\" x=\"{}\" y=\"{}\">{:.{}f}</text>\n", kFieldLeft - 10,
          pixel(y_of(y) + 4.5), y, y == 0 ? 0 : up.decimals);
    }
    for (const double x : across.at) {
      if (x == 0) continue;  // the corner's 0 stands left of it
      add("<text class=\"number middle\" x=\"{}\" y=\"{}\">{:.0f}</text>\n", pixel(x_of(x)),
          kFieldBottom + 21, x);
    }
    add("<text class=\"middle\" x=\"{}\" y=\"{}\">epoch</text>\n", (kFieldLeft + kFieldRight) / 2,
        kFieldBottom + 45);
  }

  /// Runs fade from the first to the last, but stay visible.
  double opacity(std::size_t run) const {
    return runs_.size() < 2 ? 1 : 1 - 0.6 * static_cast<double>(run) / static_cast<double>(runs_.size() - 1);
  }

  void curves(std::size_t run) {
    add("<g clip-path=\"url(#field)\" opacity=\"{}\">\n", pixel(opacity(run)));
    for (std::size_t i = 0; i < kCurves.size(); ++i) line(i, runs_[run], "line");
    marks(run);
    out_ += "</g>\n";
  }

  void line(std::size_t curve, const Series& run, const char* style) {
    std::string path;
    for (const std::vector<XY>& piece : report::pieces(kCurves[curve], run)) {
      path += through(piece, 'M');
      if (piece.size() == 1) path += "h0";  // the round cap makes it a dot
    }
    if (!path.empty()) add("<path class=\"{} {}\" d=\"{}\"/>\n", style, kClass[curve], path);
  }

  template <class Points>
  std::string through(const Points& points, char step) const {
    std::string path;
    for (const XY& point : points) {
      path += fmt::format("{}{} {}", step, pixel(x_of(point.x)), pixel(y_of(point.y)));
      step = 'L';
    }
    return path;
  }

  /// The runs, what they have in common, and the last values of their mean.
  void spread() {
    out_ += "<g clip-path=\"url(#field)\">\n";
    for (std::size_t i = 0; i < kCurves.size(); ++i) {
      const auto low = report::pieces(kCurves[i], band_->low), high = report::pieces(kCurves[i], band_->high);
      for (std::size_t p = 0; p < std::min(low.size(), high.size()); ++p) {
        add("<path class=\"band {}\" d=\"{}{}z\"/>\n", kClass[i], through(low[p], 'M'),
            through(std::vector<XY>(high[p].rbegin(), high[p].rend()), 'L'));
      }
      for (const Series& run : runs_) line(i, run, "thin");
      line(i, band_->mean, "line");
    }
    out_ += "</g>\n";
    add("<text class=\"end\" x=\"{}\" y=\"68.5\">mean ± deviation</text>\n", kFieldRight);
    final_values(report::mean_of(runs_));
  }

  /// Where epochs end and where the test accuracy was measured: markers that tell the runs apart, and
  /// the value to read when the pointer rests on it.
  void marks(std::size_t run) {
    const Series& series = runs_[run];
    const auto every = static_cast<std::int64_t>(std::ceil(ranges_.x / 25));  // or they would touch
    const auto is_whole = [](const CurvePoint& p) { return std::fabs(p.x - std::round(p.x)) < 1e-6; };
    std::vector<const CurvePoint*> ends;
    for (const CurvePoint& point : series.points) {
      if (report::is_place(point.x) && (is_whole(point) || point.test_acc >= 0)) ends.push_back(&point);
    }
    constexpr std::size_t kMostEnds = 1000;  // there are 592 pixels to rest on
    const std::size_t step = ends.size() / kMostEnds + 1;
    for (std::size_t e = (ends.size() + step - 1) % step; e < ends.size(); e += step) {  // the last is one
      const CurvePoint& point = *ends[e];
      const bool whole = is_whole(point);
      const bool shown = !whole || std::llround(point.x) % every == 0 || &point == &series.points.back();
      for (std::size_t i = kCurves.size(); i-- > 0;) {
        const double value = kCurves[i].value(point);
        if (!(value >= 0) || !std::isfinite(value)) continue;
        const double x = x_of(point.x), y = y_of(value);
        if (runs_.size() > 1 && shown) {
          marker(run, kClass[i], x, y);
        } else if (runs_.size() == 1 && i == 2 && shown) {
          add("<circle class=\"ring test\" cx=\"{}\" cy=\"{}\" r=\"3\"/>\n", pixel(x), pixel(y));
        }
        add("<circle class=\"hover\" cx=\"{}\" cy=\"{}\" r=\"7\"><title>{}{} {} at epoch "
            "{:.4g}</title></circle>\n",
            pixel(x), pixel(y), runs_.size() > 1 ? xml_text(series.name) + ": " : "",
            report::name_of(i, runs_), report::figure(value), point.x);
      }
    }
  }

  void marker(std::size_t run, const char* colour, double x, double y) {
    static constexpr const char* kShapes[] = {
        "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",       // disc
        "m-3.3-3.3h6.6v6.6h-6.6z",                                // square
        "m0-4.4l4.2 7.4h-8.4z",                                   // triangle
        "m0-4.7l4.7 4.7l-4.7 4.7l-4.7-4.7z",                      // diamond
        "m0 4.4l4.2-7.4h-8.4z",                                   // triangle, point down
        "m-4.4-1.5h2.9v-2.9h3v2.9h2.9v3h-2.9v2.9h-3v-2.9h-2.9z",  // cross
    };
    add("<path class=\"{}\" d=\"M{} {}{}\"/>\n", colour == nullptr ? "mark" : fmt::format("dot {}", colour),
        pixel(x), pixel(y), kShapes[run % std::size(kShapes)]);
  }

  /// The last values at the right, each beside the end of its curve, moved apart where they would touch.
  void final_values(const Series& run) {
    struct Label {
      std::size_t curve;
      double y;
      std::string text;
    };
    std::vector<Label> labels;
    for (std::size_t i = 0; i < kCurves.size(); ++i) {
      const Last last = report::last_of(kCurves[i], run);
      if (!last.measured) continue;
      const double y = std::isfinite(last.value) ? y_of(std::min(last.value, ranges_.y)) : kFieldTop;
      labels.push_back({i, y, report::figure(last.value)});
    }
    std::stable_sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.y < b.y; });
    constexpr double kApart = 17;
    for (std::size_t i = 1; i < labels.size(); ++i)
      labels[i].y = std::max(labels[i].y, labels[i - 1].y + kApart);
    double lowest = kFieldBottom;
    for (std::size_t i = labels.size(); i-- > 0; lowest = labels[i].y - kApart)
      labels[i].y = std::min(labels[i].y, lowest);
    for (const Label& label : labels) {
      add("<text class=\"value {}\" x=\"{}\" y=\"{}\">{}</text>\n", kClass[label.curve], kFieldRight + 12,
          pixel(label.y + 4.5), label.text);
    }
  }

  void table() {
    const double columns[] = {kFieldRight - 200, kFieldRight - 100, kFieldRight};
    double y = kHeight + 12;
    for (std::size_t i = 0; i < kCurves.size(); ++i) {
      add("<text class=\"end {}\" x=\"{}\" y=\"{}\">{}</text>\n", kClass[i], columns[i], pixel(y),
          report::name_of(i, runs_));
    }
    for (std::size_t run = 0; run < runs_.size(); ++run) {
      y += kRunLine;
      if (band_ == nullptr) {
        add("<g opacity=\"{}\">\n", pixel(opacity(run)));
        marker(run, nullptr, kFieldLeft + 5, y - 4.5);
        out_ += "</g>\n";
      }
      const std::string name = report::shorten(printable(runs_[run].name), 44);
      add("<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>\n", kFieldLeft + 20, pixel(y), xml_text(name));
      for (std::size_t i = 0; i < kCurves.size(); ++i) {
        const Last last = report::last_of(kCurves[i], runs_[run]);
        add("<text class=\"number name end\" x=\"{}\" y=\"{}\">{}</text>\n", columns[i], pixel(y),
            last.measured ? report::figure(last.value) : "–");
      }
    }
  }

  std::span<const Series> runs_;
  const report::Band* band_;
  Ranges ranges_;
  std::string out_;
};

}  // namespace

std::string curves_svg(std::span<const Series> runs) {
  return Drawing(runs).text();
}

std::string report::band_svg(std::span<const Series> runs) {
  const Band band = band_of(runs);
  return Drawing(runs, runs.size() < 2 ? nullptr : &band).text();
}

}  // namespace resnet
