#include <fmt/core.h>

#include <algorithm>
#include <iostream>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/command.h"
#include "io/model_metadata.h"
#include "resnet/weights.h"
#include "settings/values.h"

namespace resnet::cli {
namespace {

class Import final : public Command {
 public:
  Import()
      : Command("import",
                "What a file of weights is, and a model of it: torchvision's, timm's, PyTorch's .pth.") {
    add({.name = "FILE",
         .help = "safetensors, the index.json of one in parts, or what torch.save() wrote (.pth, .pt)",
         .target = &file_,
         .positional = true,
         .example = "resnet18-f37072fd.pth"});
    add({.name = "out",
         .placeholder = "FILE",
         .help = "write a model file, for predict, eval and export",
         .target = &out_});
    add({.name = "classes",
         .placeholder = "FILE",
         .help = "names of the outputs, a line each, in their order",
         .default_text = "numbers",
         .target = &classes_});
    accept({"resize", "resize-filter", "crop", "normalize"});
    default_is("the weights' own", {"resize", "resize-filter", "crop", "normalize"});
    add({.name = "json", .help = "print what was found as JSON", .target = &json_});
  }

  int run() override {
    check_outputs({{"--out", out_}}, {file_, classes_});
    Weights weights = read_weights(file_);
    check_outputs({{"--out", out_}}, weights.parts);
    const Recognition found = recognise(weights);
    const bool own = weights.metadata.contains(io::kGraphKey);
    if (!own && !found.known()) return refuse(weights, found);
    const ModelFile model = import_model(
        weights,
        {.classes = classes(), .preprocessing = preprocessing(own ? std::nullopt : std::optional(found))});
    if (!out_.empty()) save_model(out_, model);
    if (!own) {
      weights.notes.push_back(fmt::format(
          "what has no weights (strides, pools, activations) is taken to be that of {}", found.model));
    }
    if (json_) {
      print_json(weights, found, &model, own);
    } else {
      print_text(weights, found, model, own);
    }
    return kDone;
  }

 private:
  // All that was found is on stdout before the error.
  int refuse(const Weights& weights, const Recognition& found) const {
    const std::string nearest =
        found.model.empty() ? "no network that is known" : "not " + to_string(found) + ", the nearest";
    if (json_) {
      print_json(weights, found, nullptr, false);
    } else {
      fmt::print("{}: {}\n", printable(file_), nearest);
      for (const std::string& note : weights.notes) fmt::print("  {}\n", printable(note));
      for (const TensorDifference& difference : found.differences)
        fmt::print("  {}\n", printable(to_string(difference)));
    }
    throw FormatError(
        fmt::format("{} is {}: {} of its tensors or the network's are not the other's", file_, nearest,
                    found.differences.size()),
        "they are listed above; docs/networks.md lists the networks and docs/weights.md the files");
  }

  std::vector<std::string> classes() const {
    if (classes_.empty()) return {};
    std::vector<std::string> names = lines_of(read_text(classes_));
    const auto empty = std::find(names.begin(), names.end(), "");
    if (empty != names.end()) {
      throw FormatError(fmt::format("{}: line {} is empty", classes_, empty - names.begin() + 1),
                        "give a name for each output, a line each");
    }
    if (names.empty())
      throw FormatError(fmt::format("{} names no class", classes_), "a line for each output");
    return names;
  }

  // The family's, with what flags say; none if a model file keeps its own.
  std::optional<data::Preprocessing> preprocessing(const std::optional<Recognition>& found) const {
    const auto given = [&](const char* name) { return argument(name).given; };
    const bool any = given("resize") || given("resize-filter") || given("crop") || given("normalize");
    if (!found) {
      if (any) {
        throw ConfigError("--resize, --resize-filter, --crop and --normalize are for weights without a model",
                          "this file is a model, with its own preprocessing");
      }
      return std::nullopt;
    }
    const settings::Settings chosen = from_flags();
    data::Preprocessing result = family_preprocessing(*found);
    if (given("resize")) result.resize = chosen.resize;
    if (given("resize-filter"))
      result.filter = chosen.resize_filter == "bicubic" ? images::Filter::bicubic : images::Filter::bilinear;
    if (given("crop")) result.crop = chosen.crop;
    if (given("normalize"))
      result.normalization = settings::parse_normalization("normalize", chosen.normalize);
    return result;
  }

  void print_text(const Weights& weights, const Recognition& found, const ModelFile& model, bool own) const {
    fmt::print("{}: {}\n", printable(file_), own ? "a model file of this program" : to_string(found));
    for (const std::string& note : weights.notes) fmt::print("  {}\n", printable(note));
    fmt::print("  {} tensors, {} numbers\n", model.state.size(), numbers_of(model));
    fmt::print("  preprocessing: {}\n", to_json(model.preprocessing));
    fmt::print("  classes: {}\n", model.classes.empty() ? "numbers; --classes FILE names them"
                                                        : fmt::format("{} names", model.classes.size()));
    fmt::print("{}\n", out_.empty() ? "--out FILE writes a model file of it" : "wrote " + printable(out_));
  }

  void print_json(const Weights& weights, const Recognition& found, const ModelFile* model, bool own) const {
    Json differences = Json::list();
    for (const TensorDifference& d : found.differences)
      differences.push_back(Json::object({{"name", d.name}, {"file", d.file}, {"network", d.network}}));
    Json object = Json::object({{"file", file_},
                                {"recognised", found.known()},
                                {"is_model", own},
                                {"model", found.model},
                                {"family", found.family},
                                {"options", found.own_options},
                                {"in_channels", found.options.in_channels.value_or(0)},
                                {"classes", found.options.classes.value_or(0)},
                                {"tensors", weights.tensors.size()},
                                {"notes", weights.notes},
                                {"differences", differences}});
    if (model != nullptr) {
      object.add("preprocessing", parse_json(to_json(model->preprocessing)));
      object.add("class_names", model->classes);
      if (!out_.empty()) object.add("out", out_);
    }
    std::cout << object.dump({.replace = true}) << '\n';
  }

  static std::int64_t numbers_of(const ModelFile& model) {
    std::int64_t numbers = 0;
    for (const auto& [name, tensor] : model.state) numbers += tensor.shape().elements();
    return numbers;
  }

  std::string file_, out_, classes_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_import() {
  return std::make_unique<Import>();
}

}  // namespace resnet::cli
