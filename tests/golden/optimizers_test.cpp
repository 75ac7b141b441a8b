// Twenty steps of every optimiser against PyTorch in float64: losses, parameters and slots. The golden file
// and its tolerances come from reference/optimizers.py.
#include "golden/pins.h"

namespace resnet {
namespace {

using test::json;

const json& golden() {
  static const json file = test::read_golden("optimizers");
  return file;
}

OptimizerOptions options_of(const std::string& name, const json& given) {
  const auto number = [&](const char* key, double otherwise) { return given.value(key, otherwise); };
  OptimizerOptions options;
  if (name.starts_with("adamw")) {
    AdamWOptions adamw;
    if (given.contains("betas")) {
      adamw.beta1 = given.at("betas")[0].get<double>();
      adamw.beta2 = given.at("betas")[1].get<double>();
    }
    adamw.eps = number("eps", adamw.eps);
    adamw.weight_decay = number("weight_decay", adamw.weight_decay);
    options.method = adamw;
  } else {
    const bool constant = given.contains("momentum") && given.at("momentum").is_number();
    options.method = SgdOptions{.momentum = constant ? given.at("momentum").get<double>()
                                                     : static_cast<double>(given.contains("momentum")) / 2,
                                .dampening = number("dampening", 0),
                                .nesterov = given.value("nesterov", false),
                                .weight_decay = number("weight_decay", 0)};
  }
  options.decay_norms_and_biases = given.value("decay_norms_and_biases", true);
  for (const json& group : given.value("groups", json::array())) {
    options.groups.push_back({.names = group.at("pattern").get<std::string>(),
                              .lr_factor = group.value("factor", 1.0),
                              .decay_factor = group.value("decay", 1.0),
                              .frozen = group.value("frozen", false)});
  }
  return options;
}

StepInputs inputs_of(const json& given, std::size_t step) {
  StepInputs inputs;
  const json& lr = given.at("lr");
  inputs.lr = lr.is_array() ? lr[step].get<float>() : lr.get<float>();
  if (given.contains("momentum") && given.at("momentum").is_array())
    inputs.momentum = given.at("momentum")[step].get<float>();
  return inputs;
}

struct Trained {
  std::vector<double> losses;
  State state;
};

Trained train(const json& c, const EngineFactory& make, EngineOptions options) {
  const nn::Sequential net = test::with_weights_of(
      golden(),
      models::d2l_resnet18({.in_channels = 1, .classes = 10, .blocks = {1, 1}, .channels = {8, 16}}));
  options.optimizer = options_of(c.at("name").get<std::string>(), c.at("options"));
  const auto engine = make(network_of(net, test::shape_of(golden().at("input"))), options);
  Trained run;
  for (std::size_t i = 0; i < c.at("losses").size(); ++i) {
    const test::Batch batch = test::batch_of(golden(), "/" + std::to_string(i));
    const StepResult result = engine->step(batch.images.view<float>(), batch.labels.view<std::int32_t>(),
                                           inputs_of(c.at("options"), i));
    run.losses.push_back(result.loss_sum / static_cast<double>(batch.images.shape()[0]));
  }
  run.state = engine->state(StateScope::all);
  return run;
}

// Calls check(key, tensor, pin) for each parameter and slot.
template <class Check>
void for_pins(const json& c, const State& state, const Check& check) {
  std::size_t found = 0, slots = 0;
  for (const auto& [name, tensor] : state) {
    const bool slot = name.starts_with("optimizer/");
    const std::string key = slot ? name.substr(std::string("optimizer/").size()) : name;
    const json& pins = c.at(slot ? "slots" : "parameters");
    slots += slot ? 1 : 0;
    if (!pins.contains(key)) {
      EXPECT_FALSE(slot) << name;
      continue;
    }
    check(key, tensor, pins.at(key));
    ++found;
  }
  EXPECT_EQ(found - slots, c.at("parameters").size());
  EXPECT_LE(slots, c.at("slots").size());
}

// As the ten losses, and the rounding of f32, which is what eight runs may happen to agree within.
void expect_loss(std::size_t step, double loss, const json& pin) {
  const double value = pin.at("value").get<double>();
  EXPECT_NEAR(loss, value, pin.at("tolerance").get<double>() + 0x1p-23 * value) << "loss " << step;
}

class Optimizers : public ::testing::TestWithParam<std::string> {
 protected:
  static const json& golden_case() {
    for (const json& c : golden().at("optimizers")) {
      if (c.at("name") == GetParam()) return c;
    }
    throw FormatError("the golden file has no '" + GetParam() + "'");
  }
};

TEST_P(Optimizers, OfTheNativeEngineFollowPyTorch) {
  const json& c = golden_case();
  const Trained run = train(c, make_native_engine, {.threads = 2});
  for (std::size_t i = 0; i < run.losses.size(); ++i) expect_loss(i, run.losses[i], c.at("losses")[i]);
  for_pins(c, run.state, [](const std::string& key, const Tensor& tensor, const json& pin) {
    test::expect_pinned(key, tensor, golden(), pin);
  });
}

TEST_P(Optimizers, OfTheReferenceEngineArePyTorchs) {
  const json& c = golden_case();
  const Trained run = train(c, make_reference_engine, {});
  constexpr double kDigits = 1e-8;  // the golden has ten digits of each number
  for (std::size_t i = 0; i < run.losses.size(); ++i)
    EXPECT_NEAR(run.losses[i], c.at("losses")[i].at("value").get<double>(), kDigits * 10) << "loss " << i;
  for_pins(c, run.state, [](const std::string& key, const Tensor& tensor, const json& pin) {
    const auto values = tensor.view<double>().span();
    const double bound = kDigits * pin.at("max_abs").get<double>();
    double squares = 0;
    for (const double v : values) squares += v * v;
    EXPECT_NEAR(std::sqrt(squares), pin.at("l2").get<double>(), kDigits * pin.at("l2").get<double>()) << key;
    const RandomStream stream(test::seed_of(golden()), "samples/" + key);
    const json& samples = pin.at("samples");
    for (std::size_t j = 0; j < samples.size(); ++j) {
      const std::size_t index = samples.size() == values.size() ? j : stream.word(j) % values.size();
      EXPECT_NEAR(values[index], samples[j].get<double>(), bound) << key << "[" << index << "]";
    }
  });
}

const std::vector<std::string> kNames = {"sgd",           "sgd_decay",     "sgd_momentum", "sgd_nesterov",
                                         "sgd_dampening", "sgd_schedule",  "sgd_groups",   "adamw",
                                         "adamw_betas",   "adamw_schedule"};

INSTANTIATE_TEST_SUITE_P(PyTorch, Optimizers, ::testing::ValuesIn(kNames),
                         [](const auto& tested) { return tested.param; });

TEST(OptimizersOfTheGoldenFile, AreAllTested) {
  EXPECT_EQ(golden().at("optimizers").size(), kNames.size());
}

}  // namespace
}  // namespace resnet
