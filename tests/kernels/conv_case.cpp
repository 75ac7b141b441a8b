#include "conv_case.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/isas.h"
#include "tensor/thread_pool.h"
#include "winograd_bound.h"

namespace resnet::kernels::testing {
namespace {

using Pass = ConvPass;
constexpr Pass kPasses[] = {Pass::forward, Pass::input_gradient, Pass::weight_gradient};

const char* name_of(Pass pass) {
  return pass == Pass::forward          ? "forward"
         : pass == Pass::input_gradient ? "input gradient"
                                        : "weight gradient";
}

using Doubles = std::vector<double>;

// The tensors of one problem in the public layouts.
struct Problem {
  ConvGeometry g;
  Doubles x, w, bias, dy;
  Doubles addend = {};  // of the input gradient, or empty

  Shape x_shape() const { return {g.n, g.ci, g.h, g.w}; }
  Shape w_shape() const { return {g.co, g.ci / g.groups, g.kh, g.kw}; }
  Shape y_shape() const { return {g.n, g.co, g.ho(), g.wo()}; }
  Shape result_shape(Pass pass) const {
    return pass == Pass::forward ? y_shape() : pass == Pass::input_gradient ? x_shape() : w_shape();
  }
};

Problem random_problem(const ConvGeometry& g, std::uint64_t seed, bool integers) {
  std::mt19937_64 bits(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::uniform_int_distribution<int> small(-4, 4);
  Problem p{.g = g, .x = {}, .w = {}, .bias = {}, .dy = {}};
  const auto fill = [&](Doubles& values, std::int64_t count) {
    values.resize(static_cast<std::size_t>(count));
    for (double& v : values)
      v = integers ? static_cast<double>(small(bits)) : static_cast<double>(uniform(bits));
  };
  fill(p.x, p.x_shape().elements());
  fill(p.w, p.w_shape().elements());
  fill(p.bias, g.co);
  fill(p.dy, p.y_shape().elements());
  fill(p.addend, p.x_shape().elements());
  return p;
}

Doubles reference(const Problem& p, Pass pass) {
  Doubles result(static_cast<std::size_t>(p.result_shape(pass).elements()),
                 std::numeric_limits<double>::quiet_NaN());
  const View<const double> x{p.x.data(), p.x_shape()}, w{p.w.data(), p.w_shape()},
      dy{p.dy.data(), p.y_shape()};
  const View<const double> bias{p.bias.empty() ? nullptr : p.bias.data(), {p.g.co}};
  const View<double> out{result.data(), p.result_shape(pass)};
  switch (pass) {
    case Pass::forward:
      reference_conv_forward(p.g, x, w, bias, out);
      break;
    case Pass::input_gradient:
      reference_conv_input_gradient(p.g, dy, w, out);
      for (std::size_t i = 0; i < p.addend.size(); ++i) result[i] += p.addend[i];
      break;
    case Pass::weight_gradient:
      reference_conv_weight_gradient(p.g, x, dy, out);
      break;
  }
  return result;
}

Problem absolute(Problem p) {
  for (Doubles* values : {&p.x, &p.w, &p.bias, &p.dy, &p.addend}) {
    for (double& v : *values) v = std::abs(v);
  }
  return p;
}

// Index behind the kernels' contract of element i of a tensor of that public shape: [A,B,H,W] is
// [A][H][W][B] for images, [H][W][B][A] for weights.
std::int64_t native_index(const Shape& shape, std::int64_t i, bool weights) {
  const std::int64_t w = i % shape[3], h = i / shape[3] % shape[2], b = i / shape[3] / shape[2] % shape[1],
                     a = i / shape[3] / shape[2] / shape[1];
  if (weights) return ((h * shape[3] + w) * shape[1] + b) * shape[0] + a;
  return ((a * shape[2] + h) * shape[3] + w) * shape[1] + b;
}

AlignedBuffer to_native(const Doubles& values, const Shape& shape, bool weights, DType storage = DType::f32) {
  AlignedBuffer buffer(values.size() * size_of(storage));
  const auto fill = [&]<class T>(T* to) {
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
      to[native_index(shape, i, weights)] = T(static_cast<float>(values[static_cast<std::size_t>(i)]));
    }
  };
  if (storage == DType::bf16) {
    fill(reinterpret_cast<BFloat16*>(buffer.data()));
  } else {
    fill(reinterpret_cast<float*>(buffer.data()));
  }
  return buffer;
}

// Bytes that read as NaN in f32, and canaries behind the end.
class Poisoned {
 public:
  explicit Poisoned(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)), buffer_(bytes_ + kCanary) {
    std::memset(buffer_.data(), 0xFF, bytes_ + kCanary);
  }
  std::byte* data() const { return buffer_.data(); }
  bool intact() const {
    for (std::size_t i = 0; i < kCanary; ++i) {
      if (buffer_.data()[bytes_ + i] != std::byte{0xFF}) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kCanary = 256;
  std::size_t bytes_;
  AlignedBuffer buffer_;
};

ThreadPool& pool(int threads) {
  static ThreadPool pools[] = {ThreadPool(1), ThreadPool(2), ThreadPool(3), ThreadPool(4)};
  return pools[threads - 1];
}

// What the result of a pass is stored as.
DType result_type(Pass pass, const ConvStorage& storage) {
  return pass == Pass::weight_gradient ? DType::f32 : storage.out;
}

// Runs a kernel on poisoned memory; the result in the kernel's own layout. `in_place`: an addend stands where
// the result will.
std::vector<float> run_native(const Problem& p, Pass pass, const Kernel& kernel, int threads,
                              const ConvStorage& storage = {}, bool in_place = false) {
  const AlignedBuffer x = to_native(p.x, p.x_shape(), false, storage.in),
                      w = to_native(p.w, p.w_shape(), true),
                      dy = to_native(p.dy, p.y_shape(), false,
                                     pass == Pass::weight_gradient ? storage.out : storage.in),
                      bias = to_native(p.bias, {static_cast<std::int64_t>(p.bias.size()), 1, 1, 1}, false);
  const std::int64_t count = p.result_shape(pass).elements();
  const DType type = result_type(pass, storage);
  const Poisoned out(count * static_cast<std::int64_t>(size_of(type))), workspace(kernel.workspace_bytes()),
      prepared(kernel.prepared_bytes());
  const AlignedBuffer addend =
      to_native(p.addend, p.addend.empty() ? Shape{0, 1, 1, 1} : p.x_shape(), false, storage.out);
  std::vector<Poisoned> scratch;
  for (int thread = 0; thread < threads; ++thread) scratch.emplace_back(kernel.scratch_bytes());
  std::vector<void*> operands;
  switch (pass) {
    case Pass::forward:
      operands = {x.data(), w.data(), bias.data(), out.data()};
      break;
    case Pass::input_gradient:
      operands = {dy.data(), w.data(), out.data()};
      if (!p.addend.empty()) operands.insert(operands.begin() + 2, in_place ? out.data() : addend.data());
      if (in_place) std::memcpy(out.data(), addend.data(), addend.size());
      break;
    case Pass::weight_gradient:
      operands = {x.data(), dy.data(), out.data()};
      break;
  }
  for (int phase = 0; phase < kernel.phases(); ++phase) {
    pool(threads).parallel_for(kernel.tasks(phase), [&](std::int64_t task, int thread) {
      kernel.run({.operands = operands.data(),
                  .prepared = prepared.data(),
                  .workspace = workspace.data(),
                  .scratch = scratch[static_cast<std::size_t>(thread)].data()},
                 phase, task);
    });
  }
  EXPECT_TRUE(out.intact()) << "wrote behind the result";
  EXPECT_TRUE(workspace.intact()) << "wrote behind the workspace";
  EXPECT_TRUE(prepared.intact()) << "wrote behind what is prepared";
  for (const Poisoned& s : scratch) EXPECT_TRUE(s.intact()) << "wrote behind the scratch memory";
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = type == DType::bf16 ? static_cast<float>(reinterpret_cast<const BFloat16*>(out.data())[i])
                                    : reinterpret_cast<const float*>(out.data())[i];
  }
  return values;
}

// Length of the longest sum in one result.
std::int64_t terms(const ConvGeometry& g, Pass pass) {
  switch (pass) {
    case Pass::forward:
      return g.kh * g.kw * (g.ci / g.groups) + 1;
    case Pass::input_gradient:
      return g.kh * g.kw * (g.co / g.groups) + 1;
    case Pass::weight_gradient:
      return g.n * g.ho() * g.wo();
  }
  return 0;
}

// m of Winograd's F(m x m, 3 x 3), 0 of the direct algorithm. Parity is compared on integers alone.
std::int64_t outputs_of_tile(std::string_view by) {
  return by == "F(3x3)" || by == "parity" ? 3 : by == "F(4x4)" ? 4 : by == "F(6x6)" ? 6 : 0;
}

// What errors are measured by: the sum of all products' absolute values, as the algorithm meets them.
Doubles magnitude_of(const Problem& p, Pass pass, std::string_view by) {
  const Problem positive = absolute(p);
  const std::int64_t tile = outputs_of_tile(by);
  if (tile == 0) return reference(positive, pass);
  if (pass == Pass::input_gradient) {
    Doubles bound = bounds::winograd_input_gradient_bound(p.g, tile, p.dy, p.w);
    for (std::size_t i = 0; i < positive.addend.size(); ++i) bound[i] += positive.addend[i];
    return bound;
  }
  if (pass == Pass::weight_gradient) return bounds::winograd_weight_gradient_bound(p.g, tile, p.x, p.dy);
  Doubles bound = bounds::winograd_forward_bound(p.g, tile, p.x, p.w);
  for (std::size_t i = 0; i < bound.size() && !positive.bias.empty(); ++i) {
    bound[i] += positive.bias[i / static_cast<std::size_t>(p.g.ho() * p.g.wo()) % positive.bias.size()];
  }
  return bound;
}

// Roundings that a product of the algorithm can meet: one sum, and for Winograd two transforms of two
// sides before it and one after it, each of at most six terms with rounded coefficients.
std::int64_t roundings(const ConvGeometry& g, Pass pass, std::string_view by) {
  const std::int64_t tile = outputs_of_tile(by);
  if (tile == 0) return terms(g, pass) + 1;
  const std::int64_t tiles = g.n * ((g.ho() + tile - 1) / tile) * ((g.wo() + tile - 1) / tile);
  const std::int64_t sum = pass == Pass::forward ? g.ci + 1 : pass == Pass::input_gradient ? g.co + 1 : tiles;
  return sum + 3 * 2 * 2 * std::max<std::int64_t>(6, tile + 2);
}

constexpr double kHalfUlp = 0x1p-8;  // of bf16, relative: eight bits

// Of bf16, one case in four reads images.
ConvMachine with_images(ConvMachine machine, std::uint64_t seed) {
  machine.from_images = machine.storage == DType::bf16 && seed % 4 == 3;
  return machine;
}

}  // namespace

void PrintTo(const ConvMachine& machine, std::ostream* out) {
  *out << name_of(machine.isa) << ", " << name_of(machine.storage);
}

std::vector<ConvMachine> conv_machines() {
  std::vector<ConvMachine> result;
  for (const Isa isa : test::isas())
    result.push_back({isa, isa == Isa::avx512_bf16 ? DType::bf16 : DType::f32});
  return result;
}

const ConvAlgorithm& algorithm(std::string_view name) {
  for (const ConvAlgorithm* each : conv_algorithms()) {
    if (each->name() == name) return *each;
  }
  throw std::invalid_argument("no algorithm " + std::string(name));
}

void compare(const ConvGeometry& g, const ConvMachine& machine, std::string_view by, std::uint64_t seed,
             bool integers, bool with_addend) {
  const Isa isa = machine.isa;
  const ConvStorage storage = {machine.from_images ? DType::f32 : machine.storage, machine.storage};
  Problem p = random_problem(g, seed, integers);
  if (!with_addend) p.bias.clear();
  if (!with_addend) p.addend.clear();
  const bool in_place = with_addend && seed / 4 % 2 == 0;
  const auto as_stored = [](Doubles& values) {
    for (double& v : values) v = static_cast<double>(static_cast<float>(BFloat16(static_cast<float>(v))));
  };
  if (storage.in == DType::bf16) as_stored(p.x);
  if (storage.out == DType::bf16) as_stored(p.dy);
  if (storage.out == DType::bf16) as_stored(p.addend);
  for (const Pass pass : kPasses) {
    if (pass == Pass::input_gradient && storage.in != storage.out) continue;  // of images: nobody asks
    if (!algorithm(by).serves(g, pass, storage)) {
      EXPECT_THROW(algorithm(by).make(g, pass, isa, storage), ShapeError);
      continue;
    }
    Doubles expected = reference(p, pass);
    const bool rounded = result_type(pass, storage) == DType::bf16;
    if (rounded && integers) as_stored(expected);
    const Doubles magnitude = integers ? Doubles(expected.size(), 0.0) : magnitude_of(p, pass, by);
    const std::unique_ptr<Kernel> kernel =
        algorithm(by).make(g, pass, isa, storage, {.add = with_addend && pass == Pass::input_gradient});
    const std::vector<float> actual = run_native(p, pass, *kernel, 1, storage, in_place);
    const double epsilon = std::numeric_limits<float>::epsilon() / 2;
    // Both operands of a product may have been rounded to bf16 (and what that makes of each other), and so is
    // the result.
    const double operands = storage.out == DType::bf16 ? 2.01 * kHalfUlp : 0;
    const auto tolerance_at = [&](std::size_t at) {
      if (integers) return 0.0;
      return (static_cast<double>(roundings(g, pass, by)) * epsilon + operands) * magnitude[at] +
             (rounded ? 1.01 * kHalfUlp * (std::abs(expected[at]) + operands * magnitude[at]) : 0.0);
    };
    std::int64_t worst = -1;
    double worst_excess = 0.0;
    for (std::int64_t i = 0; i < p.result_shape(pass).elements(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const auto native =
          static_cast<std::size_t>(native_index(p.result_shape(pass), i, pass == Pass::weight_gradient));
      const double excess = std::abs(static_cast<double>(actual[native]) - expected[at]) - tolerance_at(at);
      if (!(excess <= worst_excess)) {  // also when it is NaN
        worst = i;
        worst_excess = std::isnan(excess) ? std::numeric_limits<double>::infinity() : excess;
      }
    }
    if (worst >= 0) {
      const auto at = static_cast<std::size_t>(worst);
      const auto native =
          static_cast<std::size_t>(native_index(p.result_shape(pass), worst, pass == Pass::weight_gradient));
      ADD_FAILURE() << kernel->name() << " (" << name_of(pass) << ", " << name_of(isa) << "), seed " << seed
                    << (integers ? ", integers" : ", floats") << (with_addend ? ", bias or addend" : "")
                    << "\n  " << text_of(g) << "\n  element " << worst << " of " << p.result_shape(pass)
                    << ": expected " << expected[at] << ", got " << actual[native] << ", tolerance "
                    << tolerance_at(at);
    }
    for (int threads = 2; threads <= 4; ++threads) {
      const std::vector<float> again = run_native(p, pass, *kernel, threads, storage, in_place);
      EXPECT_EQ(std::memcmp(actual.data(), again.data(), actual.size() * sizeof(float)), 0)
          << kernel->name() << " differs with " << threads << " threads, seed " << seed << "\n  "
          << text_of(g);
    }
  }
}

void expect_kinds_of_direct(const ConvGeometry& g, const ConvMachine& machine, std::string_view by,
                            std::uint64_t seed) {
  Problem p = random_problem(g, seed, false);
  p.addend.clear();
  std::mt19937_64 bits(seed);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity()})
    p.w[bits() % p.w.size()] = bad;
  const ConvStorage storage = {machine.storage, machine.storage};
  for (const Pass pass : {Pass::forward, Pass::input_gradient}) {
    const auto run_by = [&](std::string_view algorithm_name) {
      return run_native(p, pass, *algorithm(algorithm_name).make(g, pass, machine.isa, storage), 1, storage);
    };
    const std::vector<float> expected = run_by("direct"), actual = run_by(by);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      const float want = expected[i], got = actual[i];
      const bool same = std::isnan(want)   ? std::isnan(got)
                        : std::isinf(want) ? got == want
                                           : std::isfinite(got);
      if (same) continue;
      ADD_FAILURE() << by << " (" << name_of(pass) << ", " << name_of(machine.isa) << "), seed " << seed
                    << "\n  " << text_of(g) << "\n  element " << i << ": direct has " << want << ", got "
                    << got;
      return;
    }
  }
}

