// Structure-aware fuzzing of model files. Of every file: it is refused in one line, by a resnet::Error that
// begins with its name; or it is planned and run, fused and not, with one thread and two, by the native and
// by the reference engine, with the same answer, evaluated, and written back as it was read.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/files.h"
#include "base/random.h"
#include "found.h"
#include "make_model.h"
#include "resnet/model_file.h"
#include "resnet/train.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

std::filesystem::path file_named(const std::string& name) {
  return std::filesystem::path(kFolder) / name;
}

Tensor random_images(Choices& choices, const Shape& shape) {
  Tensor images(shape);
  const RandomStream random(choices.byte(), "images");
  const auto values = images.values();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 2 * random.uniform(i) - 1;
  if (choices.one_in(12) && !values.empty()) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    values[choices.below(values.size())] = choices.one_in(2) ? kInf - kInf : kInf;
  }
  return images;
}

// Moved by some units in the last place: how much the answer moves tells how well it is determined.
void disturb(std::span<float> values, const std::string& name) {
  const RandomStream random(9, name);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= 1 + 0x1p-21F * (2 * random.uniform(i) - 1);
}

struct Answer {
  bool refused = false;
  Tensor output;
};

Answer answer_of(Engine& engine, const Tensor& images) {
  try {
    return {false, engine.infer(images.view<float>())};
  } catch (const Error& error) {
    check_message(error, "");
    return {true, {}};
  }
}

void check_same_bits(const Answer& a, const Answer& b, const char* what) {
  if (a.refused != b.refused) found(fmt::format("{}: one refuses", what));
  if (a.refused) return;
  if (!(a.output.shape() == b.output.shape())) found(fmt::format("{}: shapes differ", what));
  if (a.output.bytes() != 0 && std::memcmp(a.output.raw(), b.output.raw(), a.output.bytes()) != 0)
    found(fmt::format("{}: bits differ", what));
}

// Whether float may overflow within the network where the oracle's double does not.
bool may_overflow(const Network& network) {
  constexpr float kLarge = 1e18F;
  return std::any_of(network.state.begin(), network.state.end(), [](const auto& entry) {
    const Tensor& tensor = entry.second;
    if (tensor.dtype() != DType::f32) return false;
    const auto values = tensor.values();
    return std::any_of(values.begin(), values.end(),
                       [](float v) { return std::isfinite(v) && std::fabs(v) > kLarge; });
  });
}

// Whether float stays within its range there: all numbers are small, and no two that were computed are
// multiplied.
bool stays_in_range(const Network& network, const Tensor& images) {
  const auto small = [](const Tensor& tensor) {
    return tensor.dtype() != DType::f32 ||
           std::ranges::all_of(tensor.values(), [](float v) { return std::fabs(v) < 8; });  // NaN is not
  };
  return small(images) &&
         std::ranges::all_of(network.state, [&](const auto& entry) { return small(entry.second); }) &&
         std::ranges::none_of(network.eval.nodes(),
                              [](const graph::Node& node) { return node.op->name() == "mul"; });
}

// Every engine against the oracle. `moved` is the oracle's answer to a problem a little beside. Where float
// stays in its range, a number must be there where the oracle has one.
void check_near(const Answer& got, const Answer& expected, const Answer& moved, bool in_range,
                const char* what) {
  if (got.refused || expected.refused || moved.refused) return;  // an engine has limits of its own
  const auto ours = got.output.values(), theirs = expected.output.values(), beside = moved.output.values();
  if (!(got.output.shape() == expected.output.shape())) found(fmt::format("{}: shapes differ", what));
  double largest = 0, spread = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    if (!std::isfinite(theirs[i]) || !std::isfinite(beside[i])) continue;
    largest = std::max(largest, std::fabs(static_cast<double>(theirs[i])));
    spread = std::max(spread, std::fabs(static_cast<double>(theirs[i]) - static_cast<double>(beside[i])));
  }
  // Winograd's transforms lose some hundred times the rounding of one product; that of a sum of a thousand
  // products is included.
  const double allowed = 1e-4 + 2e-4 * largest + 300 * spread;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    if (!std::isfinite(theirs[i])) {
      if (std::isfinite(ours[i]))
        found(fmt::format("{}: element {} is {}, not {}", what, i, ours[i], theirs[i]));
      continue;
    }
    const double difference = std::fabs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i]));
    if (in_range ? !(difference <= allowed) : std::isfinite(ours[i]) && difference > allowed) {
      found(fmt::format("{}: element {} is {}, not {}; {} allowed", what, i, ours[i], theirs[i], allowed));
    }
  }
}

