// Every transform equals Pillow's or torchvision's for equal parameters, and parameters are drawn from
// torchvision's distributions: reference/transforms.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/random.h"
#include "base/sha256.h"
#include "data/augment.h"
#include "data/preprocess.h"
#include "images/adjust.h"
#include "images/geometry.h"
#include "support/paths.h"

namespace resnet::data {
namespace {

using Parameters = std::vector<double>;
using Operation = std::function<void(Image&, const Parameters&)>;

const nlohmann::json& golden() {
  static const nlohmann::json json = [] {
    std::ifstream in(test::golden_folder() / "transforms.json");
    return nlohmann::json::parse(in);
  }();
  return json;
}

template <class Range>
std::string sha256(const Range& values) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(values)));
  return hash.hex();
}

Image picture(std::int64_t height, std::int64_t width, std::int64_t channels, const std::string& kind) {
  Image image{height, width, channels, {}};
  const RandomStream stream(golden().at("seed").get<std::uint64_t>(),
                            "transforms/" + kind + "/" + std::to_string(height) + "x" +
                                std::to_string(width) + "x" + std::to_string(channels));
  for (std::int64_t i = 0; i < height * width * channels; ++i) {
    const std::uint32_t word = stream.word(static_cast<std::uint64_t>(i));
    image.pixels.push_back(static_cast<std::uint8_t>(kind == "noise" ? word & 255U : 60 + (word & 7U) * 9));
  }
  return image;
}

const std::map<std::string, Operation>& operations() {
  using images::center_box;
  using enum images::Interpolation;
  static const std::map<std::string, Operation> map = {
      {"brightness", [](Image& x, const Parameters& p) { images::adjust_brightness(x, p[0]); }},
      {"contrast", [](Image& x, const Parameters& p) { images::adjust_contrast(x, p[0]); }},
      {"saturation", [](Image& x, const Parameters& p) { images::adjust_saturation(x, p[0]); }},
      {"sharpness", [](Image& x, const Parameters& p) { images::adjust_sharpness(x, p[0]); }},
      {"hue", [](Image& x, const Parameters& p) { images::adjust_hue(x, p[0]); }},
      {"posterize", [](Image& x, const Parameters& p) { images::posterize(x, static_cast<int>(p[0])); }},
      {"solarize", [](Image& x, const Parameters& p) { images::solarize(x, p[0]); }},
      {"autocontrast", [](Image& x, const Parameters&) { images::autocontrast(x); }},
      {"equalize", [](Image& x, const Parameters&) { images::equalize(x); }},
      {"flip", [](Image& x, const Parameters&) { images::flip(x); }},
      {"rotate", [](Image& x, const Parameters& p) { images::rotate(x, p[0], nearest); }},
      {"rotate_bilinear", [](Image& x, const Parameters& p) { images::rotate(x, p[0], bilinear); }},
      {"affine",
       [](Image& x, const Parameters& p) {
         images::affine(x, {p[0], p[1], p[2], p[3], p[4], p[5]}, nearest);
       }},
      {"affine_bilinear",
       [](Image& x, const Parameters& p) {
         images::affine(x, {p[0], p[1], p[2], p[3], p[4], p[5]}, bilinear);
       }},
      {"center_crop", [](Image& x, const Parameters& p) {
         const Image from = x;
         images::crop(
             from,
             center_box(x.height, x.width, static_cast<std::int64_t>(p[0]), static_cast<std::int64_t>(p[1])),
             images::Border::zero, x);
       }}};
  return map;
}

TEST(Transforms, EqualPillowsAndTorchvisionsForEqualParameters) {
  for (const auto& c : golden().at("cases")) {
    const auto size = c.at("in").get<std::vector<std::int64_t>>();
    const auto name = c.at("name").get<std::string>();
    const Image image = picture(size[0], size[1], size[2], c.at("kind").get<std::string>());
    std::string hashes;
    for (const auto& parameters : golden().at("parameters").at(name)) {
      Image out = image;
      operations().at(name)(out, parameters.get<Parameters>());
      hashes += sha256(out.pixels);
    }
    EXPECT_EQ(sha256(hashes), c.at("sha256").get<std::string>()) << c.dump();
  }
}

