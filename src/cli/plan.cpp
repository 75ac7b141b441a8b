#include <fmt/core.h>

#include "cli/command.h"
#include "engine/choice.h"
#include "engine/gpu.h"

namespace resnet::cli {
namespace {

class Plan final : public Command {
 public:
  Plan() : Command("plan", "The compiled step: kernels, memory, and why.") {
    accept({"model", "input", "device", "precision", "isa"});
    argument("input").default_text = "256x1x96x96";
    argument("device").help =
        "of the plan: cpu; auto, cuda or cuda:N, which is there; or an architecture, as cuda:sm_90, which "
        "need not be";
    argument("device").default_text = "cpu";
    add({.name = "mode",
         .placeholder = "MODE",
         .help = "train or eval",
         .default_text = "train",
         .target = &mode_,
         .choices = {"train", "eval"}});
    add_classes(classes_);
    add({.name = "no-fuse", .help = "every operation by itself", .target = &no_fuse_});
  }

  int run() override {
    settings::Settings base;
    base.device = "cpu";
    const settings::Settings chosen = from_flags(base);
    const Shape images = chosen.input.rank() == 0 ? Shape{256, 1, 96, 96} : chosen.input;
    if (mode_ != "train" && mode_ != "eval") {
      throw ConfigError(fmt::format("--mode cannot be '{}'", mode_), "give train or eval");
    }
    const engine::DeviceName device = *engine::device_named(chosen.device);
    if (device.kind == engine::DeviceName::Kind::cuda && argument("isa").given)
      throw ConfigError("--isa is of the CPU, and the plan is a GPU's", "leave one of them out");
    nn::Sequential net = settings::make_model(chosen, images[1], classes_);
    nn::init_unset(net, net.scheme(), chosen.seed);
    EngineOptions options = settings::engine_options(chosen);
    options.fuse = !no_fuse_;
    Network network{nn::trace(net, images, Mode::eval), std::nullopt, state_of(net)};
    if (mode_ == "train") network.train = nn::trace(net, images, Mode::train);
    const Mode mode = mode_ == "train" ? Mode::train : Mode::eval;
    if (device.architecture == 0) {
      fmt::print("{}", make_engine(std::move(network), options)->plan_text(images, mode));
      return kDone;
    }
    fmt::print("{}", engine::gpu_plan_text(std::move(network), options, images, mode, {device.architecture}));
    if (options.precision != Precision::f32)
      say("note: as with a cuDNN that makes all that it is asked for; where there is none, own kernels "
          "compute");
    return kDone;
  }

 private:
  std::string mode_ = "train";
  std::int64_t classes_ = 10;
  bool no_fuse_ = false;
};

}  // namespace

std::unique_ptr<Command> make_plan() {
  return std::make_unique<Plan>();
}

}  // namespace resnet::cli
