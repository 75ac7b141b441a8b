// Twenty steps of the recipe `scratch` against PyTorch, which had the batches of our loader: fit() as the
// program calls it, with crops, flips and erasing, one-cycle, smoothing, weight decay and the average of
// weights. The golden file comes from reference/scratch.py.
#include "base/sha256.h"
#include "golden/pins.h"
#include "settings/settings.h"

namespace resnet {
namespace {

using test::json;

const json& golden() {
  static const json file = test::read_golden("scratch");
  return file;
}

// Pictures of noise.
class Pictures final : public data::Dataset::Source {
 public:
  std::int64_t size() const override { return golden().at("images").get<std::int64_t>(); }
  std::int32_t label(std::int64_t i) const override {
    return static_cast<std::int32_t>(
        RandomStream(test::seed_of(golden()), "labels").word(static_cast<std::uint64_t>(i)) %
        golden().at("classes").get<std::uint32_t>());
  }
  void image(std::int64_t i, data::Image& out) const override {
    out.height = out.width = golden().at("side").get<std::int64_t>();
    out.channels = 1;
    out.pixels.resize(static_cast<std::size_t>(out.height * out.width));
    const RandomStream stream(test::seed_of(golden()), "picture/" + std::to_string(i));
    for (std::size_t k = 0; k < out.pixels.size(); ++k)
      out.pixels[k] = static_cast<std::uint8_t>(stream.word(k) & 255U);
  }
};

data::Dataset pictures() {
  const auto side = golden().at("side").get<std::int64_t>();
  return {std::make_shared<Pictures>(),
          "noise",
          std::vector<std::string>(golden().at("classes").get<std::size_t>(), "x"),
          {},
          Shape{1, side, side}};
}

settings::Settings scratch(const settings::Given& more = {}) {
  const auto batch = golden().at("batch_size").get<std::int64_t>();
  const auto steps = golden().at("steps").get<std::int64_t>(),
             images = golden().at("images").get<std::int64_t>();
  settings::Given given = {{"recipe", "scratch"},
                           {"batch-size", std::to_string(batch)},
                           {"epochs", std::to_string(steps * batch / images)}};
  given.insert(given.end(), more.begin(), more.end());
  settings::Settings chosen;
  settings::set_all(given, chosen);
  return chosen;
}

TEST(Scratch, MakesTheBatchesThatPyTorchHad) {
  data::Loader loader = settings::training_loader(scratch(), pictures());
  const data::Order order = settings::training_order(scratch(), pictures());
  Sha256 hash;
  for (std::int64_t epoch = 0; epoch < scratch().epochs; ++epoch) {
    loader.start(order, epoch);
    while (const data::Batch* batch = loader.next()) {
      hash.update(std::as_bytes(batch->images.values()));
      hash.update(std::as_bytes(batch->labels.view<std::int32_t>().span()));
    }
  }
  EXPECT_EQ(hash.hex(), golden().at("batches_sha256").get<std::string>())
      << "if it is to be so, reference/scratch.py makes the golden file anew";
}

// The mean loss of each step, of running means.
struct Losses final : Observer {
  std::vector<double> list;
  double sum = 0;
  std::int64_t examples = 0;
  void on_step(const Progress& progress) override {
    if (progress.batch == 1) {
      sum = 0;
      examples = 0;
    }
    const double now = progress.loss * static_cast<double>(progress.examples);
    list.push_back((now - sum) / static_cast<double>(progress.examples - examples));
    sum = now;
    examples = progress.examples;
  }
};

void expect_run(const settings::Settings& chosen, const json& pins) {
  models::ResNetOptions options{.in_channels = 1,
                                .classes = golden().at("classes").get<std::int64_t>(),
                                .blocks = {1, 1},
                                .channels = golden().at("channels").get<std::vector<std::int64_t>>()};
  options.stem = models::Stem::small;
  nn::Sequential net = test::with_weights_of(golden(), models::make("resnet18", options));
  FitOptions fitting = settings::fit_options(chosen, net, pictures());
  const auto losses = std::make_shared<Losses>();
  fitting.observers = {losses};
  fitting.engine.threads = 2;
  fit(net, pictures(), pictures(), fitting);
  ASSERT_EQ(losses->list.size(), golden().at("steps").get<std::size_t>());
  for (std::size_t i = 0; i < losses->list.size(); ++i) {
    const json& pin = golden().at("losses")[i];
    const double value = pin.at("value").get<double>();
    EXPECT_NEAR(losses->list[i], value, pin.at("tolerance").get<double>() + 0x1p-23 * value) << "loss " << i;
  }
  std::size_t compared = 0;
  for (const auto& [name, tensor] : state_of(net)) {
    if (!pins.contains(name)) continue;
    test::expect_pinned(name, tensor, golden(), pins.at(name));
    ++compared;
  }
  EXPECT_EQ(compared, pins.size());
}

TEST(Scratch, TrainsTheWeightsThatPyTorchTrains) {
  expect_run(scratch({{"ema", "0"}}), golden().at("state"));
}

TEST(Scratch, KeepsTheAverageThatPyTorchKeeps) {
  expect_run(scratch(), golden().at("average"));
}

}  // namespace
}  // namespace resnet
