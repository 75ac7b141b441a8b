// A network beside another program's, layer by layer: where do they begin to differ?
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "resnet/engine.h"
#include "resnet/model_file.h"

namespace resnet {

/// What a module gave here and there. Of outputs that cannot be compared, and of numbers that are not finite at
/// other places, the differences are NaN.
struct LayerComparison {
  std::string name = {};   // path of the module, "output" for what the network gives
  Shape shape = {};        // there
  double largest = 0;      // |there|
  double absolute = 0;     // largest difference of an element
  double relative = 0;     // the same by the root mean square there
  double tolerance = 0;    // of `relative`
  std::string fault = {};  // why they differ; "" where they do not
  bool differs() const noexcept { return !fault.empty(); }
};

/// What compare_layers() found.
struct Comparison {
  std::vector<LayerComparison> layers;  // in the order in which our network computes them
  std::vector<std::string> unknown;     // names that no module here has; not compared
  DeviceInfo device;                    // that computed ours
};

/// Computes a model on the `input` of a reference and compares what each module gives with what it gave
/// there. `activations`: `input`, f32 [N,C,H,W] as the network sees it, and by module path, as PyTorch calls
/// them, the outputs of modules, f32 or f64; of one that is called several times, the last. A container's output is
/// that of the last operation in it.
///
/// For each of them our network is cut after it and run by make_engine(), with all that the engine fuses
/// before the cut. Tolerance: a sum of K products in f32 is off by about 2^-24 sqrt(K) of its size, and what
/// comes through layers adds up in quadrature; two programs, the largest of many elements, cancellation and
/// Winograd's transforms make it up to 16 times as much. With bf16 2^-9 (tf32 2^-12) beside it for each one.
///
/// Throws FormatError if there is no input, one of another kind, or nothing to compare, ShapeError if the
/// input does not fit the network, and what make_engine() throws.
Comparison compare_layers(const ModelFile& model, const State& activations,
                          const EngineOptions& options = {});

/// The same of a safetensors file. Throws IoError, FormatError, also for an input that does not fit, and what
/// make_engine() throws.
Comparison compare_layers(const ModelFile& model, const std::filesystem::path& activations,
                          const EngineOptions& options = {});

}  // namespace resnet
