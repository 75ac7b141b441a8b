// What a classifier's answers are worth: pure functions of one answer for each example.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace resnet {

/// What a network said of one example.
struct Answer {
  std::int32_t label = 0;       // the true class
  std::int32_t answer = 0;      // the likeliest class, the first of equals
  std::int32_t rank = 0;        // classes that come before the label by their logits
  float probability = 0;        // softmax of the answer, in [0, 1]
  float label_probability = 0;  // softmax of the label
};

/// A range of a figure.
struct Interval {
  double low = 0, high = 0;
};

/// One class. NaN (kNotMeasured) where there is none: precision of a class that was never answered, recall of
/// one without examples.
struct ClassMetrics {
  std::int64_t examples = 0, answered = 0, hits = 0;
  double precision = 0;  // hits / answered
  double recall = 0;     // hits / examples
  double f1 = 0;         // 2 * hits / (examples + answered)
};

/// Figures of a test set. NaN (kNotMeasured) without examples.
struct Metrics {
  std::int64_t examples = 0;
  double accuracy = 0;
  Interval accuracy_95;  // Wilson's score interval at 95 %
  double top5 = 0;       // the label is among the five likeliest; NaN of fewer than six classes
  std::vector<ClassMetrics> classes;
  std::vector<std::int64_t> confusion;  // [true][answered], row-major, classes x classes; or none
  // Means over the classes that have examples, all alike; a class that was never answered has precision 0.
  // The mean recall is also called balanced accuracy.
  double macro_precision = 0, macro_recall = 0, macro_f1 = 0;
  double calibration_error = 0;  // expected calibration error (ECE) of 15 bins, in [0, 1]
};

/// Throws ConfigError for fewer classes than 1, ShapeError for a label that is none of them, or a negative
/// answer. An answer of `classes` or more (networks may have more outputs than the data has classes) is wrong.
/// Throws MemoryError where there is no room for the confusion matrix, which may be left out.
/// Sources: Wilson, "Probable inference", 1927; Guo et al., arXiv 1706.04599, equation 3.
Metrics metrics_of(std::span<const Answer> answers, std::int64_t classes, bool confusion = true);

/// Wilson's score interval at 95 % for `hits` of `count`; NaN without any.
Interval wilson_95(std::int64_t hits, std::int64_t count);

/// The examples that were answered wrong, by index: those first of which the network was surest; of equals
/// the first. At most `most`.
std::vector<std::int64_t> worst_mistakes(std::span<const Answer> answers, std::int64_t most);

}  // namespace resnet
