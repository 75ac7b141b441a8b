// ONNX files that no exporter of ours wrote: what they make a reader do is refused, by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "graph/names.h"
#include "io/folder_test.h"
#include "io/onnx/evaluate.h"
#include "io/onnx/read.h"
#include "io/onnx/value.h"
#include "resnet/export.h"
#include "support/message_of.h"
#include "support/networks.h"

namespace resnet::io::onnx {
namespace {

using schema::TensorProto;
using test::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// ---- a preprocessing, node by node

class Nodes {
 public:
  Nodes() { graph_.add_input()->set_name("picture"); }

  std::string constant(int type, const std::string& bytes, const Extents& shape) {
    TensorProto& tensor = *graph_.add_initializer();
    tensor.set_name("constant" + std::to_string(graph_.initializer_size()));
    tensor.set_data_type(type);
    for (const std::int64_t extent : shape) tensor.add_dims(extent);
    tensor.set_raw_data(bytes);
    return tensor.name();
  }
  std::string numbers(const std::vector<std::int64_t>& values, const Extents& shape) {
    return constant(TensorProto::INT64, {reinterpret_cast<const char*>(values.data()), 8 * values.size()},
                    shape);
  }
  std::string numbers(const std::vector<std::int64_t>& values) {
    return numbers(values, {std::ssize(values)});
  }
  std::string number(std::int64_t value) { return numbers({value}, {}); }

  std::string node(const std::string& op, const std::vector<std::string>& inputs, const char* whole = nullptr,
                   std::int64_t value = 0) {
    schema::NodeProto& node = *graph_.add_node();
    node.set_name("node");
    node.set_op_type(op);
    for (const std::string& input : inputs) node.add_input(input);
    if (whole != nullptr) {
      node.add_attribute()->set_name(whole);
      node.mutable_attribute(0)->set_i(value);
    }
    node.add_output("value" + std::to_string(graph_.node_size()));
    return node.output(0);
  }
  std::string transpose(const std::string& input, const std::vector<std::int64_t>& axes) {
    const std::string output = node("Transpose", {input}, "perm");
    for (const std::int64_t axis : axes)
      graph_.mutable_node(graph_.node_size() - 1)->mutable_attribute(0)->add_ints(axis);
    return output;
  }

  // Of a picture of 2x3 pixels, 1 to 18.
  std::vector<float> result() const {
    images::Image picture{2, 3, 3, {}};
    for (int i = 1; i <= 18; ++i) picture.pixels.push_back(static_cast<std::uint8_t>(i));
    const Tensor made = evaluate(graph_, graph_.node_size(), picture);
    return {made.values().begin(), made.values().end()};
  }
  std::string refusal() const {
    return message_of<FormatError>([&] { static_cast<void>(result()); });
  }

 private:
  schema::GraphProto graph_;
};

std::string refusal(const std::function<void(Nodes&)>& build) {
  Nodes nodes;
  build(nodes);
  return nodes.refusal();
}

TEST(OnnxPreprocessing, IsRefusedWhereOperandsDoNotFit) {
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Add", {"picture"}); }), "its node 'node' (Add) lacks an operand");
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Abs", {"none"}); }),
            "its node 'node' (Abs) reads what is not there");
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Erf", {"picture"}); }),
            "its node 'node' (Erf) is no operator of a preprocessing");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.node("Mul", {"picture", n.numbers({1, 2})});
            }),
            "its node 'node' (Mul) has operands that do not fit");
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Cast", {"picture"}); }), "its node 'node' (Cast) has no to");
  const char* const fit = "its node 'node' (MatMul) has operands that do not fit";
  EXPECT_EQ(refusal([](Nodes& n) { n.node("MatMul", {n.numbers({1}), "picture"}); }), fit);
  EXPECT_EQ(refusal([](Nodes& n) { n.node("MatMul", {"picture", n.numbers({1})}); }), fit);
  EXPECT_EQ(refusal([](Nodes& n) { n.node("MatMul", {"picture", "picture"}); }), fit) << "both are many";
  EXPECT_EQ(refusal([](Nodes& n) { n.node("MatMul", {"picture", n.numbers({1, 2}, {2, 1})}); }), fit);
  EXPECT_EQ(refusal([](Nodes& n) {
              n.node("Abs", {n.numbers({1, 2, 3}, {2})});
            }),
            "a constant of its preprocessing has other bytes than its shape takes");
}

