// Makes src/gpu/cudnn_sm_<architecture>.def: which engine of cuDNN computes which pass of the zoo's convolutions there.
//
//   cudnn_table CARD.json LIBCUDNN... > src/gpu/cudnn_sm_90.def      cards as tests/gpu/cards/ describes them
//
// No card is needed. For each pass it takes the first engine that the heuristics of the first cuDNN name, and whose plan
// each of them makes for every number of images below, within a workspace that grows with the images alone.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "cuda/cudnn.h"
#include "gpu/cudnn.h"
#include "ops/conv2d.h"
#include "resnet/models.h"

namespace resnet {
namespace {

using cuda::Cudnn;
using gpu::CudnnLine;
using kernels::ConvGeometry;
using kernels::ConvPass;

constexpr std::int32_t kImages[] = {1, 2, 5, 16, 32, 64, 96, 100, 128, 200, 256, 300, 512};
constexpr std::int64_t kMostWorkspace = std::int64_t{256} << 20;  // bytes, of 256 images

template <class T>
T narrow(std::int64_t value) {
  if (!std::in_range<T>(value)) throw std::runtime_error(fmt::format("{} does not fit into the table", value));
  return static_cast<T>(value);
}

bool comes_before(const ConvGeometry& a, const ConvGeometry& b) {
  const auto key = [](const ConvGeometry& g) {
    return std::tuple(g.groups, g.kh, g.sh, g.ph, g.ci, g.co, g.h, g.w);
  };
  return key(a) < key(b);
}
using Geometries = std::set<ConvGeometry, decltype(&comes_before)>;

void add_convolutions(Geometries& all, const std::string& model, const models::ResNetOptions& options, std::int64_t side) {
  const Shape images{1, options.in_channels.value(), side, side};
  const graph::Graph graph = nn::trace(models::make(model, options), images, Mode::eval);
  for (const graph::Node& node : graph.nodes()) {
    const auto* conv = dynamic_cast<const ops::Conv2d*>(node.op.get());
    if (conv == nullptr) continue;
    const auto shape = [&](std::size_t slot) {
      return graph.values()[static_cast<std::size_t>(node.inputs[slot])].type.shape;
    };
    const ConvGeometry g =
        ops::conv_geometry(conv->options().window, shape(ops::ConvInput::x), shape(ops::ConvInput::w));
    const bool square = g.kh == g.kw && g.sh == g.sw && g.ph == g.pw && g.dh == 1 && g.dw == 1;
    // Not the maps of squeeze-and-excitation, and not the stem: cuDNN pads its channels in 40 MB of workspace.
    if (square && g.h * g.w > 1 && g.ci >= 8) all.insert(g);
  }
}

Geometries zoo() {
  Geometries all(&comes_before);
  for (const std::string& name : models::names()) {
    if (name.starts_with("d2l") || name == "resnext101_64x4d") continue;
    add_convolutions(all, name, {.in_channels = 3}, 224);
  }
  add_convolutions(all, "d2l_resnet18", {.in_channels = 1}, 96);
  return all;
}

// A cuDNN in a process of its own: two versions in one process would share their parts. Asked for a plan, it answers with
// its workspace.
class Answering {
 public:
  Answering(const std::string& library, const std::string& card) {
    std::array<int, 2> there{}, back{};
    if (pipe(there.data()) != 0 || pipe(back.data()) != 0) throw std::runtime_error("no pipe");
    if (fork() == 0) {
      close(there[1]);
      answer(library, card, there[0], back[1]);
      _exit(0);
    }
    close(there[0]);
    close(back[1]);
    to_ = there[1];
    from_ = back[0];
    std::int64_t version = 0;
    receive(from_, version);
    version_ = version;
  }
  std::int64_t version() const { return version_; }
  // -1: it makes no such plan.
  std::int64_t workspace_bytes(const resnet_convolution& what) const {
    std::int64_t bytes = -1;
    if (write(to_, &what, sizeof what) != ssize_t{sizeof what} || !receive(from_, bytes))
      throw std::runtime_error("a cuDNN has ended");
    return bytes;
  }