// All magnitudes, by draws that happen to hit them: what a policy draws and does are torchvision's.
TEST(Transforms, PoliciesHaveTorchvisionsOperationsAndMagnitudes) {
  constexpr std::int64_t kHeight = 32, kWidth = 28;
  std::map<std::string, std::map<std::size_t, std::map<double, std::int64_t>>> drawn;  // how often
  for (std::int64_t i = 0; i < 60000; ++i) {
    Draws draws(3, 1, 0, i);
    const PolicyCall trivial = draw(TrivialAugment{}, draws);
    ++drawn["trivial"][trivial.operation][trivial.magnitude];
    Draws others(3, 2, 0, i);
    const PolicyCall rand = draw(RandAugment{.magnitude = i % 31}, kHeight, kWidth, others);
    ++drawn["rand"][rand.operation][rand.magnitude];
  }
  std::map<std::string, std::size_t> next;
  for (const auto& c : golden().at("policies")) {
    const auto policy = c.at("policy").get<std::string>();
    const std::size_t operation = next[policy]++;
    ASSERT_EQ(policy_operations()[operation], c.at("name").get<std::string>());
    const bool has_sign = c.at("signed").get<bool>();
    const auto magnitudes = c.at("magnitudes").get<std::vector<double>>();
    std::map<double, double> expected;  // share
    std::string hashes, bilinear_hashes;
    for (const double magnitude : magnitudes) {
      for (const double sign : has_sign ? std::vector{1.0, -1.0} : std::vector{1.0}) {
        expected[sign * magnitude] +=
            1.0 / (14.0 * static_cast<double>(magnitudes.size()) * (has_sign ? 2 : 1));
        for (const std::int64_t channels : {1, 3}) {
          Image out = picture(kHeight, kWidth, channels, "noise");
          Image between = out;
          apply({operation, sign * magnitude}, images::Interpolation::nearest, out);
          apply({operation, sign * magnitude}, images::Interpolation::bilinear, between);
          hashes += sha256(out.pixels);
          bilinear_hashes += sha256(between.pixels);
        }
      }
    }
    EXPECT_EQ(sha256(hashes), c.at("sha256").get<std::string>()) << policy << " " << c.at("name");
    EXPECT_EQ(sha256(bilinear_hashes), c.at("bilinear_sha256").get<std::string>()) << policy << c.at("name");
    const auto& found = drawn[policy][operation];
    EXPECT_EQ(found.size(), expected.size()) << policy << " " << c.at("name");
    for (const auto& [magnitude, share] : expected) {
      const auto at = found.find(magnitude);
      ASSERT_NE(at, found.end()) << policy << " " << c.at("name") << " " << magnitude;
      const double mean = share * 60000, deviation = std::sqrt(mean);
      EXPECT_NEAR(static_cast<double>(at->second), mean, 5 * deviation) << policy << " " << c.at("name");
    }
  }
}

TEST(Transforms, PreprocessingEqualsTorchvisionsResizeCropAndNormalisation) {
  const Image image = picture(17, 31, 3, "noise");
  for (const auto& c : golden().at("preprocessed")) {
    const auto resize = c.at("resize").get<std::vector<std::int64_t>>();
    const auto crop = c.at("crop").get<std::vector<std::int64_t>>();
    const Preprocessing p{{resize[0], resize[1]},
                          3,
                          c.at("filter") == "bicubic" ? images::Filter::bicubic : images::Filter::bilinear,
                          {crop[0], crop[1]},
                          {c.at("mean").get<std::vector<double>>(), c.at("std").get<std::vector<double>>()}};
    const Shape shape = preprocessed_shape(p, 17, 31);
    ASSERT_EQ(shape, (Shape{3, crop[0], crop[1]}));
    std::vector<float> out(static_cast<std::size_t>(shape.elements()));
    preprocess(p, image, out);
    EXPECT_EQ(sha256(out), c.at("sha256").get<std::string>()) << c.dump();
    EXPECT_EQ(preprocessing_from_json(to_json(p)), p);
  }
}