TEST(OnnxPreprocessing, IsRefusedWhereAxesAndIndicesAreNotThere) {
  for (const std::int64_t axis : {-1, 5})
    EXPECT_EQ(refusal([&](Nodes& n) {
                n.node("Unsqueeze", {"picture", n.number(axis)});
              }),
              "its node 'node' (Unsqueeze) has an operand that is out of range");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.node("Unsqueeze", {"picture", n.numbers({})});
            }),
            "its node 'node' (Unsqueeze) has an operand that is out of range");
  for (const std::int64_t axis : {-1, 4})
    EXPECT_EQ(refusal([&](Nodes& n) {
                n.node("Gather", {"picture", n.number(0)}, "axis", axis);
              }),
              "its node 'node' (Gather) has an axis that is not there");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.node("Gather", {"picture", n.number(0)}, "axes", 1);
            }),
            "its node 'node' (Gather) has no axis");
  for (const std::int64_t index : {-1, 3})
    EXPECT_EQ(refusal([&](Nodes& n) {
                n.node("Gather", {"picture", n.number(index)}, "axis", 3);
              }),
              "its node 'node' (Gather) has an index that is not there");
  const char* const sums = "its node 'node' (ReduceSum) sums over another axis than the last";
  EXPECT_EQ(refusal([](Nodes& n) { n.node("ReduceSum", {"picture", n.number(2)}); }), sums);
  EXPECT_EQ(refusal([](Nodes& n) { n.node("ReduceSum", {n.number(7), n.number(0)}); }), sums);
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Transpose", {"picture"}); }),
            "its node 'node' (Transpose) permutes another number of axes");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.transpose("picture", {0, 1, 2});
            }),
            "its node 'node' (Transpose) permutes another number of axes");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.transpose("picture", {0, 0, 1, 2});
            }),
            "its node 'node' (Transpose) permutes no axes");
}

TEST(OnnxPreprocessing, IsRefusedWhereItTakesTooMuchOrMakesNoPicture) {
  EXPECT_EQ(refusal([](Nodes& n) {
              const std::string zero = n.number(0), million = n.number(1 << 20);
              const std::string row = n.node("Range", {zero, million});
              n.node("Add", {row, n.node("Unsqueeze", {row, n.number(1)})});
            }),
            "its preprocessing makes a value that is too large");
  EXPECT_EQ(refusal([](Nodes& n) {
              n.node("Range", {n.number(0), n.number((1 << 20) + 1)});
            }),
            "its node 'node' (Range) has an operand that is out of range");
  EXPECT_EQ(refusal([](Nodes& n) { n.node("Shape", {"picture"}); }), "its preprocessing makes no picture");
}

TEST(OnnxPreprocessing, HasConstantsOfBytes) {
  Nodes nodes;
  const std::string bytes = nodes.constant(TensorProto::UINT8, std::string("\x07\xff\x01", 3), {3});
  nodes.node("Min", {"picture", bytes});
  EXPECT_THAT(nodes.result(), ElementsAre(1, 2, 1, 4, 5, 1, 7, 8, 1, 7, 11, 1, 7, 14, 1, 7, 17, 1));
  for (const Extents& shape : {Extents{-1}, Extents{4, std::int64_t{1} << 62}, Extents{1 << 29}})
    EXPECT_EQ(refusal([&](Nodes& n) { n.node("Abs", {n.constant(TensorProto::UINT8, "", shape)}); }),
              "its preprocessing makes a value that is too large");
}

