// Batch norm alone against PyTorch in float64: an everyday case, and one whose mean is 1000 standard
// deviations, where PyTorch's own float32 is off by 9e-5.
#include "golden/pins.h"
#include "kernels/kernel_test_support.h"
#include "kernels/norm/norm.h"

namespace resnet::kernels {
namespace {

using namespace resnet::kernels::testing;
using test::json;

struct Case {
  json golden, recipe;
  NormGeometry g;

  std::vector<float> values(const std::string& name) const {
    const json& tensor = recipe.at("tensors").at(name);
    const Tensor filled = test::filled(test::seed_of(golden), name, test::shape_of(tensor.at("shape")),
                                       tensor.at("center").get<double>(), tensor.at("scale").get<double>());
    const auto all = filled.values();
    return {all.begin(), all.end()};
  }
  Operand channels(const std::string& name) const { return input(values(name)); }
  Operand nhwc(const std::string& name) const { return input(transposed(values(name), g.n, g.c, g.pixels)); }

  /// Every sample within `relative` of the tensor's largest value, or the golden's own tolerance if
  /// `or_golden`.
  void expect(const std::string& mode, const std::string& name, const std::vector<float>& ours,
              bool or_golden = false) const {
    const json& pin = recipe.at(mode).at(name);
    const double bound =
        std::max(1e-6 * pin.at("max_abs").get<double>(), or_golden ? pin.at("tolerance").get<double>() : 0.0);
    const json& samples = pin.at("samples");
    ASSERT_FALSE(samples.empty()) << name;
    const RandomStream stream(test::seed_of(golden), "samples/" + name);
    for (std::size_t j = 0; j < samples.size(); ++j) {
      const std::size_t index = samples.size() == ours.size() ? j : stream.word(j) % ours.size();
      EXPECT_NEAR(static_cast<double>(ours[index]), samples[j].get<double>(), bound)
          << mode << ' ' << name << '[' << index << ']';
    }
  }
  std::vector<float> nchw(const std::vector<float>& values) const {
    return transposed(values, g.n, g.pixels, g.c);
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const json golden = test::read_golden("batch_norm");
  for (const json& recipe : golden.at("cases")) {
    const Shape x = test::shape_of(recipe.at("tensors").at("x").at("shape"));
    all.push_back({golden,
                   recipe,
                   {.n = x[0],
                    .c = x[1],
                    .pixels = x[2] * x[3],
                    .eps = recipe.at("eps").get<double>(),
                    .momentum = recipe.at("momentum").get<double>()}});
  }
  return all;
}

TEST(BatchNormParity, TrainingIsWithinAMillionthOfPyTorchInDouble) {
  for (const Isa isa : isas()) {
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + c.recipe.at("name").get<std::string>());
      const Index count = c.g.rows() * c.g.c;
      const Result forward = run(*make_norm_train(c.g, isa),
                                 {c.nhwc("x"), c.channels("gamma"), c.channels("beta"),
                                  c.channels("running_mean"), c.channels("running_var"), output(count),
                                  output(c.g.c), output(c.g.c), output(c.g.c), output(c.g.c)});
      c.expect("train", "y", c.nchw(forward.get(5)));
      c.expect("train", "running_mean", forward.get(8));
      c.expect("train", "running_var", forward.get(9));
      const Result backward = run(*make_norm_gradient(c.g, isa),
                                  {c.nhwc("dy"), c.nhwc("x"), c.channels("gamma"), input(forward.get(6)),
                                   input(forward.get(7)), output(count), output(c.g.c), output(c.g.c)});
      c.expect("train", "dx", c.nchw(backward.get(5)));
      c.expect("train", "dgamma", backward.get(6), true);
      c.expect("train", "dbeta", backward.get(7), true);
    }
  }
}

TEST(BatchNormParity, EvaluationIsWithinAMillionthOfPyTorchInDouble) {
  for (const Isa isa : isas()) {
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(name_of(isa)) + ", " + c.recipe.at("name").get<std::string>());
      const Result result =
          run(*make_norm_eval(c.g, isa),
              {c.nhwc("x"), c.channels("gamma"), c.channels("beta"), c.channels("running_mean"),
               c.channels("running_var"), output(c.g.rows() * c.g.c)});
      c.expect("eval", "y", c.nchw(result.get(5)));
    }
  }
}

}  // namespace
}  // namespace resnet::kernels
