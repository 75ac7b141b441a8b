// The index tables of an implicit GEMM.
//
// A convolution is a matrix product whose left operand P, im2col of the input, is never stored: a row of P
// is one output pixel, a column is one (tap, input channel), and the element stands in the input image at
//     row.in + segment.source + k        (k < segment.length)
// Pixels are sorted into sets with the same valid taps, so that no tap ever reads padding:
// nothing is padded, copied or multiplied with zero (but for sources in row pairs, repack.h). On 3x3
// maps this alone saves 40 % of the work of a 3x3 kernel, on 6x6 maps 21 %, and the input gradient of a
// strided convolution falls apart into its parities by itself.
//
// The three passes read the same tables:
//   forward          rows: output pixels,  source: x,   out: y
//   input gradient   rows: input pixels,   source: dy,  out: dx (taps mirrored)
//   weight gradient  as forward, but rows are summed over, and (tap, channel) is what remains.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/index_table.h"

namespace resnet::kernels::conv {

/// Rows with the same valid taps among those of one chunk.
struct RowSet {
  std::int64_t rows_per_image = 0;
  std::vector<Row> rows;  // image after image, for a full block of images
  std::vector<Segment> segments;
  std::vector<Row> columns;  // the segments' columns one by one, if the cut asks for them: in floats
                             // from Row::in, out in floats from the chunk's first column
  bool first = false;        // no earlier chunk has written these rows
  bool operator==(const RowSet&) const = default;
};

/// A part of the columns, small enough for the part of the cache that a pass wants to keep it in.
struct Chunk {
  std::int64_t k_begin = 0, k_end = 0;  // its columns, in the packed order of taps
  std::vector<RowSet> row_sets;
  bool operator==(const Chunk&) const = default;
};

/// What a block of output rows needs; blocks that look alike share one.
using Strip = std::vector<Chunk>;

struct Tap {
  std::int64_t ky = 0, kx = 0;
};

/// One pass of a convolution as a GEMM; of one convolution group.
struct GemmProblem {
  std::int64_t n = 1;
  std::int64_t in_h = 1, in_w = 1, in_c = 1;     // the source image; in_c as stored
  std::int64_t out_h = 1, out_w = 1, out_c = 1;  // the image of rows; out_c as stored
  std::int64_t channels = 1;                     // source channels of one convolution group
  std::vector<Tap> taps;                         // in packed order
  std::vector<std::int64_t> run;  // of each tap: chunks never span two runs (the parities of a stride)
  // Source coordinate for [output coordinate][tap], or -1 where the tap misses.
  std::vector<std::vector<std::int64_t>> at_y, at_x;
  std::int64_t step_up_h = 1;    // source rows per output row, or
  std::int64_t step_down_h = 1;  // output rows per source row
};

GemmProblem forward_problem(const ConvGeometry& g);
GemmProblem input_gradient_problem(const ConvGeometry& g);

/// Pairs of an output pixel and a tap that meets the image.
double valid_taps(const ConvGeometry& g) noexcept;

/// Whether the coordinates by output or input and tap, a vector for each of the former, stay in proportion to
/// the tensors: of an image that is one pixel wide they are as many as its pixels.
bool coordinates_fit(const ConvGeometry& g) noexcept;

/// Whether the tables of a pass stay in proportion to its tensors. A kernel that meets the border of its
/// image in very many ways has a row set for each.
bool tables_fit(const ConvGeometry& g, ConvPass pass) noexcept;

/// How finely to cut, and for what; a function of geometry and instruction set only.
struct Cut {
  std::int64_t columns = 256;  // of a chunk, at most
  std::int64_t rows = 1024;    // of a block, about
  // Floats between the results of two columns where rows are summed over (the weight gradient): then
  // chunks stay in the order of taps, and `first` means nothing. 0: rows have results.
  std::int64_t column_stride = 0;
};

/// The tables of the result's rows [y0, y1) of `images` images; offsets are from row y0, and from the source
/// row that belongs to it, of the first image.
Strip make_strip(const GemmProblem& problem, const Cut& cut, std::int64_t images, std::int64_t y0,
                 std::int64_t y1);

/// The tables of a pass. Blocks are numbered [image block][strip].
class GemmPlan {
 public:
  /// Throws ShapeError if one block's offsets do not fit 32 bits.
  GemmPlan(const GemmProblem& problem, const Cut& cut);

  struct Block {
    const Strip* strip;
    std::int64_t images;
    std::int64_t in, out;  // origins, floats from the start of source and output
  };
  std::int64_t blocks() const noexcept { return image_blocks_ * strips_; }
  Block block(std::int64_t index) const noexcept;

  std::int64_t columns() const noexcept { return columns_; }  // all taps, all channels
  const Strip& first_strip() const noexcept { return shapes_[0]; }

 private:
  std::int64_t n_, in_image_, out_image_;  // images; floats of one
  std::int64_t in_line_, out_line_;        // floats of one line
  std::int64_t columns_ = 0;
  std::int64_t images_ = 1, image_blocks_ = 1;
  std::int64_t strip_height_ = 1, strips_ = 1;
  std::int64_t step_up_ = 1, step_down_ = 1;
  std::vector<Strip> shapes_;
  std::vector<std::size_t> shape_of_strip_;
};

}  // namespace resnet::kernels::conv