 private:
  template <class T>
  static bool receive(int from, T& value) {
    return read(from, &value, sizeof value) == ssize_t{sizeof value};
  }
  static void send(int to, std::int64_t value) {
    if (write(to, &value, sizeof value) != ssize_t{sizeof value}) _exit(1);
  }
  static void answer(const std::string& library, const std::string& card, int from, int to) {
    try {
      const Cudnn cudnn({library});
      send(to, cudnn.version());
      for (resnet_convolution what; receive(from, what);) {
        try {
          send(to, cudnn.plan(what, {.described = card})->workspace_bytes);
        } catch (const cuda::CudnnError&) {
          send(to, -1);
        }
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "error: %s\n", error.what());
    }
  }
  int to_ = -1, from_ = -1;
  std::int64_t version_ = 0;
};
using Libraries = std::vector<Answering>;

// Most bytes of workspace of a line's plans for n images; none where one is not made.
std::optional<std::int64_t> workspace_of(const Libraries& libraries, const CudnnLine& line, ConvGeometry g,
                                         std::int32_t n) {
  g.n = n;
  std::int64_t most = 0;
  for (const Answering& cudnn : libraries) {
    for (const bool adds : {false, true}) {
      if (adds && line.pass != ConvPass::input_gradient) continue;
      const std::int64_t bytes = cudnn.workspace_bytes(gpu::choice_of(line, g, adds).what);
      if (bytes < 0) return std::nullopt;
      most = std::max(most, bytes);
    }
  }
  return most;
}

// A candidate as a line; none where it does not serve every number of images.
std::optional<CudnnLine> tried(const Libraries& libraries, const CudnnLine& pass, const ConvGeometry& g,
                               const resnet_convolution& candidate) {
  if (candidate.knobs > gpu::kMostLineKnobs) return std::nullopt;
  CudnnLine line = pass;
  line.engine = narrow<std::int16_t>(candidate.engine);
  line.knobs = narrow<std::uint8_t>(candidate.knobs);
  for (std::size_t i = 0; i < line.knobs; ++i) {
    line.knob_types[i] = narrow<std::uint8_t>(candidate.knob[i].type);
    line.knob_values[i] = narrow<std::int16_t>(candidate.knob[i].value);
  }
  std::vector<std::int64_t> bytes;
  for (const std::int32_t n : kImages) {
    const auto of_n = workspace_of(libraries, line, g, n);
    if (!of_n) return std::nullopt;
    bytes.push_back(*of_n);
  }
  // What grows by less than a vector for each image does not grow; what does comes in whole tiles, and gets an eighth
  // more.
  const std::int64_t grown = bytes.back() - bytes.front(), images = kImages[std::size(kImages) - 1] - 1;
  const std::int64_t image = grown > 16 * images ? (grown * 9 / 8 + images - 1) / images : 0;
  std::int64_t most = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    most = std::max(most, (image > 0 ? bytes[i] * 9 / 8 : bytes[i]) - kImages[i] * image);
  if (most + 256 * image > kMostWorkspace) return std::nullopt;
  line.workspace_bytes = narrow<std::int32_t>(most);
  line.image_workspace_bytes = narrow<std::int32_t>(image);
  return line;
}

std::optional<CudnnLine> best(const Cudnn& first, const Cudnn::Card& card, const Libraries& libraries,
                              const CudnnLine& pass, const ConvGeometry& g) {
  ConvGeometry large = g;
  large.n = 256;
  std::vector<resnet_convolution> candidates;
  try {
    candidates = first.candidates(gpu::choice_of(pass, large, false).what, card);
  } catch (const cuda::CudnnError&) {
    return std::nullopt;  // cuDNN has no engine for it
  }
  for (const resnet_convolution& candidate : candidates)
    if (const auto line = tried(libraries, pass, g, candidate)) return line;
  return std::nullopt;
}

std::string text_of(const CudnnLine& l) {
  constexpr const char* kPasses[] = {"forward", "input_gradient", "weight_gradient"};
  std::string text = fmt::format("RESNET_ENGINE({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}", l.architecture,
                                 l.bf16 ? "bf16" : "tf32", kPasses[static_cast<int>(l.pass)], l.ci, l.co, l.kernel,
                                 l.stride, l.padding, l.groups, l.h, l.w, l.engine, l.workspace_bytes,
                                 l.image_workspace_bytes);
  for (std::size_t i = 0; i < l.knobs; ++i)
    text += fmt::format(", {{{}, {}}}", l.knob_types[i], l.knob_values[i]);
  return text + ")";
}

void print_table(const std::string& path, const std::vector<std::string>& paths) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  const std::string json = text.str();
  Libraries libraries;
  std::string versions;
  for (const std::string& library : paths) {
    libraries.emplace_back(library, json);
    versions += fmt::format("{}{}", versions.empty() ? "" : ", ", libraries.back().version());
  }
  std::printf("// Engines of cuDNN for passes of convolutions, by tools/cudnn_table.cpp with %s: the first that heuristics name.\n"
              "// RESNET_ENGINE(architecture, type, pass, ci, co, kernel, stride, padding, groups, h, w, engine,\n"
              "//               most bytes of workspace, of each image besides, knobs {type, value}...)\n",
              versions.c_str());
  const Cudnn first({paths.front()});
  const Geometries geometries = zoo();
  constexpr std::string_view kKey = "\"deviceVer\":";
  const auto architecture = narrow<std::uint8_t>(std::stoi(json.substr(json.find(kKey) + kKey.size())) / 10);
  for (const bool bf16 : {true, false}) {
    for (const ConvPass pass : {ConvPass::forward, ConvPass::input_gradient, ConvPass::weight_gradient}) {
      for (const ConvGeometry& g : geometries) {
        const CudnnLine wanted{.architecture = architecture,
                               .bf16 = bf16,
                               .pass = pass,
                               .kernel = narrow<std::uint8_t>(g.kh),
                               .stride = narrow<std::uint8_t>(g.sh),
                               .padding = narrow<std::uint8_t>(g.ph),
                               .groups = narrow<std::int16_t>(g.groups),
                               .ci = narrow<std::int16_t>(g.ci),
                               .co = narrow<std::int16_t>(g.co),
                               .h = narrow<std::int16_t>(g.h),
                               .w = narrow<std::int16_t>(g.w),
                               .engine = 0,
                               .workspace_bytes = 0,
                               .image_workspace_bytes = 0};
        if (const auto line = best(first, {.described = json}, libraries, wanted, g)) std::puts(text_of(*line).c_str());
      }
    }
  }
}

}  // namespace
}  // namespace resnet

int main(int argc, char** argv) {
  try {
    if (argc < 3) throw std::runtime_error("usage: cudnn_table CARD.json LIBCUDNN...");
    resnet::print_table(argv[1], {argv + 2, argv + argc});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
