#include "io/onnx/evaluate.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/text.h"
#include "io/onnx/value.h"

namespace resnet::io::onnx {
namespace {

constexpr std::int64_t kMaxRank = 8;

[[noreturn]] void refuse(const schema::NodeProto& node, const std::string& what) {
  throw FormatError(
      fmt::format("its node '{}' ({}) {}", shown(node.name(), 100), shown(node.op_type(), 30), what),
      "it was not written by this program, or is damaged");
}

Extents broadcast(const schema::NodeProto& node, const Extents& a, const Extents& b) {
  const Extents& longer = a.size() >= b.size() ? a : b;
  const Extents& shorter = a.size() >= b.size() ? b : a;
  Extents result = longer;
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    std::int64_t& extent = result[result.size() - 1 - i];
    const std::int64_t other = shorter[shorter.size() - 1 - i];
    if (extent != other && extent != 1 && other != 1) refuse(node, "has operands that do not fit");
    extent = extent == 1 ? other : extent;
  }
  return result;
}

class Evaluator {
 public:
  explicit Evaluator(const schema::GraphProto& graph) : graph_(graph) {
    for (const schema::TensorProto& tensor : graph.initializer()) constants_.emplace(tensor.name(), &tensor);
  }

  Value run(int nodes, Value picture) {
    std::map<std::string, int> last_reader;
    for (int i = 0; i < nodes; ++i) {
      for (const std::string& input : graph_.node(i).input()) last_reader[input] = i;
    }
    values_[graph_.input(0).name()] = std::move(picture);
    for (int i = 0; i < nodes; ++i) {
      const schema::NodeProto& node = graph_.node(i);
      values_[node.output(0)] = result_of(node);
      for (const std::string& input : node.input()) {
        if (last_reader[input] == i) values_.erase(input);  // a photograph takes 300 MB as doubles
      }
    }
    return std::move(values_[graph_.node(nodes - 1).output(0)]);
  }

 private:
  const Value& operand(const schema::NodeProto& node, int i) {
    if (i >= node.input_size()) refuse(node, "lacks an operand");
    const auto found = values_.find(node.input(i));
    if (found != values_.end()) return found->second;
    const auto stored = constants_.find(node.input(i));
    if (stored == constants_.end()) refuse(node, "reads what is not there");
    return values_[node.input(i)] = constant(*stored->second);
  }

  // The only number of an operand, or its first, within [0, most].
  std::int64_t number(const schema::NodeProto& node, int i, std::int64_t most) {
    const Value& value = operand(node, i);
    if (value.numbers.empty() || !(value.numbers[0] >= 0 && value.numbers[0] <= static_cast<double>(most)))
      refuse(node, "has an operand that is out of range");
    return static_cast<std::int64_t>(value.numbers[0]);
  }

