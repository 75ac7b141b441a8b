// Where memory ends while a request is answered, it has an answer all the same, once, and the server goes on.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <thread>

#include "fault/failing_memory.h"
#include "resnet/images.h"
#include "serve/answered.h"
#include "serve/batcher.h"
#include "serve/loop.h"
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

// A connection that sent a request; what comes back, to its end.
class Client {
 public:
  explicit Client(const std::string& address) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    constexpr std::string_view kRequest =
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Length: 4\r\n\r\nbody";
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(::send(fd_, kRequest.data(), kRequest.size(), 0), std::ssize(kRequest));
  }
  ~Client() { ::close(fd_); }
  /// Whether an answer, or its end, has come; waits for ten milliseconds.
  bool has_answer() const {
    pollfd waiting{fd_, POLLIN, 0};
    return ::poll(&waiting, 1, 10) > 0;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  std::string answer() const {
    std::array<char, 4096> buffer{};
    std::string all;
    for (ssize_t n = 0; (n = ::recv(fd_, buffer.data(), buffer.size(), 0)) > 0;)
      all.append(buffer.data(), static_cast<std::size_t>(n));
    return all;
  }

 private:
  int fd_;
};

class Echo final : public Handler {
 public:
  std::optional<Response> refuse(const Request&) override { return std::nullopt; }
  std::optional<Response> handle(Request& request, std::uint64_t) override {
    return Response{.body = std::move(request.body)};
  }
  void abandon(std::uint64_t) override {}
  void responded(std::uint64_t, const Request&, int) override {}
};

TEST(Serving, LosesAConnectionAtMostWhereMemoryEnds) {
  Echo handler;
  std::atomic<bool> stop{false};
  std::optional<Loop> loop;
  std::optional<Client> first, second;
  std::jthread watch;  // ends the loop when both have their answer, or where memory has ended for good
  const auto until_answered = [&] {
    for (int i = 0; i < 500 && !(first->has_answer() && second->has_answer()); ++i) {
      if (i > 3 && !std::unique_ptr<char>(new (std::nothrow) char)) break;
    }
    stop = true;
  };
  const std::int64_t failed = test::for_each_allocation(
      [&] {
        watch = {};
        first.reset();
        second.reset();
        loop.reset();
        loop.emplace(LoopOptions{.host = "127.0.0.1",
                                 .port = 0,
                                 .connections = 4,
                                 .limits = {},
                                 .held = 1 << 20,
                                 .seconds = 0.15},
                     handler);
        first.emplace(loop->address());
        second.emplace(loop->address());
        stop = false;
        watch = std::jthread(until_answered);
      },
      [&] { loop->run(stop); },
      [&](const test::TriedMemory& tried) {
        watch.join();
        EXPECT_TRUE(tried.done) << tried;
        loop.reset();
        int answered = 0;
        for (const auto* client : {&*first, &*second}) {
          const std::string answer = client->answer();
          const bool whole = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nbody");
          EXPECT_TRUE(answer.empty() || whole) << tried << ": " << answer;
          answered += whole ? 1 : 0;
        }
        EXPECT_GE(answered, tried.for_good ? 0 : 1) << tried;
      },
      5);
  EXPECT_GT(failed, 10);
}

}  // namespace
}  // namespace resnet::serve
