// Labels for pictures: a trained network's answers for files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "resnet/model_file.h"
#include "resnet/train.h"

namespace resnet {

/// The answer for one picture.
struct Prediction {
  std::filesystem::path file;
  std::string error;                               // why there is none, one line; "" where there is
  std::vector<std::pair<std::string, float>> top;  // class and probability (softmax), the likeliest first
};

struct PredictOptions {
  std::int64_t top = 5;          // classes of an answer; all where there are fewer
  std::int64_t batch_size = 32;  // pictures that go through the network together
  int threads = 0;               // that read and decode; 0: as many as the engine's, at most 8, or all of
                                 // them where they take turns with the network
  Views views = Views::one;      // of each picture, whose outputs are averaged
};

/// Answers for `files`, in their order; each is given to `done` as it comes. Pictures are read and decoded
/// beside the network: in memory are a batch for each of these threads, at least three, and the network's. Where
/// its input follows the picture's size it is in turns with it, and neighbours of one shape go through it
/// together, in batches of 1, 2, 4, ... A file that cannot be read, is no picture, or is one of a shape that the
/// preprocessing cannot take has an error, and the others their answers. The same bits for any number of
/// threads; with another batch size plans, and with them last digits, may be others. Throws ShapeError if the
/// network is no classifier or gives what is not finite, ConfigError for `top` or `batch_size` below 1 or
/// `threads` below 0; what `done` throws ends it.
void predict(const Model& model, std::span<const std::filesystem::path> files, const PredictOptions& options,
             const std::function<void(const Prediction&)>& done);

/// The answers, in the files' order.
std::vector<Prediction> predict(const Model& model, std::span<const std::filesystem::path> files,
                                const PredictOptions& options = {});

/// The same for one picture in memory, as its file would be. Throws FormatError for what would be its error.
Prediction predict(const Model& model, std::span<const std::uint8_t> file,
                   const PredictOptions& options = {});

}  // namespace resnet
