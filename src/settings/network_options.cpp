#include "resnet/models.h"
#include "settings/option_table.h"

namespace resnet::settings {

void add_network(Table& table) {
  table.choice("model", "NAME", "network: " + joined(models::names(), ", "), models::names(),
               &Settings::model);
  table.stages("blocks", "blocks of each stage instead of the model's", &Settings::blocks).fields = {
      "ResNetOptions::blocks"};
  table.stages("channels", "channels of each stage instead of the model's", &Settings::channels).fields = {
      "ResNetOptions::channels"};
  table.choice("block", "KIND", "kind of block instead of the model's: basic or bottleneck",
               {"basic", "bottleneck"}, &Settings::block);
  table.choice("stem", "KIND",
               "large: 7x7 at stride 2 and a pool; small: 3x3, for images of some 32 pixels; default large",
               {"large", "small"}, &Settings::stem);
  table.add({"input", "NxCxHxW", "shape of the input: images, channels, height, width", true,
             [](Settings& s, const std::string& t) { s.input = parse_input("input", t); },
             [](const Settings& s) { return s.input.rank() == 0 ? "" : joined(s.input, "x"); }});
}

}  // namespace resnet::settings
