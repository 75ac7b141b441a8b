// 3x3 convolutions in bf16 by kernels of our own, alone and with the parts of norms beside them, in the
// emulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gpu/device.h"
#include "gpu/map_values.h"
#include "gpu/operation_case.h"
#include "gpu/tested_device.h"
#include "kernels/conv/conv.h"
#include "kernels/norm/norm.h"
#include "ops/conv2d.h"
#include "ops/rules.h"

namespace resnet {
namespace {

using kernels::ConvGeometry;
using ops::Gate;
using ops::make;
using ops::ValueType;
using test::as_bf16;
using test::by_channel;
using test::channel_of;
using test::expect_near;
using test::f32;
using test::Operands;
using test::OperationCase;
using test::random_values;
using test::Values;
using test::view;

constexpr ops::ConvWindow kWindow{.padding = {1, 1}};

// A convolution of n images of h x w pixels; values are in the public layout [n][c][h][w].
struct Case {
  std::int64_t n, ci, co, h, w;

  Shape x() const { return {n, ci, h, w}; }
  Shape y() const { return {n, co, h, w}; }
  Shape weights() const { return {co, ci, 3, 3}; }
  ConvGeometry geometry() const { return ops::conv_geometry(kWindow, x(), weights()); }
  std::int64_t pixels() const { return h * w; }
};

// Less than a tile of pixels; two and a bit; one image of one row; three times the channels; images of one
// pixel; wide.
std::vector<Case> cases() {
  return {{3, 64, 64, 5, 6},  {2, 128, 64, 12, 13}, {1, 64, 192, 1, 7},
          {2, 192, 64, 3, 3}, {5, 64, 64, 1, 1},    {1, 64, 64, 3, 50}};
}

// The place of element i of a map on the device.
std::int64_t native(std::size_t i, const Shape& map) {
  const std::int64_t pixels = map[2] * map[3], k = static_cast<std::int64_t>(i);
  return (k / pixels / map[1] * pixels + k % pixels) * map[1] + channel_of(i, map);
}

Values all_as_bf16(Values values) {
  for (double& v : values) v = as_bf16(v);
  return values;
}
// Mean, scale and offset of a norm's channels, some scales negative.
Values table_of(std::int64_t c) {
  Values table = random_values(3 * c, "table", 0.5);
  for (std::int64_t i = 0; i < c; ++i) table[static_cast<std::size_t>(c + i)] += i % 5 == 0 ? -1.0 : 1.0;
  for (double& v : table) v = static_cast<double>(static_cast<float>(v));
  return table;
}

float at(const Values& rows, std::int64_t row, std::int64_t c, std::int64_t channels) {
  return static_cast<float>(rows[static_cast<std::size_t>(row * channels + c)]);
}
// (x - mean) * scale + offset, in the kernels' arithmetic.
float normed(const Values& table, double x, std::int64_t c, std::int64_t channels) {
  return (static_cast<float>(x) - at(table, 0, c, channels)) * at(table, 1, c, channels) +
         at(table, 2, c, channels);
}
Values normalized(const Values& x, const Shape& shape, const Values& table, bool relu) {
  Values z;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = normed(table, x[i], channel_of(i, shape), shape[1]);
    z.push_back(as_bf16(static_cast<double>(relu && v < 0.0F ? 0.0F : v)));
  }
  return z;
}

// Rows [first, last) of [rows][c].
Values rows_of(const Values& all, std::int64_t first, std::int64_t last, std::int64_t c) {
  return {all.begin() + first * c, all.begin() + last * c};
}

TEST(GpuConv3x3, MatchesTheReference) {
  for (const Case& c : cases()) {
    const ValueType x = f32(c.x()), y = f32(c.y()), w = f32(c.weights());
    const auto apart =
        make<ops::Conv2dInputGradient>(ops::ConvInputGradientOptions{.window = kWindow, .x = c.x()});
    std::vector<OperationCase> passes = {
        {make<ops::Conv2d>(ops::ConvOptions{.window = kWindow}), {x, w, f32({c.co})}},
        {make<ops::Conv2d>(ops::ConvOptions{.window = kWindow}), {x, w, std::nullopt}},
        {apart, {y, w}},
        {.op = make<ops::Conv2dInputGradient>(
             ops::ConvInputGradientOptions{.window = kWindow, .x = c.x(), .add = true}),
         .inputs = {y, w, x},
         .unfused = apart,
         .addend = ops::ConvInputGradientInput::addend},
        {make<ops::Conv2dWeightGradient>(ops::ConvWeightGradientOptions{.window = kWindow, .w = c.weights()}),
         {x, y}}};
    for (OperationCase& pass : passes) {
      pass.storage = DType::bf16;
      EXPECT_TRUE(test::kernel_of(pass).starts_with("conv3x3_")) << test::kernel_of(pass);
      test::expect_matches_reference(pass);
      if (HasFailure()) return;
    }
  }
}

TEST(GpuConv3x3, NormalizesWhatItReadsAndGivesTheMomentsOfWhatItWrites) {
  for (const Case& c : cases()) {
    for (const bool relu : {true, false}) {
      const ops::ConvOptions options{
          .window = kWindow, .norm_prologue = true, .relu_prologue = relu, .statistics = true};
      const Values table = table_of(c.ci);
      const OperationCase fused{.op = make<ops::Conv2d>(options),
                                .inputs = {f32(c.x()), f32(c.weights()), f32({c.co}), f32({3, c.ci})},
                                .values = {{}, {}, random_values(c.co, "bias", 3), table},
                                .storage = DType::bf16};
      const Operands got = test::run_operation(fused);
      const Values z = normalized(got.inputs[0], c.x(), table, relu), w = all_as_bf16(got.inputs[1]);
      Values want(static_cast<std::size_t>(c.y().elements()));
      kernels::reference_conv_forward(c.geometry(), view(z, c.x()), view(w, c.weights()),
                                      view(got.inputs[2], {c.co}), {want.data(), c.y()});
      expect_near(got.outputs[0], want, 0x1p-8, "y");
      test::expect_moments(got.outputs[1], got.outputs[0], c.y());
      if (HasFailure()) return;
    }
  }
}

// dz is dx (plus an addend) where a ReLU let z pass, by its mask or by what the norm's table makes of x.
void expect_gated_with_sums(const Case& c, Gate gate, bool add) {
  const ops::ConvInputGradientOptions options{.window = kWindow, .x = c.x(), .add = add, .sums = gate};
  const bool by_mask = gate == Gate::mask;
  const Values table = table_of(c.ci), mean = rows_of(table, 0, 1, c.ci);
  const Shape mask_shape{kernels::relu_mask_bytes(c.x().elements())};
  Values mask = random_values(mask_shape[0], "mask", 300);
  for (double& v : mask) v = static_cast<double>(static_cast<std::int64_t>(std::abs(v)) % 256);
  const auto when = [](bool there, const ValueType& type) {
    return there ? std::optional(type) : std::nullopt;
  };
  const OperationCase fused{
      .op = make<ops::Conv2dInputGradient>(options),
      .inputs = {f32(c.y()), f32(c.weights()), when(add, f32(c.x())), f32(c.x()),
                 when(!by_mask, f32({3, c.ci})), when(by_mask, f32({c.ci})),
                 when(by_mask, {mask_shape, DType::u8})},
      .values =
          {{}, {}, {}, {}, by_mask ? Values{} : table, by_mask ? mean : Values{}, by_mask ? mask : Values{}},
      .storage = DType::bf16};
  using In = ops::ConvInputGradientInput;
  const Operands got = test::run_operation(fused);
  const Values w = all_as_bf16(got.inputs[In::w]);
  Values want(static_cast<std::size_t>(c.x().elements()));
  kernels::reference_conv_input_gradient(c.geometry(), view(got.inputs[In::dy], c.y()), view(w, c.weights()),
                                         {want.data(), c.x()});
  const Values& x = got.inputs[In::norm_x];
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::int64_t k = native(i, c.x());
    const bool passes = by_mask ? (static_cast<int>(mask[static_cast<std::size_t>(k / 8)]) >> k % 8 & 1) != 0
                                : normed(table, x[i], channel_of(i, c.x()), c.ci) > 0.0F;
    want[i] = passes ? want[i] + (add ? got.inputs[In::addend][i] : 0.0) : 0.0;
  }
  expect_near(got.outputs[0], want, 0x1p-8, "dz");
  const Values& dz = got.outputs[0];
  for (std::size_t i = 0; i < dz.size(); ++i) ASSERT_EQ(want[i] == 0, dz[i] == 0) << i;
  const auto deviation = [&](std::size_t i) {
    return x[i] - mean[static_cast<std::size_t>(channel_of(i, c.x()))];
  };
  expect_near(rows_of(got.outputs[1], 0, 1, c.ci), by_channel(c.x(), [&](std::size_t i) { return dz[i]; }),
              1e-6, "sum of dz");
  expect_near(rows_of(got.outputs[1], 1, 2, c.ci),
              by_channel(c.x(), [&](std::size_t i) { return dz[i] * deviation(i); }), 1e-6,
              "sum of dz * (x - mean)");
}

