// Smooth activations, products, and joining channels.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/elementwise/activations_simd.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/index_table.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

constexpr Index kElementsPerTask = 16 * 1024;  // elements of a task
constexpr std::array<std::string_view, 3> kSmoothNames = {"sigmoid/sweep", "silu/sweep", "gelu/sweep"};
constexpr std::array<std::string_view, 3> kGradientNames = {"sigmoid_gradient/sweep", "silu_gradient/sweep",
                                                            "gelu_gradient/sweep"};

std::size_t index_of(Activation kind) {
  return static_cast<std::size_t>(kind);
}

template <class T>
class SmoothMap final : public Kernel {
 public:
  SmoothMap(Activation kind, Index elements, Isa isa)
      : kind_(kind),
        elements_(elements),
        function_(activation_functions<T>(isa).activation[index_of(kind)]) {}
  std::string_view name() const noexcept override { return kSmoothNames[index_of(kind_)]; }
  Index tasks(int) const noexcept override { return ceil_div(elements_, kElementsPerTask); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index begin = task * kElementsPerTask;
    function_(call.operand<const T>(0) + begin, call.operand<T>(1) + begin,
              std::min(kElementsPerTask, elements_ - begin));
  }

 private:
  Activation kind_;
  Index elements_;
  typename ActivationFunctions<T>::Map function_;
};

/// Two operands of one size.
template <class T>
class MapOfTwo final : public Kernel {
 public:
  MapOfTwo(Activation kind, Index elements, Isa isa)
      : MapOfTwo(kGradientNames[index_of(kind)], activation_functions<T>(isa).gradient[index_of(kind)],
                 elements) {}
  MapOfTwo(Index elements, Isa isa)
      : MapOfTwo("mul/sweep", activation_functions<T>(isa).multiply, elements) {}
  std::string_view name() const noexcept override { return name_; }
  Index tasks(int) const noexcept override { return ceil_div(elements_, kElementsPerTask); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index begin = task * kElementsPerTask;
    function_(call.operand<const T>(0) + begin, call.operand<const T>(1) + begin, call.operand<T>(2) + begin,
              std::min(kElementsPerTask, elements_ - begin));
  }

 private:
  MapOfTwo(std::string_view name, typename ActivationFunctions<T>::Gradient function, Index elements)
      : name_(name), function_(function), elements_(elements) {}

  std::string_view name_;
  typename ActivationFunctions<T>::Gradient function_;
  Index elements_;
};

/// Each task takes some pixels of one image.
template <class T>
class MulGate final : public Kernel {
 public:
  MulGate(Index n, Index c, Index pixels, Isa isa)
      : n_(n),
        c_(c),
        pixels_(pixels),
        pixels_per_task_(
            std::clamp<Index>(kElementsPerTask / std::max<Index>(1, c), 1, std::max<Index>(1, pixels))),
        functions_(activation_functions<T>(isa)) {}
  std::string_view name() const noexcept override { return "mul/gate"; }
  Index tasks(int) const noexcept override { return n_ * tasks_of_image(); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index image = task / tasks_of_image();
    const Index pixel = task % tasks_of_image() * pixels_per_task_;
    const Index begin = (image * pixels_ + pixel) * c_;
    functions_.multiply_rows(call.operand<const T>(0) + begin, call.operand<const T>(1) + image * c_,
                             call.operand<T>(2) + begin, std::min(pixels_per_task_, pixels_ - pixel), c_);
  }

 private:
  Index tasks_of_image() const noexcept { return ceil_div(pixels_, pixels_per_task_); }

  Index n_, c_, pixels_, pixels_per_task_;
  const ActivationFunctions<T>& functions_;
};

/// Each task takes some channels of one image: four vectors, whole lines of the caches.
template <class T>
class GateGradient final : public Kernel {
 public:
  GateGradient(Index n, Index c, Index pixels, Isa isa)
      : n_(n), c_(c), pixels_(pixels), functions_(activation_functions<T>(isa)) {}
  std::string_view name() const noexcept override { return "mul_gate_gradient/images"; }
  Index tasks(int) const noexcept override { return n_ * ceil_div(c_, kChannels); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index blocks = ceil_div(c_, kChannels);
    const Index image = task / blocks, channel = task % blocks * kChannels;
    const Index begin = image * pixels_ * c_ + channel;
    functions_.gate_gradient(call.operand<const T>(0) + begin, call.operand<const T>(1) + begin,
                             call.operand<T>(2) + image * c_ + channel, pixels_, c_,
                             std::min(kChannels, c_ - channel));
  }

 private:
  static constexpr Index kChannels = 64;
  Index n_, c_, pixels_;
  const ActivationFunctions<T>& functions_;
};

/// Copies parts of rows: of each row `count` elements, from `from` on, to `to` on in rows of another length.
template <class T>
class CopyRows {
 public:
  CopyRows(Index from_length, Index from, Index to_length, Index to, Index count)
      : from_length_(from_length), from_(from), to_length_(to_length), to_(to), count_(count) {}
  void run(const T* x, T* y, Index first, Index last) const noexcept {
    for (Index row = first; row < last; ++row)
      std::memcpy(y + row * to_length_ + to_, x + row * from_length_ + from_,
                  static_cast<std::size_t>(count_) * sizeof(T));
  }

 private:
  Index from_length_, from_, to_length_, to_, count_;
};

