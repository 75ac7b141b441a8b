// Which pictures of its data a page shows, and how they stand in it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "resnet/data.h"
#include "resnet/images.h"
#include "resnet/metrics.h"

namespace resnet::report {

/// A cell of a confusion matrix, with the examples that a page shows of it: of mistakes those first of which
/// the network was surest, of right answers those of which it was least sure.
struct MatrixCell {
  std::int32_t label = 0, answer = 0;
  std::int64_t count = 0;
  std::vector<std::int64_t> examples;
};

/// The cells that are not empty, mistakes before right answers, those with the most examples first, each with
/// at most `most_examples`. Where there are more than `most_cells`, the last mistakes are left out. So are
/// answers that are no class.
std::vector<MatrixCell> cells_of(std::span<const Answer> answers, std::int64_t classes,
                                 std::size_t most_cells, std::size_t most_examples);

/// The first examples of each class, in turn, until there are `most` or `most_of_class` of each.
std::vector<std::int64_t> samples_of(const data::Dataset& dataset, std::size_t most,
                                     std::size_t most_of_class);

/// Throws ConfigError for more runs than a page shows.
void check_reported(std::size_t runs);

/// Shrunk to 96 pixels of its longer side; smaller ones stay.
images::Image thumbnail(images::Image image);

/// A picture as a data URI, as a thumbnail: PNG where it is gray, else WebP. "" if it cannot be read.
std::string picture_uri(const data::Dataset& dataset, std::int64_t example);

}  // namespace resnet::report