TEST(GpuConv3x3, GatesTheGradientAndGivesTheNormsSums) {
  for (const Case& c : cases()) {
    for (const Gate gate : {Gate::mask, Gate::coefficients}) {
      for (const bool add : {false, true}) expect_gated_with_sums(c, gate, add);
      if (HasFailure()) return;
    }
  }
}

TEST(GpuConv3x3, GradientOfWeightsGoesThroughTheNormsOfBothItsOperands) {
  using In = ops::ConvWeightGradientInput;
  std::vector<Case> all = cases();
  all.push_back({2, 64, 64, 31, 32});  // more tiles of pixels than one a block
  for (const Case& c : all) {
    for (const bool of_x : {true, false}) {
      const ops::ConvWeightGradientOptions options{.window = kWindow,
                                                   .w = c.weights(),
                                                   .norm_prologue = of_x,
                                                   .relu_prologue = of_x,
                                                   .norm_gradient_prologue = true};
      const Values table = table_of(c.ci), gradient = random_values(4 * c.co, "gradient table");
      const OperationCase fused{
          .op = make<ops::Conv2dWeightGradient>(options),
          .inputs = {f32(c.x()), f32(c.y()), of_x ? std::optional(f32({3, c.ci})) : std::nullopt, f32(c.y()),
                     f32({4, c.co})},
          .values = {{}, {}, of_x ? table : Values{}, {}, gradient},
          .storage = DType::bf16};
      const Operands got = test::run_operation(fused);
      const Values z = of_x ? normalized(got.inputs[In::x], c.x(), table, true) : got.inputs[In::x];
      Values dy = got.inputs[In::dy];
      for (std::size_t i = 0; i < dy.size(); ++i) {
        const std::int64_t k = channel_of(i, c.y());
        const auto row = [&](std::int64_t r) { return at(gradient, r, k, c.co); };
        dy[i] = as_bf16(static_cast<double>(
            static_cast<float>(dy[i]) * row(1) +
            ((static_cast<float>(got.inputs[In::norm_x][i]) - row(0)) * row(2) + row(3))));
      }
      EXPECT_EQ(got.outputs[1], dy) << "dy is made once, as the norm's own sweep makes it";
      Values want(static_cast<std::size_t>(c.weights().elements()));
      kernels::reference_conv_weight_gradient(c.geometry(), view(z, c.x()), view(dy, c.y()),
                                              {want.data(), c.weights()});
      expect_near(got.outputs[0], want, 1e-5, "dw");
      if (HasFailure()) return;
    }
  }
}