std::string text_of(const ConvGeometry& g) {
  const auto pair = [](std::int64_t a, std::int64_t b) {
    return std::to_string(a) + "x" + std::to_string(b);
  };
  return "n " + std::to_string(g.n) + ", " + std::to_string(g.ci) + " -> " + std::to_string(g.co) +
         " channels in " + std::to_string(g.groups) + " groups, map " + pair(g.h, g.w) + ", kernel " +
         pair(g.kh, g.kw) + ", stride " + pair(g.sh, g.sw) + ", padding " + pair(g.ph, g.pw) + ", dilation " +
         pair(g.dh, g.dw);
}

double error_of_positive_sums(const ConvGeometry& g, ConvPass pass, const ConvMachine& machine,
                              std::uint64_t seed) {
  Problem p = absolute(random_problem(g, seed, false));
  p.addend.clear();
  const ConvStorage storage = {machine.storage, machine.storage};
  const Doubles expected = reference(p, pass);
  const std::vector<float> actual =
      run_native(p, pass, *algorithm("direct").make(g, pass, machine.isa, storage), 2, storage);
  double worst = 0;
  for (std::int64_t i = 0; i < p.result_shape(pass).elements(); ++i) {
    const double wanted = expected[static_cast<std::size_t>(i)];
    const auto native =
        static_cast<std::size_t>(native_index(p.result_shape(pass), i, pass == Pass::weight_gradient));
    worst = std::max(worst, std::abs(static_cast<double>(actual[native]) - wanted) / wanted);
  }
  return worst;
}

