#include "kernels/conv/direct/index_tables.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "kernels/offset.h"

namespace resnet::kernels::conv {
namespace {

using Positions = std::vector<std::vector<std::int64_t>>;

// Input coordinate that output coordinate o reads through tap t, or -1 in the padding.
Positions forward_axis(std::int64_t in, std::int64_t out, std::int64_t taps, std::int64_t stride,
                       std::int64_t padding, std::int64_t dilation) {
  Positions at(static_cast<std::size_t>(out), std::vector<std::int64_t>(static_cast<std::size_t>(taps), -1));
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int64_t i = o * stride - padding + t * dilation;
      if (i >= 0 && i < in) at[static_cast<std::size_t>(o)][static_cast<std::size_t>(t)] = i;
    }
  }
  return at;
}

// Output coordinate that reads input coordinate i through tap t, or -1 if there is none.
Positions gradient_axis(std::int64_t in, std::int64_t out, std::int64_t taps, std::int64_t stride,
                        std::int64_t padding, std::int64_t dilation) {
  Positions at(static_cast<std::size_t>(in), std::vector<std::int64_t>(static_cast<std::size_t>(taps), -1));
  for (std::int64_t i = 0; i < in; ++i) {
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int64_t scaled = i + padding - t * dilation;
      if (scaled < 0 || scaled % stride != 0 || scaled / stride >= out) continue;
      at[static_cast<std::size_t>(i)][static_cast<std::size_t>(t)] = scaled / stride;
    }
  }
  return at;
}

// The rows that each output row of a strip reads, counted from the strip's origin: strips that read alike
// look alike.
Positions rows_read(const GemmProblem& p, std::int64_t y0, std::int64_t y1) {
  const std::int64_t origin = y0 * p.step_up_h / p.step_down_h;
  Positions rows(p.at_y.begin() + y0, p.at_y.begin() + y1);
  for (std::vector<std::int64_t>& taps : rows) {
    for (std::int64_t& row : taps) row = row < 0 ? std::numeric_limits<std::int64_t>::min() : row - origin;
  }
  return rows;
}

// Numbers the coordinates of an axis by the set of taps that are valid there.
struct Classes {
  std::vector<std::size_t> of;               // class of each coordinate in [begin, end)
  std::vector<std::int64_t> representative;  // a coordinate of each class
  std::vector<std::int64_t> count;           // coordinates in each class
};

Classes classify(const Positions& at, std::int64_t begin, std::int64_t end) {
  Classes classes;
  std::map<std::vector<bool>, std::size_t> known;
  for (std::int64_t o = begin; o < end; ++o) {
    std::vector<bool> valid;
    for (const std::int64_t i : at[static_cast<std::size_t>(o)]) valid.push_back(i >= 0);
    const auto [entry, fresh] = known.emplace(std::move(valid), known.size());
    if (fresh) {
      classes.representative.push_back(o);
      classes.count.push_back(0);
    }
    ++classes.count[entry->second];
    classes.of.push_back(entry->second);
  }
  return classes;
}

// Consecutive taps [begin, end) in packed order, of which a chunk takes channels in `parts` parts.
struct TapRange {
  std::size_t begin, end;
  std::int64_t parts;
  std::int64_t pixels = 0;  // that they reach
};

std::vector<TapRange> cut_taps(const GemmProblem& p, const Cut& cut) {
  std::vector<TapRange> ranges;
  for (std::size_t begin = 0; begin < p.taps.size();) {
    std::size_t end = begin;
    while (end < p.taps.size() && p.run[end] == p.run[begin]) ++end;
    const auto taps = static_cast<std::int64_t>(end - begin);
    const std::int64_t most = std::max<std::int64_t>(1, cut.columns / p.channels);
    const std::int64_t each = ceil_div(taps, ceil_div(taps, most));
    const std::int64_t parts = ceil_div(p.channels, cut.columns);
    for (; begin < end; begin += static_cast<std::size_t>(each)) {
      ranges.push_back(
          {begin, std::min(begin + static_cast<std::size_t>(each), end), each == 1 ? parts : 1, 0});
    }
    begin = end;
  }
  return ranges;
}

