#include "gpu/operation_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>

#include "base/random.h"
#include "device/words.h"
#include "emulator/emulator.h"
#include "gpu/copies.h"
#include "gpu/device.h"
#include "gpu/kernel.h"
#include "gpu/map_values.h"
#include "gpu/tested_device.h"
#include "gpu/with_cudnn.h"
#include "ops/conv2d.h"
#include "ops/rules.h"

namespace resnet::test {
namespace {

using device::Bf16;
using ops::ValueType;

constexpr std::int64_t kGuard = 256;  // bytes behind a buffer that nobody may write
constexpr std::byte kUntouched{0xff};

// What the tensor cores see of a number, or what storing it leaves.
double seen(double value, DType storage) {
  return storage == DType::bf16 ? as_bf16(value) : static_cast<double>(static_cast<float>(value));
}
double seen_as_tf32(double value) {
  return static_cast<double>(std::bit_cast<float>(device::to_tf32(static_cast<float>(value))));
}

// The place in the device's memory of element i of the public layout.
class Order {
 public:
  Order(const Shape& shape, bool weight) : shape_(shape), weight_(weight) {}
  std::int64_t native(std::int64_t i) const {
    if (shape_.rank() != 4 && !(weight_ && shape_.rank() == 2)) return i;
    const std::int64_t pixels = shape_.rank() == 4 ? shape_[2] * shape_[3] : 1;
    const std::int64_t p = i % pixels, b = i / pixels % shape_[1], a = i / pixels / shape_[1];
    return weight_ ? (p * shape_[1] + b) * shape_[0] + a : (a * pixels + p) * shape_[1] + b;
  }

 private:
  Shape shape_;
  bool weight_;
};

void store(std::byte* at, DType dtype, std::int64_t i, double value) {
  const auto put = [&](auto v) { std::memcpy(at + i * static_cast<std::int64_t>(sizeof v), &v, sizeof v); };
  if (dtype == DType::f32) return put(static_cast<float>(value));
  if (dtype == DType::bf16) return put(device::rounded<Bf16>(static_cast<float>(value)));
  if (dtype == DType::i32) return put(static_cast<std::int32_t>(value));
  if (dtype == DType::i64) return put(std::bit_cast<std::int64_t>(value));  // ops::seed_step_operand()
  if (dtype == DType::u8) return put(static_cast<std::uint8_t>(value));
  FAIL() << "no type of this test";
}
double load(const std::byte* at, DType dtype, std::int64_t i) {
  const auto get = [&](auto v) {
    std::memcpy(&v, at + i * static_cast<std::int64_t>(sizeof v), sizeof v);
    return v;
  };
  switch (dtype) {
    case DType::f32:
      return static_cast<double>(get(float{}));
    case DType::bf16:
      return static_cast<double>(device::to_float(get(Bf16{})));
    case DType::i32:
      return static_cast<double>(get(std::int32_t{}));
    case DType::i64:
      return static_cast<double>(get(std::int64_t{}));
    case DType::u8:
      return static_cast<double>(get(std::uint8_t{}));
    case DType::f64:
      return get(double{});
  }
  return std::nan("");
}

// A buffer of the device, filled from a mirror on the host and read back into it.
struct DeviceBuffer {
  DeviceBuffer(gpu::Device& device, std::int64_t size)
      : bytes(size),
        memory(device, size + kGuard),
        host(static_cast<std::size_t>(size + kGuard), kUntouched) {}
  bool guarded() const {
    return std::all_of(host.begin() + bytes, host.end(), [](std::byte b) { return b == kUntouched; });
  }
  std::int64_t bytes;
  gpu::Memory memory;
  std::vector<std::byte> host;
};

// The operands of a case: types as stored, values, and what the reference makes of them.
class Prepared {
 public:
  explicit Prepared(const OperationCase& c)
      : case_(c),
        target_(c.products, {.architecture = c.cudnn ? tested_cudnn()->architecture : 0}, !c.cudnn),
        inputs_(c.inputs) {
    inputs_.resize(c.op->input_names().size());
    const compiler::Bf16Operands bf16 = target_.bf16_operands(*c.op);
    for (const auto& input : inputs_) types_.push_back(input.value_or(ValueType{}));
    for (std::size_t i = 0; i < inputs_.size(); ++i) public_.push_back(inputs_[i] ? &types_[i] : nullptr);
    for (const auto& type : c.op->infer(public_)) outputs_.push_back(type.value_or(ValueType{}));
    if (c.storage == DType::bf16) {
      for (const std::size_t i : bf16.inputs)
        if (i != 0 || !c.first_is_f32) types_.at(i).dtype = DType::bf16;
      for (const std::size_t i : bf16.outputs) outputs_[i].dtype = DType::bf16;
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) fill(i);
  }

