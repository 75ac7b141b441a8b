#include "resnet/evaluation_files.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "report/html_pictures.h"
#include "report/svg.h"
#include "report/text.h"
#include "resnet/images.h"

namespace resnet {
namespace {

using report::pixel;

// Colours of text have a contrast of at least 4.5 to what is behind it (WCAG AA); a cell's text is light
// where the cell is more than half filled.
constexpr const char* kSheetStyle = R"(
  text { font: 13px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; fill: #57606a }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328 }
  .name { fill: #1f2328 }
  .end { text-anchor: end } .middle { text-anchor: middle }
  .page { fill: #ffffff }
  .right { fill: #1a7f37 } .wrong { fill: #b35900 } text.wrong { fill: #953800 }
  .cell { font-variant-numeric: tabular-nums; fill: #1f2328 } .cell.full { fill: #ffffff }
  .frame { fill: none; stroke: #8c959f; stroke-width: 1; shape-rendering: crispEdges }
  @media (prefers-color-scheme: dark) {
    text { fill: #9aa4af } .title, .name, .cell { fill: #f0f3f6 } .cell.full { fill: #0d1117 }
    .page { fill: #0d1117 } .right { fill: #57d364 } .wrong, text.wrong { fill: #f0a35e } .frame { stroke: #656c76 }
  }
)";

class Svg {
 public:
  Svg(double width, double height, const std::string& title, const std::string& description) {
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
        "role=\"img\" aria-labelledby=\"title desc\">\n<title id=\"title\">{2}</title>\n<desc id=\"desc\">{3}"
        "</desc>\n<style>{4}</style>\n<rect class=\"page\" width=\"{0}\" height=\"{1}\" rx=\"8\"/>\n",
        pixel(width), pixel(height), xml_text(title), xml_text(description), kSheetStyle);
  }
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    out_ += fmt::format(format, std::forward<Args>(args)...);
  }
  std::string end() && { return std::move(out_) + "</svg>\n"; }

 private:
  std::string out_;
};

// A class by name; what is beyond the names by its number.
std::string name_of(std::span<const std::string> names, std::int64_t k) {
  return k >= 0 && k < std::ssize(names) ? names[static_cast<std::size_t>(k)] : std::to_string(k);
}

// A name in so many cells.
std::string label(std::string_view name, int most) {
  return xml_text(report::clip(printable(name), most));
}

void check_matrix(const Metrics& metrics, std::size_t names) {
  if (metrics.classes.size() != names || metrics.confusion.size() != names * names) {
    throw ConfigError(fmt::format("there is no confusion matrix of {} classes in these metrics", names),
                      "give metrics_of() as many classes as there are names, and let it make the matrix");
  }
}

}  // namespace

std::string confusion_csv(const Metrics& metrics, std::span<const std::string> names) {
  check_matrix(metrics, names.size());
  std::string out = "true\\answer";
  for (const std::string& name : names) out += "," + printable_field(name);
  out += "\n";
  for (std::size_t row = 0; row < names.size(); ++row) {
    out += printable_field(names[row]);
    for (std::size_t k = 0; k < names.size(); ++k)
      out += fmt::format(",{}", metrics.confusion[row * names.size() + k]);
    out += "\n";
  }
  return out;
}

std::string confusion_svg(const Metrics& metrics, std::span<const std::string> names,
                          const std::string& title) {
  const std::size_t count = names.size();
  check_matrix(metrics, count);
  const double cell = count <= 25 ? 40 : count <= 100 ? 16 : 4;  // pixels; numbers fit into the largest
  constexpr double kLeft = 180, kTop = 176, kMargin = 24;
  constexpr int kName = 20;  // cells of text that a margin takes
  const double side = cell * static_cast<double>(count);
  Svg svg(kLeft + side + 90, kTop + side + kMargin, title,
          fmt::format("Confusion matrix of {} classes, a row for each true class, a column for each answer.",
                      count));
  svg.add("<text class=\"title\" x=\"{}\" y=\"34\">{}</text>\n", kMargin, xml_text(title));
  const bool named = cell > 12;
  for (std::size_t k = 0; named && k < count; ++k) {
    const double at = (static_cast<double>(k) + 0.5) * cell;
    svg.add("<text class=\"name end\" x=\"{}\" y=\"{}\">{}</text>\n", kLeft - 8, pixel(kTop + at + 4.5),
            label(names[k], kName));
    svg.add("<text class=\"name\" transform=\"translate({} {}) rotate(-60)\">{}</text>\n",
            pixel(kLeft + at + 4), kTop - 8, label(names[k], kName));
    if (metrics.classes[k].examples > 0) {
      svg.add("<text x=\"{}\" y=\"{}\">{:.1f} %</text>\n", pixel(kLeft + side + 8), pixel(kTop + at + 4.5),
              100 * metrics.classes[k].recall);
    }
  }
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t k = 0; k < count; ++k) {
      const std::int64_t n = metrics.confusion[row * count + k];
      if (n == 0) continue;
      const double share = static_cast<double>(n) / static_cast<double>(metrics.classes[row].examples);
      const double x = kLeft + static_cast<double>(k) * cell, y = kTop + static_cast<double>(row) * cell;
      svg.add(
          "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{}\">"
          "<title>{} taken for {}: {} of {}</title></rect>\n",
          row == k ? "right" : "wrong", pixel(x), pixel(y), cell, cell, pixel(0.08 + 0.92 * share),
          label(names[row], 60), label(names[k], 60), n, metrics.classes[row].examples);
      if (cell >= 40) {
        svg.add("<text class=\"cell middle{}\" x=\"{}\" y=\"{}\">{}</text>\n", share > 0.5 ? " full" : "",
                pixel(x + cell / 2), pixel(y + cell / 2 + 4.5), n);
      }
    }
  }
  svg.add("<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", kLeft, kTop, side, side);
  return std::move(svg).end();
}

std::string predictions_csv(std::span<const Answer> answers, std::span<const std::string> names,
                            std::span<const std::string> files) {
  std::string out = "example,label,answer,probability,label_probability";
  out += files.empty() ? "\n" : ",file\n";
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& a = answers[i];
    out += fmt::format("{},{},{},{},{}", i, printable_field(name_of(names, a.label)),
                       printable_field(name_of(names, a.answer)), a.probability, a.label_probability);
    if (i < files.size()) out += "," + printable_field(files[i]);
    out += '\n';
  }
  return out;
}

std::string mistakes_svg(const data::Dataset& dataset, std::span<const Answer> answers,
                         std::span<const std::int64_t> examples, const std::string& title) {
  constexpr std::size_t kColumns = 8;
  constexpr double kWide = 140, kTall = 156, kTop = 56, kMargin = 16, kPicture = 96;  // pixels
  constexpr int kText = 17;                                                           // cells
  const std::size_t rows = (examples.size() + kColumns - 1) / kColumns;
  Svg svg(kColumns * kWide + 2 * kMargin, kTop + static_cast<double>(std::max<std::size_t>(rows, 1)) * kTall,
          title, fmt::format("{} pictures, each with its class and what it was taken for.", examples.size()));
  svg.add("<text class=\"title\" x=\"{}\" y=\"34\">{}</text>\n", kMargin, xml_text(title));
  for (std::size_t n = 0; n < examples.size(); ++n) {
    const Answer& answer = answers[static_cast<std::size_t>(examples[n])];
    const double x = kMargin + static_cast<double>(n % kColumns) * kWide;
    const double y = kTop + static_cast<double>(n / kColumns) * kTall;
    const std::string is = name_of(dataset.classes(), answer.label);
    const std::string said = name_of(dataset.classes(), answer.answer);
    const std::string file = dataset.source().name(examples[n]);
    svg.add(
        "<g><title>{}: {}, taken for {} ({:.1f} %)</title>\n<image x=\"{}\" y=\"{}\" width=\"{}\" "
        "height=\"{}\" style=\"image-rendering: pixelated\" href=\"data:image/png;base64,{}\"/>\n",
        file.empty() ? fmt::format("example {}", examples[n]) : label(file, 200), label(is, 60),
        label(said, 60), 100.0 * static_cast<double>(answer.probability), pixel(x), pixel(y), kPicture,
        kPicture, base64(images::encode_png(report::thumbnail(dataset.image(examples[n])))));
    svg.add("<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>\n", pixel(x), pixel(y + kPicture + 16),
            label(is, kText));
    svg.add(
        "<text class=\"wrong\" x=\"{}\" y=\"{}\">{}</text>\n<text x=\"{}\" y=\"{}\">{:.1f} %</text></g>\n",
        pixel(x), pixel(y + kPicture + 32), label(said, kText), pixel(x), pixel(y + kPicture + 48),
        100.0 * static_cast<double>(answer.probability));
  }
  return std::move(svg).end();
}

}  // namespace resnet