TEST(OnnxPreprocessing, SumsOfNothingAreZeros) {
  Nodes nodes;
  const std::string none = nodes.node("Gather", {"picture", nodes.numbers({})}, "axis", 3);
  nodes.node("Add", {nodes.node("ReduceSum", {none, nodes.number(3)}), nodes.number(4)});
  EXPECT_THAT(nodes.result(), ElementsAre(4, 4, 4, 4, 4, 4));
}

TEST(OnnxPreprocessing, ComputesAsOnnxSays) {
  const auto of = [](const std::function<void(Nodes&, const std::string&)>& build) {
    Nodes nodes;  // the upper left pixel, 1 to 3, as f32
    const std::string row = nodes.node("Gather", {"picture", nodes.numbers({0})}, "axis", 1);
    const std::string pixel = nodes.node("Gather", {row, nodes.numbers({0})}, "axis", 2);
    build(nodes, nodes.node("Cast", {pixel}, "to", TensorProto::FLOAT));
    return nodes.result();
  };
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Sign", {n.node("Sub", {x, n.number(2)})});
              }),
              ElementsAre(-1, 0, 1));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Abs", {n.node("Sub", {x, n.number(3)})});
              }),
              ElementsAre(2, 1, 0));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Round", {n.node("Div", {x, n.number(2)})});
              }),
              ElementsAre(0, 1, 2));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Floor", {n.node("Div", {x, n.number(2)})});
              }),
              ElementsAre(0, 1, 1));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Ceil", {n.node("Div", {x, n.number(2)})});
              }),
              ElementsAre(1, 1, 2));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Max", {n.node("Min", {x, n.number(2)}), n.number(2)});
              }),
              ElementsAre(2, 2, 2));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                const std::string less = n.node("Less", {x, n.number(2)}),
                                  more = n.node("GreaterOrEqual", {x, n.number(3)});
                n.node("Where", {n.node("Or", {less, more}), x, n.number(9)});
              }),
              ElementsAre(1, 9, 3));
  EXPECT_THAT(of([](Nodes& n, const std::string& x) {
                n.node("Cast", {n.node("Mul", {n.node("Sub", {x, n.number(2)}), n.number(300)})}, "to",
                       TensorProto::UINT8);
              }),
              ElementsAre(0, 0, 255))
      << "bytes end at 0 and 255";
}

// ---- a network

class OnnxNetwork : public FolderTest {
 protected:
  void SetUp() override {
    const nn::Sequential net = test::random_network(
        "resnet18", {.in_channels = 3, .classes = 5, .blocks = {1, 1}, .channels = {4, 8}});
    model_ = {
        state_of(net), nn::trace(net, {1, 3, 32, 32}, Mode::eval), {.resize = {32, 32}, .channels = 3}, {}};
    export_onnx(file("plain.onnx"), model_);
    export_onnx(file("whole.onnx"), model_, {.with_preprocessing = true});
  }
  // What a changed file is refused with.
  std::string refusal(const std::function<void(schema::GraphProto&)>& change,
                      const char* name = "plain.onnx") const {
    schema::ModelProto proto;
    EXPECT_TRUE(proto.ParseFromString(read(file(name))));
    change(*proto.mutable_graph());
    const std::string text = proto.SerializeAsString();
    return message_of<FormatError>([&] { static_cast<void>(read_network(text, 32, 32)); });
  }
  static schema::NodeProto& first(schema::GraphProto& graph, const std::string& op) {
    for (schema::NodeProto& node : *graph.mutable_node())
      if (node.op_type() == op) return node;
    ADD_FAILURE() << "no " << op;
    return *graph.mutable_node(0);
  }
  static schema::AttributeProto& attribute(schema::NodeProto& node, const std::string& name) {
    for (schema::AttributeProto& found : *node.mutable_attribute())
      if (found.name() == name) return found;
    ADD_FAILURE() << "no " << name;
    return *node.add_attribute();
  }

