#include "kernels/pool/pool.h"

#include <algorithm>
#include <vector>

#include "kernels/pool/pool_simd.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

/// Pixels of the map inside each of `outputs` windows along one axis.
std::vector<Range> window_ranges(Index outputs, Index pixels, Index kernel, Index stride, Index padding) {
  std::vector<Range> ranges;
  for (Index o = 0; o < outputs; ++o) {
    const Index first = o * stride - padding;
    const Range inside = {std::max<Index>(0, first), std::min(pixels, first + kernel)};
    ranges.push_back(inside);
  }
  return ranges;
}

/// Windows that cover each of `pixels` pixels along one axis; an empty range where there are none.
std::vector<Range> covering_ranges(Index outputs, Index pixels, Index kernel, Index stride, Index padding) {
  std::vector<Range> ranges;
  for (Index i = 0; i < pixels; ++i) {
    const Index reach = i + padding - kernel + 1;  // the first window begins here or after
    const Index first = reach > 0 ? (reach + stride - 1) / stride : 0;
    const Index last = std::min(outputs, (i + padding) / stride + 1);
    ranges.push_back({first, std::max(first, last)});
  }
  return ranges;
}

enum class Pass : std::uint8_t { max, max_gradient, avg, avg_gradient };

template <class T>
class Pool final : public Kernel {
 public:
  Pool(Pass pass, const PoolGeometry& g, Isa isa)
      : pass_(pass),
        g_(g),
        max_(max_pool_functions<T>(isa)),
        avg_(avg_pool_functions<T>(isa)),
        tables_(g),
        rows_(g.n * (backward() ? g.h : g.ho())) {
    constexpr Index kTaskBytes = 128 * 1024;  // of the larger map
    const Index bytes = std::max(g.h * g.w, g.ho() * g.wo()) * g.n * g.c * Index{sizeof(T)};
    const Index bytes_per_row = std::max<Index>(1, bytes / std::max<Index>(1, rows_));
    rows_per_task_ = std::max<Index>(1, kTaskBytes / bytes_per_row);
  }
  Pool(const Pool&) = delete;

  std::string_view name() const noexcept override {
    switch (pass_) {
      case Pass::max:
        return "max_pool/rows";
      case Pass::max_gradient:
        return "max_pool_gradient/gather";
      case Pass::avg:
        return "avg_pool/rows";
      case Pass::avg_gradient:
        return "avg_pool_gradient/gather";
    }
    return "";
  }
  Index scratch_bytes() const noexcept override {
    return pass_ == Pass::avg || pass_ == Pass::avg_gradient ? g_.c * Index{sizeof(float)} : 0;
  }
  Index tasks(int) const noexcept override { return (rows_ + rows_per_task_ - 1) / rows_per_task_; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Range rows = {task * rows_per_task_, std::min(rows_, (task + 1) * rows_per_task_)};
    const auto* in = call.operand<const T>(0);
    auto* sums = reinterpret_cast<float*>(call.scratch);
    switch (pass_) {
      case Pass::max:
        return max_.max(tables_, rows, in, nullptr, call.operand<T>(1), call.operand<void>(2));
      case Pass::max_gradient:
        return max_.max_gradient(tables_, rows, in, call.operand<const void>(1), nullptr,
                                 call.operand<T>(2) + rows.first * g_.w * g_.c, nullptr);
      case Pass::avg:
        return avg_.avg(tables_, rows, in, call.operand<T>(1), sums);
      case Pass::avg_gradient:
        return avg_.avg_gradient(tables_, rows, in, call.operand<T>(1), sums);
    }
  }

 private:
  bool backward() const noexcept { return pass_ == Pass::max_gradient || pass_ == Pass::avg_gradient; }

  Pass pass_;
  PoolGeometry g_;
  const MaxPoolFunctions<T>& max_;
  const AvgPoolFunctions<T>& avg_;
  PoolTables tables_;
  Index rows_;  // of the result, in all images
  Index rows_per_task_ = 1;
};

}  // namespace

PoolTables::PoolTables(const PoolGeometry& geometry)
    : g(geometry),
      window_rows(window_ranges(g.ho(), g.h, g.kh, g.sh, g.ph)),
      window_columns(window_ranges(g.wo(), g.w, g.kw, g.sw, g.pw)),
      covering_rows(covering_ranges(g.ho(), g.h, g.kh, g.sh, g.ph)),
      covering_columns(covering_ranges(g.wo(), g.w, g.kw, g.sw, g.pw)) {}

Index PoolTables::rows_above(Index x_row) const noexcept {
  const auto begins_above = [](const Range& window, Index row) { return window.first < row; };
  const auto in_image = std::lower_bound(window_rows.begin(), window_rows.end(), x_row % g.h, begins_above) -
                        window_rows.begin();
  return x_row / g.h * g.ho() + in_image;
}

DType max_pool_index_dtype(const PoolGeometry& g) {
  return g.kh * g.kw <= 256 ? DType::u8 : DType::i32;
}

std::unique_ptr<Kernel> make_max_pool(const PoolGeometry& g, Isa isa, DType storage) {
  return make_stored<Pool>(storage, isa, Pass::max, g);
}
std::unique_ptr<Kernel> make_max_pool_gradient(const PoolGeometry& g, Isa isa, DType storage) {
  return make_stored<Pool>(storage, isa, Pass::max_gradient, g);
}
std::unique_ptr<Kernel> make_avg_pool(const PoolGeometry& g, Isa isa, DType storage) {
  return make_stored<Pool>(storage, isa, Pass::avg, g);
}
std::unique_ptr<Kernel> make_avg_pool_gradient(const PoolGeometry& g, Isa isa, DType storage) {
  return make_stored<Pool>(storage, isa, Pass::avg_gradient, g);
}

}  // namespace resnet::kernels