// Builds the tables of the output rows [y0, y1).
class StripBuilder {
 public:
  StripBuilder(const GemmProblem& p, const Cut& cut, std::int64_t images, std::int64_t y0, std::int64_t y1)
      : p_(p),
        column_stride_(cut.column_stride),
        images_(images),
        y0_(y0),
        y1_(y1),
        ys_(classify(p.at_y, y0, y1)),
        xs_(classify(p.at_x, 0, p.out_w)) {}

  Strip build(std::vector<TapRange> ranges) {
    std::vector<bool> written(ys_.representative.size() * xs_.representative.size(), false);
    std::vector<bool> reached(written.size(), false);
    for (TapRange& range : ranges) {
      for (std::size_t c = 0; c < reached.size(); ++c) {
        if (!any_valid_tap(c, range)) continue;
        reached[c] = true;
        range.pixels += ys_.count[c / xs_.count.size()] * xs_.count[c % xs_.count.size()];
      }
    }
    // The taps that most rows have come first: then, as a rule, all rows of a later set have been
    // written before, and sets need not be split by that.
    if (!summed()) {
      std::stable_sort(ranges.begin(), ranges.end(),
                       [](const TapRange& a, const TapRange& b) { return a.pixels > b.pixels; });
    }
    Strip strip;
    for (const TapRange& range : ranges) add_chunks(range, reached, written, strip);
    return strip;
  }

 private:
  std::int64_t y_of(std::size_t pair) const { return ys_.representative[pair / xs_.representative.size()]; }
  std::int64_t x_of(std::size_t pair) const { return xs_.representative[pair % xs_.representative.size()]; }

  bool valid(std::int64_t y, std::int64_t x, const Tap& tap) const {
    return p_.at_y[static_cast<std::size_t>(y)][static_cast<std::size_t>(tap.ky)] >= 0 &&
           p_.at_x[static_cast<std::size_t>(x)][static_cast<std::size_t>(tap.kx)] >= 0;
  }

  bool any_valid_tap(std::size_t pair, const TapRange& range) const {
    for (std::size_t t = range.begin; t < range.end; ++t) {
      if (valid(y_of(pair), x_of(pair), p_.taps[t])) return true;
    }
    return false;
  }

  std::vector<std::size_t> valid_taps(std::size_t pair, const TapRange& range) const {
    std::vector<std::size_t> taps;
    for (std::size_t t = range.begin; t < range.end; ++t) {
      if (valid(y_of(pair), x_of(pair), p_.taps[t])) taps.push_back(t);
    }
    return taps;
  }

  // Floats from the start of an image to the source pixel that (y, x) sees through a tap.
  std::int64_t source(std::int64_t y, std::int64_t x, const Tap& tap) const {
    return (p_.at_y[static_cast<std::size_t>(y)][static_cast<std::size_t>(tap.ky)] * p_.in_w +
            p_.at_x[static_cast<std::size_t>(x)][static_cast<std::size_t>(tap.kx)]) *
           p_.in_c;
  }

  void add_chunks(const TapRange& range, const std::vector<bool>& reached, std::vector<bool>& written,
                  Strip& strip) {
    std::map<std::pair<std::vector<std::size_t>, bool>, std::size_t> known;
    std::vector<std::size_t> set_of(written.size(), kNone);
    std::vector<std::vector<std::size_t>> taps_of;
    Chunk chunk;
    const bool opening = strip.empty() && !summed();
    for (std::size_t c = 0; c < written.size(); ++c) {
      std::vector<std::size_t> taps = valid_taps(c, range);
      // Pixels that no tap reaches must still be written: they form a set without columns.
      if (taps.empty() && !(opening && !reached[c])) continue;
      const bool first = !summed() && !written[c];
      const auto [entry, fresh] = known.emplace(std::make_pair(taps, first), chunk.row_sets.size());
      if (fresh) {
        chunk.row_sets.emplace_back().first = first;
        taps_of.push_back(std::move(taps));
      }
      set_of[c] = entry->second;
      written[c] = true;
    }
    fill_rows(set_of, taps_of, chunk);
    for (std::int64_t part = 0; part < range.parts; ++part) {
      const std::int64_t c0 = part_begin(part, range.parts), c1 = part_begin(part + 1, range.parts);
      chunk.k_begin = static_cast<std::int64_t>(range.begin) * p_.channels + c0;
      chunk.k_end = static_cast<std::int64_t>(range.end - 1) * p_.channels + c1;
      for (std::size_t i = 0; i < chunk.row_sets.size(); ++i) {
        chunk.row_sets[i].first = chunk.row_sets[i].first && part == 0;
        chunk.row_sets[i].segments = segments(taps_of[i], set_of, i, c0, c1);
        if (summed()) list_columns(chunk.k_begin, chunk.row_sets[i]);
      }
      strip.push_back(chunk);
    }
  }

