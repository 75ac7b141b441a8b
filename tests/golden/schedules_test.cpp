// Learning rates and momenta of every step against PyTorch's schedulers. The golden file comes from
// reference/schedules.py.
#include "golden/pins.h"
#include "resnet/schedule.h"

namespace resnet {
namespace {

using test::json;

const json& golden() {
  static const json file = test::read_golden("schedules");
  return file;
}

ScheduleOptions options_of(const json& given) {
  const std::map<std::string, ScheduleKind> kinds = {
      {"constant", ScheduleKind::constant},     {"step", ScheduleKind::step},
      {"cosine", ScheduleKind::cosine},         {"one_cycle", ScheduleKind::one_cycle},
      {"polynomial", ScheduleKind::polynomial}, {"triangular", ScheduleKind::triangular}};
  ScheduleOptions options{.kind = kinds.at(given.at("kind").get<std::string>())};
  options.warmup_epochs = given.value("warmup_epochs", options.warmup_epochs);
  options.start = given.value("start", options.start);
  options.final = given.value("final", options.final);
  options.peak = given.value("peak", options.peak);
  options.power = given.value("power", options.power);
  options.gamma = given.value("gamma", options.gamma);
  options.every_epochs = given.value("every_epochs", options.every_epochs);
  if (given.contains("low_momentum")) options.low_momentum = given.at("low_momentum").get<double>();
  return options;
}

TEST(Schedules, ArePyTorchsInEveryStep) {
  for (const json& c : golden().at("schedules")) {
    const Schedule schedule(options_of(c.at("options")), golden().at("lr").get<double>(),
                            golden().at("momentum").get<double>(), golden().at("steps").get<std::int64_t>(),
                            golden().at("steps_per_epoch").get<std::int64_t>());
    const auto rates = c.at("lr").get<std::vector<double>>();
    const auto momenta = c.value("momentum", std::vector<double>{});
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const StepInputs inputs = schedule.at(static_cast<std::int64_t>(i));
      // Rounded once to f32; PyTorch's cosine is a recursion.
      EXPECT_NEAR(static_cast<double>(inputs.lr), rates[i], 0x1p-24 * rates[i] + 1e-12)
          << c.at("name") << ", step " << i;
      ASSERT_EQ(inputs.momentum.has_value(), !momenta.empty()) << c.at("name");
      if (!momenta.empty())
        EXPECT_NEAR(static_cast<double>(*inputs.momentum), momenta[i], 0x1p-24)
            << c.at("name") << ", step " << i;
    }
  }
}

TEST(Schedules, StayAtTheirLastStep) {
  const Schedule schedule({.kind = ScheduleKind::cosine}, 1, 0, 10, 5);
  EXPECT_EQ(schedule.at(10).lr, schedule.at(9).lr);
  EXPECT_EQ(schedule.at(1000).lr, schedule.at(9).lr);
}

TEST(Schedules, RefuseWhatCannotBe) {
  const auto refused = [](const ScheduleOptions& options, double momentum = 0.9) {
    try {
      static_cast<void>(Schedule(options, 1, momentum, 10, 5));
    } catch (const ConfigError& error) {
      return std::string(error.what()).find("ScheduleOptions::") != std::string::npos;
    }
    return false;
  };
  EXPECT_FALSE(refused({}));
  EXPECT_FALSE(refused({.warmup_epochs = 1.8}));
  EXPECT_TRUE(refused({.warmup_epochs = 2}));
  EXPECT_TRUE(refused({.warmup_epochs = -1}));
  EXPECT_TRUE(refused({.warmup_epochs = NAN}));
  EXPECT_TRUE(refused({.start = -0.1}));
  EXPECT_TRUE(refused({.final = INFINITY}));
  EXPECT_TRUE(refused({.peak = 1.5}));
  EXPECT_TRUE(refused({.power = NAN}));
  EXPECT_TRUE(refused({.gamma = -1}));
  EXPECT_TRUE(refused({.every_epochs = 0}));
  EXPECT_TRUE(refused({.low_momentum = 1}));
  EXPECT_TRUE(refused({.low_momentum = 0.5}, 0));
}

TEST(Schedules, HaveAtLeastAStepAndBeginAtTheirFirst) {
  EXPECT_THROW(Schedule({}, 1, 0, 0, 1), ConfigError);
  EXPECT_THROW(Schedule({}, 1, 0, 10, 0), ConfigError);
  const Schedule schedule({.kind = ScheduleKind::cosine}, 1, 0, 10, 10);
  EXPECT_EQ(schedule.at(-1).lr, schedule.at(0).lr);
}

// One step, one epoch, a peak at either end: no division by zero.
TEST(Schedules, AreFiniteForRunsOfAnyLength) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::step, ScheduleKind::cosine, ScheduleKind::one_cycle,
        ScheduleKind::polynomial, ScheduleKind::triangular}) {
    for (const double peak : {0.0, 0.3, 1.0}) {
      for (std::int64_t steps = 1; steps < 6; ++steps) {
        const Schedule schedule({.kind = kind, .peak = peak, .low_momentum = 0.85}, 1, 0.95, steps, 1);
        for (std::int64_t i = 0; i < steps; ++i) {
          const StepInputs inputs = schedule.at(i);
          EXPECT_TRUE(inputs.lr >= 0 && inputs.lr <= 1)
              << static_cast<int>(kind) << ' ' << peak << ' ' << steps;
          if (inputs.momentum) EXPECT_TRUE(*inputs.momentum >= 0.85F && *inputs.momentum <= 0.95F);
        }
      }
    }
  }
}

}  // namespace
}  // namespace resnet
