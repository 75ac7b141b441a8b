#include "resnet/export.h"

#include <fmt/core.h>

#include <system_error>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/text.h"
#include "cli/command.h"
#include "data/listing.h"
#include "graph/names.h"
#include "resnet/images.h"
#include "settings/values.h"

namespace resnet::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostChecked = 64;  // pictures of a folder, evenly chosen

std::string size_text(std::int64_t bytes) {
  constexpr std::int64_t kMillion = 1'000'000;
  const auto count = static_cast<double>(bytes);
  return bytes < kMillion ? fmt::format("{:.1f} kB", count / 1e3) : fmt::format("{:.1f} MB", count / 1e6);
}

// Noise, which shows every rounding, of sizes that the network takes: none is longer than four times its width,
// so that a shorter side of 1024 makes no more pixels than preprocessed_shape() allows.
std::vector<images::Image> made_pictures(const ModelFile& model) {
  const data::Preprocessing& p = model.preprocessing;
  const Shape& shape = model.graph.value(model.graph.input(graph::kImages)).type.shape;
  std::vector<std::pair<std::int64_t, std::int64_t>> sizes = {{224, 224}, {61, 61},   {333, 333}, {256, 256},
                                                              {120, 200}, {375, 500}, {500, 301}, {65, 260}};
  if (p.resize.height == 0 && p.crop.height == 0) sizes.assign(4, {shape[2], shape[3]});
  if (p.resize.height != 0 && p.resize.width == 0 && p.crop.height == 0) sizes.resize(4);  // square ones
  std::vector<images::Image> pictures;
  for (const auto& [height, width] : sizes) {
    images::Image picture{height, width, p.channels == 1 ? 1 : 3, {}};
    const RandomStream random(pictures.size(), "export");
    for (std::int64_t i = 0; i < height * width * picture.channels; ++i)
      picture.pixels.push_back(static_cast<std::uint8_t>(random.word(static_cast<std::uint64_t>(i)) & 0xffU));
    pictures.push_back(std::move(picture));
  }
  return pictures;
}

std::vector<fs::path> pictures_of(const fs::path& folder) {
  const data::Listing inside = data::list_folder(folder);
  if (inside.files.empty())
    throw IoError(fmt::format("{} holds no pictures", folder.string()), "JPEG, PNG, WebP, BMP or PPM");
  std::vector<fs::path> pictures;
  for (const auto& file : inside.files) pictures.push_back(folder / file.path);
  return pictures;
}

std::vector<fs::path> some_of(const std::vector<fs::path>& pictures) {
  std::vector<fs::path> some;
  const std::size_t count = std::min(pictures.size(), kMostChecked);
  for (std::size_t i = 0; i < count; ++i) some.push_back(pictures[i * pictures.size() / count]);
  return some;
}

// One at a time: 64 large ones would be gigabytes.
std::function<const images::Image*()> one_by_one(const std::vector<fs::path>& files) {
  return [&files, i = std::size_t{0}, picture = images::Image()]() mutable -> const images::Image* {
    if (i == files.size()) return nullptr;
    picture = {};  // gone before the next one comes
    picture = images::read(files[i++]);
    return &picture;
  };
}

class Export final : public Command {
 public:
  Export() : Command("export", "A trained network as a file for other programs: ONNX, safetensors.") {
    add_run(run_, "runs/resnet18-1 --onnx photos.onnx");
    add({.name = "onnx", .placeholder = "FILE", .help = "write ONNX", .target = &onnx_});
    add({.name = "opset",
         .placeholder = "N",
         .help = "version of ONNX's operators",
         .default_text = "17",
         .target =
             [this](const std::string& text) {
               opset_ = std::stoi(settings::parse_choice("opset", text, {"17", "18"}));
             },
         .choices = {"17", "18"}});
    add({.name = "with-preprocessing",
         .help = "take pictures' bytes [N,H,W,C] of any size: resize, crop and normalise inside ONNX",
         .target = &preprocessing_});
    add({.name = "softmax", .help = "give probabilities in place of logits, in ONNX", .target = &softmax_});
    add({.name = "no-fold",
         .help = "leave batch norms beside their convolutions in ONNX",
         .target = &no_fold_});
    add({.name = "check",
         .placeholder = "DIR",
         .help = "measure the ONNX file's deviation on pictures of this folder, 64 at most",
         .default_text = "noise",
         .target = &check_});
    add({.name = "safetensors",
         .placeholder = "FILE",
         .help = "write weights with PyTorch's names, and all that a model file has",
         .target = &safetensors_});
    add({.name = "dtype",
         .placeholder = "TYPE",
         .help = "of the safetensors' floats",
         .default_text = "f32",
         .target = &dtype_,
         .choices = {"f32", "f16", "bf16"}});
    accept({"threads", "isa", "memory"});
    add({.name = "json", .help = "print what was written as a JSON object", .target = &json_});
  }

