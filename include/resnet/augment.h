// Random changes of training examples, as data: a part of a run, while what every picture goes through
// (data::Preprocessing) is a part of the model. docs/transforms.md.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace resnet::data {

// Of the decoded picture, in Pillow's arithmetic; one of these two at most, and it comes first.

/// A box of random area and proportion (width / height), resized to what the network takes: it stands in
/// place of Preprocessing's resize and centre crop. As torchvision's.
struct RandomResizedCrop {
  double least_area = 0.08, most_area = 1;  // shares of the picture's
  double least_ratio = 3.0 / 4.0, most_ratio = 4.0 / 3.0;
};
/// What the network takes, from anywhere in the resized picture with `padding` pixels around it: it stands in
/// place of the centre crop. As torchvision's RandomCrop, black or mirrored outside.
struct PaddingCrop {
  std::int64_t padding = 4;
  bool reflect = false;  // without the pixels at the edge; needs a picture larger than the padding
};

// Of the bytes of the cropped picture, in Pillow's arithmetic, in the order of the list.

/// The mirror image, by chance.
struct Flip {
  double probability = 0.5;  // of the mirror image
};
/// The mirror image every second time; each example begins with one or the other. Two epochs show both of
/// every example. Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv 2404.00498.
struct AlternatingFlip {};
/// Factors from [max(0, 1 - x), 1 + x], of the hue from [-x, x], x to 0.5, in a random order. As
/// torchvision's.
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
};
/// By an angle from [-degrees, degrees], black outside. As torchvision's.
struct Rotation {
  double degrees = 15;
  bool bilinear = false;  // between pixels; else the nearest one
};
/// Some of 14 operations, all of one magnitude of 0 to 30. As torchvision's. Source: Cubuk et al., 2020.
struct RandAugment {
  std::int64_t operations = 2, magnitude = 9;
  bool bilinear = false;  // what turns, shears and shifts, as of a Rotation
};
/// One of 14 operations of any magnitude. As torchvision's TrivialAugmentWide. Source: Müller, Hutter, 2021.
struct TrivialAugment {
  bool bilinear = false;  // as of a RandAugment
};

// Of the network's input, after normalisation, so that 0 is the mean.

/// A rectangle of zeros. As torchvision's. Source: Zhong et al., "Random erasing data augmentation", 2020.
struct RandomErasing {
  double probability = 0.5;
  double least_area = 0.02, most_area = 0.33;
  double least_ratio = 0.3, most_ratio = 3.3;  // height / width
};
/// A square of zeros about any pixel, cut off at the edges. Source: DeVries, Taylor, arXiv 1708.04552.
struct Cutout {
  std::int64_t side = 8;  // pixels
};

// Of a batch: each example with the one before it, the first with the last. If both are there, each batch
// takes one of them.

/// weight * example + (1 - weight) * other, with the weight from Beta(alpha, alpha), one for a batch. As
/// torchvision's. Source: Zhang et al., "mixup: beyond empirical risk minimization", 2018.
struct MixUp {
  double alpha = 0.2;
};
/// A box of the other, about a share of 1 - Beta(alpha, alpha); the weight is the share that is left. As
/// torchvision's. Source: Yun et al., "CutMix", 2019.
struct CutMix {
  double alpha = 1;
};

/// One of the changes above.
using Transform = std::variant<RandomResizedCrop, PaddingCrop, Flip, AlternatingFlip, ColorJitter, Rotation,
                               RandAugment, TrivialAugment, RandomErasing, Cutout, MixUp, CutMix>;

/// What happens to training examples, in this order. What a transform draws depends on the seed, the epoch,
/// the number of the example in its data set (of the batch in its epoch), how often the epoch has shown it
/// before (Order::balanced) and its place in the list, and on nothing else: not on threads, nor on the order
/// of examples.
using Augmentation = std::vector<Transform>;

/// Throws ConfigError for an option out of range, or an order that is not that of the groups above.
void check(const Augmentation& augmentation);
/// One line of JSON, [{"name": "flip", "probability": 0.5}, ...] after "version": 1, and back. Throws
/// FormatError for what it does not know, or what check() refuses.
std::string to_json(const Augmentation& augmentation);
Augmentation augmentation_from_json(const std::string& text);

}  // namespace resnet::data