// Each output is summed in one order, whatever a block has beside it: with all that a pass may do besides.
TEST(GpuConv3x3, ABlockOf128OutputsGivesTheBitsOfTwoOf64) {
  gpu::Device device(test::tested_device());
  const std::int64_t n = 2, h = 9, w = 11, in = 128, out = 256, pixels = n * h * w;
  const auto upload = [&]<class T>(const std::vector<T>& values) {
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
    gpu::Memory memory(device, bytes);
    device.copy(memory.data(), values.data(), bytes);
    device.synchronize();  // before what it is copied from goes
    return memory;
  };
  const auto floats = [&](const Values& values) {
    return upload(std::vector<float>(values.begin(), values.end()));
  };
  const auto halves = [&](const Values& values) {
    std::vector<std::uint16_t> bits;
    for (const double v : values) bits.push_back(device::rounded<device::Bf16>(static_cast<float>(v)).bits);
    return upload(bits);
  };
  std::vector<std::uint8_t> bits_of_mask;
  for (const double v : random_values(kernels::relu_mask_bytes(pixels * out), "mask", 300))
    bits_of_mask.push_back(static_cast<std::uint8_t>(std::abs(v)));
  const gpu::Memory x = halves(random_values(pixels * in, "x")),
                    weights = halves(random_values(9 * in * out, "w")),
                    beside = halves(random_values(pixels * out, "addend")), bias = floats(table_of(out)),
                    of_x = floats(table_of(in)), of_y = floats(table_of(out)), mask = upload(bits_of_mask);
  const auto ptr = [](const gpu::Memory& memory) { return reinterpret_cast<const float*>(memory.data()); };
  const std::int64_t tiles = (pixels + device::kConvPixels - 1) / device::kConvPixels;
  const auto run = [&](device::KernelId kernel, std::int64_t columns, device::Conv3x3Args args, bool sums) {
    const gpu::Memory y(device, pixels * out * 2), parts(device, tiles * 2 * out * 8);
    device.fill(parts.data(), 0, parts.bytes());
    args.x = x.data();
    args.weights = weights.data();
    args.y = y.data();
    if (sums) args.parts = reinterpret_cast<double*>(parts.data());
    args.n = n;
    args.h = h;
    args.w = w;
    args.in = in;
    args.out = out;
    args.rows = device::conv3x3_rows(device::kConvPixels, w);
    device.launch(gpu::launch_of(kernel, tiles * out / columns, args,
                                 device::conv3x3_shared_bytes(static_cast<int>(columns), w, in)));
    std::vector<std::byte> bytes(static_cast<std::size_t>(y.bytes() + parts.bytes()));
    device.copy(bytes.data(), y.data(), y.bytes());
    device.copy(bytes.data() + y.bytes(), parts.data(), parts.bytes());
    device.synchronize();
    return bytes;
  };
  using device::KernelId;
  for (const bool sums : {true, false}) {
    const auto forward = [&](const device::Conv3x3Args& args) {
      EXPECT_EQ(run(KernelId::conv3x3_forward_bf16_128, 128, args, sums),
                run(KernelId::conv3x3_forward_bf16_64, 64, args, sums));
    };
    forward({});
    forward({.bias = ptr(bias)});
    forward({.bias = ptr(bias), .table = ptr(of_x), .relu = 1});
    const auto back = [&](const device::Conv3x3Args& args) {
      EXPECT_EQ(run(KernelId::conv3x3_input_gradient_bf16_128, 128, args, sums),
                run(KernelId::conv3x3_input_gradient_bf16_64, 64, args, sums));
    };
    back({});
    back({.addend = beside.data()});
    if (!sums) continue;  // which a gate comes with
    for (const void* addend : {static_cast<const void*>(nullptr), static_cast<const void*>(beside.data())}) {
      back({.addend = addend, .norm_x = beside.data(), .norm = ptr(of_y)});
      back({.addend = addend,
            .norm_x = beside.data(),
            .norm = ptr(of_y),
            .mask = reinterpret_cast<const std::uint8_t*>(mask.data())});
    }
  }
}