  void fill_rows(const std::vector<std::size_t>& set_of, const std::vector<std::vector<std::size_t>>& taps_of,
                 Chunk& chunk) const {
    const std::int64_t origin = y0_ * p_.step_up_h / p_.step_down_h * p_.in_w * p_.in_c;
    for (std::int64_t image = 0; image < images_; ++image) {
      for (std::int64_t y = y0_; y < y1_; ++y) {
        for (std::int64_t x = 0; x < p_.out_w; ++x) {
          const std::size_t pair = ys_.of[static_cast<std::size_t>(y - y0_)] * xs_.representative.size() +
                                   xs_.of[static_cast<std::size_t>(x)];
          const std::size_t set = set_of[pair];
          if (set == kNone) continue;
          const std::int64_t in = taps_of[set].empty()
                                      ? 0
                                      : image * p_.in_h * p_.in_w * p_.in_c +
                                            source(y, x, p_.taps[taps_of[set].front()]) - origin;
          const std::int64_t out = ((image * p_.out_h + y - y0_) * p_.out_w + x) * p_.out_c;
          chunk.row_sets[set].rows.push_back({narrow(in), narrow(out)});
        }
      }
    }
    for (RowSet& set : chunk.row_sets) {
      set.rows_per_image = static_cast<std::int64_t>(set.rows.size()) / images_;
    }
  }

  std::vector<Segment> segments(const std::vector<std::size_t>& taps, const std::vector<std::size_t>& set_of,
                                std::size_t set, std::int64_t c0, std::int64_t c1) const {
    const auto pair = static_cast<std::size_t>(std::find(set_of.begin(), set_of.end(), set) - set_of.begin());
    std::vector<Segment> result;
    for (const std::size_t t : taps) {
      const std::int64_t from = source(y_of(pair), x_of(pair), p_.taps[t]) -
                                source(y_of(pair), x_of(pair), p_.taps[taps.front()]) + c0;
      const Segment s{narrow(from), narrow(static_cast<std::int64_t>(t) * p_.channels + c0), narrow(c1 - c0)};
      if (!result.empty() && result.back().source + result.back().length == s.source &&
          result.back().k + result.back().length == s.k) {
        result.back().length += s.length;
      } else {
        result.push_back(s);
      }
    }
    return result;
  }

  // Parts of a tap's channels begin at a cache line.
  std::int64_t part_begin(std::int64_t part, std::int64_t parts) const {
    return part == parts ? p_.channels : p_.channels * part / parts / 16 * 16;
  }

  bool summed() const { return column_stride_ != 0; }

  void list_columns(std::int64_t k_begin, RowSet& set) const {
    set.columns.clear();
    for (const Segment& s : set.segments) {
      for (std::int32_t i = 0; i < s.length; ++i) {
        set.columns.push_back({s.source + i, narrow((s.k + i - k_begin) * column_stride_)});
      }
    }
  }

  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  const GemmProblem& p_;
  std::int64_t column_stride_;
  std::int64_t images_, y0_, y1_;
  Classes ys_, xs_;
};

}  // namespace

GemmProblem forward_problem(const ConvGeometry& g) {
  GemmProblem p;
  p.n = g.n;
  p.in_h = g.h, p.in_w = g.w, p.in_c = g.ci;
  p.out_h = g.ho(), p.out_w = g.wo(), p.out_c = g.co;
  p.channels = g.ci / g.groups;
  p.at_y = forward_axis(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh);
  p.at_x = forward_axis(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw);
  for (std::int64_t ky = 0; ky < g.kh; ++ky) {
    for (std::int64_t kx = 0; kx < g.kw; ++kx) p.taps.push_back({ky, kx});
  }
  p.run.assign(p.taps.size(), 0);
  p.step_up_h = g.sh;
  return p;
}

