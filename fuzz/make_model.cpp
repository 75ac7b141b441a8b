#include "make_model.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "io/safetensors.h"
#include "ops/operation.h"
#include "resnet/data.h"
#include "resnet/graph.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

using graph::Attributes;
using graph::Role;
using graph::ValueId;

// ---- networks

class NetworkMaker {
 public:
  explicit NetworkMaker(Choices& choices) : choices_(choices) {}

  graph::Graph make() {
    channels_ = choices_.between(1, choices_.one_in(4) ? 20 : 4);
    const std::int64_t height = choices_.between(1, 14), width = choices_.between(1, 14);
    values_.push_back(graph_.add_input("images", {{1, channels_, height, width}, DType::f32}));
    current_ = values_.front();
    const std::size_t count = choices_.below(choices_.one_in(8) ? 60 : 12);
    for (std::size_t i = 0; i < count; ++i) add_node();
    if (!choices_.one_in(8)) add_classifier();
    graph_.add_output("output", choices_.one_in(16) ? choices_.of(values_) : current_);
    if (choices_.one_in(16)) graph_.add_output(choices_.one_in(2) ? "output" : "more", choices_.of(values_));
    return std::move(graph_);
  }

  std::int64_t channels() const { return channels_; }

 private:
  const Shape& shape() const { return graph_.value(current_).type.shape; }

  // A parameter of this shape; sometimes a buffer, one that is there, or a computed value.
  ValueId state(const Shape& wanted, Role role = Role::parameter) {
    if (choices_.one_in(12)) {
      for (const ValueId id : values_) {
        if (graph_.value(id).type.shape == wanted && choices_.one_in(2)) return id;
      }
    }
    if (choices_.one_in(16)) role = role == Role::parameter ? Role::buffer : Role::parameter;
    std::string name = "t" + std::to_string(values_.size());
    if (choices_.one_in(40)) name += ".num_batches_tracked";
    const ValueId id = graph_.add_state(role, name, {wanted, DType::f32});
    values_.push_back(id);
    return id;
  }

  std::vector<std::int64_t> pair(std::int64_t least, std::int64_t most) {
    if (choices_.one_in(2)) return {least, least};
    return {choices_.between(least, most), choices_.between(least, most)};
  }

  // Adds it if its shapes fit; it is the current value then.
  void add(const std::string& op, const Attributes& attributes, std::vector<ValueId> inputs) {
    try {
      const auto outputs = graph_.add_node(ops::read(op, attributes),
                                           "n" + std::to_string(graph_.nodes().size()), std::move(inputs));
      current_ = outputs.front();
      for (const ValueId id : outputs) {
        if (id != graph::kNone) values_.push_back(id);
      }
    } catch (const ShapeError&) {
    }
  }

  void add_conv() {
    if (shape().rank() != 4) return;
    const std::int64_t in = shape()[1];
    const std::int64_t groups = choices_.one_in(4) ? in : 1;
    const std::int64_t out = groups * choices_.between(1, choices_.one_in(4) ? 24 : 4);
    const std::vector<std::int64_t> kernel =
        choices_.one_in(2) ? std::vector<std::int64_t>{3, 3} : pair(1, 5);
    const ValueId w = state({out, in / groups, kernel[0], kernel[1]});
    const ValueId bias = choices_.one_in(3) ? state({out}) : graph::kNone;
    add("conv2d",
        {{"stride", pair(1, 3)},
         {"padding", pair(choices_.one_in(2) ? 1 : 0, 3)},
         {"dilation", pair(1, 2)},
         {"groups", groups}},
        {current_, w, bias});
  }

  void add_norm() {
    if (shape().rank() != 4 && shape().rank() != 2) return;
    const Shape channels = {shape()[1]};
    const ValueId gamma = state(channels), beta = state(channels);
    const ValueId mean = state(channels, Role::buffer), variance = state(channels, Role::buffer);
    add("batch_norm",
        {{"eps", choices_.one_in(8) ? 0.5 : 1e-5},
         {"momentum", 0.1},
         {"training", std::int64_t{choices_.one_in(16) ? 1 : 0}}},
        {current_, gamma, beta, mean, variance});
  }

  void add_sum() {
    std::vector<ValueId> fitting;
    for (const ValueId id : values_) {
      if (graph_.value(id).type == graph_.value(current_).type) fitting.push_back(id);
    }
    add("add", {},
        choices_.one_in(2) ? std::vector{current_, choices_.of(fitting)}
                           : std::vector{choices_.of(fitting), current_});
  }

  void add_pool(const std::string& op) {
    Attributes attributes = {
        {"kernel", pair(2, 4)}, {"stride", pair(2, 3)}, {"padding", pair(choices_.one_in(2) ? 1 : 0, 2)}};
    if (op == "avg_pool" && choices_.one_in(2)) attributes.set("count_padding", std::int64_t{0});
    add(op, attributes, {current_});
  }