TEST(GpuConv3x3, ServesMapsOfBf16WithWholeTilesOfChannels) {
  const auto kernel = [](const Shape& x, std::int64_t co, const ops::ConvWindow& window, DType storage) {
    const Shape w{co, x[1] / window.groups, 3, 3};
    const OperationCase c{.op = make<ops::Conv2d>(ops::ConvOptions{.window = window}),
                          .inputs = {f32(x), f32(w), std::nullopt},
                          .storage = storage};
    return test::kernel_of(c);
  };
  EXPECT_EQ(kernel({1, 64, 4, 4}, 64, kWindow, DType::bf16), "conv3x3_forward_bf16");
  EXPECT_EQ(kernel({1, 64, 4, 4}, 64, kWindow, DType::f32), "gemm_forward_f32_wide");
  EXPECT_EQ(kernel({1, 72, 4, 4}, 64, kWindow, DType::bf16), "gemm_forward_bf16_wide");
  EXPECT_EQ(kernel({1, 64, 4, 4}, 65, kWindow, DType::bf16), "gemm_forward_bf16");
  EXPECT_EQ(kernel({1, 64, 4, 4}, 64, {.stride = {2, 2}, .padding = {1, 1}}, DType::bf16),
            "gemm_forward_bf16_wide");
  EXPECT_EQ(kernel({1, 128, 4, 4}, 128, {.padding = {1, 1}, .groups = 2}, DType::bf16),
            "gemm_forward_bf16_wide");
  EXPECT_EQ(kernel({1, 64, 4, 700}, 64, kWindow, DType::bf16),
            "gemm_forward_bf16_wide");  // no room for its rows
}

}  // namespace
}  // namespace resnet
