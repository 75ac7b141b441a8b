#include <fmt/core.h>

#include <iostream>

#include "base/files.h"
#include "base/json.h"
#include "cli/command.h"

namespace resnet::cli {
namespace {

class Summary final : public Command {
 public:
  Summary() : Command("summary", "Output shape of every stage or layer, parameters and cost of a network.") {
    accept({"model", "input"});
    argument("input").default_text = "1x1x96x96";
    add_classes(classes_);
    add({.name = "depth",
         .placeholder = "DEPTH",
         .help = "stage or layer",
         .default_text = "stage",
         .target = &depth_,
         .choices = {"stage", "layer"}});
    add({.name = "svg",
         .placeholder = "FILE",
         .help = "draw the network into an SVG picture as well",
         .target = &svg_});
    add({.name = "json", .help = "print the table as JSON", .target = &json_});
  }

  int run() override {
    const settings::Settings chosen = from_flags();
    const Shape images = chosen.input.rank() == 0 ? Shape{1, 1, 96, 96} : chosen.input;
    if (depth_ != "stage" && depth_ != "layer") {
      throw ConfigError(fmt::format("--depth cannot be '{}'", depth_), "give stage or layer");
    }
    const nn::Sequential net = settings::make_model(chosen, images[1], classes_);
    const nn::Summary summary = nn::summary(net, images);
    if (json_) {
      print_json(summary);
    } else if (depth_ == "stage") {
      std::cout << summary;
    } else {
      print_layers(summary);
    }
    if (!svg_.empty()) write_file(svg_, nn::drawing(net, images));
    return kDone;
  }

 private:
  void print_json(const nn::Summary& summary) const {
    Json rows = Json::list();
    for (const nn::SummaryRow& row : depth_ == "stage" ? summary.stages : summary.layers) {
      rows.push_back(Json::object({{"name", row.name},
                                   {"kind", row.kind},
                                   {"output", Json::list(row.output)},
                                   {"parameters", row.parameters},
                                   {"flops", row.flops}}));
    }
    const Json table =
        Json::object({{"rows", rows}, {"parameters", summary.parameters}, {"flops", summary.flops}});
    std::cout << table.dump() << '\n';
  }

  static void print_layers(const nn::Summary& summary) {
    fmt::print("{:<26} {:<18} {:<20} {:>12} {:>12}\n", "layer", "kind", "output shape", "parameters",
               "MFLOPs");
    for (const nn::SummaryRow& row : summary.layers) {
      fmt::print("{:<26} {:<18} {:<20} {:>12} {:>12.2f}\n", row.name, row.kind, to_string(row.output),
                 row.parameters, row.flops / 1e6);
    }
    fmt::print("{} parameters, {:.3f} GFLOPs forward (a multiply-add counts two)\n", summary.parameters,
               summary.flops / 1e9);
  }

  std::int64_t classes_ = 10;
  std::string depth_ = "stage";
  std::string svg_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_summary() {
  return std::make_unique<Summary>();
}

}  // namespace resnet::cli
