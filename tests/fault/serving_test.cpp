// Where memory ends while a request is answered, it has an answer all the same, once, and the server goes on.
#include <gtest/gtest.h>

#include <optional>

#include "fault/failing_memory.h"
#include "resnet/images.h"
#include "serve/answered.h"
#include "serve/batcher.h"
#include "support/networks.h"

namespace resnet::serve {
namespace {

TEST(Serving, AnswersEachRequestOnceWhereMemoryEnds) {
  const models::ResNetOptions sizes{.in_channels = 1, .classes = 4, .blocks = {1}, .channels = {8}};
  Network network = network_of(test::random_network("d2l_resnet18", sizes), {1, 1, 8, 8});
  Model model({std::move(network.state), std::move(network.eval), {.resize = {8, 8}, .channels = 1}, {}},
              {.threads = 1});
  data::Image image{10, 12, 1, {}};
  for (int i = 0; i < 120; ++i) image.pixels.push_back(static_cast<std::uint8_t>(7 * i % 253));
  const std::vector<std::uint8_t> png = images::encode_png(image);
  const std::string picture(png.begin(), png.end());

  Metrics metrics;
  std::optional<test::Answered> answered;
  std::shared_ptr<Ask> ask;
  std::optional<Batcher> batcher;
  const std::int64_t failed = test::for_each_allocation(
      [&] {
        batcher.reset();
        answered.emplace();
        batcher.emplace(model, ServeOptions{.batch_size = 2, .threads = 1}, metrics,
                        [&](const auto&) noexcept { answered->count(); });
        ask = std::make_shared<Ask>();
        ask->top = 4;
        ask->body = picture;
        for (const char* name : {"first", "second"}) ask->files.push_back({name, ask->body});
      },
      [&] {
        batcher->add(ask);
        ASSERT_TRUE(answered->wait_for(1)) << "nobody answers";
      },
      [&](const test::TriedMemory& tried) {
        batcher.reset();
        if (!tried.done) return;  // it was not even asked
        EXPECT_EQ(answered->all(), 1) << tried;
        for (const Prediction& answer : ask->answers) {
          EXPECT_NE(answer.error.empty(), answer.top.empty()) << tried << ": " << answer.error;
          EXPECT_TRUE(answer.error.empty() || ask->failed) << tried << ": the fault is no picture's";
        }
      });
  EXPECT_GT(failed, 20);
}

}  // namespace
}  // namespace resnet::serve
