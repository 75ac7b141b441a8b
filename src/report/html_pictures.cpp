#include "report/html_pictures.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "images/encode_webp.h"
#include "resnet/error.h"
#include "resnet/images.h"

namespace resnet::report {
images::Image thumbnail(images::Image image) {
  constexpr std::int64_t kSide = 96;  // pixels
  const std::int64_t longer = std::max(image.height, image.width);
  if (longer <= kSide) return image;
  return images::resize_bilinear(image, std::max<std::int64_t>(1, image.height * kSide / longer),
                                 std::max<std::int64_t>(1, image.width * kSide / longer));
}

std::vector<MatrixCell> cells_of(std::span<const Answer> answers, std::int64_t classes,
                                 std::size_t most_cells, std::size_t most_examples) {
  std::map<std::pair<std::int32_t, std::int32_t>, MatrixCell> found;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& answer = answers[i];
    if (answer.answer < 0 || answer.answer >= classes) continue;
    MatrixCell& cell = found[{answer.label, answer.answer}];
    cell.label = answer.label;
    cell.answer = answer.answer;
    ++cell.count;
    cell.examples.push_back(static_cast<std::int64_t>(i));
  }
  std::vector<MatrixCell> cells;
  cells.reserve(found.size());
  for (auto& [place, cell] : found) cells.push_back(std::move(cell));
  std::ranges::stable_sort(cells, [](const MatrixCell& a, const MatrixCell& b) {
    const bool right_a = a.label == a.answer, right_b = b.label == b.answer;
    return right_a != right_b ? right_b : a.count > b.count;
  });
  const auto right = static_cast<std::size_t>(
      std::ranges::count_if(cells, [](const MatrixCell& cell) { return cell.label == cell.answer; }));
  const std::size_t mistakes = cells.size() - right;
  const std::size_t kept_mistakes = std::min(mistakes, most_cells > right ? most_cells - right : 0);
  cells.erase(cells.begin() + static_cast<std::ptrdiff_t>(kept_mistakes),
              cells.begin() + static_cast<std::ptrdiff_t>(mistakes));
  for (MatrixCell& cell : cells) {
    const auto before = [&](std::int64_t a, std::int64_t b) {
      const float of_a = answers[static_cast<std::size_t>(a)].probability;
      const float of_b = answers[static_cast<std::size_t>(b)].probability;
      if (of_a == of_b) return a < b;
      return cell.label == cell.answer ? of_a < of_b : of_a > of_b;
    };
    const std::size_t kept = std::min(cell.examples.size(), most_examples);
    std::partial_sort(cell.examples.begin(), cell.examples.begin() + static_cast<std::ptrdiff_t>(kept),
                      cell.examples.end(), before);
    cell.examples.resize(kept);
  }
  return cells;
}

std::vector<std::int64_t> samples_of(const data::Dataset& dataset, std::size_t most,
                                     std::size_t most_of_class) {
  std::vector<std::vector<std::int64_t>> of_class(dataset.classes().size());
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    std::vector<std::int64_t>& found = of_class[static_cast<std::size_t>(dataset.label(i))];
    if (found.size() < most_of_class) found.push_back(i);
  }
  std::vector<std::int64_t> samples;
  for (std::size_t n = 0; n < most_of_class; ++n) {
    for (const std::vector<std::int64_t>& found : of_class) {
      if (n < found.size() && samples.size() < most) samples.push_back(found[n]);
    }
  }
  return samples;
}

void check_reported(std::size_t runs) {
  constexpr std::size_t kMost = 32;
  if (runs > kMost)
    throw ConfigError("a page shows at most " + std::to_string(kMost) + " runs, not " + std::to_string(runs),
                      "give fewer");
}

std::string picture_uri(const data::Dataset& dataset, std::int64_t example) {
  try {
    const images::Image image = thumbnail(dataset.image(example));
    return image.channels == 1 ? "data:image/png;base64," + base64(images::encode_png(image))
                               : "data:image/webp;base64," + base64(images::encode_webp(image));
  } catch (const Error&) {
    return "";
  }
}

}  // namespace resnet::report