GemmProblem input_gradient_problem(const ConvGeometry& g) {
  GemmProblem p;
  p.n = g.n;
  p.in_h = g.ho(), p.in_w = g.wo(), p.in_c = g.co;
  p.out_h = g.h, p.out_w = g.w, p.out_c = g.ci;
  p.channels = g.co / g.groups;
  p.at_y = gradient_axis(g.h, g.ho(), g.kh, g.sh, g.ph, g.dh);
  p.at_x = gradient_axis(g.w, g.wo(), g.kw, g.sw, g.pw, g.dw);
  // Mirrored, so that memory is walked upwards. An input pixel meets only taps of one residue modulo
  // the stride, so those stand together.
  const auto residue = [&g](const Tap& t) { return t.ky * g.dh % g.sh * g.sw + t.kx * g.dw % g.sw; };
  for (std::int64_t ky = g.kh - 1; ky >= 0; --ky) {
    for (std::int64_t kx = g.kw - 1; kx >= 0; --kx) p.taps.push_back({ky, kx});
  }
  std::stable_sort(p.taps.begin(), p.taps.end(),
                   [&](const Tap& a, const Tap& b) { return residue(a) < residue(b); });
  for (const Tap& t : p.taps) p.run.push_back(residue(t));
  p.step_down_h = g.sh;
  return p;
}

Strip make_strip(const GemmProblem& problem, const Cut& cut, std::int64_t images, std::int64_t y0,
                 std::int64_t y1) {
  return StripBuilder(problem, cut, images, y0, y1).build(cut_taps(problem, cut));
}

GemmPlan::GemmPlan(const GemmProblem& p, const Cut& cut)
    : n_(p.n),
      in_image_(p.in_h * p.in_w * p.in_c),
      out_image_(p.out_h * p.out_w * p.out_c),
      in_line_(p.in_w * p.in_c),
      out_line_(p.out_w * p.out_c),
      columns_(static_cast<std::int64_t>(p.taps.size()) * p.channels),
      step_up_(p.step_up_h),
      step_down_(p.step_down_h) {
  const std::int64_t pixels = p.out_h * p.out_w;
  strip_height_ = p.out_h;
  if (cut.rows >= pixels) {
    // No more than 32 bits reach; one image always fits (graph/limits.h).
    const std::int64_t reached = kMostOffset / std::max(in_image_, out_image_);
    images_ = std::clamp<std::int64_t>(std::min(cut.rows / pixels, reached), 1, n_);
    image_blocks_ = ceil_div(n_, images_);
    images_ = ceil_div(n_, image_blocks_);
    image_blocks_ = ceil_div(n_, images_);
  } else {
    image_blocks_ = n_;
    const std::int64_t strips = ceil_div(p.out_h, std::max<std::int64_t>(1, cut.rows / p.out_w));
    strip_height_ = ceil_div(ceil_div(p.out_h, strips), step_down_) * step_down_;
  }
  strips_ = ceil_div(p.out_h, strip_height_);
  std::map<Positions, std::size_t> known;
  for (std::int64_t s = 0; s < strips_; ++s) {
    const std::int64_t y0 = s * strip_height_, y1 = std::min(y0 + strip_height_, p.out_h);
    const auto [entry, fresh] = known.emplace(rows_read(p, y0, y1), shapes_.size());
    if (fresh) shapes_.push_back(make_strip(p, cut, images_, y0, y1));
    shape_of_strip_.push_back(entry->second);
  }
}

GemmPlan::Block GemmPlan::block(std::int64_t index) const noexcept {
  const std::int64_t image = index / strips_ * images_, strip = index % strips_;
  const std::int64_t y0 = strip * strip_height_;
  return {&shapes_[shape_of_strip_[static_cast<std::size_t>(strip)]], std::min(images_, n_ - image),
          image * in_image_ + y0 * step_up_ / step_down_ * in_line_, image * out_image_ + y0 * out_line_};
}

}  // namespace resnet::kernels::conv
