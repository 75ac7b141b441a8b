#include "io/onnx/preprocessing.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace resnet::io::onnx {
namespace {

constexpr double kFractions = 1 << 22;  // of a weight, as Pillow's

template <class T>
Tensor list(const std::vector<T>& values) {
  Tensor tensor({static_cast<std::int64_t>(values.size())}, dtype_of<T>());
  std::ranges::copy(values, tensor.view<T>().data);
  return tensor;
}

template <class T>
Tensor scalar(T value) {
  Tensor tensor({}, dtype_of<T>());
  tensor.view<T>()[0] = value;
  return tensor;
}

// A value of the graph, with which formulas can be written as they are read.
class Term {
 public:
  Term(GraphWriter& to, std::string name) : to_(&to), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  Term made(const char* op, std::vector<std::string> more = {},
            std::initializer_list<Attribute> attributes = {}) const {
    more.insert(more.begin(), name_);
    return {*to_, to_->add(op, kPreprocessingPrefix + std::string(op), more, attributes)};
  }
  Term with(const char* op, const Term& other) const { return made(op, {other.name_}); }
  Term with(const char* op, const Tensor& constant) const { return made(op, {constant_of(constant)}); }
  Term constant(const Tensor& value) const { return {*to_, constant_of(value)}; }
  Term as(DType dtype) const { return made("Cast", {}, {{"to", std::int64_t{data_type(dtype)}}}); }
  /// chosen ? a : b, element by element.
  Term choose(const Term& a, const Term& b) const { return made("Where", {a.name_, b.name_}); }

 private:
  std::string constant_of(const Tensor& value) const {
    return to_->constant(kPreprocessingPrefix + std::string("constant"), value);
  }