TEST(Transforms, MixingEqualsTorchvisionsForEqualParameters) {
  for (const auto& c : golden().at("mixed")) {
    const auto box = c.at("box").get<std::vector<std::int64_t>>();
    Batch batch{Tensor(Shape{5, 3, 6, 7}), Tensor(Shape{5}, DType::i32), Tensor(Shape{5}, DType::i32),
                Tensor(Shape{5}), ImageLayout::nchw};
    const RandomStream stream(golden().at("seed").get<std::uint64_t>(), "transforms/batch");
    for (std::uint64_t i = 0; float& value : batch.images.values()) {
      value = static_cast<float>(stream.word(i++) & 255U) / 255.0F;
    }
    for (std::int32_t i = 0; i < 5; ++i) batch.labels.view<std::int32_t>()[i] = 10 + i;
    const double weight = c.at("weight").get<double>();
    mix(batch, {weight, box[2] > 0, {box[0], box[1], box[2], box[3]}});
    EXPECT_EQ(sha256(batch.images.values()), c.at("sha256").get<std::string>()) << c.dump();
    EXPECT_EQ(batch.mixed_labels.view<std::int32_t>()[0], 14);
    EXPECT_EQ(batch.mixed_labels.view<std::int32_t>()[4], 13);
    EXPECT_EQ(batch.mix.values()[3], static_cast<float>(weight));
  }
}

// At all places, by draws that happen to hit them, by the way that training pictures go.
TEST(Transforms, CropsEqualTorchvisionsForEqualPlaces) {
  const Image image = picture(17, 31, 3, "noise");
  for (const auto& c : golden().at("placed")) {
    const auto what = c.at("what").get<std::string>();
    const bool resized = c.contains("size");
    Transform crop = PaddingCrop{2, what == "reflect"};
    std::vector<std::int64_t> size = {17, 31};
    if (resized) {
      const auto area = c.at("area").get<double>(), ratio = c.at("ratio").get<double>();
      crop = RandomResizedCrop{area, area, ratio, ratio};
      size = c.at("size").get<std::vector<std::int64_t>>();
    }
    Preprocessor preprocessor(
        {.channels = 3, .filter = what == "bicubic" ? images::Filter::bicubic : images::Filter::bilinear});
    const Augmenter augmenter({crop}, 3, Shape{3, size[0], size[1]});
    std::map<std::vector<std::int64_t>, std::string> expected, found;
    for (std::size_t i = 0; i < c.at("places").size(); ++i)
      expected[c.at("places")[i].get<std::vector<std::int64_t>>()] = c.at("sha256")[i].get<std::string>();
    for (std::int64_t i = 0; i < 2000; ++i) {
      const Augmenter::Example example{0, i};
      const images::Box box =
          resized ? *augmenter.resized_crop(17, 31, example) : augmenter.place(17, 31, example).cut;
      found[{box.top, box.left}] = sha256(preprocessor.changed(image, augmenter, example).pixels);
    }
    EXPECT_EQ(found, expected) << what;
  }
}

// Only what is switched on, in the order that is drawn.
TEST(Transforms, JitterIsItsOperationsInTheOrderDrawn) {
  constexpr std::array kNames = {"brightness", "contrast", "saturation", "hue"};
  const Image image = picture(17, 31, 3, "noise");
  for (unsigned on = 0; on < 16; ++on) {
    const auto span = [&](unsigned k, double value) { return (on >> k & 1U) != 0 ? value : 0.0; };
    const ColorJitter options{span(0, 0.4), span(1, 0.3), span(2, 0.8), span(3, 0.1)};
    const Augmenter augmenter({options}, 3, Shape{3, 17, 31});
    for (std::int64_t i = 0; i < 20; ++i) {
      Draws draws(3, stream_id("augment"), 1, i);
      const Jitter drawn = draw(options, draws);
      Image expected = image, out = image;
      for (const int what : drawn.order) {
        const auto k = static_cast<std::size_t>(what);
        if ((on >> k & 1U) != 0) operations().at(kNames.at(k))(expected, {drawn.factor.at(k)});
      }
      augmenter.change(out, {1, i});
      ASSERT_EQ(out.pixels, expected.pixels) << on << ", example " << i;
    }
  }
}

