#include "kernels/elementwise/elementwise.h"

#include <algorithm>
#include <array>

#include "kernels/elementwise/elementwise_simd.h"
#include "kernels/simd/channel_grid.h"
#include "kernels/simd/storage.h"

namespace resnet::kernels {
namespace {

using Index = std::int64_t;

enum class Map : std::uint8_t { relu, relu_gradient, add };

constexpr Index kChunk = 16 * 1024;  // elements of a task

/// One sweep over operands of equal size.
template <class T>
class Elementwise final : public Kernel {
 public:
  Elementwise(Map map, Index elements, Isa isa)
      : map_(map), elements_(elements), functions_(elementwise_functions<T>(isa)) {}

  std::string_view name() const noexcept override {
    switch (map_) {
      case Map::relu:
        return "relu/sweep";
      case Map::relu_gradient:
        return "relu_gradient/sweep";
      case Map::add:
        return "add/sweep";
    }
    return "";
  }
  Index tasks(int) const noexcept override { return (elements_ + kChunk - 1) / kChunk; }

  void run(const Call& call, int, Index task) const noexcept override {
    const Index begin = task * kChunk;
    const Index count = std::min(kChunk, elements_ - begin);
    const auto in = [&](int i) { return call.operand<const T>(i) + begin; };
    const auto out = [&](int i) { return call.operand<T>(i) + begin; };
    switch (map_) {
      case Map::relu:
        return functions_.relu(in(0), out(1), count);
      case Map::relu_gradient:
        return functions_.relu_gradient(in(0), in(1), out(2), count);
      case Map::add:
        return functions_.add(in(0), in(1), out(2), count);
    }
  }

 private:
  Map map_;
  Index elements_;
  const ElementwiseFunctions<T>& functions_;
};

template <class T>
class ChannelSum final : public Kernel {
 public:
  ChannelSum(Index rows, Index c, Isa isa)
      : grid_(rows, c), sums_(grid_.sums(1)), functions_(elementwise_functions<T>(isa)) {}

  std::string_view name() const noexcept override { return "channel_sum/chunks"; }
  Index workspace_bytes() const noexcept override { return sums_.bytes(); }
  Index scratch_bytes() const noexcept override { return 2 * grid_.period() * Index{sizeof(float)}; }
  int phases() const noexcept override { return 2; }
  Index tasks(int phase) const noexcept override { return phase == 0 ? grid_.chunks() : sums_.lines(); }

  void run(const Call& call, int phase, Index task) const noexcept override {
    auto* chunk_sums = reinterpret_cast<float*>(call.workspace);
    if (phase == 0) {
      auto* places = reinterpret_cast<float*>(call.scratch);
      functions_.channel_sum(call.operand<const T>(0) + grid_.begin(task), grid_.count(task), grid_.period(),
                             places + grid_.period(), places);
      grid_.store_sums(places, sums_, chunk_sums, task, 0);
      return;
    }
    const ChunkSums::Line total = sums_.total(chunk_sums, task, 0);
    float* sum = call.operand<float>(1) + sums_.line_begin(task);
    for (Index i = 0; i < sums_.line_size(task); ++i)
      sum[i] = static_cast<float>(total[static_cast<std::size_t>(i)]);
  }

 private:
  ChannelGrid grid_;
  ChunkSums sums_;
  const ElementwiseFunctions<T>& functions_;
};

}  // namespace

std::unique_ptr<Kernel> make_relu(std::int64_t elements, Isa isa, DType storage) {
  return make_stored<Elementwise>(storage, isa, Map::relu, elements);
}
std::unique_ptr<Kernel> make_relu_gradient(std::int64_t elements, Isa isa, DType storage) {
  return make_stored<Elementwise>(storage, isa, Map::relu_gradient, elements);
}
std::unique_ptr<Kernel> make_add(std::int64_t elements, Isa isa, DType storage) {
  return make_stored<Elementwise>(storage, isa, Map::add, elements);
}
std::unique_ptr<Kernel> make_channel_sum(std::int64_t rows, std::int64_t c, Isa isa, DType storage) {
  return make_stored<ChannelSum>(storage, isa, rows, c);
}

}  // namespace resnet::kernels
