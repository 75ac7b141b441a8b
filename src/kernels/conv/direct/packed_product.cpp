#include "kernels/conv/direct/packed_product.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/conv/direct/repack.h"

namespace resnet::kernels::conv {
namespace {

// A panel's part of one chunk stays in the L1 cache (32 KiB on the smallest machine we care
// for) while many tiles pass by: 256 columns x 64 bytes with AVX2, 128 x 256 bytes with AVX-512.
constexpr std::int64_t kPanelBytes = 16 << 10;
constexpr std::int64_t kWidePanelBytes = 32 << 10;

// The geometry whose channels of the pass's source are the words.
template <class T>
ConvGeometry in_words(ConvGeometry g, bool forward, bool row_pairs) {
  if (row_pairs) g = in_row_pairs(g);
  (forward ? g.ci : g.co) /= kWord<T>;
  return g;
}

float word(float low, float high) noexcept {
  return std::bit_cast<float>(std::uint32_t{BFloat16(low).bits} | std::uint32_t{BFloat16(high).bits} << 16U);
}

}  // namespace

template <class T, class Out>
PackedProduct<T, Out>::PackedProduct(const ConvGeometry& g, ConvPass pass, Isa isa, bool row_pairs,
                                     bool narrow)
    : g_(g),
      forward_(pass == ConvPass::forward),
      row_pairs_(row_pairs),
      f_(matmul_functions<T>(isa)),
      problem_(forward_ ? forward_problem(in_words<T>(g, true, row_pairs))
                        : input_gradient_problem(in_words<T>(g, false, false))),
      columns_(narrow ? f_.columns / 2 : f_.columns),
      outputs_((forward_ ? g.co : g.ci) / g.groups),
      panels_(ceil_div(outputs_, columns_)),
      packed_panel_(static_cast<std::int64_t>(problem_.taps.size()) * problem_.channels * columns_) {}

template <class T, class Out>
std::int64_t PackedProduct<T, Out>::chunk_columns() const noexcept {
  return (f_.lanes == 8 ? kPanelBytes : kWidePanelBytes) / (4 * f_.columns);
}

template <class T, class Out>
std::int64_t PackedProduct<T, Out>::packed_bytes() const noexcept {
  const std::int64_t floats = g_.groups * panels_ * (packed_panel_ + columns_);
  return ceil_div(floats, kLine<float>) * 64;
}

template <class T, class Out>
std::int64_t PackedProduct<T, Out>::panel_columns(std::int64_t panel) const noexcept {
  return std::min(columns_, outputs_ - panel * columns_);
}

// One tap of one panel, and with the first tap the panel's bias.
template <class T, class Out>
void PackedProduct<T, Out>::pack(const float* w, const float* bias, std::byte* packed,
                                 std::int64_t task) const noexcept {
  const auto taps = static_cast<std::int64_t>(problem_.taps.size());
  const std::int64_t t = task % taps, panel = task / taps % panels_, group = task / taps / panels_;
  const Tap tap = problem_.taps[static_cast<std::size_t>(t)];
  const std::int64_t columns = panel_columns(panel), padded = f_.padded_columns(columns);
  const std::int64_t first = panel * columns_;
  const std::int64_t ci = g_.ci / g_.groups, co = g_.co / g_.groups, channels = problem_.channels;
  const std::int64_t row = g_.kw * ci, at = tap.kx * (row_pairs_ ? 2 : ci);
  const bool single = row_pairs_ && at + 1 == row;  // the last of an odd row
  w += (tap.ky * row + at) * g_.co + group * co;
  auto* const panels = reinterpret_cast<float*>(packed);
  float* to = panels + weights_at(group, panel) + t * channels * padded;
  for (std::int64_t k = 0; k < channels; ++k, to += padded) {
    if constexpr (kWord<T> == 2) {
      const std::int64_t next = forward_ ? g_.co : 1;
      for (std::int64_t j = 0; j < columns; ++j) {
        const float* pair = forward_ ? w + 2 * k * g_.co + first + j : w + (first + j) * g_.co + 2 * k;
        to[j] = word(pair[0], single ? 0.0F : pair[next]);
      }
    } else if (forward_) {
      std::memcpy(to, w + k * g_.co + first, static_cast<std::size_t>(columns) * sizeof(float));
    } else {
      for (std::int64_t j = 0; j < columns; ++j) to[j] = w[(first + j) * g_.co + k];
    }
    std::fill(to + columns, to + padded, 0.0f);
  }
  if (t != 0) return;
  float* to_bias = panels + bias_at(group, panel);
  for (std::int64_t j = 0; j < padded; ++j) {
    to_bias[j] = bias != nullptr && j < columns ? bias[group * co + first + j] : 0.0f;
  }
}

template <class T, class Out>
void PackedProduct<T, Out>::multiply(const Args& args) const noexcept {
  const auto* packed = reinterpret_cast<const float*>(args.packed);
  MultiplyArgs to;
  to.source = static_cast<const float*>(args.source) + args.origin + args.group * problem_.channels;
  if constexpr (kRounded) {
    to.out = args.sums;
    to.out_pixel = problem_.out_c;
  } else {
    to.out = args.out;
  }
  to.columns = panel_columns(args.panel);
  to.panel = packed + weights_at(args.group, args.panel);
  const bool adds = !kRounded && args.addend != nullptr;
  const float* bias = adds ? nullptr : packed + bias_at(args.group, args.panel);
  const auto at = [&](const Chunk& chunk) {
    return to.panel + chunk.k_begin * f_.padded_columns(to.columns);
  };
  for (std::size_t c = 0; c < args.strip->size(); ++c) {
    const Chunk& chunk = (*args.strip)[c];
    to.next_panel = !args.streams                ? nullptr
                    : c + 1 < args.strip->size() ? at((*args.strip)[c + 1])
                                                 : at(args.strip->front()) + packed_panel_;
    for (const RowSet& rows : chunk.row_sets) {
      to.rows = rows.rows.data();
      to.count = rows.rows_per_image * args.images;
      to.segments = rows.segments.data();
      to.segment_count = static_cast<std::int64_t>(rows.segments.size());
      to.bias = rows.first ? bias : nullptr;
      f_.multiply(to);
      to.next_panel = nullptr;  // once
    }
  }
  if constexpr (kRounded) round(args, to.columns);
}

// Every row has one set that is its first.
template <class T, class Out>
void PackedProduct<T, Out>::round(const Args& args, std::int64_t columns) const noexcept {
  if constexpr (kRounded) {
    for (const Chunk& chunk : *args.strip) {
      for (const RowSet& rows : chunk.row_sets) {
        if (!rows.first) continue;
        for (std::int64_t i = 0; i < rows.rows_per_image * args.images; ++i) {
          const std::int64_t at = rows.rows[static_cast<std::size_t>(i)].out;
          round_to_bf16(args.sums + at / problem_.out_c * f_.columns,
                        args.addend != nullptr ? args.addend + at : nullptr, args.out + at, columns);
        }
      }
    }
  }
}

template class PackedProduct<float, float>;
template class PackedProduct<float, BFloat16>;
template class PackedProduct<BFloat16, float>;
template class PackedProduct<BFloat16, BFloat16>;

}  // namespace resnet::kernels::conv