  int run() override {
    check_flags();
    const WeightType type = weight_type();
    const auto [file, model] = model_of_run(run_);
    const std::vector<fs::path> pictures = check_.empty() ? std::vector<fs::path>() : pictures_of(check_);
    const std::vector<fs::path> checked = some_of(pictures);
    const std::vector<Output> outputs = {{"--onnx", onnx_}, {"--safetensors", safetensors_}};
    check_outputs(outputs, {file});
    check_outputs(outputs, [&] { return pictures; });
    for (const auto& [flag, written] :
         {std::pair("--onnx", onnx_), std::pair("--safetensors", safetensors_)}) {
      if (!written.empty() && kind_of(written) == PathKind::other)
        throw ConfigError(
            fmt::format("{}: {} is a device or a pipe, from which nothing is read back", flag, written),
            "give the name of a file");
    }
    Json written = Json::object();
    const std::int64_t nonfinite = onnx_.empty() ? 0 : write_onnx(model, checked, written);
    if (!safetensors_.empty()) {
      const std::int64_t bytes = export_safetensors(safetensors_, model, type);
      written.add("safetensors",
                  Json::object({{"file", safetensors_}, {"dtype", dtype_}, {"weight_bytes", bytes}}));
      if (!json_)
        fmt::print("{}: {} of weights in {}, with PyTorch's names; read back\n", printable(safetensors_),
                   size_text(bytes), dtype_);
    }
    if (json_) fmt::print("{}\n", written.dump({.replace = true}));
    if (nonfinite > 0) {
      throw FormatError(fmt::format("{}: of {} pictures the output is not finite", onnx_, nonfinite),
                        "it was written as the model is, which has no answer for them");
    }
    return kDone;
  }

 private:
  void check_flags() const {
    if (onnx_.empty() && safetensors_.empty())
      throw ConfigError("export has nothing to write", "give --onnx FILE, --safetensors FILE or both");
    for (const char* flag :
         {"opset", "with-preprocessing", "softmax", "no-fold", "check", "threads", "isa", "memory"}) {
      if (onnx_.empty() && argument(flag).given)
        throw ConfigError(fmt::format("--{} is of ONNX, which is not written", flag), "give --onnx FILE too");
    }
    if (safetensors_.empty() && argument("dtype").given)
      throw ConfigError("--dtype is of safetensors, which are not written", "give --safetensors FILE too");
  }

  WeightType weight_type() const {
    if (dtype_ == "f32") return WeightType::f32;
    if (dtype_ == "f16") return WeightType::f16;
    if (dtype_ == "bf16") return WeightType::bf16;
    throw ConfigError(fmt::format("--dtype cannot be '{}'", dtype_), "give f32, f16 or bf16");
  }

  // Gives for how many pictures the output is not finite.
  std::int64_t write_onnx(const ModelFile& model, const std::vector<fs::path>& checked, Json& written) const {
    for (const fs::path& picture : checked)  // one that is damaged is found before anything is written
      static_cast<void>(images::read(picture));
    // By its own name: standard output's leads to the file that is replaced.
    std::error_code error;
    const fs::path whole = fs::canonical(onnx_, error), file = error ? fs::path(onnx_) : whole;
    const OnnxFacts facts = export_onnx(file, model,
                                        {.opset = opset_,
                                         .fold_norms = !no_fold_,
                                         .softmax = softmax_,
                                         .with_preprocessing = preprocessing_});
    const settings::Settings chosen = from_flags();
    const EngineOptions engine = settings::engine_options(chosen);
    const OnnxDeviation found = checked.empty() ? onnx_deviation(file, model, made_pictures(model), engine)
                                                : onnx_deviation(file, model, one_by_one(checked), engine);
    written.add("onnx", Json::object({{"file", onnx_},
                                      {"bytes", facts.bytes},
                                      {"opset", opset_},
                                      {"nodes", facts.nodes},
                                      {"parameters", facts.parameters},
                                      {"folded_norms", facts.folded},
                                      {"pictures", found.pictures},
                                      {"same_top1", found.same_top1},
                                      {"nonfinite", found.nonfinite},
                                      {"input_deviation", found.input},
                                      {"output_deviation", found.output},
                                      {"largest_output", found.largest}}));
    if (json_) return found.nonfinite;
    fmt::print("{}: {}, opset {}, {} nodes, {} parameters, {} norms folded{}; read back\n", printable(onnx_),
               size_text(facts.bytes), opset_, facts.nodes, facts.parameters, facts.folded,
               preprocessing_ ? ", preprocessing inside" : "");
    fmt::print("deviation on {} pictures {}: input {:.2g}, output {:.2g} of {:.4g}, the same answer for {}\n",
               found.pictures, check_.empty() ? "of noise" : "of " + printable(check_), found.input,
               found.output, found.largest, found.same_top1);
    return found.nonfinite;
  }

  std::string run_, onnx_, safetensors_, check_, dtype_ = "f32";
  int opset_ = 17;
  bool preprocessing_ = false, softmax_ = false, no_fold_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_export() {
  return std::make_unique<Export>();
}

}  // namespace resnet::cli
