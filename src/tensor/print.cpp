// A tensor as text.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <vector>

#include "resnet/tensor.h"

namespace resnet {
namespace {

constexpr std::int64_t kMostWhole = 1000;  // elements of a tensor that is written whole

class Printer {
 public:
  explicit Printer(const Tensor& tensor) : tensor_(tensor), shape_(tensor.shape()) {
    if (shape_.elements() > kMostWhole) edge_ = shape_.rank() <= 2 ? 3 : shape_.rank() <= 4 ? 2 : 1;
    visit(0, 0, [&](std::int64_t i) { note(number(i)); });
    visit(0, 0, [&](std::int64_t i) { width_ = std::max(width_, text(i).size()); });
  }

  std::string print() const {
    std::string out;
    write(out, 0, 0);
    return out + fmt::format(" {} {}", name_of(tensor_.dtype()), to_string(shape_));
  }

 private:
  bool whole_numbers() const {
    return tensor_.dtype() == DType::i32 || tensor_.dtype() == DType::i64 || tensor_.dtype() == DType::u8;
  }
  double number(std::int64_t i) const {
    switch (tensor_.dtype()) {
      case DType::f32:
        return static_cast<double>(tensor_.view<float>()[i]);
      case DType::f64:
        return tensor_.view<double>()[i];
      case DType::bf16:
        return static_cast<double>(static_cast<float>(tensor_.view<BFloat16>()[i]));
      default:
        return 0;
    }
  }
  std::int64_t whole(std::int64_t i) const {
    switch (tensor_.dtype()) {
      case DType::i32:
        return tensor_.view<std::int32_t>()[i];
      case DType::i64:
        return tensor_.view<std::int64_t>()[i];
      default:
        return tensor_.view<std::uint8_t>()[i];
    }
  }

  void note(double value) {
    const double size = std::fabs(value);
    if (std::isfinite(value) && (size >= 1e5 || (size > 0 && size < 1e-3))) scientific_ = true;
  }
  std::string text(std::int64_t i) const {
    if (whole_numbers()) return std::to_string(whole(i));
    const double value = number(i);
    if (std::isnan(value)) return "nan";  // its sign says nothing
    return scientific_ ? fmt::format("{:.4e}", value) : fmt::format("{:.4f}", value);
  }

  /// How many elements of an axis are left out in its middle, and where they begin.
  bool left_out(int axis) const { return edge_ > 0 && shape_[axis] > 2 * edge_; }
  template <class Each>
  void each(int axis, const Each& each) const {
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      if (left_out(axis) && i == edge_) i = shape_[axis] - edge_;
      each(i);
    }
  }
  template <class Visit>
  void visit(int axis, std::int64_t at, const Visit& visitor) const {
    if (shape_.elements() == 0) return;
    if (axis == shape_.rank()) return visitor(at);
    each(axis, [&](std::int64_t i) { visit(axis + 1, at * shape_[axis] + i, visitor); });
  }

  void write(std::string& out, int axis, std::int64_t at) const {
    if (axis == shape_.rank()) {
      out += fmt::format("{:>{}}", text(at), width_);
      return;
    }
    const bool last = axis + 1 == shape_.rank();
    const std::string between =
        last ? ", "
             : "," + std::string(static_cast<std::size_t>(shape_.rank() - axis - 1), '\n') +
                   std::string(static_cast<std::size_t>(axis) + 1, ' ');
    out += '[';
    if (shape_.elements() > 0) {
      each(axis, [&](std::int64_t i) {
        if (i > 0) out += between;
        if (left_out(axis) && i == shape_[axis] - edge_) out += "..." + between;
        write(out, axis + 1, at * shape_[axis] + i);
      });
    }
    out += ']';
  }

  const Tensor& tensor_;
  const Shape& shape_;
  std::int64_t edge_ = 0;  // shown at both ends of an axis; 0: all
  bool scientific_ = false;
  std::size_t width_ = 0;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  return out << Printer(tensor).print();
}

}  // namespace resnet
