// The arguments of kernels, by value: device addresses and numbers, at most 256 bytes. Host code fills them;
// kernels/*.h says what a kernel makes of them. Activations are NHWC, weights [kh][kw][ci][co], as on the
// CPU.
#pragma once

#include <cstdint>

namespace resnet::device {

inline constexpr int kThreads = 256;  // of a block, where kernels.def names no other number

/// Where parts of sums by channel are merged: channels of a block, and its shared memory, of two sums.
inline constexpr int kMergeChannels = 8, kMergeBytes = 2 * kThreads * 8;
inline constexpr int kGemmThreads = 128;
/// Shared memory of a block, bytes: without asking for it, and at most on every card from compute
/// capability 8.0 on.
inline constexpr int kSharedUnasked = 48 * 1024, kMostShared = 99 * 1024;

/// Element by element.
struct SweepArgs {
  const void *a = nullptr, *b = nullptr;
  void* y = nullptr;
  std::int64_t elements = 0;
};

/// x [n][pixels][c], and a number for each [n][c].
struct GateArgs {
  const void *x = nullptr, *gate = nullptr;  // of the gradient: dy, x
  void* y = nullptr;
  std::int64_t n = 0, pixels = 0, c = 0;
};

/// [rows][c] <-> channels [first, first + c) of [rows][all].
struct ChannelsArgs {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t rows = 0;
  std::int64_t from_all = 0, from_first = 0, to_all = 0, to_first = 0, c = 0;
};

/// [n][pixels][c] <-> [n][c][pixels].
struct FlattenArgs {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t n = 0, pixels = 0, c = 0;
};

struct DropoutArgs {
  const void* x = nullptr;
  const std::int64_t* seed_step = nullptr;  // {seed, number of the step}
  void* y = nullptr;
  std::uint64_t layer = 0;
  double p = 0;
  std::int64_t n = 0, pixels = 0, c = 0;
};

/// Sums over rows, by channel: blocks are (share of the rows, group of channels).
struct SumsArgs {
  const void *x = nullptr, *dz = nullptr;
  const void* gate = nullptr;  // values, bits (mask), or a table [3][c]
  const float* mean = nullptr;
  double* parts = nullptr;  // [share][sums][c]
  std::int64_t rows = 0, c = 0;
  std::int64_t shares = 0;
};

struct ChannelSumArgs {
  const double* parts = nullptr;  // [share][1][c]
  float* sum = nullptr;
  std::int64_t c = 0, shares = 0;
};

/// The numbers of a norm by channel.
struct NormTableArgs {
  const double* parts = nullptr;   // train: [share][2][c], sums of x and its square; null in evaluation
  const float* moments = nullptr;  // train, in place of parts: [3][c], mean, what rounding it left, variance
  const float *gamma = nullptr, *beta = nullptr, *running_mean = nullptr, *running_var = nullptr;
  float *mean = nullptr, *inv_std = nullptr;                      // train
  float *new_running_mean = nullptr, *new_running_var = nullptr;  // or null
  float* table = nullptr;                                         // [3][c]: mean, scale, offset
  std::int32_t* nonfinite = nullptr;  // becomes 1 where new running statistics are not finite
  double eps = 0, momentum = 0;
  std::int64_t rows = 0, c = 0, shares = 0;
};

/// z = relu((x - mean) * scale + offset + residual), and where z > 0 as bits.
struct NormApplyArgs {
  const void *x = nullptr, *residual = nullptr;
  const float* table = nullptr;
  void* z = nullptr;
  std::uint8_t* mask = nullptr;
  std::int64_t rows = 0, c = 0;
  std::int32_t relu = 0;
};

/// An example of a batch: a picture of a set, and where its pixels go (data::Placed).
struct PictureRecord {
  std::int32_t example = 0, label = 0;
  std::int32_t top = 0, left = 0;  // of what is cut, in the resized picture; it may reach over the edges
  std::int32_t mirrored = 0;       // when it is cut
  std::int32_t shift = 0;          // then down and to the right, the edge repeated
  std::int32_t zero_top = 0, zero_left = 0, zero_height = 0, zero_width = 0;  // a box of zeros, at last
};

/// A side of a resize by Pillow's tables (images/resample.h): output i is the sum of count[i] inputs from
/// first[i] on.
struct ResizeAxis {
  const std::int32_t *first = nullptr, *count = nullptr, *weights = nullptr;  // [out]; [out][taps]
  std::int32_t in = 0, out = 0, taps = 0;                                     // taps 0: nothing is resized
};

/// Blocks are (example, band of rows).
struct PicturesArgs {
  const std::uint8_t* set = nullptr;       // [pictures][rows.in][columns.in][channels]
  const PictureRecord* records = nullptr;  // [n]
  const float* values = nullptr;           // [channels][256], of a byte
  float* images = nullptr;                 // [n][height][width][channels]
  std::int32_t* labels = nullptr;          // [n]; null: of nobody
  ResizeAxis rows, columns;
  std::int32_t height = 0, width = 0, channels = 0;
  std::int32_t band_rows = 0, bands = 0;  // rows of a band, bands of an example
  std::int32_t reflect = 0;               // beyond the edges: zero, or their mirror image
};

struct NormGradientTableArgs {
  const double* parts = nullptr;  // [share][2][c]: sums of dz and of dz * (x - mean)
  const float* sums = nullptr;    // in place of parts: [3][c], the first two
  const float *gamma = nullptr, *mean = nullptr, *inv_std = nullptr;
  float *dgamma = nullptr, *dbeta = nullptr;
  float* table = nullptr;  // [4][c]: mean, scale_dz, scale_x, offset
  std::int64_t rows = 0, c = 0, shares = 0;
};

/// dx = dz * scale_dz + ((x - mean) * scale_x + offset), of the gated dz.
struct NormGradientApplyArgs {
  const void *x = nullptr, *dz = nullptr, *gate = nullptr;
  const float* table = nullptr;
  void *dx = nullptr, *dresidual = nullptr;
  std::int64_t rows = 0, c = 0;
};

struct PoolArgs {
  const void* x = nullptr;      // of a gradient: dy
  void* y = nullptr;            // of a gradient: dx
  void* index = nullptr;        // of the maximum in its window, u8 or i32; read by the gradient; may be null
  std::int32_t wide_index = 0;  // i32
  std::int32_t count_padding = 1;
  std::int32_t n = 0, c = 0, h = 0, w = 0, ho = 0, wo = 0;
  std::int32_t kh = 0, kw = 0, sh = 0, sw = 0, ph = 0, pw = 0;
};

/// A norm and the pool behind it: pool.x is what the norm reads, pool.y what the pool chooses of what it
/// makes.
struct NormPoolArgs {
  PoolArgs pool;
  const float* table = nullptr;  // [3][c]: mean, scale, offset
  std::int32_t relu = 0;
};

/// And back: pool.y is dx, pool.index what was chosen; dz and gate (values) have the pool's shape, sums.rows
/// its rows.
struct NormPoolGradientArgs {
  PoolArgs pool;
  SumsArgs sums;
  const float* table = nullptr;  // [4][c]; of the sums null
};

struct LossArgs {
  const float* logits = nullptr;
  const std::int32_t *labels = nullptr, *mixed_labels = nullptr;
  const float* mix = nullptr;
  const double* class_weights = nullptr;  // [classes], or null
  double* parts = nullptr;                // [block][3]: loss, right answers, weights
  double* loss_sum = nullptr;
  std::int64_t* correct = nullptr;
  float* dlogits = nullptr;
  double smoothing = 0;
  std::int64_t n = 0, classes = 0, parts_count = 0;
};

struct UpdateArgs {
  const float *parameter = nullptr, *gradient = nullptr, *step = nullptr;
  const float *slot0 = nullptr, *slot1 = nullptr;  // momentum; AdamW's two moments; an average
  float *updated = nullptr, *updated0 = nullptr, *updated1 = nullptr;
  std::int32_t* nonfinite = nullptr;  // becomes 1 where something that is written is not finite
  double dampening = 0, weight_decay = 0, lr_factor = 1, beta2 = 0, eps = 0;
  std::int64_t elements = 0;
  std::int32_t momentum = 0, nesterov = 0;
};

/// Updates of several parameters by one launch: each has the blocks from first_block[i] on, that it has by
/// itself.
struct UpdatesArgs {
  const UpdateArgs* updates = nullptr;        // [count]
  const std::int32_t* first_block = nullptr;  // [count + 1]
  std::int32_t count = 0;
};

/// A convolution's pass as an implicit GEMM.
struct GemmArgs {
  const void *a = nullptr, *b = nullptr;  // x, w | dy, w | x, dy
  const float* bias = nullptr;            // forward; may be null
  const void* addend = nullptr;           // input gradient; may be null
  void* y = nullptr;                      // y | dx | dw, or parts of dw [share][kh][kw][ci][co]
  std::int32_t n = 0, h = 0, w = 0, ci = 0, ho = 0, wo = 0, co = 0;
  std::int32_t kh = 0, kw = 0, sh = 0, sw = 0, ph = 0, pw = 0, dh = 0, dw = 0;
  std::int32_t groups = 1;
  std::int32_t row_tiles = 0, column_tiles = 0;  // of a group
  std::int32_t shares = 1;                       // weight gradient: of the pixels
  std::int64_t share = 0;                        // pixels of one
};

/// Of linear_forward: results of a block, a warp each.
inline constexpr int kLinearResults = kThreads / 32;

inline constexpr int kGemmTile = 64;  // rows and columns of a block
inline constexpr int kGemmStages = 2;

/// Elements of the product's operands that a stage holds of each row: 64 bytes.
constexpr int gemm_depth(int element_bytes) {
  return 64 / element_bytes;
}
/// Between rows of a tile that lies with its rows (columns) innermost: eight elements more than there are.
inline constexpr int kGemmPitch = kGemmTile + 8;

/// Bytes of a tile of an operand: with the depth innermost, or the rows.
constexpr int gemm_tile_bytes(int element_bytes, bool depth_inner) {
  return (depth_inner ? kGemmTile * gemm_depth(element_bytes) : gemm_depth(element_bytes) * kGemmPitch) *
         element_bytes;
}
/// Shared memory of a block.
constexpr int gemm_shared_bytes(int element_bytes, bool a_depth_inner, bool b_depth_inner) {
  return kGemmStages *
         (gemm_tile_bytes(element_bytes, a_depth_inner) + gemm_tile_bytes(element_bytes, b_depth_inner));
}

/// Of the kernels for 3x3 convolutions (kernels/conv3x3.h).
inline constexpr int kConv3x3Threads = 192;
inline constexpr int kConvChannels = 64;  // of a tile in shared memory: 128 bytes a row
inline constexpr int kConvPixels = 144;   // of a block
inline constexpr int kConvPad = 8;        // of the sums of a pixel, behind its outputs
inline constexpr int kWeightPixels = 96;  // of a step of a weight gradient

/// y = w * x, or dx of dy: x is what is read, y what is written. Maps are bf16 [n][h][w][channels].
struct Conv3x3Args {
  const void *x = nullptr, *weights = nullptr;  // bf16 [3][3][ci][co]
  void* y = nullptr;
  const float* bias = nullptr;   // forward; may be null
  const float* table = nullptr;  // forward: of the norm that makes x, [3][in]; may be null
  const void* addend = nullptr;  // back; may be null
  const void* norm_x =
      nullptr;  // back: of the norm behind whose ReLU dx is, whose sums are wanted; may be null
  const float* norm = nullptr;  // its mean [out], and unless there is a mask scale and offset
  const std::uint8_t* mask = nullptr;
  double* parts = nullptr;  // [tile of pixels][2][out]: moments of y or sums of dx; may be null
  std::int32_t n = 0, h = 0, w = 0, in = 0, out = 0;
  std::int32_t rows = 0;  // conv3x3_rows(kConvPixels, w)
  std::int32_t relu = 0;  // behind the norm that makes x
};

/// Shared memory in which the warps of a block leave so many sums of 64 channels each.
constexpr int sums_of_warps_bytes(int threads, int sums = 2) {
  return threads / 32 * sums * 64 * 8;
}
/// Rows of the inputs of so many pixels; a row and a pixel more at each end.
constexpr int conv3x3_rows(int pixels, int w) {
  return pixels + 2 * (w + 1);
}
/// Bytes of the inputs in shared memory: two tiles where there are more channels than one has.
constexpr int conv3x3_halo_bytes(int pixels, int w, int in) {
  return conv3x3_rows(pixels, w) * kConvChannels * 2 * (in > kConvChannels ? 2 : 1);
}
/// Shared memory of a block: inputs, a row of zeros and the weights of two taps; then the sums, and behind
/// them the parts of its warps, of one sum at a time.
constexpr int conv3x3_shared_bytes(int columns, int w, int in) {
  const int products =
      conv3x3_halo_bytes(kConvPixels, w, in) + kConvChannels * 2 + 2 * columns * kConvChannels * 2;
  const int sums = kConvPixels * (columns + kConvPad) * 4 + sums_of_warps_bytes(kConv3x3Threads, 1);
  return products > sums ? products : sums;
}
/// Two blocks share a multiprocessor of compute capability 8.0, which has 164 KiB and keeps one for each, at
/// rows of 24 pixels too.
static_assert(2 * (conv3x3_shared_bytes(128, 24, 128) + 1024) <= 164 * 1024);

/// Merges the parts of Conv3x3Args.
struct ConvSumsArgs {
  const double* parts = nullptr;
  float* sums = nullptr;  // [3][c]
  std::int64_t rows = 0;
  std::int32_t c = 0, parts_count = 0;
};

/// dw [3][3][ci][co], or parts of it [share]. Maps are bf16.
struct Conv3x3WeightsArgs {
  const void *x = nullptr, *dy = nullptr;
  float* dw = nullptr;
  const float* table = nullptr;  // of the norm that makes x, [3][ci]; may be null
  // Where dy is the gradient of a norm: dy is its dz, and these its x and table [4][co]; dy is written to
  // made_dy.
  const void* norm_x = nullptr;
  const float* norm = nullptr;
  void* made_dy = nullptr;
  std::int32_t n = 0, h = 0, w = 0, ci = 0, co = 0;
  std::int32_t rows = 0;  // conv3x3_rows(kWeightPixels, w)
  std::int32_t relu = 0;
  std::int32_t share = 0;  // of the pixels: tiles of one
};
/// Shared memory of a block: two of each of x, dy and a norm's x, a row of zeros, and the taps of each pixel.
constexpr int conv3x3_weights_shared_bytes(int w, bool norm) {
  return 2 * (conv3x3_rows(kWeightPixels, w) + kWeightPixels * (norm ? 2 : 1)) * kConvChannels * 2 +
         kConvChannels * 2 + 2 * kWeightPixels * 2;
}

inline constexpr int kMostStemDepth =
    192;  // elements that a stem's taps meet: three chunks of eight for each warp

/// A stem's convolution with the pool behind it (kernels/stem.h), 3x3 with stride 2 and padding 1. Maps are
/// [n][height][width][channels].
struct StemArgs {
  const void* x = nullptr;
  const float *w = nullptr, *bias = nullptr;  // [kh][kw][ci][co]; [co] or null
  // Forward: chosen by gamma [co]; index and parts [strip][2][co] may be null.
  const float* gamma = nullptr;
  void* y = nullptr;  // bf16
  std::uint8_t* index = nullptr;
  double* parts = nullptr;
  // Weight gradient: gate, bf16 as dz, may be null; table [4][co]; dw, or parts of it [share].
  const void *dz = nullptr, *gate = nullptr;
  const std::uint8_t* chosen = nullptr;
  const float* table = nullptr;
  float* dw = nullptr;
  std::int32_t n = 0, height = 0, width = 0, ci = 0, ho = 0, wo = 0, co = 0;
  std::int32_t kh = 0, kw = 0, sh = 0, sw = 0, ph = 0, pw = 0;
  std::int32_t pooled_height = 0, pooled_width = 0;
  std::int32_t strips = 0, strip_rows = 0;  // of an image; pooled rows of one
  std::int32_t padded_run = 0, depth = 0;   // kw * ci in whole eights, kh of these in whole sixteens
  std::int32_t pitch = 0, pixels = 0;  // elements of a row of inputs; most pixels of y, in whole sixteens
  std::int32_t share = 0;              // strips of one
};

/// [rows][columns] -> [columns][rows]; blocks are tiles of kTransposeTile each way. Of the weights of a
/// convolution it is [kh][kw][ci][co] <-> [co][kh][kw][ci].
struct TransposeArgs {
  const void* from = nullptr;
  void* to = nullptr;
  std::int64_t rows = 0, columns = 0;
};
inline constexpr int kTransposeTile = 32;
/// A row of a tile is one number longer, so that a column's are in 32 banks.
inline constexpr int kTransposeBytes = kTransposeTile * (kTransposeTile + 1) * 4;

/// Copies of weights in other forms by one launch: each has the blocks from first_block[i] on.
enum class CopyForm : std::int32_t { rounded, transposed_bf16, transposed_f32 };
struct CopyLine {
  TransposeArgs what;
  CopyForm form = CopyForm::rounded;
};
struct CopiesArgs {
  const CopyLine* lines = nullptr;            // [count]
  const std::int32_t* first_block = nullptr;  // [count + 1]
  std::int32_t count = 0;
};

/// y [rows][c] += bias [c].
struct BiasArgs {
  const float* bias = nullptr;
  void* y = nullptr;
  std::int64_t rows = 0, c = 0;
};

/// sum[i] of the parts in their order.
struct MergeArgs {
  const float* parts = nullptr;  // [shares][elements]
  float* sum = nullptr;
  std::int64_t elements = 0, shares = 0;
};

/// Products on registers alone: what the device can do at most.
struct PeakArgs {
  float* y = nullptr;      // [blocks][kThreads], so that nothing is left out
  std::int32_t turns = 0;  // of peak_flops() each
};
inline constexpr int kPeakSums = 8;  // independent ones of a thread, or of a warp's tiles

}  // namespace resnet::device