  bool is_weight(bool output, std::size_t slot) const {
    const std::string_view name = case_.op->name();
    if (output) return slot == 0 && name.ends_with("weight_gradient");
    return slot == 1 && (name == "conv2d" || name.starts_with("conv2d_pooled") || name == "linear" ||
                         name == "conv2d_input_gradient" || name == "linear_input_gradient");
  }

  // Runs it; gives the bytes of its outputs. `in_place`: output 0 stands where this input does.
  std::vector<std::vector<std::byte>> run(std::optional<std::size_t> in_place) const {
    gpu::Device device(case_.cudnn ? *tested_cudnn()->api : tested_device());
    std::vector<DeviceBuffer> buffers;
    buffers.reserve(inputs_.size() + outputs_.size() + 3);  // they stay where they are
    std::vector<std::byte*> operands;
    std::vector<std::size_t> buffer_of_input(inputs_.size()), buffer_of_output(outputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i]) {
        if (i < case_.op->listed_inputs()) operands.push_back(nullptr);
        continue;
      }
      buffer_of_input[i] = buffers.size();
      DeviceBuffer& buffer = buffers.emplace_back(device, bytes_of(types_[i]));
      operands.push_back(buffer.memory.data());
      const Order order(types_[i].shape, is_weight(false, i));
      for (std::int64_t k = 0; k < types_[i].shape.elements(); ++k)
        store(buffer.host.data(), types_[i].dtype, order.native(k), values_[i][static_cast<std::size_t>(k)]);
    }
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
      if (is_absent(o)) continue;
      const bool shares = o == 0 && in_place;
      buffer_of_output[o] = shares ? buffer_of_input[*in_place] : buffers.size();
      if (!shares) buffers.emplace_back(device, bytes_of(outputs_[o]));
      operands.push_back(buffers[buffer_of_output[o]].memory.data());
    }
    launch(device, operands, buffers);
    for (const DeviceBuffer& buffer : buffers) EXPECT_TRUE(buffer.guarded()) << "writes behind a buffer";
    std::vector<std::vector<std::byte>> bytes(outputs_.size());
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
      const std::vector<std::byte>& all = buffers[buffer_of_output[o]].host;
      if (!is_absent(o)) bytes[o].assign(all.begin(), all.begin() + bytes_of(outputs_[o]));
    }
    return bytes;
  }

  std::string kernel() const {
    graph::Node node;
    node.op = case_.op;
    return std::string(target_.lower(node, signature()).kernel->name());
  }

  // With the values of the outputs from their bytes.
  Operands operands(const std::vector<std::vector<std::byte>>& bytes) const {
    Operands result{values_, {}};
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
      std::vector<double>& values = result.outputs.emplace_back();
      const Order order(outputs_[o].shape, is_weight(true, o));
      for (std::int64_t k = 0; !is_absent(o) && k < outputs_[o].shape.elements(); ++k)
        values.push_back(load(bytes[o].data(), outputs_[o].dtype, order.native(k)));
    }
    return result;
  }

  void expect_near(const Operands& got) {
    reference();
    for (std::size_t o = 0; o < outputs_.size(); ++o) {
      if (is_absent(o)) continue;
      double largest = 0;
      for (const double v : expected_[o]) largest = std::max(largest, std::isfinite(v) ? std::abs(v) : 0.0);
      const bool exact = outputs_[o].dtype != DType::f32 && outputs_[o].dtype != DType::bf16 &&
                         outputs_[o].dtype != DType::f64;
      for (std::int64_t k = 0; k < outputs_[o].shape.elements(); ++k) {
        const double want = expected_[o][static_cast<std::size_t>(k)];
        const double have = got.outputs[o][static_cast<std::size_t>(k)];
        const double bound =
            exact                ? 0.0
            : is_tf32_of_cudnn() ? 0x1p-9 * magnitudes_[o][static_cast<std::size_t>(k)] + 2e-6 * largest
            : is_rounded(o)      ? (std::abs(want) + rounded_before(k, want)) * 0x1p-8 + 1e-5 * largest
                                 : 2e-6 * largest;
        if (want == have || (std::isnan(want) && std::isnan(have))) continue;
        ASSERT_LE(std::abs(have - want), bound)
            << "output " << o << ", element " << k << ": " << have << " for " << want;
      }
    }
  }

  // The inputs that output 0 may overwrite.
  std::vector<std::size_t> in_place() const {
    std::vector<std::size_t> slots;
    for (const std::size_t i : target_.in_place(*case_.op, 0))
      if (inputs_[i] && bytes_of(types_[i]) == bytes_of(outputs_[0])) slots.push_back(i);
    return slots;
  }

 private:
  static std::int64_t bytes_of(const ValueType& type) {
    return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
  }
  bool is_absent(std::size_t output) const { return outputs_[output].shape.rank() == 0; }
  ops::Signature signature() const { return {public_, outputs_}; }
  // The real one may cut f32 to tf32 where the reference rounds it: then a factor is another by one in its
  // last of 11 bits, 2^-10 of itself, and a product by 2^-9.
  bool is_tf32_of_cudnn() const {
    return case_.cudnn && tested_cudnn()->real && case_.products == gpu::Products::tf32;
  }
  // cuDNN gives the gradient of the weights in bf16, too.
  bool is_rounded(std::size_t output) const {
    return outputs_[output].dtype == DType::bf16 || (case_.cudnn && case_.storage == DType::bf16);
  }
  // What element k of output 0 was when it was rounded a first time, without its bias, where cuDNN convolves;
  // else 0.
  double rounded_before(std::int64_t k, double want) const {
    if (!case_.cudnn || case_.op->name() != "conv2d" || !inputs_[ops::ConvInput::bias]) return 0;
    const Shape& y = outputs_[0].shape;
    return std::abs(want - values_[ops::ConvInput::bias][static_cast<std::size_t>(k / (y[2] * y[3]) % y[1])]);
  }
  bool multiplies() const {
    const std::string_view name = case_.op->name();
    return name.starts_with("conv2d") || name.starts_with("linear");
  }

  void fill(std::size_t i) {
    if (i < case_.values.size() && !case_.values[i].empty()) {
      values_.push_back(case_.values[i]);
      for (double& v : values_.back()) v = types_[i].dtype == DType::bf16 ? seen(v, DType::bf16) : v;
      return;
    }
    const RandomStream random(7, "gpu/" + std::to_string(i));
    std::vector<double>& values = values_.emplace_back();
    for (std::int64_t k = 0; k < (inputs_[i] ? types_[i].shape.elements() : 0); ++k)
      values.push_back(seen(random.normal(static_cast<std::uint64_t>(k)), types_[i].dtype));
  }

  void reference() {
    std::vector<std::vector<double>> rounded = values_;
    const bool bf16 = case_.storage == DType::bf16 && !target_.bf16_operands(*case_.op).inputs.empty();
    for (std::size_t i = 0; multiplies() && i < std::min<std::size_t>(2, rounded.size()); ++i) {
      for (double& v : rounded[i])
        v = bf16 ? seen(v, DType::bf16) : case_.products == gpu::Products::tf32 ? seen_as_tf32(v) : v;
    }
    std::vector<View<const double>> in;
    std::vector<View<double>> out;
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      in.push_back(inputs_[i] ? View<const double>{rounded[i].data(), types_[i].shape}
                              : View<const double>{});
    for (const ValueType& type : outputs_)
      expected_.emplace_back(static_cast<std::size_t>(type.shape.elements()));
    for (std::size_t o = 0; o < outputs_.size(); ++o)
      out.push_back(is_absent(o) ? View<double>{} : View<double>{expected_[o].data(), outputs_[o].shape});
    const auto evaluate = [&] {
      (case_.unfused == nullptr ? *case_.op : *case_.unfused).evaluate(signature(), in, out);
    };
    if (is_tf32_of_cudnn()) {  // the sums of the products' magnitudes
      const std::vector<std::vector<double>> signed_values = rounded;
      for (std::size_t i = 0; i < rounded.size(); ++i)
        for (double& v : rounded[i]) v = i < 2 ? std::abs(v) : 0;
      evaluate();
      magnitudes_ = expected_;
      for (std::size_t i = 0; i < rounded.size(); ++i)
        std::ranges::copy(signed_values[i], rounded[i].begin());
    }
    evaluate();
    for (std::size_t k = 0; case_.unfused != nullptr && k < expected_[0].size(); ++k)
      expected_[0][k] += values_[case_.addend][k];
  }

  // Uploads all buffers, launches the operation's kernels, and reads all buffers back.
  void launch(gpu::Device& device, const std::vector<std::byte*>& operands,
              std::vector<DeviceBuffer>& buffers) const {
    graph::Node node;
    node.op = case_.op;
    const compiler::Lowering lowering = target_.lower(node, signature());
    const auto& kernel = dynamic_cast<const gpu::Kernel&>(*lowering.kernel);
    EXPECT_EQ(kernel.name().starts_with("cudnn_"), case_.cudnn) << kernel.name();
    DeviceBuffer& workspace = buffers.emplace_back(device, kernel.workspace_bytes());
    DeviceBuffer& constants =
        buffers.emplace_back(device, static_cast<std::int64_t>(kernel.constants().size()));
    std::ranges::copy(kernel.constants(), constants.host.begin());
    const DeviceBuffer& mark = buffers.emplace_back(device, std::int64_t{sizeof(std::int32_t)});
    const auto bytes = [](const DeviceBuffer& buffer) {
      return static_cast<std::int64_t>(buffer.host.size());
    };
    for (const DeviceBuffer& buffer : buffers)
      device.copy(buffer.memory.data(), buffer.host.data(), bytes(buffer));
    gpu::Copies copies;
    const gpu::Addresses at{.operands = operands,
                            .workspace = workspace.memory.data(),
                            .constants = constants.memory.data(),
                            .nonfinite = reinterpret_cast<std::int32_t*>(mark.memory.data()),
                            .copies = &copies};
    static_cast<void>(kernel.work(at));  // which copies it wants
    copies.place(device);
    for (const gpu::Work& one : copies.work()) device.launch(one);
    for (const gpu::Work& one : kernel.work(at)) device.launch(one);
    for (DeviceBuffer& buffer : buffers) device.copy(buffer.host.data(), buffer.memory.data(), bytes(buffer));
    device.synchronize();
  }

  const OperationCase& case_;
  gpu::Target target_;
  std::vector<std::optional<ValueType>> inputs_;
  std::vector<ValueType> types_, outputs_;
  std::vector<const ValueType*> public_;
  std::vector<std::vector<double>> values_, expected_, magnitudes_;
};

}  // namespace

