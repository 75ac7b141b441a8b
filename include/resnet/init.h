// Ways to begin training beside those of nn::init(): each changes some parameters of a network that is
// initialised.
#pragma once

#include <functional>
#include <string>

#include "resnet/nn.h"
#include "resnet/tensor.h"

namespace resnet::nn {

/// Filter i of every convolution whose sides are odd gives input channel i, as far as there are both; the
/// others stay as they are. With groups, filter i of each group gives the group's channel i.
/// Left out are convolutions that pass no map on: those of SqueezeExcite, which make gates, and a classifier
/// whose weight has a Parameter::deviation of its own (resnetv2's head.fc).
/// Source: torch.nn.init.dirac_; airbench of Jordan, arXiv 2404.00498.
void init_dirac(Module& net);

/// The last norm of every nn::ResidualBlock has the weight 0: the block begins as its shortcut. Where norms
/// come first it is the last convolution. A block without a shortcut, which would pass nothing on, stays as it
/// is, and so does one of your own that does not derive from ResidualBlock.
/// Source: Goyal et al., arXiv 1706.02677, section 5.1; torchvision's zero_init_residual, timm's
/// zero_init_last.
void init_zero_gamma(Module& net);

/// The first convolution's filters become the eigenvectors of the covariance of `images`' patches [N,C,H,W],
/// each divided by the root of its eigenvalue + 5e-4, largest first, and then their negatives, as far as
/// there are filters; its bias becomes 0. A patch of n elements fills 2n filters (54 of 3x3 pixels in colour,
/// 18 in gray): what is beyond stays random. Gives the convolution's path; it is meant to be frozen, with
/// those filters. Throws ConfigError if the network does not begin with a convolution of the images'
/// channels, there are no images, or they are smaller than a patch. Source: airbench, as above.
std::string init_whitening(Module& net, const Tensor& images);
/// The same of images that come in batches, so that not all are there at once, until `next` gives null.
std::string init_whitening(Module& net, const std::function<const Tensor*()>& next);

}  // namespace resnet::nn