// One of low to high, or of these.
std::int64_t drawn(std::mt19937_64& bits, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(bits);
}
std::int64_t drawn(std::mt19937_64& bits, std::initializer_list<std::int64_t> values) {
  return values.begin()[drawn(bits, 0, static_cast<std::int64_t>(values.size()) - 1)];
}

ConvGeometry random_geometry(std::uint64_t seed) {
  std::mt19937_64 bits(seed * 7919 + 17);
  const auto between = [&bits](std::int64_t low, std::int64_t high) { return drawn(bits, low, high); };
  const auto one_of = [&bits](std::initializer_list<std::int64_t> values) { return drawn(bits, values); };
  while (true) {
    ConvGeometry g;
    g.groups = one_of({1, 1, 1, 1, 2, 3, 8});
    const std::int64_t most = g.groups == 1 ? 70 : 70 / g.groups;
    g.n = between(1, 9);
    g.ci = g.groups * one_of({1, 3, between(1, most), between(1, most)});
    g.co = g.groups * one_of({1, 8, between(1, most), between(1, most)});
    g.h = one_of({1, 3, between(1, 12), between(1, 25)});
    g.w = one_of({1, 3, between(1, 12), between(1, 25)});
    g.kh = one_of({1, 3, between(1, 7)});
    g.kw = one_of({1, 3, between(1, 7)});
    g.sh = between(1, 3);
    g.sw = between(1, 3);
    g.dh = one_of({1, 1, 1, 2, 3});
    g.dw = one_of({1, 1, 1, 2, 3});
    g.ph = one_of({0, g.kh / 2, between(0, 8)});
    g.pw = one_of({0, g.kw / 2, between(0, 8)});
    if (g.h + 2 * g.ph < g.dh * (g.kh - 1) + 1 || g.w + 2 * g.pw < g.dw * (g.kw - 1) + 1) continue;
    if (g.flops() > 3e7) continue;  // three passes, four times each, against a slow reference
    return g;
  }
}

