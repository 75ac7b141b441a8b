// An evaluation as files: tables for other programs and pictures for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "resnet/data.h"
#include "resnet/metrics.h"

namespace resnet {

/// The confusion matrix as CSV (RFC 4180): a header line with the classes' names, a row for each true class.
/// Throws ConfigError where the matrix was left out, or there are not as many names as classes.
std::string confusion_csv(const Metrics& metrics, std::span<const std::string> names);

/// The same as a picture: a cell is the darker, the larger its share of its row. Self-contained, light or
/// dark as the reader's system is. Cells without examples are not drawn. Throws as confusion_csv().
std::string confusion_svg(const Metrics& metrics, std::span<const std::string> names,
                          const std::string& title);

/// A CSV line for each answer: example (its number, from 0), label, answer, probability of the answer, and
/// that of the label, and of `files`, if there are any, the example's; classes by name.
std::string predictions_csv(std::span<const Answer> answers, std::span<const std::string> names,
                            std::span<const std::string> files = {});

/// The pictures of `examples` as a sheet, each with what it is and what it was taken for, in their order.
/// `answers` are those of the whole data set. Self-contained SVG; pictures are shrunk to 96 pixels.
std::string mistakes_svg(const data::Dataset& dataset, std::span<const Answer> answers,
                         std::span<const std::int64_t> examples, const std::string& title);

}  // namespace resnet
