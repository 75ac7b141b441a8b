#include "gpu/cudnn.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace resnet::gpu {
namespace {

using kernels::ConvGeometry;
using kernels::ConvPass;

// What a plan may take beyond the table's bound, which was found for described cards: a byte of padding more
// on the real one would refuse its plan. A constant, so that plans are the same everywhere; little beside the
// maps.
constexpr std::int64_t kWorkspaceSlack = std::int64_t{1} << 20;

constexpr bool bf16 = true, tf32 = false;  // NOLINT: as the table has them

struct Knob {
  std::uint8_t type;
  std::int16_t value;
};

constexpr CudnnLine with_knobs(CudnnLine line, std::initializer_list<Knob> knobs) {
  for (const Knob& knob : knobs) {
    line.knob_types[line.knobs] = knob.type;
    line.knob_values[line.knobs++] = knob.value;
  }
  return line;
}

constexpr CudnnLine kLines[] = {
#define RESNET_ENGINE(of, type, passes, from, to, side, step, pad, group, height, width, which, most, each, \
                      ...)                                                                                  \
  with_knobs({.architecture = of,                                                                           \
              .bf16 = type,                                                                                 \
              .pass = ConvPass::passes,                                                                     \
              .kernel = side,                                                                               \
              .stride = step,                                                                               \
              .padding = pad,                                                                               \
              .groups = group,                                                                              \
              .ci = from,                                                                                   \
              .co = to,                                                                                     \
              .h = height,                                                                                  \
              .w = width,                                                                                   \
              .engine = which,                                                                              \
              .workspace_bytes = most,                                                                      \
              .image_workspace_bytes = each},                                                               \
             {__VA_ARGS__}),
#include "gpu/cudnn_sm_100.def"
#include "gpu/cudnn_sm_120.def"
#include "gpu/cudnn_sm_80.def"
#include "gpu/cudnn_sm_89.def"
#include "gpu/cudnn_sm_90.def"
#undef RESNET_ENGINE
};

bool fits(const CudnnLine& line, const ConvGeometry& g) {
  const auto both = [](std::int64_t a, std::int64_t b, std::int64_t value) {
    return a == value && b == value;
  };
  return line.ci == g.ci && line.co == g.co && line.groups == g.groups && both(g.kh, g.kw, line.kernel) &&
         both(g.sh, g.sw, line.stride) && both(g.ph, g.pw, line.padding) && both(g.dh, g.dw, 1);
}

// How far a line's map is from ours.
double distance(const CudnnLine& line, const ConvGeometry& g) {
  return std::abs(std::log(static_cast<double>(line.h) * line.w / static_cast<double>(g.h * g.w)));
}

}  // namespace

std::span<const CudnnLine> cudnn_table() {
  return kLines;
}

const CudnnLine* find_cudnn_line(int architecture, ConvPass pass, bool is_bf16, const ConvGeometry& g) {
  int served = 0;
  for (const CudnnLine& one : kLines) {
    if (one.architecture <= architecture && one.architecture / 10 == architecture / 10)
      served = std::max(served, int{one.architecture});
  }
  const CudnnLine* best = nullptr;
  for (const CudnnLine& one : kLines) {
    if (one.architecture != served || one.pass != pass || one.bf16 != is_bf16 || !fits(one, g)) continue;
    if (best == nullptr || distance(one, g) < distance(*best, g)) best = &one;
  }
  return best;
}

CudnnChoice choice_of(const CudnnLine& line, const ConvGeometry& g, bool adds) {
  const auto narrow = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  resnet_convolution what{};
  what.pass = narrow(static_cast<std::int64_t>(line.pass));
  what.bf16 = line.bf16 ? 1 : 0;
  what.adds = adds ? 1 : 0;
  what.n = narrow(g.n);
  what.h = narrow(g.h);
  what.w = narrow(g.w);
  what.ci = narrow(g.ci);
  what.co = narrow(g.co);
  what.kh = narrow(g.kh);
  what.kw = narrow(g.kw);
  what.sh = narrow(g.sh);
  what.sw = narrow(g.sw);
  what.ph = narrow(g.ph);
  what.pw = narrow(g.pw);
  what.dh = narrow(g.dh);
  what.dw = narrow(g.dw);
  what.groups = narrow(g.groups);
  what.engine = line.engine;
  what.knobs = line.knobs;
  for (std::size_t i = 0; i < line.knobs; ++i) what.knob[i] = {line.knob_types[i], line.knob_values[i]};
  const double larger =
      std::max(1.0, static_cast<double>(g.h * g.w) / (static_cast<double>(line.h) * line.w));
  const double image = std::ceil(static_cast<double>(line.image_workspace_bytes) * larger);
  return {what, line.workspace_bytes + g.n * static_cast<std::int64_t>(image) + kWorkspaceSlack};
}

}  // namespace resnet::gpu
