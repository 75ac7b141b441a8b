#include <array>
#include <unordered_map>

#include "ops/lists.h"

namespace resnet::ops {
namespace {

constexpr std::array kLists = {
    conv2d_operations,   conv2d_pooled_operations, linear_operations,      batch_norm_operations,
    relu_operations,     add_operations,           channel_sum_operations, max_pool_operations,
    avg_pool_operations, flatten_operations,       dropout_operations,     cross_entropy_operations,
    sgd_operations,
};

struct Registry {
  std::vector<const Operation*> list;
  std::unordered_map<std::string_view, const Operation*> by_name;
  Registry() {
    for (const auto& operations : kLists) {
      for (const Operation* operation : operations()) {
        list.push_back(operation);
        by_name.emplace(operation->name(), operation);
      }
    }
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

}  // namespace

std::span<const Operation* const> all() {
  return registry().list;
}

const Operation* find(std::string_view name) {
  const auto found = registry().by_name.find(name);
  return found == registry().by_name.end() ? nullptr : found->second;
}

const Operation& get(std::string_view name) {
  const Operation* operation = find(name);
  if (operation == nullptr) throw FormatError("there is no operation '" + std::string(name) + "'");
  return *operation;
}

const graph::OpRules* find_rules(std::string_view name) {
  return find(name);
}

}  // namespace resnet::ops