  static Tensor& in_head(ModelFile& model) {
    return std::ranges::find(model.state, "fc.weight", &State::value_type::first)->second;
  }

  ModelFile model_;
};

TEST_F(OnnxNetwork, IsRefusedWhereItsGraphIsNone) {
  EXPECT_EQ(message_of<FormatError>([] { static_cast<void>(read_network("\xff\xff")); }),
            "as ONNX: it cannot be parsed");
  EXPECT_THAT(refusal([](auto& g) { g.add_input()->set_name("more"); }),
              HasSubstr("it has not one input and one output"));
  EXPECT_THAT(refusal([](auto& g) { g.clear_output(); }), HasSubstr("it has not one input and one output"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_output(0)->set_name("none"); }),
              HasSubstr("its output comes from no node"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_input(0)->set_name(g.initializer(0).name()); }),
              HasSubstr("two values are called '"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_node(1)->set_output(0, g.node(0).output(0)); }),
              HasSubstr("two values are called '"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_node(1)->set_input(0, "none"); }),
              HasSubstr("reads 'none', which is not there"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_node(1)->add_output("second"); }),
              HasSubstr("has not one output"));
  EXPECT_THAT(refusal([](auto& g) {
                g.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim();
              }),
              HasSubstr("its input has not four axes"));
  EXPECT_THAT(refusal([](auto& g) { first(g, "Relu").set_op_type("Erf"); }),
              HasSubstr("is 'Erf', which no network of ours has"));
}

TEST_F(OnnxNetwork, IsRefusedWhereItsWeightsAreNone) {
  EXPECT_THAT(refusal([](auto& g) {
                for (int i = 0; i < 7; ++i) g.mutable_initializer(0)->add_dims(1);
              }),
              HasSubstr("has too many axes"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_initializer(0)->set_data_type(TensorProto::STRING); }),
              HasSubstr("a tensor of type 8"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_initializer(0)->mutable_raw_data()->pop_back(); }),
              HasSubstr(" bytes, its shape "));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_initializer(0)->set_dims(0, -1); }), HasSubstr("as ONNX: "))
      << "an impossible shape is one of the format too";
  schema::ModelProto proto;
  ASSERT_TRUE(proto.ParseFromString(read(file("plain.onnx"))));
  const Read same = read_network(read(file("plain.onnx")), 32, 32);
  State state = same.state;
  EXPECT_NO_THROW(check_weights(same, state));
  std::string& last = *proto.mutable_graph()->mutable_initializer(0)->mutable_raw_data();
  last.back() = static_cast<char>(last.back() ^ 1);
  const Read other = read_network(proto.SerializeAsString(), 32, 32);
  EXPECT_THAT(message_of<FormatError>([&] { check_weights(other, state); }),
              HasSubstr("was not written as it is"));
  state[0].second = Tensor(Shape{1});
  EXPECT_THAT(message_of<FormatError>([&] { check_weights(same, state); }),
              HasSubstr("was not written as it is"));
  state.pop_back();
  EXPECT_THAT(message_of<FormatError>([&] { check_weights(same, state); }),
              HasSubstr(" weights where " + std::to_string(state.size()) + " were written"));
}

