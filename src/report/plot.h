// What both plots share: the three curves, their ranges and their ticks.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "resnet/report.h"

namespace resnet::report {

struct XY {
  double x = 0, y = 0;
};

/// One of the chapter's three curves.
struct Curve {
  const char* name;
  double (*value)(const CurvePoint&);
};
extern const std::array<Curve, 3> kCurves;  // train loss, train acc, test acc
/// Whether all of them, and there are some, have a validation set.
bool are_validated(std::span<const Series> runs);
/// What curve `i` is called in a picture of these runs: the last is "val acc" where all have a validation
/// set. `brief`: loss, train, test, for narrow pictures.
const char* name_of(std::size_t i, std::span<const Series> runs, bool brief = false);

/// The curve as pieces without gaps: measured points, cut where a value is not finite or an epoch beyond
/// kMostEpochs. Of more than 8,192 as many stay as a picture can show: 2,048 groups, of each the
/// first, the lowest, the highest and the last.
std::vector<std::vector<XY>> pieces(const Curve& curve, const Series& run);

/// How a picture in text calls the run of number `i`: a to z, A to Z, 0 to 9; "?" from kMostRuns on.
char letter_of(std::size_t i);
inline constexpr std::size_t kMostRuns = 62;

/// Columns below which curves_text() has no room for a plot.
inline constexpr int kLeastWidth = 24;

/// Epochs that a plot can show; the table of options allows no more.
inline constexpr double kMostEpochs = 1e12;
/// Whether there is a place for it on the x axis.
bool is_place(double x);

/// Its last measured value, finite or not; NaN with no points: see `measured`.
struct Last {
  bool measured = false;
  double x = 0, value = 0;
};
Last last_of(const Curve& curve, const Series& run);

/// 0 is the left and lower end of both axes: the first epoch is in the picture while it runs.
struct Ranges {
  double x = 1;  // epochs of the longest run
  double y = 1;  // a little above the largest value, at least 1 (accuracies), at most kTallest
};
/// A loss above this leaves the picture at the top: a run that diverges must not flatten the others.
inline constexpr double kTallest = 10;
Ranges ranges_of(std::span<const Series> runs);

/// 0, step, 2*step … <= end, at most `most` + 1 of them; step is 1, 2 or 5 times a power of ten.
struct Ticks {
  double step = 1;
  int decimals = 0;  // digits after the point that labels need
  std::vector<double> at;
};
Ticks ticks(double end, int most, bool whole_numbers);

/// "d2l_resnet18 on fashion-mnist" (a folder of data by its last part), as far as the runs agree; "3 runs"
/// where they do not.
std::string title_of(std::span<const Series> runs);

}  // namespace resnet::report
