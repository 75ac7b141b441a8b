// The JSON text form: what is written reads back equal, and nothing malformed is accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "graph/limits.h"
#include "ops/operation.h"
#include "resnet/graph.h"
#include "resnet/models.h"
#include "support/message_of.h"

namespace resnet {
namespace {

using graph::Graph;
using nlohmann::json;
using test::message_of;
using ::testing::HasSubstr;

Graph read(const std::string& text) {
  return graph::from_json(text, ops::read);
}

nn::Sequential small_net() {
  return nn::Sequential(nn::Conv2d{3, 4, {.kernel = 3, .bias = false}}, nn::ReLU{});
}

std::string small_text() {
  return graph::to_json(nn::trace(small_net(), {1, 3, 8, 8}, Mode::eval));
}

TEST(GraphText, OfEveryModelReadsBackAsTheSameGraph) {
  for (const std::string& name : models::names()) {
    const nn::Sequential net = models::make(name, {.in_channels = 3, .classes = 10});
    const Graph graph = nn::trace(net, {2, 3, 64, 64}, Mode::eval);
    const std::string text = graph::to_json(graph);
    const Graph back = read(text);
    EXPECT_EQ(graph::to_json(back), text) << name;
    EXPECT_EQ(back.nodes().size(), graph.nodes().size()) << name;
    EXPECT_EQ(back.value(back.output("output")).type, graph.value(graph.output("output")).type) << name;
  }
}

TEST(GraphText, OfOptionsThatAreNotTheDefaultsReadsBack) {
  const nn::Sequential net(
      nn::Conv2d{4, 8, {.kernel = {3, 5}, .stride = {2, 1}, .padding = {0, 2}, .groups = 2}},
      nn::BatchNorm2d{8, {.eps = 1e-3, .momentum = 0.3}},
      nn::MaxPool2d{{.kernel = 3, .stride = 2, .padding = 1}}, nn::AvgPool2d{{.kernel = {2, 3}}},
      nn::Dropout{0.25}, nn::Flatten{}, nn::Linear{32, 5, {.bias = false}});
  for (const Mode mode : {Mode::train, Mode::eval}) {
    const std::string text = graph::to_json(nn::trace(net, {2, 4, 20, 12}, mode));
    EXPECT_EQ(graph::to_json(read(text)), text);
  }
}

// Model files are read for years: the text of a small network, as version 1 writes it.
TEST(GraphText, IsPinned) {
  EXPECT_EQ(small_text(),
            R"({"nodes":[{"attributes":{"dilation":[1,1],"groups":1,"padding":[0,0],"stride":[1,1]},)"
            R"("inputs":[0,1,-1],"name":"0","op":"conv2d"},)"
            R"({"attributes":{},"inputs":[2],"name":"1","op":"relu"}],)"
            R"("outputs":[{"name":"output","value":3}],)"
            R"("values":[{"dtype":"f32","name":"images","role":"input","shape":[1,3,8,8]},)"
            R"({"dtype":"f32","name":"0.weight","role":"parameter","shape":[4,3,3,3]}],"version":1})");
}

// A document with one thing wrong, and what the message says of it.
struct Malformed {
  const char* what;
  std::function<void(json& document)> change;
  const char* says;
};

const Malformed kMalformed[] = {
    {"no object", [](json& d) { d = json::array(); }, "graph: 'version' is missing"},
    {"no version", [](json& d) { d.erase("version"); }, "graph: 'version' is missing"},
    {"a version to come", [](json& d) { d["version"] = 2; }, "graph: version 2, this program reads 1"},
    {"a version before the first", [](json& d) { d["version"] = 0; }, "graph: version 1 was expected"},
    {"a version in words", [](json& d) { d["version"] = "1"; }, "a whole number was expected, got \"1\""},
    {"no values", [](json& d) { d.erase("values"); }, "graph: 'values' is missing"},
    {"values that are no list", [](json& d) { d["values"] = json::object(); }, "'values' is not a list"},
    {"a value that is no object", [](json& d) { d["values"][0] = 7; }, "'shape' is missing"},
    {"a value without a name", [](json& d) { d["values"][0].erase("name"); }, "'name' is missing"},
    {"a name that is no text", [](json& d) { d["values"][0]["name"] = 1; }, "'name' is not a text"},
    {"an unknown role", [](json& d) { d["values"][0]["role"] = "computed"; }, "unknown role 'computed'"},
    {"an unknown type", [](json& d) { d["values"][0]["dtype"] = "f16"; }, "unknown dtype 'f16'"},
    {"a shape that is no list", [](json& d) { d["values"][0]["shape"] = 3; },
     "a list of whole numbers was expected"},
    {"an extent that is a fraction", [](json& d) { d["values"][0]["shape"][0] = 1.5; },
     "a whole number was expected, got 1.5"},
    {"an extent above 2^63", [](json& d) { d["values"][0]["shape"][0] = 18446744073709551615ULL; },
     "a whole number was expected, got 18446744073709551615"},
    {"two values of a name", [](json& d) { d["values"].push_back(d["values"][0]); },
     "two values are called 'images'"},
    {"no nodes", [](json& d) { d.erase("nodes"); }, "graph: 'nodes' is missing"},
    {"a node without an operation", [](json& d) { d["nodes"][0].erase("op"); }, "'op' is missing"},
    {"an unknown operation", [](json& d) { d["nodes"][0]["op"] = "conv9d"; }, "unknown operation 'conv9d'"},
    {"an operation that only the compiler makes", [](json& d) { d["nodes"][1]["op"] = "relu_gradient"; },
     "'relu_gradient', which is not for inference"},
    {"a node without attributes", [](json& d) { d["nodes"][0].erase("attributes"); },
     "'attributes' is missing"},
    {"attributes that are no object", [](json& d) { d["nodes"][0]["attributes"] = json::array(); },
     "'attributes' is not an object"},
    {"an attribute that is missing", [](json& d) { d["nodes"][0]["attributes"].erase("stride"); }, "stride"},
    {"an attribute of another type", [](json& d) { d["nodes"][0]["attributes"]["stride"] = 1.5; }, "stride"},
    {"an attribute that is a text", [](json& d) { d["nodes"][0]["attributes"]["stride"] = "1x1"; },
     "a whole number was expected, got \"1x1\""},
    {"an attribute that it has not", [](json& d) { d["nodes"][1]["attributes"]["slope"] = 1; }, "slope"},
    {"inputs that are no list", [](json& d) { d["nodes"][0]["inputs"] = 0; }, "'inputs' is not a list"},
    {"an input that comes later", [](json& d) { d["nodes"][0]["inputs"][0] = 3; },
     "value 3 is used before it exists"},
    {"an input that is its own output", [](json& d) { d["nodes"][1]["inputs"][0] = 3; },
     "value 3 is used before it exists"},
    {"a negative input", [](json& d) { d["nodes"][0]["inputs"][2] = -2; },
     "value -2 is used before it exists"},
    {"no outputs", [](json& d) { d.erase("outputs"); }, "graph: 'outputs' is missing"},
    {"an output without a value", [](json& d) { d["outputs"][0].erase("value"); }, "'value' is missing"},
    {"an output that is absent", [](json& d) { d["outputs"][0]["value"] = -1; },
     "value -1 is used before it exists"},
    {"an output that nobody computes", [](json& d) { d["outputs"][0]["value"] = 4; },
     "value 4 is used before it exists"},
};

TEST(GraphText, ThatIsMalformedIsRefusedWithWhatIsWrong) {
  for (const Malformed& malformed : kMalformed) {
    SCOPED_TRACE(malformed.what);
    json document = json::parse(small_text());
    malformed.change(document);
    const std::string message = message_of<FormatError>([&] { read(document.dump()); });
    EXPECT_THAT(message, HasSubstr(malformed.says));
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST(GraphText, OfMoreNodesThanNetworksHaveIsRefusedBeforeOneIsAdded) {
  json text = json::parse(small_text());
  text["nodes"] = json::array();
  for (std::int64_t k = 0; k <= graph::kMostNodes; ++k) text["nodes"].push_back(0);
  EXPECT_EQ(message_of<FormatError>([&] { read(text.dump()); }),
            "graph: 10001 nodes; at most 10000 are supported");
}

TEST(GraphText, ThatIsNoJsonIsRefused) {
  const std::string text = small_text();
  for (const std::string& broken : {std::string(), text.substr(0, text.size() / 2), text + "]", "[" + text}) {
    EXPECT_THAT(message_of<FormatError>([&] { read(broken); }), HasSubstr("JSON: ")) << broken;
  }
}

const Malformed kMisfits[] = {
    {"a negative extent", [](json& d) { d["values"][0]["shape"][0] = -1; }, "-1"},
    {"seven axes", [](json& d) { d["values"][0]["shape"] = json(std::vector<int>(7, 1)); }, "axes"},
    {"too many elements",
     [](json& d) {
       d["values"][0]["shape"] = {1 << 30, 1 << 30, 1 << 30, 1 << 30};
     },
     ""},
    {"weights of other channels",
     [](json& d) {
       d["values"][1]["shape"] = {4, 2, 3, 3};
     },
     "conv2d '0': "},
    {"a mandatory input that is absent", [](json& d) { d["nodes"][0]["inputs"][0] = -1; }, "conv2d '0': "},
    {"too few inputs", [](json& d) { d["nodes"][0]["inputs"] = json::array(); }, "conv2d '0': "},
    {"too many inputs", [](json& d) { d["nodes"][1]["inputs"] = {2, 2, 2, 2, 2, 2, 2, 2}; }, "relu '1': "},
};

TEST(GraphText, OfShapesThatDoNotFitIsRefusedWithTheNode) {
  for (const Malformed& misfit : kMisfits) {
    SCOPED_TRACE(misfit.what);
    json document = json::parse(small_text());
    misfit.change(document);
    EXPECT_THAT(message_of<ShapeError>([&] { read(document.dump()); }), HasSubstr(misfit.says));
  }
}

}  // namespace
}  // namespace resnet
