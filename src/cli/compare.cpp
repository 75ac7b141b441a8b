#include "resnet/compare.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/joined.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"

namespace resnet::cli {
namespace {

class Compare final : public Command {
 public:
  Compare() : Command("compare", "A network beside another program's, layer by layer.") {
    add_run(run_, "runs/resnet18-1 activations.safetensors");
    add({.name = "FILE",
         .help = "safetensors of the other program's input and outputs of modules",
         .target = &reference_,
         .positional = true,
         .example = "activations.safetensors"});
    accept({"device", "threads", "precision", "isa", "memory"});
    add({.name = "json", .help = "print the comparison as a JSON object", .target = &json_});
  }

  int run() override {
    const ModelFile model = model_of_run(run_).model;
    const settings::Settings chosen = from_flags();
    const Comparison found = compare_layers(model, reference_, settings::engine_options(chosen));
    say_other_device(found.device, chosen, json_);
    const auto first = std::ranges::find_if(found.layers, &LayerComparison::differs);
    if (json_) {
      print_json(found);
    } else {
      print_table(found);
    }
    if (first == found.layers.end()) {
      if (!json_) fmt::print("{} layers agree\n", found.layers.size());
      return kDone;
    }
    report(fmt::format("the first difference is in {}: {}", shown_name(first->name), first->fault),
           first == found.layers.begin() ? "do the weights and the input belong together?"
                                         : fmt::format("{} still agrees", shown_name((first - 1)->name)));
    return kFailed;
  }

 private:
  static std::string shown_name(const std::string& name) {
    constexpr std::size_t kMostBytes = 60;  // a file chose it
    return shown(name, kMostBytes);
  }

  static void print_table(const Comparison& found) {
    fmt::print("{:<32} {:<20} {:>10} {:>10} {:>10} {:>10}\n", "layer", "shape", "largest", "difference",
               "relative", "tolerance");
    for (const LayerComparison& layer : found.layers) {
      fmt::print("{:<32} {:<20} {:>10.4g} {:>10.2e} {:>10.2e} {:>10.2e}{}\n", shown_name(layer.name),
                 to_string(layer.shape), layer.largest, layer.absolute, layer.relative, layer.tolerance,
                 layer.differs() ? "  differs" : "");
    }
    constexpr std::size_t kMostBytes = 200;
    if (!found.unknown.empty()) {
      fmt::print("not compared, for there is no such module here: {} ({})\n",
                 shown(joined(found.unknown, ", "), kMostBytes), found.unknown.size());
    }
  }

  static void print_json(const Comparison& found) {
    Json layers = Json::list();
    Json first;
    for (const LayerComparison& layer : found.layers) {
      layers.push_back(Json::object({{"name", layer.name},
                                     {"shape", Json::list(layer.shape)},
                                     {"largest", layer.largest},
                                     {"absolute", layer.absolute},
                                     {"relative", layer.relative},
                                     {"tolerance", layer.tolerance},
                                     {"differs", layer.differs()},
                                     {"fault", layer.differs() ? Json(layer.fault) : Json()}}));
    }
    const auto different = std::ranges::find_if(found.layers, &LayerComparison::differs);
    if (different != found.layers.end()) first = Json(different->name);
    fmt::print("{}\n",
               Json::object({{"layers", layers}, {"unknown", found.unknown}, {"first_difference", first}})
                   .dump({.replace = true}));
  }

  std::string run_, reference_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_compare() {
  return std::make_unique<Compare>();
}

}  // namespace resnet::cli
