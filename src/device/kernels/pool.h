// Pools over windows: a thread a few neighbouring channels of a pixel of the result, 16 bytes where they
// allow it.
#pragma once

#include "device/args.h"
#include "device/words.h"

namespace resnet::device {

/// The pixel and the first channel of chunk i of [n][h][w][c / kCount], in 32 bits: host code has seen that
/// they hold it.
struct Place {
  unsigned n, h, w, c;
};
template <int kCount>
RESNET_WORD Place place_of(unsigned i, int height, int width, int channels) {
  const unsigned chunks = static_cast<unsigned>(channels) / kCount, pixel = i / chunks;
  const unsigned row = pixel / static_cast<unsigned>(width);
  return {row / static_cast<unsigned>(height), row % static_cast<unsigned>(height),
          pixel % static_cast<unsigned>(width), i % chunks * kCount};
}

/// Calls f(i, place) for this thread's chunks of [n][height][width][c].
template <int kCount, class F>
RESNET_WORD void for_chunks(const PoolArgs& g, int height, int width, const F& f) {
  const unsigned chunks = static_cast<unsigned>(g.n * height * width) * (static_cast<unsigned>(g.c) / kCount);
  const unsigned stride = static_cast<unsigned>(blocks() * kThreads);
  for (unsigned i = static_cast<unsigned>(block() * kThreads + thread()); i < chunks; i += stride)
    f(std::int64_t{i} * kCount, place_of<kCount>(i, height, width, g.c));
}

/// Calls f<kCount>() with the channels that a thread takes at a time.
template <class T, class F>
RESNET_WORD void by_chunks(const PoolArgs& g, const F& f) {
  constexpr int kWhole = Pack<T>::kCount;
  if (g.c % kWhole == 0) {
    f.template operator()<kWhole>();
  } else {
    f.template operator()<1>();
  }
}

/// Calls f(h, w, tap) for the pixels of the window of an output that lie inside the map.
template <class F>
RESNET_WORD void for_window(const PoolArgs& g, const Place& output, const F& f) {
  for (int r = 0; r < g.kh; ++r) {
    const int h = static_cast<int>(output.h) * g.sh - g.ph + r;
    if (h < 0 || h >= g.h) continue;
    for (int s = 0; s < g.kw; ++s) {
      const int w = static_cast<int>(output.w) * g.sw - g.pw + s;
      if (w >= 0 && w < g.w) f(h, w, r * g.kw + s);
    }
  }
}

/// Where (h, w) of the place's image and channels lies in [n][height][width][c].
RESNET_WORD std::int64_t at(const PoolArgs& g, const Place& place, int height, int width, int h, int w) {
  return ((std::int64_t{place.n} * height + h) * width + w) * g.c + place.c;
}

/// Stores the taps that windows chose.
template <int kCount>
RESNET_WORD void store_taps(const PoolArgs& g, std::int64_t i, const int (&taps)[kCount]) {
  if (g.wide_index != 0) {
    for (int k = 0; k < kCount; ++k) static_cast<std::int32_t*>(g.index)[i + k] = taps[k];
    return;
  }
  Chunk<std::uint8_t, kCount> narrow;
  RESNET_UNROLL
  for (int k = 0; k < kCount; ++k) narrow.v[k] = static_cast<std::uint8_t>(taps[k]);
  store_chunk(static_cast<std::uint8_t*>(g.index) + i, narrow);
}
/// And those from element i on.
template <int kCount>
struct TapsAt {
  const std::int32_t* wide;  // or null
  Chunk<std::uint8_t, kCount> narrow{};
  RESNET_WORD TapsAt(const PoolArgs& g, std::int64_t i)
      : wide(g.wide_index != 0 ? static_cast<const std::int32_t*>(g.index) + i : nullptr) {
    if (g.wide_index == 0) narrow = load_chunk<kCount>(static_cast<const std::uint8_t*>(g.index) + i);
  }
  RESNET_WORD int operator[](int k) const {
    return wide != nullptr ? wide[k] : static_cast<int>(narrow.v[k]);
  }
};

/// A NaN takes the place of whatever came before it.
template <class T, int kCount>
RESNET_WORD void max_pool_chunks(const PoolArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  for_chunks<kCount>(g, g.ho, g.wo, [&](std::int64_t i, const Place& place) {
    Chunk<T, kCount> best = {};
    int taps[kCount] = {};
    bool first = true;
    for_window(g, place, [&](int h, int w, int tap) {
      const auto v = load_chunk<kCount>(x + at(g, place, g.h, g.w, h, w));
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) {
        const float f = to_float(v.v[k]);
        if (first || f > to_float(best.v[k]) || f != f) {
          best.v[k] = v.v[k];
          taps[k] = tap;
        }
      }
      first = false;
    });
    store_chunk(static_cast<T*>(g.y) + i, best);
    if (g.index != nullptr) store_taps<kCount>(g, i, taps);
  });
}
template <class T>
RESNET_WORD void max_pool(const PoolArgs& g) {
  by_chunks<T>(g, [&]<int kCount>() { max_pool_chunks<T, kCount>(g); });
}