// What is drawn is done: both operations of RandAugment, with the filter that was asked for, in the list's order.
TEST(Transforms, PoliciesAndRotationsDoWhatTheyDraw) {
  const Augmentation list = {RandAugment{.bilinear = true},    TrivialAugment{},
                             Rotation{.bilinear = true},       RandAugment{.operations = 3, .magnitude = 20},
                             TrivialAugment{.bilinear = true}, Rotation{}};
  const Augmenter augmenter(list, 5, {3, 24, 20});
  std::set<std::string> seen;
  for (std::int64_t index = 0; index < 40; ++index) {
    Image image = picture(24, 20, 3, "noise"), want = image;
    augmenter.change(image, {.epoch = 1, .index = index});
    for (std::size_t place = 0; place < list.size(); ++place) {
      Draws drawn(5, stream_id("augment") + place, 1, index);
      if (const auto* rand = std::get_if<RandAugment>(&list[place])) {
        for (std::int64_t i = 0; i < rand->operations; ++i)
          apply(draw(*rand, 24, 20, drawn), interpolation_of(rand->bilinear), want);
      } else if (const auto* trivial = std::get_if<TrivialAugment>(&list[place])) {
        apply(draw(*trivial, drawn), interpolation_of(trivial->bilinear), want);
      } else {
        const auto& rotation = std::get<Rotation>(list[place]);
        images::rotate(want, draw(rotation, drawn), interpolation_of(rotation.bilinear));
      }
    }
    ASSERT_EQ(image.pixels, want.pixels) << index;
    seen.insert(std::string(image.pixels.begin(), image.pixels.end()));
  }
  EXPECT_GT(seen.size(), 30U) << "pictures are changed, each in its way; some are black in the end";
}

TEST(Transforms, ZerosLieWhereTheyAreDrawn) {
  for (const Transform& zeros : {Transform(RandomErasing{1}), Transform(Cutout{5})}) {
    const Augmenter augmenter({zeros}, 3, Shape{3, 9, 14});
    for (const ImageLayout layout : {ImageLayout::nchw, ImageLayout::nhwc}) {
      for (std::int64_t i = 0; i < 100; ++i) {
        const images::Box box = augmenter.place(9, 14, {2, i}).zeros;
        ASSERT_GT(box.height * box.width, 0);
        std::vector<float> out(3 * 9 * 14, 1);
        augmenter.change(out, layout, {2, i});
        for (std::int64_t k = 0; k < 3 * 9 * 14; ++k) {
          const std::int64_t pixel = layout == ImageLayout::nhwc ? k / 3 : k % (9 * 14);
          const std::int64_t y = pixel / 14 - box.top, x = pixel % 14 - box.left;
          const bool inside = y >= 0 && y < box.height && x >= 0 && x < box.width;
          ASSERT_EQ(out[static_cast<std::size_t>(k)], inside ? 0 : 1) << k << " of example " << i;
        }
      }
    }
  }
}

// Within five deviations of how often they should come.
TEST(Transforms, ComeAsOftenAsTheirProbability) {
  constexpr std::int64_t kExamples = 20000;
  const auto expect_share = [&](std::int64_t found, double share, const std::string& what) {
    const double mean = share * static_cast<double>(kExamples);
    EXPECT_NEAR(static_cast<double>(found), mean, 5 * std::sqrt(mean * (1 - share))) << what;
  };
  for (const double probability : {0.0, 0.1, 0.5, 1.0}) {
    const Augmenter flip({Flip{probability}}, 3, Shape{3, 9, 14});
    const Augmenter erasing({RandomErasing{probability}}, 3, Shape{3, 48, 64});
    std::int64_t flipped = 0, erased = 0;
    for (std::int64_t i = 0; i < kExamples; ++i) {
      flipped += flip.place(9, 14, {0, i}).mirrored ? 1 : 0;
      erased += erasing.place(48, 64, {0, i}).zeros.height > 0 ? 1 : 0;
    }
    expect_share(flipped, probability, "flip");
    expect_share(erased, probability, "erasing");
  }
  // Any pixel is the middle of a cutout as often as any other.
  const Augmenter cutout({Cutout{5}}, 3, Shape{3, 9, 14});
  std::map<std::int64_t, std::int64_t> tops, lefts;
  for (std::int64_t i = 0; i < kExamples; ++i) {
    const images::Box box = cutout.place(9, 14, {0, i}).zeros;
    // Cut off at an edge, the middle is as far from the other end.
    ++tops[box.top > 0 ? box.top + 2 : box.height - 3];
    ++lefts[box.left > 0 ? box.left + 2 : box.width - 3];
  }
  ASSERT_EQ(tops.size(), 9U);
  ASSERT_EQ(lefts.size(), 14U);
  for (const auto& [place, count] : tops) expect_share(count, 1.0 / 9, "top " + std::to_string(place));
  for (const auto& [place, count] : lefts) expect_share(count, 1.0 / 14, "left " + std::to_string(place));
}

TEST(Transforms, AFlipIsTheMirrorImage) {
  const Image image = picture(17, 31, 3, "noise");
  Image mirrored = image;
  images::flip(mirrored);
  const Augmenter augmenter({Flip{}}, 3, Shape{3, 17, 31});
  for (std::int64_t i = 0; i < 20; ++i) {
    Image out = image;
    augmenter.change(out, {0, i});
    EXPECT_EQ(out.pixels, augmenter.place(17, 31, {0, i}).mirrored ? mirrored.pixels : image.pixels);
  }
}

