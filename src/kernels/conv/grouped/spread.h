// How a strip of the source is spread over the lanes of output channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/conv/grouped/axis.h"
#include "kernels/conv/grouped/grouped_simd.h"
#include "kernels/index_table.h"

namespace resnet::kernels::conv::grouped {

// Of a block's spread source, which stays in L1; and the most that one of a single tile may need.
inline constexpr std::int64_t kBlockBytes = 32 << 10;
inline constexpr std::int64_t kMostBlockBytes = 2 << 20;

/// The result's channels as vectors, panels: each holds whole groups, or part of one.
class Panels {
 public:
  /// `in`, `out`: source and result channels of a group.
  Panels(std::int64_t in, std::int64_t out, std::int64_t groups, std::int64_t lanes) noexcept
      : in_(in),
        out_(out),
        groups_(groups),
        lanes_(lanes),
        // Lane l reads channel j + group(l) * in of a vector.
        each_(std::clamp<std::int64_t>(std::min(lanes / out, 1 + (lanes - 1) / in), 1, groups)),
        per_group_(ceil_div(out, lanes)) {}

  /// Whether panels are part of one group: then all lanes read the same number, which is spread as such.
  bool broadcast() const noexcept { return each_ == 1; }
  std::int64_t unit() const noexcept { return broadcast() ? 1 : lanes_; }  // floats of what is spread
  /// Panels that read the same, and how many such sets there are.
  std::int64_t per_set() const noexcept { return broadcast() ? per_group_ : 1; }
  std::int64_t sets() const noexcept { return ceil_div(groups_, each_); }
  std::int64_t count() const noexcept { return sets() * per_set(); }

  std::int64_t first(std::int64_t panel) const noexcept {  // channel of the result
    return panel / per_set() * each_ * out_ + panel % per_set() * lanes_;
  }
  std::int64_t width(std::int64_t panel) const noexcept {
    if (broadcast()) return std::min(lanes_, out_ - panel % per_set() * lanes_);
    return groups_of(panel) * out_;
  }
  std::int64_t first_source(std::int64_t set) const noexcept { return set * each_ * in_; }
  /// Elements from channel j of a set's first group to that of its last.
  std::int64_t span(std::int64_t set) const noexcept { return (groups_of(set) - 1) * in_ + 1; }
  /// Which of them each lane reads.
  std::vector<std::int32_t> lane_sources() const {
    std::vector<std::int32_t> sources(static_cast<std::size_t>(lanes_));
    for (std::int64_t l = 0; l < std::min(lanes_, each_ * out_); ++l)
      sources[static_cast<std::size_t>(l)] = static_cast<std::int32_t>(l / out_ * in_);
    return sources;
  }

 private:
  std::int64_t groups_of(std::int64_t set) const noexcept { return std::min(each_, groups_ - set * each_); }

  std::int64_t in_, out_, groups_, lanes_;
  std::int64_t each_;  // groups of a set
  std::int64_t per_group_;
};

/// Where a block of outputs stands: rows and columns q of each phase (axis.h).
struct Block {
  Range rows, columns;
};

/// The layout of what a block of outputs reads: [row][j][phase][column] units. A column is counted from the
/// first that any output of the block reads, in the padding or not; rows in the padding are left out.
class SpreadBlock {
 public:
  SpreadBlock(const Axis& rows, const Axis& columns, std::int64_t channels, std::int64_t unit)
      : rows_(rows), columns_(columns), channels_(channels), unit_(unit) {
    const std::int64_t outputs = columns.outputs(0);
    // Whole rows where a few fit, else as wide as a tile, or as half of one.
    std::int64_t width = outputs;
    if (fitting_rows(width) < kFewRows) width = std::min<std::int64_t>(outputs, kTilePixels);
    if (fitting_rows(width) < 1) width = ceil_div(width, 2);
    stripes_ = ceil_div(outputs, width);
    row_columns_ = ceil_div(outputs, stripes_) + columns.most - columns.least;
    strips_ = ceil_div(rows.outputs(0), std::max<std::int64_t>(1, fitting_rows(width)));
    height_ = ceil_div(rows.outputs(0), strips_);
    const auto taps_of = [](const Axis& axis, std::int64_t row, std::int64_t column, std::int64_t first) {
      std::vector<std::vector<TapAt>> all;
      for (const std::vector<AxisTap>& phase : axis.taps) {
        all.emplace_back();
        for (const AxisTap& tap : phase)
          all.back().push_back({(tap.offset - first) * row + tap.source_phase * column, tap.k});
      }
      return all;
    };
    row_taps_ = taps_of(rows, row() * rows.source_step, row(), 0);
    column_taps_ = taps_of(columns, unit, row_columns_ * unit, columns.least);
  }