TEST_F(OnnxNetwork, IsRefusedWhereItsOperationsAreNoneOfOurs) {
  const auto conv = [&](const std::function<void(schema::NodeProto&)>& change) {
    return refusal([&](auto& g) { change(first(g, "Conv")); });
  };
  EXPECT_THAT(conv([](auto& node) { attribute(node, "pads").set_name("other"); }),
              HasSubstr("has no pads of 4 numbers"));
  EXPECT_THAT(conv([](auto& node) { attribute(node, "strides").add_ints(1); }),
              HasSubstr("has no strides of 2 numbers"));
  for (const int side : {0, 1})
    EXPECT_THAT(conv([&](auto& node) { attribute(node, "pads").set_ints(side, 9); }),
                HasSubstr("is padded unevenly"));
  EXPECT_THAT(conv([](auto& node) { attribute(node, "group").set_i(0); }), HasSubstr("as ONNX: "));
  EXPECT_THAT(conv([](auto& node) { node.clear_input(); }), HasSubstr("as ONNX: "));
  EXPECT_THAT(refusal([](auto& g) { first(g, "Relu").set_op_type("Softmax"); }),
              HasSubstr("is 'Softmax', which no network of ours has"))
      << "but at its end";
  EXPECT_THAT(refusal([](auto& g) { first(g, "Relu").set_op_type("Pad"); }), HasSubstr("is 'Pad', which no"));
  EXPECT_THAT(refusal([](auto& g) {
                schema::NodeProto& pool = first(g, "MaxPool");
                pool.set_op_type("AveragePool");
                attribute(pool, "pads").set_ints(2, 7);
                pool.add_attribute()->set_name("count_include_pad");
                attribute(pool, "count_include_pad").set_i(1);
              }),
              HasSubstr("counts what is behind the map"));
  EXPECT_THAT(refusal([](auto& g) {
                schema::NodeProto& pool = first(g, "MaxPool");
                pool.set_op_type("AveragePool");
                const std::string before = pool.input(0);
                for (schema::NodeProto& node : *g.mutable_node())
                  if (node.output(0) == before) node.set_op_type("Pad");
              }),
              HasSubstr("pads as no network of ours does"));
}

TEST_F(OnnxNetwork, MayLeaveOutWhatHasADefault) {
  const char* const read = "nothing of this kind was thrown";
  EXPECT_EQ(refusal([](auto& g) { attribute(first(g, "Conv"), "group").set_name("other"); }), read);
  EXPECT_EQ(refusal([](auto& g) {
              schema::NodeProto& conv = first(g, "Conv");
              if (conv.input_size() == 3) conv.mutable_input()->RemoveLast();
              conv.add_input("");  // no bias
            }),
            read);
  for (const char* name : {"dilations", "strides"})
    EXPECT_THAT(refusal([&](auto& g) { attribute(first(g, "Conv"), name).set_name("other"); }),
                HasSubstr(std::string("has no ") + name + " of 2 numbers"));
  EXPECT_THAT(refusal([](auto& g) { attribute(first(g, "Conv"), "pads").add_ints(0); }),
              HasSubstr("has no pads of 4 numbers"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_node(g.node_size() - 1)->set_op_type("Pad"); }),
              HasSubstr("is 'Pad', which no network of ours has"));
  EXPECT_THAT(refusal([](auto& g) { g.mutable_node(g.node_size() - 1)->set_op_type("Mul"); }),
              HasSubstr("as ONNX: "))
      << "a product of what does not fit";
}

TEST_F(OnnxNetwork, IsRefusedWhereAnAverageCountsAsNoneOfOurs) {
  // The first pool as an average, behind a node that pads by these numbers; or by none.
  const auto average = [&](const std::vector<std::int64_t>& around, std::int64_t counts, int right) {
    return refusal([&](auto& g) {
      schema::NodeProto& pool = first(g, "MaxPool");
      pool.set_op_type("AveragePool");
      attribute(pool, "pads").set_ints(3, right);
      pool.add_attribute()->set_name("count_include_pad");
      attribute(pool, "count_include_pad").set_i(counts);
      if (around.empty()) return;
      TensorProto& pads = *g.add_initializer();
      pads.set_name("around");
      pads.set_data_type(TensorProto::INT64);
      pads.add_dims(std::ssize(around));
      pads.set_raw_data(reinterpret_cast<const char*>(around.data()), 8 * around.size());
      for (schema::NodeProto& node : *g.mutable_node()) {
        if (node.output(0) != pool.input(0)) continue;
        node.set_op_type("Pad");
        node.add_input("around");
      }
    });
  };
  EXPECT_THAT(average({}, 1, 7), HasSubstr("counts what is behind the map")) << "more on the right";
  EXPECT_EQ(average({}, 0, 1), "nothing of this kind was thrown");
  const char* const pads = "pads as no network of ours does";
  EXPECT_THAT(average({0, 0, 1, 1}, 0, 1), HasSubstr(pads));
  EXPECT_THAT(average({0, 0, 1, 1, 0, 0, 1, 1}, 1, 1), HasSubstr(pads)) << "it counts twice";
}