// Two-sample test of Kolmogorov and Smirnov at 0.1 %.
void expect_drawn(const std::string& what, const std::map<std::string, std::vector<double>>& columns) {
  const auto& golden_columns = golden().at("drawn").at(what);
  ASSERT_EQ(golden_columns.size(), columns.size()) << what;
  const double theirs = golden().at("samples").get<double>();
  for (const auto& [name, values] : columns) {
    std::vector<double> sorted = values;
    std::ranges::sort(sorted);
    const auto ours = static_cast<double>(sorted.size());
    double most = 0, where = 0;
    for (const auto& point : golden_columns.at(name)) {
      const double value = point.at(0).get<double>();
      const auto above = std::ranges::upper_bound(sorted, value + 1e-8 * std::abs(value));
      const double share = static_cast<double>(above - sorted.begin()) / ours;
      const double distance = std::abs(share - point.at(1).get<double>());
      if (distance > most) most = distance, where = value;
    }
    EXPECT_LT(most, 1.95 * std::sqrt((ours + theirs) / (ours * theirs)))
        << what << " " << name << " at " << where;
  }
}

constexpr std::int64_t kSamples = 20000;

template <class Draw>
void expect_boxes(const std::string& what, const Draw& draw_box) {
  std::map<std::string, std::vector<double>> columns;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    Draws draws(5, 7, 2, i);
    const images::Box box = draw_box(draws);
    const bool sides = what.find("padding") == std::string::npos;
    columns["top"].push_back(static_cast<double>(box.top));
    columns["left"].push_back(static_cast<double>(box.left));
    if (sides) columns["height"].push_back(static_cast<double>(box.height));
    if (sides) columns["width"].push_back(static_cast<double>(box.width));
  }
  expect_drawn(what, columns);
}

TEST(Transforms, BoxesAreDrawnAsTorchvisionDraws) {
  expect_boxes("resized_crop 48x64", [](Draws& d) { return draw(RandomResizedCrop{}, 48, 64, d); });
  expect_boxes("resized_crop 20x100", [](Draws& d) { return draw(RandomResizedCrop{}, 20, 100, d); });
  expect_boxes("padding_crop 48x64", [](Draws& d) { return draw(PaddingCrop{}, 48, 64, 48, 64, d); });
  expect_boxes("erasing 48x64", [](Draws& d) { return draw(RandomErasing{.probability = 1}, 48, 64, d); });
}

TEST(Transforms, FactorsAndWeightsAreDrawnAsTorchvisionDraws) {
  std::map<std::string, std::vector<double>> rotation, jitter, cutmix;
  std::map<double, std::map<std::string, std::vector<double>>> mixup;
  for (std::int64_t i = 0; i < kSamples; ++i) {
    Draws draws(5, 8, 0, i);
    const Jitter j = draw(ColorJitter{0.4, 0.3, 1.5, 0.1}, draws);
    jitter["first"].push_back(j.order[0]);
    for (std::size_t k = 0; k < 4; ++k) {
      jitter[std::array{"brightness", "contrast", "saturation", "hue"}[k]].push_back(j.factor[k]);
    }
    Draws turn(5, 9, 0, i);
    rotation["angle"].push_back(draw(Rotation{}, turn));
    for (const double alpha : {0.2, 1.0, 3.0}) {
      Draws others(5, 10, 1, i);
      mixup[alpha]["weight"].push_back(
          std::min(draw(MixUp{alpha}, others).weight, 1 - 0x1p-24));  // as PyTorch keeps it below 1
    }
    Draws others(5, 11, 1, i);
    const Mixing m = draw(CutMix{}, 48, 64, others);
    cutmix["left"].push_back(static_cast<double>(m.box.left));
    cutmix["top"].push_back(static_cast<double>(m.box.top));
    cutmix["weight"].push_back(m.weight);
  }
  expect_drawn("rotation 15", rotation);
  expect_drawn("jitter", jitter);
  expect_drawn("cutmix 48x64", cutmix);
  expect_drawn("mixup 0.2", mixup[0.2]);
  expect_drawn("mixup 1", mixup[1.0]);
  expect_drawn("mixup 3", mixup[3.0]);
}

}  // namespace
}  // namespace resnet::data
