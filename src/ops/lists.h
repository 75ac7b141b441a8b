// The explicit list of operations: one function a file, and registry.cpp calls them all.
#pragma once

#include <span>

#include "ops/operation.h"

namespace resnet::ops {

using OperationList = std::span<const Operation* const>;

OperationList conv2d_operations();
OperationList conv2d_pooled_operations();
OperationList linear_operations();
OperationList batch_norm_operations();
OperationList relu_operations();
OperationList add_operations();
OperationList channel_sum_operations();
OperationList max_pool_operations();
OperationList avg_pool_operations();
OperationList flatten_operations();
OperationList dropout_operations();
OperationList cross_entropy_operations();
OperationList sgd_operations();

}  // namespace resnet::ops
