// Which engine of cuDNN computes a pass of a convolution: the lines of cudnn_sm_<architecture>.def, which a
// tool makes (tools/cudnn_table.cpp) and a person commits. Nothing is measured or asked for at run time, so
// that the same engines compute, with the same bits, in every run.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "device/api.h"
#include "kernels/conv/conv.h"

namespace resnet::gpu {

/// Most knobs of a line.
inline constexpr int kMostLineKnobs = 9;

/// A line: square kernels without dilation, for images of any number. There are thousands of them, so that
/// types and values of knobs lie apart, without gaps.
struct CudnnLine {
  std::uint8_t architecture;  // compute capability: 90 is 9.0
  bool bf16;                  // else f32, multiplied as tf32
  kernels::ConvPass pass;
  std::uint8_t kernel, stride, padding;
  std::uint8_t knobs = 0;  // how many
  std::array<std::uint8_t, kMostLineKnobs> knob_types = {};
  std::int16_t groups, ci, co, h, w;
  std::int16_t engine;
  std::array<std::int16_t, kMostLineKnobs> knob_values = {};
  std::int32_t workspace_bytes, image_workspace_bytes;  // at most the first, and the second for each image
};
static_assert(sizeof(CudnnLine) == 56);
std::span<const CudnnLine> cudnn_table();

/// A line as a pass of n images.
struct CudnnChoice {
  resnet_convolution what;
  std::int64_t workspace_bytes;  // at most, with a MiB for what a described card does not tell
};
CudnnChoice choice_of(const CudnnLine& line, const kernels::ConvGeometry& g, bool adds);

/// The line of these channels and this window whose map is nearest in pixels; of the architecture itself, or
/// the next smaller one with its major number, whose code it runs.
const CudnnLine* find_cudnn_line(int architecture, kernels::ConvPass pass, bool bf16,
                                 const kernels::ConvGeometry& g);

}  // namespace resnet::gpu