  void add_activation() {
    static const std::vector<std::string> kActivations = {"relu", "relu", "relu", "sigmoid", "silu", "gelu"};
    add(choices_.of(kActivations), {}, {current_});
  }

  // With a value of any shape, which may not fit.
  void add_pair() {
    const ValueId other = choices_.of(values_);
    add(choices_.one_in(2) ? "mul" : "concat", {},
        choices_.one_in(2) ? std::vector{current_, other} : std::vector{other, current_});
  }

  void add_node() {
    switch (choices_.below(14)) {
      case 0:
      case 1:
      case 2:
        return add_conv();
      case 3:
      case 4:
        return add_norm();
      case 5:
      case 6:
        return add_activation();
      case 7:
        return add_sum();
      case 8:
        return add_pool("max_pool");
      case 9:
        return add_pool("avg_pool");
      case 10:
        current_ = choices_.of(values_);  // a branch
        return;
      case 11:
      case 12:
        return add_pair();
      default:
        return add(choices_.one_in(2) ? "flatten" : "global_avg_pool", {}, {current_});
    }
  }

  void add_classifier() {
    if (shape().rank() == 4 && choices_.one_in(2)) add("global_avg_pool", {}, {current_});
    if (shape().rank() == 4) add("flatten", {}, {current_});
    if (shape().rank() != 2) return;
    const std::int64_t classes = choices_.between(1, 12);
    const ValueId w = state({classes, shape()[1]});
    add("linear", {}, {current_, w, choices_.one_in(2) ? state({classes}) : graph::kNone});
  }

  Choices& choices_;
  graph::Graph graph_;
  std::int64_t channels_ = 1;
  std::vector<ValueId> values_;
  ValueId current_ = graph::kNone;
};

// ---- changes of its text

std::size_t count_of(const Json& value) {
  std::size_t count = 1;
  if (value.is_object()) {
    for (const auto& [key, member] : value.members()) count += count_of(member);
  } else if (value.is_list()) {
    for (const Json& element : value.elements()) count += count_of(element);
  }
  return count;
}

// What a file may say, and what it must not.
const std::vector<std::string> kWords = words_of(
    "conv2d linear batch_norm relu add mul concat sigmoid silu gelu max_pool avg_pool global_avg_pool "
    "flatten dropout "
    "conv2d_pooled conv2d_weight_gradient batch_norm_gradient slice sgd cross_entropy unflatten images "
    "output input "
    "parameter buffer f32 f64 i64 u8 bf16 num_batches_tracked \x1b[2J");
const std::vector<std::string> kOptions =
    words_of("signs sums table_only given pool_kernel statistics norm_prologue training stride groups");

Json random_value(Choices& choices) {
  constexpr std::array<std::int64_t, 14> kNumbers = {-1,
                                                     0,
                                                     1,
                                                     2,
                                                     3,
                                                     7,
                                                     255,
                                                     65535,
                                                     1 << 20,
                                                     std::int64_t{1} << 31U,
                                                     std::int64_t{1} << 32U,
                                                     std::int64_t{1} << 62U,
                                                     std::numeric_limits<std::int64_t>::max(),
                                                     std::numeric_limits<std::int64_t>::min()};
  switch (choices.below(8)) {
    case 0:
      return {};
    case 1:
      return true;
    case 2:
      return choices.one_in(2) ? 0.5 : -1e300;
    case 3:
      return Json(choices.of(kWords));
    case 4:
      return Json::list();
    case 5:
      return Json::object();
    default:
      return kNumbers.at(choices.below(kNumbers.size()));
  }
}

Json changed(Choices& choices, const Json& value) {
  if (choices.one_in(4)) return random_value(choices);
  if (value.is_whole()) {  // wraps, as the largest numbers shall too
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(value.whole()) +
                                     static_cast<std::uint64_t>(choices.between(-3, 3)));
  }
  if (value.is_text()) return Json(choices.of(kWords));
  if (value.is_list() && value.size() > 0) {
    const std::size_t at = choices.below(value.size()), kind = choices.below(3);
    Json list = Json::list();
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i != at || kind != 0) list.push_back(value[i]);
      if (i == at && kind != 0) list.push_back(kind == 1 ? value[i] : value[choices.below(value.size())]);
    }
    return list;
  }
  if (value.is_object() && value.size() > 0) {
    const std::size_t at = choices.below(value.size()), kind = choices.below(3);
    Json object = Json::object();
    for (std::size_t i = 0; i < value.size(); ++i) {
      const auto& [key, member] = value.members()[i];
      if (i != at || kind == 2) object.add(key, member);
      if (i == at && kind == 1) object.add(choices.of(kWords) + "_", member);
    }
    const std::string& option = choices.of(kOptions);
    if (kind == 2 && object.find(option) == nullptr) object.add(option, random_value(choices));
    return object;
  }
  return random_value(choices);
}