template <class T>
class Concat final : public Kernel {
 public:
  Concat(Index rows, Index a, Index b, Isa)
      : rows_(rows),
        rows_per_task_(std::max<Index>(1, kElementsPerTask / std::max<Index>(1, a + b))),
        first_(a, 0, a + b, 0, a),
        second_(b, 0, a + b, a, b) {}
  std::string_view name() const noexcept override { return "concat/rows"; }
  Index tasks(int) const noexcept override { return ceil_div(rows_, rows_per_task_); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index first = task * rows_per_task_, last = std::min(rows_, first + rows_per_task_);
    first_.run(call.operand<const T>(0), call.operand<T>(2), first, last);
    second_.run(call.operand<const T>(1), call.operand<T>(2), first, last);
  }

 private:
  Index rows_, rows_per_task_;
  CopyRows<T> first_, second_;
};

template <class T>
class Slice final : public Kernel {
 public:
  Slice(Index rows, Index c, Index first, Index count, Isa)
      : rows_(rows),
        rows_per_task_(std::max<Index>(1, kElementsPerTask / std::max<Index>(1, count))),
        copy_(c, first, count, 0, count) {}
  std::string_view name() const noexcept override { return "slice/rows"; }
  Index tasks(int) const noexcept override { return ceil_div(rows_, rows_per_task_); }
  void run(const Call& call, int, Index task) const noexcept override {
    const Index first = task * rows_per_task_;
    copy_.run(call.operand<const T>(0), call.operand<T>(1), first, std::min(rows_, first + rows_per_task_));
  }

 private:
  Index rows_, rows_per_task_;
  CopyRows<T> copy_;
};

double sigmoid(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double value_of(Activation kind, double x) {
  switch (kind) {
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::gelu:
      return x * normal_cdf(x);
  }
  return 0;
}
double slope_of(Activation kind, double x) {
  switch (kind) {
    case Activation::sigmoid:
      return sigmoid(x) * sigmoid(-x);
    case Activation::silu:
      return sigmoid(x) * (1 + x * sigmoid(-x));
    case Activation::gelu:
      return normal_cdf(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
  }
  return 0;
}

}  // namespace

void reference_activation(Activation kind, View<const double> x, View<double> y) {
  for (Index i = 0; i < x.shape.elements(); ++i) y[i] = value_of(kind, x[i]);
}
void reference_activation_gradient(Activation kind, View<const double> dy, View<const double> x,
                                   View<double> dx) {
  for (Index i = 0; i < x.shape.elements(); ++i) dx[i] = dy[i] * slope_of(kind, x[i]);
}
void reference_mul(View<const double> a, View<const double> b, View<double> y) {
  const Index repeats = std::max<Index>(1, a.shape.elements()) / std::max<Index>(1, b.shape.elements());
  for (Index i = 0; i < a.shape.elements(); ++i) y[i] = a[i] * b[i / repeats];
}
void reference_mul_gate_gradient(View<const double> dy, View<const double> x, View<double> dgate) {
  const Index gates = dgate.shape.elements(), pixels = x.shape.elements() / std::max<Index>(1, gates);
  for (Index g = 0; g < gates; ++g) {
    dgate[g] = 0;
    for (Index i = g * pixels; i < (g + 1) * pixels; ++i) dgate[g] += dy[i] * x[i];
  }
}
void reference_concat(View<const double> a, View<const double> b, View<double> y) {
  const Index n = y.shape[0];
  if (n == 0) return;
  const Index ours = a.shape.elements() / n, theirs = b.shape.elements() / n;
  for (Index i = 0; i < n; ++i) {
    std::copy_n(a.data + i * ours, ours, y.data + i * (ours + theirs));
    std::copy_n(b.data + i * theirs, theirs, y.data + i * (ours + theirs) + ours);
  }
}
void reference_slice(View<const double> x, Index first, View<double> y) {
  const Index n = y.shape[0];
  if (n == 0) return;
  const Index all = x.shape.elements() / n, part = y.shape.elements() / n;
  const Index begin = first * (all / std::max<Index>(1, x.shape[1]));
  for (Index i = 0; i < n; ++i) std::copy_n(x.data + i * all + begin, part, y.data + i * part);
}

std::unique_ptr<Kernel> make_activation(Activation kind, std::int64_t elements, Isa isa, DType storage) {
  return make_stored<SmoothMap>(storage, isa, kind, elements);
}
std::unique_ptr<Kernel> make_activation_gradient(Activation kind, std::int64_t elements, Isa isa,
                                                 DType storage) {
  return make_stored<MapOfTwo>(storage, isa, kind, elements);
}
std::unique_ptr<Kernel> make_mul(std::int64_t elements, Isa isa, DType storage) {
  return make_stored<MapOfTwo>(storage, isa, elements);
}
std::unique_ptr<Kernel> make_mul_gate(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                      DType storage) {
  return make_stored<MulGate>(storage, isa, n, c, pixels);
}
std::unique_ptr<Kernel> make_mul_gate_gradient(std::int64_t n, std::int64_t c, std::int64_t pixels, Isa isa,
                                               DType storage) {
  return make_stored<GateGradient>(storage, isa, n, c, pixels);
}
std::unique_ptr<Kernel> make_concat(std::int64_t rows, std::int64_t a, std::int64_t b, Isa isa,
                                    DType storage) {
  return make_stored<Concat>(storage, isa, rows, a, b);
}
std::unique_ptr<Kernel> make_slice(std::int64_t rows, std::int64_t c, std::int64_t first, std::int64_t count,
                                   Isa isa, DType storage) {
  return make_stored<Slice>(storage, isa, rows, c, first, count);
}

}  // namespace resnet::kernels