void PrintTo(const OperationCase& c, std::ostream* out) {
  *out << c.op->name();
  for (const auto& input : c.inputs) *out << ' ' << (input ? to_string(input->shape) : std::string("-"));
}

namespace {

Operands checked(const Prepared& prepared) {
  emulator::take_statistics();
  const auto bytes = prepared.run({});
  EXPECT_EQ(emulator::take_statistics().bank_conflicts, 0);
  emulator::set_order(emulator::Order::reverse);
  EXPECT_EQ(prepared.run({}), bytes) << "another order of threads gives other bits";
  emulator::set_order(emulator::Order::forward);
  for (const std::size_t input : prepared.in_place())
    EXPECT_EQ(prepared.run(input), bytes) << "in place of input " << input;
  return prepared.operands(bytes);
}

std::string trace(const OperationCase& c) {
  return ::testing::PrintToString(c) + (c.storage == DType::bf16 ? " bf16" : "") +
         (c.products == gpu::Products::tf32 ? " tf32" : "");
}

}  // namespace

const CudnnDevice* tested_cudnn() {
  static const std::optional<CudnnDevice> kFound = cudnn_in_place_of(tested_device());
  return kFound ? &*kFound : nullptr;
}

std::string kernel_of(const OperationCase& c) {
  return Prepared(c).kernel();
}

Operands run_operation(const OperationCase& c) {
  SCOPED_TRACE(trace(c));
  return checked(Prepared(c));
}

void expect_matches_reference(const OperationCase& c) {
  SCOPED_TRACE(trace(c));
  Prepared prepared(c);
  prepared.expect_near(checked(prepared));
}

}  // namespace resnet::test
