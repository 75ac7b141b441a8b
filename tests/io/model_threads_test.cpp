// A Model that several threads use, or a child of fork().
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/files.h"
#include "base/random.h"
#include "resnet/error.h"
#include "resnet/model_file.h"
#include "resnet/predict.h"
#include "support/in_child.h"
#include "support/networks.h"
#include "support/scratch_folder.h"

namespace resnet {
namespace {

using Answer = std::vector<std::pair<std::string, float>>;

Model model(int threads) {
  const nn::Sequential net = test::random_network(
      "d2l_resnet18", {.in_channels = 1, .classes = 3, .blocks = {1, 1}, .channels = {4, 8}});
  Network network = network_of(net, {1, 1, 16, 24});
  data::Preprocessing preprocessing;
  preprocessing.resize = {16, 24};
  return Model({std::move(network.state), std::move(network.eval), preprocessing, {"a", "b", "c"}},
               {.threads = threads});
}

data::Image picture(std::uint64_t number) {
  data::Image image{10, 12, 1, std::vector<std::uint8_t>(120)};
  const RandomStream random(number, "picture");
  for (std::size_t p = 0; p < image.pixels.size(); ++p)
    image.pixels[p] = static_cast<std::uint8_t>(random.word(p) & 0xffU);
  return image;
}

TEST(Model, RefusesARowThatIsNotThereAndNoAnswers) {
  const Model shared = model(1);
  const Tensor logits = shared.infer(ImageView::nhwc({std::vector<float>(384).data(), Shape{1, 16, 24, 1}}));
  EXPECT_EQ(shared.top_of(logits, 0, 2).size(), 2U);
  for (const std::int64_t row : {1, -1}) EXPECT_THROW(shared.ranked(logits, row, 1), ShapeError) << row;
  for (const std::int64_t most : {0, -1}) EXPECT_THROW(shared.top_of(logits, 0, most), ConfigError) << most;
}

TEST(Model, PredictsNoFilesAndChecksItsOptions) {
  Model shared = model(1);
  predict(shared, std::span<const std::filesystem::path>(), {}, [](const Prediction&) { FAIL(); });
  const std::vector<std::uint8_t> none;
  EXPECT_THROW(predict(shared, none, {.top = 0}), ConfigError);
  EXPECT_THROW(predict(shared, none, {.top = -1}), ConfigError);
}

// Without a resize a picture is as large as it comes; 5x5 pixels are the least that this one can see.
TEST(Model, PredictsTheOthersWhereAPictureDoesNotFit) {
  nn::Sequential net{nn::Conv2d(1, 4, {.kernel = 5}), nn::GlobalAvgPool2d(), nn::Flatten(), nn::Linear(4, 3)};
  nn::init(net, net.scheme(), 3);
  Network network = network_of(net, {1, 1, 16, 16});
  const Model seeing({std::move(network.state), std::move(network.eval), {}, {"a", "b", "c"}},
                     {.threads = 2});
  const ScratchFolder folder;
  std::vector<std::filesystem::path> files;
  for (const int side : {8, 8, 3, 3, 9, 4, 8, 200, 8, 8, 8, 8, 7}) {
    files.push_back(folder.path() / (std::to_string(files.size()) + ".pgm"));
    write_file(files.back(), fmt::format("P5 {} {} 255\n", side, side) +
                                 std::string(static_cast<std::size_t>(side * side), 'x'));
  }
  const std::vector<Prediction> answers = predict(seeing, files, {.batch_size = 2});
  ASSERT_EQ(answers.size(), files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    EXPECT_EQ(answers[i].file, files[i]);
    EXPECT_EQ(answers[i].error.empty(), i != 2 && i != 3 && i != 5) << i << ": " << answers[i].error;
    EXPECT_EQ(answers[i].top.empty(), !answers[i].error.empty());
  }
}

TEST(ModelThreads, ClassifyAtOnceAsOneAfterTheOther) {
  constexpr std::size_t kPictures = 8;
  for (const int threads : {1, 2}) {
    Model shared = model(threads);
    std::vector<Answer> expected;
    for (std::size_t i = 0; i < kPictures; ++i) expected.push_back(shared.classify(picture(i)));
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (std::size_t caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&, caller] {
        for (std::size_t i = 0; i < 100; ++i) {
          const std::size_t at = (caller + i) % kPictures;
          if (shared.classify(picture(at)) != expected[at]) ++wrong;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong, 0) << "of 400, " << threads << " threads of the engine";
  }
}

// A picture's probability may be other bits in another batch, but not by another thread at the same time.
TEST(ModelThreads, InferBatchesOfManySizesAtOnceAsOneAfterTheOther) {
  const Model shared = model(1);
  std::vector<Tensor> batches, expected;
  for (std::int64_t size = 1; size <= 5; ++size) {
    batches.push_back(random_uniform({size, 1, 16, 24}, static_cast<std::uint64_t>(size)));
    expected.push_back(model(2).infer(batches.back().view<float>()));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 5; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::size_t i = 0; i < 60; ++i) {
        const std::size_t at = (caller + i) % batches.size();
        const Tensor got = shared.infer(batches[at].view<float>());
        if (!std::ranges::equal(got.values(), expected[at].values())) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0) << "of 300";
}

TEST(ModelThreads, ClassifyInAChild) {
  RESNET_SKIP_WHERE_A_CHILD_HAS_NO_THREADS();
  Model shared = model(2);
  const Answer expected = shared.classify(picture(1));
  EXPECT_EQ(test::in_child([&] { return shared.classify(picture(1)) == expected; }), test::Child::held);
}

}  // namespace
}  // namespace resnet
