#include "resnet/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/memory.h"
#include "resnet/error.h"
#include "train/calibration.h"

namespace resnet {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? kNone : static_cast<double>(part) / static_cast<double>(whole);
}

// Expected calibration error.
double calibration_error(std::span<const Answer> answers) {
  double apart = 0;
  for (const train::CalibrationBin& bin : train::calibration_of(answers))
    apart += std::fabs(bin.probability_sum - static_cast<double>(bin.hits));
  return answers.empty() ? kNone : apart / static_cast<double>(answers.size());
}

}  // namespace

std::vector<train::CalibrationBin> train::calibration_of(std::span<const Answer> answers) {
  constexpr std::size_t kBins = 15;
  std::vector<CalibrationBin> bins(kBins);
  for (const Answer& answer : answers) {
    const double place = std::ceil(static_cast<double>(answer.probability) * kBins) - 1;
    // Of a probability that is no number: the first.
    CalibrationBin& bin = bins[static_cast<std::size_t>(std::min(std::max(0.0, place), kBins - 1.0))];
    ++bin.examples;
    bin.hits += answer.answer == answer.label ? 1 : 0;
    bin.probability_sum += static_cast<double>(answer.probability);
  }
  return bins;
}

Interval wilson_95(std::int64_t hits, std::int64_t count) {
  if (count <= 0) return {kNone, kNone};
  constexpr double z = 1.959963984540054;  // of the normal distribution, two-sided 95 %
  const auto n = static_cast<double>(count);
  const double p = static_cast<double>(hits) / n;
  const double middle = p + z * z / (2 * n);
  const double reach = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  const double scale = 1 + z * z / n;
  return {std::max(0.0, (middle - reach) / scale), std::min(1.0, (middle + reach) / scale)};
}

Metrics metrics_of(std::span<const Answer> answers, std::int64_t classes, bool confusion) {
  if (classes < 1) throw ConfigError("metrics of a data set without classes");
  Metrics result;
  result.examples = static_cast<std::int64_t>(answers.size());
  result.classes.resize(static_cast<std::size_t>(classes));
  if (confusion) {
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(classes, classes, &bytes) ||
        __builtin_mul_overflow(bytes, std::int64_t{sizeof(std::int64_t)}, &bytes))
      bytes = std::numeric_limits<std::int64_t>::max();
    if (bytes > kSmallMemory)
      require_memory(bytes, 0, "the confusion matrix", "a network of fewer classes needs less");
    result.confusion.assign(static_cast<std::size_t>(classes * classes), 0);
  }
  std::int64_t hits = 0, among_five = 0;
  for (const Answer& answer : answers) {
    if (answer.label < 0 || answer.label >= classes || answer.answer < 0) {
      throw ShapeError("label " + std::to_string(answer.label) + ", answer " + std::to_string(answer.answer) +
                       " of a data set with " + std::to_string(classes) + " classes");
    }
    ClassMetrics& of = result.classes[static_cast<std::size_t>(answer.label)];
    ++of.examples;
    hits += answer.answer == answer.label ? 1 : 0;
    of.hits += answer.answer == answer.label ? 1 : 0;
    among_five += answer.rank < 5 ? 1 : 0;
    if (answer.answer >= classes) continue;
    ++result.classes[static_cast<std::size_t>(answer.answer)].answered;
    if (confusion) ++result.confusion[static_cast<std::size_t>(answer.label * classes + answer.answer)];
  }
  std::int64_t present = 0;
  for (ClassMetrics& of : result.classes) {
    of.precision = ratio(of.hits, of.answered);
    of.recall = ratio(of.hits, of.examples);
    of.f1 = ratio(2 * of.hits, of.examples + of.answered);
    if (of.examples == 0) continue;
    ++present;
    result.macro_precision += of.answered == 0 ? 0 : of.precision;
    result.macro_recall += of.recall;
    result.macro_f1 += of.f1;
  }
  for (double* mean : {&result.macro_precision, &result.macro_recall, &result.macro_f1}) {
    *mean = present == 0 ? kNone : *mean / static_cast<double>(present);
  }
  result.accuracy = ratio(hits, result.examples);
  result.accuracy_95 = wilson_95(hits, result.examples);
  result.top5 = classes > 5 ? ratio(among_five, result.examples) : kNone;
  result.calibration_error = calibration_error(answers);
  return result;
}

std::vector<std::int64_t> worst_mistakes(std::span<const Answer> answers, std::int64_t most) {
  std::vector<std::int64_t> wrong;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].answer != answers[i].label) wrong.push_back(static_cast<std::int64_t>(i));
  }
  const auto count =
      std::min<std::size_t>(wrong.size(), static_cast<std::size_t>(std::max<std::int64_t>(most, 0)));
  const auto end = wrong.begin() + static_cast<std::ptrdiff_t>(count);
  const auto surer = [&](std::int64_t a, std::int64_t b) {
    const float of_a = answers[static_cast<std::size_t>(a)].probability;
    const float of_b = answers[static_cast<std::size_t>(b)].probability;
    return of_a != of_b ? of_a > of_b : a < b;
  };
  std::partial_sort(wrong.begin(), end, wrong.end(), surer);
  wrong.resize(count);
  return wrong;
}

}  // namespace resnet