ConvGeometry random_winograd_geometry(std::uint64_t seed) {
  std::mt19937_64 bits(seed * 7919 + 29);
  const auto between = [&bits](std::int64_t low, std::int64_t high) { return drawn(bits, low, high); };
  while (true) {
    ConvGeometry g;
    g.kh = g.kw = 3;
    g.n = between(1, 9);
    g.ci = between(1, seed % 2 == 0 ? 8 : 80);
    g.co = between(1, seed % 3 == 0 ? 8 : 80);
    g.h = between(1, seed % 5 == 0 ? 30 : 10);
    g.w = between(1, seed % 5 == 0 ? 30 : 10);
    g.ph = between(0, 2);
    g.pw = between(0, 2);
    if (g.h + 2 * g.ph < 3 || g.w + 2 * g.pw < 3 || g.flops() > 5e6) continue;
    return g;
  }
}

ConvGeometry random_parity_geometry(std::uint64_t seed) {
  ConvGeometry g = random_winograd_geometry(seed);
  g.sh = g.sw = 2;
  return g;
}

// Groups of every width there is a network of, and odd ones; as many in as out, or not.
ConvGeometry random_grouped_geometry(std::uint64_t seed) {
  std::mt19937_64 bits(seed * 7919 + 41);
  const auto between = [&bits](std::int64_t low, std::int64_t high) { return drawn(bits, low, high); };
  const auto one_of = [&bits](std::initializer_list<std::int64_t> values) { return drawn(bits, values); };
  while (true) {
    ConvGeometry g;
    const std::int64_t in = one_of({1, 2, 3, 4, 8, 16, 32, between(1, 40)});
    const std::int64_t out = between(0, 2) > 0 ? in : one_of({1, 2, 4, 16, between(1, 40)});
    g.groups = between(2, std::max<std::int64_t>(3, 80 / std::max(in, out)));
    g.ci = g.groups * in;
    g.co = g.groups * out;
    g.n = between(1, 4);
    g.h = one_of({1, 3, between(1, 12), between(1, 33)});
    g.w = one_of({1, 7, between(1, 12), between(1, 33)});
    g.kh = one_of({1, 3, 3, between(1, 7)});
    g.kw = one_of({1, 3, 3, between(1, 7)});
    g.sh = one_of({1, 1, 2, between(1, 3)});
    g.sw = one_of({1, 1, 2, between(1, 3)});
    g.dh = one_of({1, 1, 1, 2, 3});
    g.dw = one_of({1, 1, 1, 2, 3});
    g.ph = one_of({0, g.kh / 2, g.kh / 2, between(0, 8)});
    g.pw = one_of({0, g.kw / 2, g.kw / 2, between(0, 8)});
    if (g.h + 2 * g.ph < g.dh * (g.kh - 1) + 1 || g.w + 2 * g.pw < g.dw * (g.kw - 1) + 1) continue;
    if (g.flops() > 1e7) continue;
    return g;
  }
}