data::Dataset pictures_for(const ModelFile& model, const Shape& images, std::int64_t classes) {
  class Source final : public data::Dataset::Source {
   public:
    explicit Source(const Shape& shape) : shape_(shape) {}
    std::int64_t size() const override { return 3; }
    std::int32_t label(std::int64_t) const override { return 0; }
    void image(std::int64_t i, data::Image& out) const override {
      out = {shape_[2], shape_[3], shape_[1], {}};
      out.pixels.assign(static_cast<std::size_t>(shape_[1] * shape_[2] * shape_[3]),
                        static_cast<std::uint8_t>(50 * i));
    }

   private:
    Shape shape_;
  };
  return {std::make_shared<Source>(images), "pictures",
          std::vector<std::string>(static_cast<std::size_t>(classes), "c"), model.preprocessing,
          Shape{images[1], images[2], images[3]}};
}

void check_accepted(Choices& choices, const ModelFile& model) {
  const Shape one = model.graph.value(model.graph.input("images")).type.shape;
  if (one.elements() > 1 << 16) return;  // a picture is not ours to make
  const Shape shape = {choices.between(1, 3), one[1], one[2], one[3]};
  const Tensor images = random_images(choices, shape);
  const Network network = {model.graph, std::nullopt, model.state};
  const auto native = [&](int threads, bool fuse) {
    const auto engine = make_native_engine(network, {.threads = threads, .isa = "avx2", .fuse = fuse});
    Answer answer = answer_of(*engine, images);
    check_same_bits(answer, answer_of(*engine, images), "the same call again");
    return answer;
  };
  const Answer fused = native(1, true), unfused = native(1, false);
  check_same_bits(fused, native(2, true), "fused, one thread and two");
  check_same_bits(unfused, native(2, false), "unfused, one thread and two");
  const Answer expected = answer_of(*make_reference_engine(network), images);
  Network beside = network;
  for (auto& [name, tensor] : beside.state) {
    if (tensor.dtype() == DType::f32) disturb(tensor.values(), name);
  }
  Tensor images_beside = images;
  disturb(images_beside.values(), "images");
  const Answer moved = answer_of(*make_reference_engine(std::move(beside)), images_beside);
  if (!may_overflow(network)) {
    const bool in_range = stays_in_range(network, images);
    check_near(fused, expected, moved, in_range, "fused");
    check_near(unfused, expected, moved, in_range, "unfused");
  }

  if (one[1] == 1 || one[1] == 3) {
    const auto engine = make_native_engine(network, {.threads = 1, .isa = "avx2"});
    const auto classes = std::max<std::int64_t>(1, static_cast<std::int64_t>(model.classes.size()));
    try {
      const Evaluation figures = evaluate(*engine, pictures_for(model, one, classes), {.batch_size = 2});
      if (figures.examples != 3) found("an evaluation of another number of examples");
    } catch (const Error& error) {
      check_message(error, "");
    }
  }
}

bool run_on_disk(Choices& choices) {
  const std::filesystem::path path = file_named("m.safetensors");
  try {
    write_random_model(choices, path);
  } catch (const Error&) {
    return false;  // what cannot be written
  }
  ModelFile model;
  try {
    model = read_model(path);
  } catch (const Error& error) {
    if (dynamic_cast<const FormatError*>(&error) == nullptr)
      found(fmt::format("no FormatError: {}", error.what()));
    check_message(error, path.string());
    return false;
  }
  const std::filesystem::path again = file_named("again.safetensors");
  save_model(again, model);
  const ModelFile same = read_model(again);
  const Shape one =
      model.graph.value(model.graph.input("images")).type.shape;  // files have graphs for one image
  if (one[0] == 1 && graph::to_json(same.graph) != graph::to_json(model.graph))
    found("another graph is read back");
  check_accepted(choices, model);
  return true;
}

bool run(std::string_view input) {
  Choices choices(bytes_of(input));
  return with_files({}, [&] { return run_on_disk(choices); });
}

}  // namespace

Target model_target() {
  return {"model", run};
}

}  // namespace resnet::fuzz
