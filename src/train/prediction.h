// Answers in the form that programs read, and of pictures that go through the network together.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "base/json.h"
#include "resnet/predict.h"

namespace resnet::train {

/// {"file", "label", "probability", "top": [{"label", "probability"}]}, or {"file", "error"}.
Json json_of(const Prediction& prediction);

/// The outputs [N,K] for N pictures, whose inputs are tensors [1,H,W,C] of one shape.
template <class Pictures, class Input = std::identity>
Tensor outputs_of(const Model& model, const Pictures& pictures, Views views, Input input_of = {}) {
  const Tensor* input = &std::invoke(input_of, *std::begin(pictures));
  Tensor batch;
  if (std::ssize(pictures) > 1) {
    const Shape& shape = input->shape();
    batch = Tensor(Shape{std::ssize(pictures), shape[1], shape[2], shape[3]});
    float* to = batch.values().data();
    for (const auto& picture : pictures)
      to = std::ranges::copy(std::as_const(std::invoke(input_of, picture)).values(), to).out;
    input = &batch;
  }
  return infer(model.engine(), ImageView::nhwc(input->view<float>()), views);
}

}  // namespace resnet::train