TEST_F(OnnxNetwork, IsComparedWithItsModel) {
  const std::vector<images::Image> pictures = {{5, 6, 3, std::vector<std::uint8_t>(90, 100)},
                                               {6, 5, 3, std::vector<std::uint8_t>(90, 7)}};
  export_onnx(file("softmax.onnx"), model_, {.softmax = true});
  const OnnxDeviation same = onnx_deviation(file("softmax.onnx"), model_, pictures);
  EXPECT_EQ(same.pictures, 2);
  EXPECT_EQ(same.same_top1, 2);
  EXPECT_LE(same.output, 1e-5) << "of probabilities";
  EXPECT_LE(same.largest, 1);
  ModelFile other = model_;
  for (float& x : in_head(other).values()) x = -x;
  EXPECT_LT(onnx_deviation(file("plain.onnx"), other, pictures).same_top1, 2);
  const nn::Sequential wider = test::random_network(
      "resnet18", {.in_channels = 3, .classes = 6, .blocks = {1, 1}, .channels = {4, 8}});
  other = {state_of(wider), nn::trace(wider, {1, 3, 32, 32}, Mode::eval), model_.preprocessing, {}};
  EXPECT_THAT(message_of<FormatError>([&] { onnx_deviation(file("plain.onnx"), other, pictures); }),
              HasSubstr("its output is [1,5], the model's [1,6]"));
  other = model_;
  other.preprocessing.resize = {16, 16};
  EXPECT_THAT(message_of<FormatError>([&] { onnx_deviation(file("whole.onnx"), other, pictures); }),
              HasSubstr("whole.onnx: its preprocessing gives [1,3,32,32], the model's [1,3,16,16]"));
}

TEST_F(OnnxNetwork, IsRefusedWhereItsPreprocessingIsNone) {
  EXPECT_EQ(refusal([](auto&) {}, "whole.onnx"), "nothing of this kind was thrown");
  EXPECT_THAT(refusal(
                  [](auto& g) {
                    for (schema::NodeProto& node : *g.mutable_node())
                      if (node.op_type() == "Conv") node.set_op_type("Other");
                  },
                  "whole.onnx"),
              HasSubstr("its preprocessing stands before no convolution"));
  for (const std::int64_t groups : {std::int64_t{0}, std::int64_t{1} << 21})
    EXPECT_THAT(refusal(
                    [&](auto& g) {
                      for (schema::NodeProto& node : *g.mutable_node())
                        if (node.op_type() == "Conv") attribute(node, "group").set_i(groups);
                    },
                    "whole.onnx"),
                HasSubstr("its preprocessing stands before no convolution"));
  EXPECT_THAT(refusal([](auto& g) { first(g, "Conv").clear_input(); }, "whole.onnx"), HasSubstr("as ONNX: "))
      << "the channels are the next one's";
  EXPECT_THAT(refusal([](auto& g) { first(g, "Conv").set_input(1, g.node(0).output(0)); }, "whole.onnx"),
              HasSubstr("is no operand of a network"));
  EXPECT_THAT(refusal([](auto& g) { first(g, "Relu").set_input(0, g.node(0).output(0)); }, "whole.onnx"),
              HasSubstr("is no operand of a network"));
}

}  // namespace
}  // namespace resnet::io::onnx