/// The first and the last window, along a side, that have a pixel; `at` is its place from the first one's
/// begin on.
struct Windows {
  int first, last;
  RESNET_WORD Windows(unsigned at, int kernel, int stride, int windows) {
    const auto k = static_cast<unsigned>(kernel), s = static_cast<unsigned>(stride);
    first = at < k ? 0 : static_cast<int>((at - k) / s) + 1;
    last = static_cast<int>(at / s);
    if (last >= windows) last = windows - 1;
  }
};

/// Calls f(oh, ow, tap) for the windows that an input pixel lies in, in the order of the outputs.
template <class F>
RESNET_WORD void for_windows_of(const PoolArgs& g, const Place& input, const F& f) {
  const unsigned h = input.h + static_cast<unsigned>(g.ph), w = input.w + static_cast<unsigned>(g.pw);
  const Windows rows(h, g.kh, g.sh, g.ho), columns(w, g.kw, g.sw, g.wo);
  for (int oh = rows.first; oh <= rows.last; ++oh) {
    const int tap = (static_cast<int>(h) - oh * g.sh) * g.kw + static_cast<int>(w);
    // A pixel has few windows, and several at once spill registers.
    RESNET_NO_UNROLL
    for (int ow = columns.first; ow <= columns.last; ++ow) f(oh, ow, tap - ow * g.sw);
  }
}

template <class T, int kCount>
RESNET_WORD void store_sums(void* y, std::int64_t i, const float (&sums)[kCount]) {
  Chunk<T, kCount> result;
  RESNET_UNROLL
  for (int k = 0; k < kCount; ++k) result.v[k] = rounded<T>(sums[k]);
  store_chunk(static_cast<T*>(y) + i, result);
}

/// x: dy, y: dx. Each pixel gathers from the windows that chose it.
template <class T, int kCount>
RESNET_WORD void max_pool_gradient_chunks(const PoolArgs& g) {
  const auto* dy = static_cast<const T*>(g.x);
  for_chunks<kCount>(g, g.h, g.w, [&](std::int64_t i, const Place& place) {
    float sums[kCount] = {};
    for_windows_of(g, place, [&](int oh, int ow, int tap) {
      const std::int64_t o = at(g, place, g.ho, g.wo, oh, ow);
      const auto d = load_chunk<kCount>(dy + o);
      const TapsAt<kCount> taps(g, o);
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) sums[k] += taps[k] == tap ? to_float(d.v[k]) : 0.0F;
    });
    store_sums<T, kCount>(g.y, i, sums);
  });
}
template <class T>
RESNET_WORD void max_pool_gradient(const PoolArgs& g) {
  by_chunks<T>(g, [&]<int kCount>() { max_pool_gradient_chunks<T, kCount>(g); });
}

/// What the average over a window is divided by.
RESNET_WORD float divisor(const PoolArgs& g, int oh, int ow) {
  const int r0 = oh * g.sh - g.ph, c0 = ow * g.sw - g.pw;
  const auto within = [](int first, int count, int low, int high) {
    return (first + count < high ? first + count : high) - (first > low ? first : low);
  };
  if (g.count_padding != 0) {
    return static_cast<float>(within(r0, g.kh, -g.ph, g.h + g.ph)) *
           static_cast<float>(within(c0, g.kw, -g.pw, g.w + g.pw));
  }
  return static_cast<float>(within(r0, g.kh, 0, g.h)) * static_cast<float>(within(c0, g.kw, 0, g.w));
}

template <class T, int kCount>
RESNET_WORD void avg_pool_chunks(const PoolArgs& g) {
  const auto* x = static_cast<const T*>(g.x);
  for_chunks<kCount>(g, g.ho, g.wo, [&](std::int64_t i, const Place& place) {
    double sums[kCount] = {};
    for_window(g, place, [&](int h, int w, int) {
      const auto v = load_chunk<kCount>(x + at(g, place, g.h, g.w, h, w));
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) sums[k] += static_cast<double>(to_float(v.v[k]));
    });
    const float of = divisor(g, static_cast<int>(place.h), static_cast<int>(place.w));
    float means[kCount];
    RESNET_UNROLL
    for (int k = 0; k < kCount; ++k) means[k] = static_cast<float>(sums[k]) / of;
    store_sums<T, kCount>(g.y, i, means);
  });
}
template <class T>
RESNET_WORD void avg_pool(const PoolArgs& g) {
  by_chunks<T>(g, [&]<int kCount>() { avg_pool_chunks<T, kCount>(g); });
}

template <class T, int kCount>
RESNET_WORD void avg_pool_gradient_chunks(const PoolArgs& g) {
  const auto* dy = static_cast<const T*>(g.x);
  for_chunks<kCount>(g, g.h, g.w, [&](std::int64_t i, const Place& place) {
    float sums[kCount] = {};
    for_windows_of(g, place, [&](int oh, int ow, int) {
      const auto d = load_chunk<kCount>(dy + at(g, place, g.ho, g.wo, oh, ow));
      const float of = divisor(g, oh, ow);
      RESNET_UNROLL
      for (int k = 0; k < kCount; ++k) sums[k] += to_float(d.v[k]) / of;
    });
    store_sums<T, kCount>(g.y, i, sums);
  });
}
template <class T>
RESNET_WORD void avg_pool_gradient(const PoolArgs& g) {
  by_chunks<T>(g, [&]<int kCount>() { avg_pool_gradient_chunks<T, kCount>(g); });
}

}  // namespace resnet::device
