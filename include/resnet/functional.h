// Operations on values, for use within modules: each adds a node to the graph that is being built.
#pragma once

#include <initializer_list>

#include "resnet/graph.h"

namespace resnet {

/// max(x, 0). Gradient 0 at 0.
Value relu(Value x);
/// 1 / (1 + exp(-x)).
Value sigmoid(Value x);
/// x sigmoid(x), also called swish.
Value silu(Value x);
/// x Phi(x), with the normal distribution's function Phi: exact, as PyTorch's default.
Value gelu(Value x);
/// Elementwise sum of two values of one shape. Throws ShapeError, or ConfigError for those of two networks.
Value operator+(Value a, Value b);
/// Elementwise product of two values of one shape, or of a map [N,C,H,W] and a gate [N,C,1,1], in either
/// order. Throws ShapeError, or ConfigError for those of two networks.
Value operator*(Value a, Value b);
/// Values side by side along their channels: [N,A,H,W], [N,B,H,W], ... -> [N,A+B+...,H,W]; or [N,A], [N,B],
/// ... Throws ShapeError, or ConfigError for none and for those of two networks.
Value concat(std::initializer_list<Value> values);
/// Average over the whole map: x [N,C,H,W] -> y [N,C,1,1].
Value global_avg_pool(Value x);

}  // namespace resnet