  /// Blocks of an image, as equal as possible.
  std::int64_t strips() const noexcept { return strips_; }
  std::int64_t stripes() const noexcept { return stripes_; }
  Range rows_of(std::int64_t strip) const noexcept { return part(rows_.outputs(0), strip, strips_); }
  Range columns_of(std::int64_t stripe) const noexcept { return part(columns_.outputs(0), stripe, stripes_); }
  std::int64_t height() const noexcept { return height_; }  // the most rows of one, of each phase
  std::int64_t width() const noexcept { return row_columns_ - columns_.most + columns_.least; }

  std::int64_t floats() const noexcept { return rows_.most_read(height_) * row(); }
  std::int64_t plane() const noexcept { return row_columns_ * columns_.source_step * unit_; }  // of a j
  std::int64_t row() const noexcept { return plane() * channels_; }

  const Axis& rows() const noexcept { return rows_; }
  const Axis& columns() const noexcept { return columns_; }
  /// The taps of outputs of a phase: floats from where at() points, and which of the kernel.
  const std::vector<TapAt>& row_taps(std::int64_t phase) const noexcept {
    return row_taps_[static_cast<std::size_t>(phase)];
  }
  const std::vector<TapAt>& column_taps(std::int64_t phase) const noexcept {
    return column_taps_[static_cast<std::size_t>(phase)];
  }
  /// Where the taps of a block's output [y][x] count from; outside, where its first row is.
  std::ptrdiff_t at(const Block& block, std::int64_t y, std::int64_t x) const noexcept {
    const Range read = rows_.read_by(block.rows.begin, block.rows.end);
    return (y * rows_.source_step - read.begin) * row() + (x - block.columns.begin) * unit_;
  }

  /// Spreads what a block of an image reads. `image`: at a set's first source channel; `pixel`: elements of
  /// one.
  template <class T>
  void spread(const SpreadFunctions& f, const Panels& panels, std::int64_t set, const std::int32_t* lanes,
              const T* image, std::int64_t pixel, const Block& block, float* to) const noexcept {
    const Range read = rows_.read_by(block.rows.begin, block.rows.end);
    const std::int64_t first = block.columns.begin + columns_.least, last = block.columns.end + columns_.most;
    SpreadArgs args{.pixel = columns_.source_step * pixel,
                    .channels = channels_,
                    .span = panels.span(set),
                    .lanes = lanes,
                    .plane = plane()};
    for (std::int64_t phase = 0; phase < columns_.source_step; ++phase) {
      // Of the columns [first, last) the source has [begin, end).
      const std::int64_t begin = std::clamp<std::int64_t>(0, first, last),
                         end = std::clamp(columns_.sources(phase), begin, last);
      args.before = begin - first;
      args.count = end - begin;
      args.after = last - end;
      const T* source = image + (begin * columns_.source_step + phase) * pixel;
      for (std::int64_t r = read.begin; r < read.end; ++r) {
        args.source = source + r * columns_.in * pixel;
        args.to = to + (r - read.begin) * row() + phase * row_columns_ * unit_;
        (panels.broadcast() ? f.numbers : f.vectors)(args);
      }
    }
  }

 private:
  static constexpr std::int64_t kFewRows = 6;

  static Range part(std::int64_t whole, std::int64_t number, std::int64_t parts) noexcept {
    return {whole * number / parts, whole * (number + 1) / parts};
  }
  // Rows of outputs, `width` columns wide, whose source fits a block.
  std::int64_t fitting_rows(std::int64_t width) const noexcept {
    const std::int64_t bytes = (width + columns_.most - columns_.least) * columns_.source_step * channels_ *
                               unit_ * std::int64_t{sizeof(float)};
    return kBlockBytes / bytes / rows_.source_step - rows_.most + rows_.least;
  }

  Axis rows_, columns_;
  std::int64_t channels_, unit_;
  std::int64_t row_columns_ = 1;  // of a phase
  std::int64_t height_ = 1, strips_ = 1, stripes_ = 1;
  std::vector<std::vector<TapAt>> row_taps_, column_taps_;  // of each phase of outputs
};

}  // namespace resnet::kernels::conv::grouped
