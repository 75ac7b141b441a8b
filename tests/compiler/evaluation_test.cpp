// Batch norms of known statistics stand in the epilogue of the convolution before them, and nothing of the
// result changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "compiler/compile.h"
#include "compiler/passes.h"
#include "cpu/target.h"
#include "ops/batch_norm.h"
#include "ops/conv2d.h"
#include "resnet/engine.h"
#include "support/isas.h"
#include "support/networks.h"

namespace resnet {
namespace {

using test::initialised;

const Shape kImages{2, 32, 13, 12};
nn::Conv2d conv(int in, int out, int kernel = 3) {
  return nn::Conv2d{in, out, {.kernel = kernel, .padding = kernel / 2}};
}

plan::Plan plan_of(const nn::Module& net, const Shape& images, Isa isa) {
  const graph::Graph graph = nn::trace(net, images, Mode::eval);
  plan::StateLayout layout;
  for (const graph::ValueInfo& value : graph.values()) {
    if (value.role == graph::Role::parameter || value.role == graph::Role::buffer)
      layout.add(value.name, value.type.shape);
  }
  return compiler::compile(graph, cpu::Target(isa), layout, {});
}

int kernels_named(const plan::Plan& plan, const std::string& part, bool constant) {
  return static_cast<int>(std::count_if(plan.calls.begin(), plan.calls.end(), [&](const plan::Call& call) {
    return call.constant == constant && call.kernel->name().find(part) != std::string_view::npos;
  }));
}

TEST(FuseEvaluation, NormResidualAndReluAreTheEpilogueOfTheirConvolution) {
  const auto net = initialised(models::make("d2l_resnet18", {.in_channels = 1, .classes = 10}));
  for (const Isa isa : {Isa::avx2, Isa::avx512}) {
    const plan::Plan plan = plan_of(net, {1, 1, 96, 96}, isa);
    EXPECT_EQ(kernels_named(plan, "+apply", false), 16);
    EXPECT_EQ(kernels_named(plan, "norm_eval/coefficients", true), 16);
    EXPECT_EQ(kernels_named(plan, "norm_eval", false), 1) << "behind the stem's pool";
    EXPECT_EQ(kernels_named(plan, "add/", false) + kernels_named(plan, "relu/", false), 0);
  }
}

TEST(FuseEvaluation, AConvolutionThatOthersReadTooStaysByItself) {
  class Both : public nn::Module {
   public:
    Both() : conv_(&add("conv", conv(32, 32))), norm_(&add("norm", nn::BatchNorm2d{32})) {}
    Value operator()(Value x) const override {
      const Value y = (*conv_)(x);
      return (*norm_)(y) + y;
    }

   private:
    nn::Conv2d* conv_;
    nn::BatchNorm2d* norm_;
  };
  Both net;
  nn::init(net, nn::Scheme::chapter, 1);
  const plan::Plan plan = plan_of(net, kImages, Isa::avx2);
  EXPECT_EQ(kernels_named(plan, "+apply", false), 0);
  EXPECT_EQ(kernels_named(plan, "norm_eval/apply", false), 1);
}

// Every operation by itself gives the same bits.
TEST(FuseEvaluation, ChangesNoBit) {
  for (const char* model : {"d2l_resnet18", "resnet50"}) {
    for (const Shape& images : {Shape{1, 3, 64, 64}, Shape{3, 3, 37, 61}}) {
      const nn::Sequential net = test::random_network(model, {.in_channels = 3,
                                                              .classes = 10,
                                                              .blocks = {1, 2, 1, 1},
                                                              .channels = {24, 64, 40, 72},
                                                              .stem = models::Stem::small});
      for (const Isa each : test::isas()) {
        if (each == Isa::avx512_bf16) continue;  // computes f32 as the one before
        const std::string isa(name_of(each));
        const auto fused = make_native_engine(network_of(net, images), {.threads = 2, .isa = isa});
        const auto plain =
            make_native_engine(network_of(net, images), {.threads = 2, .isa = isa, .fuse = false});
        const Tensor x = random_uniform(images, 3);
        const Tensor a = fused->infer(x.view<float>()), b = plain->infer(x.view<float>());
        EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0)
            << model << " " << to_string(images) << " " << isa;
      }
    }
  }
}

// A convolution that normalizes already does not do it for the pool behind the next norm.
TEST(FuseEvaluation, OfTwoNormsInFrontOfAPoolNoneIsLost) {
  for (const bool relu : {false, true}) {
    nn::Sequential net;
    net.push_back(nn::Conv2d{3, 8, {.kernel = 3}});
    net.push_back(nn::BatchNorm2d{8});
    if (relu) net.push_back(nn::ReLU{});
    net.push_back(nn::BatchNorm2d{8});
    net.push_back(nn::MaxPool2d{{.kernel = 2, .stride = 2}});
    nn::init(net, nn::Scheme::chapter, 1);
    nn::for_each_parameter(net, [](const std::string& name, nn::Parameter& parameter) {
      if (parameter.kind == nn::ParameterKind::batches_tracked) return;
      const RandomStream random(5, name);
      const auto values = parameter.value.values();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.4F * (random.uniform(i) - 0.5F);
    });
    const Shape images{2, 3, 12, 13};
    const Tensor x = random_uniform(images, 3);
    const auto fused = make_native_engine(network_of(net, images), {.threads = 1});
    const auto oracle = make_reference_engine(network_of(net, images));
    const Tensor got = fused->infer(x.view<float>()), expected = oracle->infer(x.view<float>());
    EXPECT_LT(test::distance(got, expected), 1e-5 * test::norm(expected)) << (relu ? "with a ReLU" : "");
  }
}

}  // namespace
}  // namespace resnet