  GraphWriter* to_;
  std::string name_;
};

template <class T>
concept Number = std::is_same_v<T, double> || std::is_same_v<T, float> || std::is_same_v<T, std::int64_t> ||
    std::is_same_v<T, std::int32_t>;

Term operator+(const Term& a, const Term& b) {
  return a.with("Add", b);
}
Term operator-(const Term& a, const Term& b) {
  return a.with("Sub", b);
}
Term operator*(const Term& a, const Term& b) {
  return a.with("Mul", b);
}
Term operator/(const Term& a, const Term& b) {
  return a.with("Div", b);
}
Term operator+(const Term& a, Number auto b) {
  return a.with("Add", scalar(b));
}
Term operator-(const Term& a, Number auto b) {
  return a.with("Sub", scalar(b));
}
Term operator*(const Term& a, Number auto b) {
  return a.with("Mul", scalar(b));
}
Term operator/(const Term& a, Number auto b) {
  return a.with("Div", scalar(b));
}
Term operator-(Number auto a, const Term& b) {
  return b.constant(scalar(a)) - b;
}
Term operator/(Number auto a, const Term& b) {
  return b.constant(scalar(a)) / b;
}
Term operator<(const Term& a, const Term& b) {
  return a.with("Less", b);
}
Term operator<(const Term& a, Number auto b) {
  return a.with("Less", scalar(b));
}

// One side of pictures: how many pixels it has, is resized to, and which of those are kept.
struct Side {
  Term in, out;  // i64
  Term kept;     // i64 [kept], indices of pixels behind the resize; beyond them there is black
};

Term triangle(const Term& distance) {
  return (1.0 - distance).with("Max", scalar(0.0));
}

// Cubic convolution with a = -0.5, in the order of images::resize().
Term cubic(const Term& x) {
  constexpr double a = -0.5;
  const Term inner = (x * (a + 2.0) - (a + 3.0)) * x * x + 1.0;
  const Term outer = (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return (x < 1.0).choose(inner, (x < 2.0).choose(outer, x.constant(scalar(0.0))));
}

// f64 [kept][in]: what each pixel counts, in 2^-22; see images::Resampler.
Term weights(const Side& side, images::Filter filter) {
  const Term column = side.in.constant(list<std::int64_t>({1}));  // an axis behind the first
  const Term scale = side.in.as(DType::f64) / side.out.as(DType::f64);
  const Term shrink = scale.with("Max", scalar(1.0));
  const Term center = ((side.kept.as(DType::f64) + 0.5) * scale).with("Unsqueeze", column);
  const Term zero = side.in.constant(scalar(std::int64_t{0})),
             one = side.in.constant(scalar(std::int64_t{1}));
  const Term pixels = zero.made("Range", {side.in.name(), one.name()}).as(DType::f64);
  const Term distance = (pixels - center + 0.5).made("Abs") * (1.0 / shrink);
  const Term shares = filter == images::Filter::bilinear ? triangle(distance) : cubic(distance);
  const Term whole = shares / shares.with("ReduceSum", column) * kFractions;
  const Term rounded = (whole.made("Abs") + 0.5).made("Floor") * whole.made("Sign");
  const Term outside = (side.kept < std::int64_t{0})
                           .with("Or", side.kept.with("GreaterOrEqual", side.out))
                           .with("Unsqueeze", column);
  return outside.choose(side.in.constant(scalar(0.0)), rounded);
}

// A sum of bytes and weights as a byte, in f64.
Term to_bytes(const Term& sums) {
  const Term rounded = ((sums + kFractions / 2) / kFractions).made("Floor");
  return rounded.with("Max", scalar(0.0)).with("Min", scalar(255.0));
}

// i64 [crop]: torchvision's CenterCrop, see images::center_box().
Term centre(const Term& out, std::int64_t crop) {
  const Term half = (out - crop).as(DType::f64) / 2.0;
  const Term offset = (half < 0.0).choose(half.made("Ceil"), half.made("Round"));  // a half: to even
  std::vector<std::int64_t> indices(static_cast<std::size_t>(crop));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return out.constant(list(indices)) + offset.as(DType::i64);
}

Term all(const Term& out) {
  const Term zero = out.constant(scalar(std::int64_t{0})), one = out.constant(scalar(std::int64_t{1}));
  return zero.made("Range", {out.name(), one.name()});
}

// u8 [N,H,W,C] of 1 or 3 channels -> f64 [N,channels,H,W]: gray is repeated, RGB becomes PIL's luma.
Term with_channels(const Term& images, const Term& given, std::int64_t channels) {
  const Term last = given - std::int64_t{1};
  const Term indices = last.with("Min", list<std::int64_t>({0, 1, 2}));
  Term rgb = images.made("Gather", {indices.name()}, {{"axis", std::int64_t{3}}});
  if (channels == 1) {
    const Term parts = rgb.as(DType::i32).with("Mul", list<std::int32_t>({19595, 38470, 7471}));
    rgb = (parts.with("ReduceSum", list<std::int64_t>({3})) + std::int32_t{0x8000}) / std::int32_t{0x10000};
  }
  return rgb.made("Transpose", {}, {{"perm", std::vector<std::int64_t>{0, 3, 1, 2}}}).as(DType::f64);
}

Term extent(const Term& shape, std::int64_t axis) {
  return shape.made("Gather", {shape.constant(scalar(axis)).name()}, {{"axis", std::int64_t{0}}});
}

// Height and width behind the resize.
std::array<Term, 2> resized(const data::Resize& resize, const Term& height, const Term& width) {
  if (resize.height == 0) return {height, width};
  const Term h = height.constant(scalar(resize.height));
  if (resize.width != 0) return {h, height.constant(scalar(resize.width))};
  const Term upright = width < height;
  return {upright.choose(height * resize.height / width, h),
          upright.choose(h, width * resize.height / height)};
}

Term normalized(const Term& values, const data::Normalization& n) {
  const auto by_channel = [](const std::vector<double>& numbers) {
    Tensor tensor({static_cast<std::int64_t>(numbers.size()), 1, 1});
    std::ranges::transform(numbers, tensor.values().begin(), [](double x) { return static_cast<float>(x); });
    return tensor;
  };
  if (n.mean.empty()) return values;
  return values.with("Sub", by_channel(n.mean)).with("Div", by_channel(n.std));
}

}  // namespace

void write_preprocessing(GraphWriter& to, const data::Preprocessing& preprocessing, const std::string& images,
                         const std::string& result) {
  if (preprocessing.channels != 1 && preprocessing.channels != 3) {
    throw FormatError(
        fmt::format("preprocessing inside ONNX: pictures are gray or RGB, the network takes {} channels",
                    preprocessing.channels),
        "export it without the preprocessing");
  }
  const Term input(to, images);
  const Term shape = input.made("Shape");
  const Term height = extent(shape, 1), width = extent(shape, 2);
  Term map = with_channels(input, extent(shape, 3), preprocessing.channels);
  const data::Crop& crop = preprocessing.crop;
  if (preprocessing.resize.height != 0 || crop.height != 0) {
    const auto [h, w] = resized(preprocessing.resize, height, width);
    const Side across = {width, w, crop.width == 0 ? all(w) : centre(w, crop.width)};
    const Side down = {height, h, crop.height == 0 ? all(h) : centre(h, crop.height)};
    const Term turned = weights(across, preprocessing.filter)
                            .made("Transpose", {}, {{"perm", std::vector<std::int64_t>{1, 0}}});
    map = to_bytes(map.with("MatMul", turned));
    map = to_bytes(weights(down, preprocessing.filter).with("MatMul", map));
  }
  const Term seen = normalized(map.as(DType::f32) / 255.0F, preprocessing.normalization);
  to.add_named("Identity", result, {seen.name()});
}

}  // namespace resnet::io::onnx