// The value with its `left`-th part changed, counted in the order of the text.
Json with_change(Choices& choices, const Json& value, std::size_t& left) {
  if (left-- == 0) return changed(choices, value);
  if (value.is_object()) {
    Json object = Json::object();
    for (const auto& [key, member] : value.members()) object.add(key, with_change(choices, member, left));
    return object;
  }
  if (value.is_list()) {
    Json list = Json::list();
    for (const Json& element : value.elements()) list.push_back(with_change(choices, element, left));
    return list;
  }
  return value;
}

// ---- tensors

Tensor random_tensor(Choices& choices, const Shape& shape, DType dtype, const std::string& name) {
  Tensor tensor(shape, dtype);
  if (dtype != DType::f32) return tensor;
  const RandomStream random(choices.byte(), name);
  const auto elements = tensor.values();
  const double fan = shape.rank() == 4   ? static_cast<double>(shape[1] * shape[2] * shape[3])
                     : shape.rank() == 2 ? static_cast<double>(shape[1])
                                         : 1;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    // A norm's variance and scale have this shape too: away from 0.
    const double unit = random.uniform(i);
    elements[i] = static_cast<float>(shape.rank() < 2 ? 0.5 + unit : (2 * unit - 1) * 1.7 / std::sqrt(fan));
  }
  if (choices.one_in(40) && !elements.empty()) {
    constexpr float kBig = 3e38F, kInf = std::numeric_limits<float>::infinity();
    elements[choices.below(elements.size())] =
        choices.of(std::vector<float>{kInf, -kInf, kInf - kInf, kBig, -kBig, -1});
  }
  return tensor;
}

// The tensors that a text asks for, as far as it is understood.
io::NamedTensors tensors_of(Choices& choices, const Json& document) {
  io::NamedTensors tensors;
  const Json* values = document.find("values");
  if (values == nullptr || !values->is_list()) return tensors;
  for (const Json& value : values->elements()) {
    const Json *name = value.find("name"), *role = value.find("role"), *shape = value.find("shape");
    if (name == nullptr || role == nullptr || shape == nullptr || !name->is_text() || !role->is_text() ||
        !shape->is_list())
      continue;
    if (role->text() == "input" || choices.one_in(200)) continue;
    std::vector<std::int64_t> extents;
    double elements = 1;
    for (const Json& extent : shape->elements()) {
      extents.push_back(extent.is_whole() ? extent.whole() : 1);
      elements *= static_cast<double>(extents.back());
    }
    if (elements < 0 || elements > 1 << 20 || extents.size() > 6) continue;
    bool known = false;
    for (const auto& [other, tensor] : tensors) known = known || other == name->text();
    if (known || name->text() == "__metadata__") continue;
    try {
      tensors.emplace_back(name->text(), random_tensor(choices, Shape(extents), DType::f32, name->text()));
    } catch (const ShapeError&) {
    }
  }
  if (choices.one_in(100)) tensors.emplace_back("extra", Tensor({choices.between(0, 3)}));
  return tensors;
}

}  // namespace

void write_random_model(Choices& choices, const std::filesystem::path& path) {
  NetworkMaker maker(choices);
  Json document = parse_json(graph::to_json(maker.make()));
  for (std::size_t changes = choices.one_in(2) ? choices.below(4) : 0; changes > 0; --changes) {
    std::size_t part = choices.below(count_of(document));
    document = with_change(choices, document, part);
  }
  data::Preprocessing preprocessing;
  preprocessing.channels = choices.one_in(60) ? choices.between(0, 8) : maker.channels();
  const auto classes = static_cast<std::size_t>(choices.one_in(4) ? choices.between(1, 12) : 0);
  const std::string text = document.dump({.replace = true});
  io::write_safetensors(path, tensors_of(choices, document),
                        {{"format", "pt"},
                         {"resnet.format", "1"},
                         {"resnet.graph", text},
                         {"resnet.preprocessing", data::to_json(preprocessing)},
                         {"resnet.classes", Json(std::vector<std::string>(classes, "c")).dump()}});
  if (!choices.one_in(20)) return;
  std::string bytes = read_text(path);
  for (std::size_t flips = 1 + choices.below(4); flips > 0 && !bytes.empty(); --flips) {
    bytes[choices.below(bytes.size())] = static_cast<char>(choices.byte());
  }
  if (choices.one_in(4)) bytes.resize(choices.below(bytes.size() + 1));
  write_file(path, bytes);
}

}  // namespace resnet::fuzz