void compare_direct_on_integers(const ConvMachine& machine, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t seed = first; seed < end && !::testing::Test::HasFailure(); ++seed)
    compare(random_geometry(seed), with_images(machine, seed), "direct", seed, true, seed % 2 == 0);
}

void compare_direct_on_floats(const ConvMachine& machine, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t seed = first; seed < end && !::testing::Test::HasFailure(); ++seed)
    compare(random_geometry(seed), with_images(machine, seed), "direct", seed, false, seed % 2 == 0);
}

void compare_winograd(const ConvMachine& machine, std::uint64_t first, std::uint64_t end) {
  constexpr std::string_view kAlgorithms[] = {"F(3x3)", "F(4x4)", "F(6x6)"};
  for (std::uint64_t seed = first; seed < end && !::testing::Test::HasFailure(); ++seed)
    compare(random_winograd_geometry(seed), machine, kAlgorithms[seed / 2 % 3], seed, false, seed % 2 == 0);
}

void compare_parity(const ConvMachine& machine, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t seed = first; seed < end && !::testing::Test::HasFailure(); ++seed)
    compare(random_parity_geometry(seed), machine, "parity", seed, true, seed % 2 == 0);
}

void compare_grouped(const ConvMachine& machine, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t seed = first; seed < end && !::testing::Test::HasFailure(); ++seed)
    compare(random_grouped_geometry(seed), machine, "grouped", seed, seed % 4 != 3, seed % 2 == 0);
}

}  // namespace resnet::kernels::testing
