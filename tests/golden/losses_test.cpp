// The loss and its gradient against torch.nn.CrossEntropyLoss in float64. The golden file comes from
// reference/losses.py.
#include "golden/pins.h"

namespace resnet {
namespace {

using test::json;

const json& golden() {
  static const json file = test::read_golden("losses");
  return file;
}

LossOptions options_of(const json& given) {
  return {.label_smoothing = given.value("label_smoothing", 0.0),
          .class_weights = given.value("class_weights", std::vector<double>{})};
}

struct Numbers {
  double loss = 0;
  std::vector<float> gradient;  // [N][classes]
};

// Image n is 1 at pixel n and 0 elsewhere: column n of the weight is the logits of example n, and its
// gradient theirs.
Numbers numbers_of(const json& c, const EngineFactory& make, int threads) {
  const Shape shape = test::shape_of(golden().at("shape"));
  const std::int64_t rows = shape[0], classes = shape[1];
  Tensor images(Shape{rows, 1, 1, rows}), weight(Shape{classes, rows});
  for (std::int64_t n = 0; n < rows; ++n) {
    images.view<float>()[n * rows + n] = 1;
    for (std::int64_t k = 0; k < classes; ++k)
      weight.view<float>()[k * rows + n] =
          golden().at("logits")[static_cast<std::size_t>(n * classes + k)].get<float>();
  }
  nn::Sequential net(nn::Flatten{}, nn::Linear{rows, classes, {.bias = false}});
  set_state(net, {{"1.weight", weight}});
  const auto labels = golden().at("labels").get<std::vector<std::int32_t>>();
  const auto second = golden().at("mixed_labels").get<std::vector<std::int32_t>>();
  const auto mix = golden().at("mix").get<std::vector<float>>();
  Targets targets(View<const std::int32_t>{labels.data(), Shape{rows}});
  if (c.at("options").value("mixed", false))
    targets = {targets.labels, {second.data(), Shape{rows}}, {mix.data(), Shape{rows}}};
  const auto engine =
      make(network_of(net, images.shape()), {.threads = threads, .loss = options_of(c.at("options"))});
  const StepResult step = engine->gradients(images.view<float>(), targets);
  Numbers result{step.loss_sum / static_cast<double>(rows),
                 std::vector<float>(static_cast<std::size_t>(rows * classes))};
  const Tensor gradient = engine->gradient_values().at(0).second;
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t k = 0; k < classes; ++k)
      result.gradient[static_cast<std::size_t>(n * classes + k)] = gradient.view<float>()[k * rows + n];
  }
  return result;
}

TEST(Losses, OfBothEnginesArePyTorchs) {
  for (const json& c : golden().at("losses")) {
    for (const EngineFactory& make :
         {EngineFactory(make_reference_engine), EngineFactory(make_native_engine)}) {
      const Numbers numbers = numbers_of(c, make, 2);
      const double loss = c.at("loss").get<double>();
      // Logits are exact in f32 and all sums are in double: digits of the file, and one rounding.
      EXPECT_NEAR(numbers.loss, loss, 1e-13 * loss) << c.at("name");
      const auto gradient = c.at("gradient").get<std::vector<double>>();
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(numbers.gradient[i]), gradient[i],
                    0x1p-24 * std::abs(gradient[i]) + 1e-16)
            << c.at("name") << ", element " << i;
      }
    }
  }
}

// An error names the field, and nothing has changed.
TEST(Losses, RefuseTargetsThatDoNotFit) {
  nn::Sequential net(nn::Flatten{}, nn::Linear{4, 2});
  nn::init(net, nn::Scheme::chapter, 1);
  const Tensor images = random_uniform({2, 1, 2, 2});
  const std::vector<std::int32_t> labels = {0, 1}, wrong = {0, 2};
  const std::vector<float> mix = {0.5F, 1}, beyond = {0.5F, 1.5F};
  const View<const std::int32_t> good{labels.data(), Shape{2}}, bad{wrong.data(), Shape{2}};
  for (const EngineFactory& make :
       {EngineFactory(make_reference_engine), EngineFactory(make_native_engine)}) {
    const auto engine = make(network_of(net, images.shape()), {.threads = 1});
    const auto refuses = [&](const Targets& targets) {
      EXPECT_THROW(engine->gradients(images.view<float>(), targets), ShapeError);
    };
    refuses({good, bad, {mix.data(), Shape{2}}});
    refuses({good, good, {beyond.data(), Shape{2}}});
    refuses({good, good, {mix.data(), Shape{1}}});
    refuses({good, good, {}});
    refuses({good, {}, {mix.data(), Shape{2}}});
    EXPECT_NO_THROW(engine->gradients(images.view<float>(), {good, good, {mix.data(), Shape{2}}}));
    const auto weighted =
        make(network_of(net, images.shape()), {.threads = 1, .loss = {.class_weights = {1, 2, 3}}});
    EXPECT_THROW(weighted->gradients(images.view<float>(), good), ShapeError);
    for (const LossOptions& loss : {LossOptions{.label_smoothing = -0.1},
                                    {.label_smoothing = NAN},
                                    {.class_weights = {1, -1}},
                                    {.class_weights = {0, 0}}}) {
      EXPECT_THROW(make(network_of(net, images.shape()), {.threads = 1, .loss = loss}), ConfigError);
    }
  }
}

}  // namespace
}  // namespace resnet