  static std::int64_t whole(const schema::NodeProto& node, const char* name) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() == name) return attribute.i();
    }
    refuse(node, fmt::format("has no {}", name));
  }

  template <class F>
  Value each(const schema::NodeProto& node, const F& f) {
    Value result = operand(node, 0);
    for (double& x : result.numbers) x = as_type(result.type, f(x));
    return result;
  }

  template <class F>
  Value pairs(const schema::NodeProto& node, const F& f, bool truth = false) {
    const Value &a = operand(node, 0), &b = operand(node, 1);
    Value result{truth ? int{schema::TensorProto::BOOL} : a.type, broadcast(node, a.shape, b.shape), {}};
    result.numbers.resize(static_cast<std::size_t>(count(result.shape)));
    for_each<2>(result.shape, {steps(a.shape, result.shape), steps(b.shape, result.shape)},
                [&](std::int64_t i, const std::array<std::int64_t, 2>& at) {
                  result.numbers[static_cast<std::size_t>(i)] =
                      as_type(result.type, f(a.numbers[static_cast<std::size_t>(at[0])],
                                             b.numbers[static_cast<std::size_t>(at[1])]));
                });
    return result;
  }

  Value where(const schema::NodeProto& node) {
    const Value &chosen = operand(node, 0), &a = operand(node, 1), &b = operand(node, 2);
    Value result{a.type, broadcast(node, chosen.shape, broadcast(node, a.shape, b.shape)), {}};
    result.numbers.resize(static_cast<std::size_t>(count(result.shape)));
    for_each<3>(
        result.shape,
        {steps(chosen.shape, result.shape), steps(a.shape, result.shape), steps(b.shape, result.shape)},
        [&](std::int64_t i, const std::array<std::int64_t, 3>& at) {
          result.numbers[static_cast<std::size_t>(i)] = chosen.numbers[static_cast<std::size_t>(at[0])] != 0
                                                            ? a.numbers[static_cast<std::size_t>(at[1])]
                                                            : b.numbers[static_cast<std::size_t>(at[2])];
        });
    return result;
  }

  Value shape(const schema::NodeProto& node) {
    const Value& x = operand(node, 0);
    return {schema::TensorProto::INT64,
            {static_cast<std::int64_t>(x.shape.size())},
            {x.shape.begin(), x.shape.end()}};
  }

  Value cast(const schema::NodeProto& node) {
    Value result = operand(node, 0);
    result.type = static_cast<int>(whole(node, "to"));
    for (double& x : result.numbers) x = as_type(result.type, x);
    return result;
  }

  Value range(const schema::NodeProto& node) {
    constexpr std::int64_t kMost = std::int64_t{1} << 20;  // pixels of a side
    Value result{operand(node, 0).type, {number(node, 1, kMost)}, {}};
    for (std::int64_t i = 0; i < count(result.shape); ++i) result.numbers.push_back(static_cast<double>(i));
    return result;
  }

  Value unsqueeze(const schema::NodeProto& node) {
    Value result = operand(node, 0);
    const std::int64_t axis = number(node, 1, static_cast<std::int64_t>(result.shape.size()));
    result.shape.insert(result.shape.begin() + axis, 1);
    return result;
  }

  Value gather(const schema::NodeProto& node) {
    const Value &x = operand(node, 0), &indices = operand(node, 1);
    const std::int64_t axis = whole(node, "axis");
    if (axis < 0 || axis >= static_cast<std::int64_t>(x.shape.size()))
      refuse(node, "has an axis that is not there");
    const auto split = x.shape.begin() + axis;
    const std::int64_t before = count({x.shape.begin(), split}), inner = count({split + 1, x.shape.end()});
    Value result{x.type, {x.shape.begin(), split}, {}};
    result.shape.insert(result.shape.end(), indices.shape.begin(), indices.shape.end());
    result.shape.insert(result.shape.end(), split + 1, x.shape.end());
    static_cast<void>(count(result.shape));
    for (std::int64_t i = 0; i < before; ++i) {
      for (const double index : indices.numbers) {
        if (!(index >= 0 && index < static_cast<double>(*split)))
          refuse(node, "has an index that is not there");
        const auto from = x.numbers.begin() + (i * *split + static_cast<std::int64_t>(index)) * inner;
        result.numbers.insert(result.numbers.end(), from, from + inner);
      }
    }
    return result;
  }

  // Over the last axis, which stays with extent 1.
  Value reduce_sum(const schema::NodeProto& node) {
    const Value& x = operand(node, 0);
    if (x.shape.empty() || number(node, 1, kMaxRank) + 1 != static_cast<std::int64_t>(x.shape.size()))
      refuse(node, "sums over another axis than the last");
    const std::int64_t columns = x.shape.back();
    Value result{x.type, x.shape, {}};
    result.shape.back() = 1;
    const double* from = x.numbers.data();
    for (std::int64_t row = count(result.shape); row > 0; --row) {
      double sum = 0;
      for (std::int64_t i = 0; i < columns; ++i) sum = as_type(x.type, sum + *from++);
      result.numbers.push_back(sum);
    }
    return result;
  }

  Value transpose(const schema::NodeProto& node) {
    const Value& x = operand(node, 0);
    Value result{x.type, {}, std::vector<double>(x.numbers.size())};
    if (node.attribute_size() != 1 ||
        static_cast<std::size_t>(node.attribute(0).ints_size()) != x.shape.size())
      refuse(node, "permutes another number of axes");
    const auto& perm = node.attribute(0).ints();
    const Extents all = [&] {
      Extents each(x.shape.size(), 1);
      for (std::size_t axis = x.shape.size(); axis-- > 1;) each[axis - 1] = each[axis] * x.shape[axis];
      return each;
    }();
    Extents step;
    for (std::int64_t axis = 0; axis < perm.size(); ++axis) {
      if (std::ranges::find(perm, axis) == perm.end()) refuse(node, "permutes no axes");
    }
    for (const std::int64_t axis : perm) {
      result.shape.push_back(x.shape[static_cast<std::size_t>(axis)]);
      step.push_back(all[static_cast<std::size_t>(axis)]);
    }
    for_each<1>(result.shape, {step}, [&](std::int64_t i, const std::array<std::int64_t, 1>& at) {
      result.numbers[static_cast<std::size_t>(i)] = x.numbers[static_cast<std::size_t>(at[0])];
    });
    return result;
  }

  // Of matrices, one of which may be many: [...,M,K] [K,N] or [M,K] [...,K,N].
  Value matmul(const schema::NodeProto& node) {
    const Value &a = operand(node, 0), &b = operand(node, 1);
    const Value& many = a.shape.size() >= b.shape.size() ? a : b;
    if (a.shape.size() < 2 || b.shape.size() < 2 || (a.shape.size() != 2 && b.shape.size() != 2) ||
        a.shape.back() != b.shape[b.shape.size() - 2])
      refuse(node, "has operands that do not fit");
    const std::int64_t m = a.shape[a.shape.size() - 2], k = a.shape.back(), n = b.shape.back();
    Value result{a.type, {many.shape.begin(), many.shape.end() - 2}, {}};
    const std::int64_t batch = count(result.shape);
    result.shape.insert(result.shape.end(), {m, n});
    result.numbers.resize(static_cast<std::size_t>(count(result.shape)));
    const double* left = a.numbers.data();
    const double* right = b.numbers.data();
    double* to = result.numbers.data();
    for (std::int64_t i = 0; i < batch; ++i) {
      multiply(left + (a.shape.size() > 2 ? i * m * k : 0), right + (b.shape.size() > 2 ? i * k * n : 0),
               to + i * m * n, m, k, n);
    }
    return result;
  }

  // Weights are nearly all zero, on the left and on the right.
  static void multiply(const double* a, const double* b, double* to, std::int64_t m, std::int64_t k,
                       std::int64_t n) {
    std::vector<std::pair<std::int64_t, std::int64_t>> filled;  // columns of each row of b
    for (std::int64_t i = 0; i < k; ++i) {
      std::int64_t begin = 0, end = n;
      while (begin < end && b[i * n + begin] == 0) ++begin;
      while (end > begin && b[i * n + end - 1] == 0) --end;
      filled.emplace_back(begin, end);
    }
    for (std::int64_t row = 0; row < m; ++row) {
      for (std::int64_t i = 0; i < k; ++i) {
        const double factor = a[row * k + i];
        if (factor == 0) continue;
        const auto [begin, end] = filled[static_cast<std::size_t>(i)];
        for (std::int64_t column = begin; column < end; ++column)
          to[row * n + column] += factor * b[i * n + column];
      }
    }
  }

  Value result_of(const schema::NodeProto& node) {
    using Member = Value (Evaluator::*)(const schema::NodeProto&);
    static const std::unordered_map<std::string, Member> kMembers = {
        {"Where", &Evaluator::where},         {"Shape", &Evaluator::shape},
        {"Cast", &Evaluator::cast},           {"Range", &Evaluator::range},
        {"Unsqueeze", &Evaluator::unsqueeze}, {"Gather", &Evaluator::gather},
        {"MatMul", &Evaluator::matmul},       {"Transpose", &Evaluator::transpose},
        {"ReduceSum", &Evaluator::reduce_sum}};
    using One = double (*)(double);
    static const std::unordered_map<std::string, One> kOnes = {
        {"Identity", [](double x) { return x; }},
        {"Abs", [](double x) { return std::abs(x); }},
        {"Floor", [](double x) { return std::floor(x); }},
        {"Ceil", [](double x) { return std::ceil(x); }},
        {"Round", [](double x) { return std::nearbyint(x); }},
        {"Sign", [](double x) { return x > 0   ? 1.0
                                       : x < 0 ? -1.0
                                               : x; }}};
    using Two = double (*)(double, double);
    static const std::unordered_map<std::string, Two> kTwos = {
        {"Add", [](double a, double b) { return a + b; }},
        {"Sub", [](double a, double b) { return a - b; }},
        {"Mul", [](double a, double b) { return a * b; }},
        {"Div", [](double a, double b) { return a / b; }},
        {"Min", [](double a, double b) { return std::min(a, b); }},
        {"Max", [](double a, double b) { return std::max(a, b); }}};
    static const std::unordered_map<std::string, Two> kTruths = {
        {"Less", [](double a, double b) { return a < b ? 1.0 : 0.0; }},
        {"GreaterOrEqual", [](double a, double b) { return a >= b ? 1.0 : 0.0; }},
        {"Or", [](double a, double b) { return a != 0 || b != 0 ? 1.0 : 0.0; }}};
    const std::string& op = node.op_type();
    if (const auto found = kMembers.find(op); found != kMembers.end()) return (this->*found->second)(node);
    if (const auto found = kOnes.find(op); found != kOnes.end()) return each(node, found->second);
    if (const auto found = kTwos.find(op); found != kTwos.end()) return pairs(node, found->second);
    if (const auto found = kTruths.find(op); found != kTruths.end()) return pairs(node, found->second, true);
    refuse(node, "is no operator of a preprocessing");
  }

  const schema::GraphProto& graph_;
  std::map<std::string, const schema::TensorProto*> constants_;
  std::map<std::string, Value> values_;
};

}  // namespace

Tensor evaluate(const schema::GraphProto& graph, int nodes, const images::Image& picture) {
  Value bytes{schema::TensorProto::UINT8,
              {1, picture.height, picture.width, picture.channels},
              {picture.pixels.begin(), picture.pixels.end()}};
  const Value value = Evaluator(graph).run(nodes, std::move(bytes));
  if (value.shape.size() != 4) throw FormatError("its preprocessing makes no picture");
  Tensor result(Shape(value.shape));
  std::ranges::transform(value.numbers, result.values().begin(),
                         [](double x) { return static_cast<float>(x); });
  return result;
}

}  // namespace resnet::io::onnx
