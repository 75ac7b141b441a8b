// Runs that differ in nothing but their seed: their folder, and what they have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "resnet/report.h"

namespace resnet::report {

/// The name of the folder of a seed's run: "seed-3".
std::string seed_folder(std::uint64_t seed);

/// `path`, or where it is a folder of seeds' runs those that have curves, by their seeds.
std::vector<std::filesystem::path> runs_in(const std::filesystem::path& path);

/// Of numbers that were measured, the others left out; all NaN without any, `deviation` of fewer than two.
struct Spread {
  std::int64_t count = 0;
  double mean = 0;
  double deviation = 0;  // of the sample: divided by count - 1
  double least = 0, most = 0;
};
Spread spread_of(std::span<const double> values);

/// One JSON object, a line: seeds (as many as were asked for), complete (whether all have ended), command
/// (what repeats them), runs (seed, folder, loss, train_acc, test_acc, examples_per_second, seconds, epochs,
/// steps, weights_sha256), and mean, deviation, min and max of loss, train_acc, test_acc, examples_per_second
/// and seconds; val_acc too where runs have it. A number that was not measured is null.
std::string summary_json(std::span<const FitResult> results, std::int64_t seeds, const std::string& command);

/// The chapter's two lines with the deviation behind each figure:
/// "loss 0.015 ± 0.002, train acc 0.996 ± 0.001, test acc 0.907 ± 0.008".
std::string summary_text(std::span<const FitResult> results);

/// Mean of curves and mean - deviation, mean + deviation, at the epochs that two runs or more have in common.
struct Band {
  Series mean, low, high;
};
Band band_of(std::span<const Series> runs);

/// The mean of the runs of one folder as curves of one run, called "runs/five, mean of 5". Its last values
/// are the mean of the runs' last ones, wherever each of them ended (--time), at the place of the last.
Series mean_of(std::span<const Series> runs);

/// curves_svg() of runs that differ in their seed: a thin line for each, the mean in full, and a band around
/// it of the deviation to both sides.
std::string band_svg(std::span<const Series> runs);

}  // namespace resnet::report
