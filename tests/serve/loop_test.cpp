// What clients make a server hold, also those that leave before their response.
#include "serve/loop.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace resnet::serve {
namespace {

using namespace std::chrono_literals;

// Answers GET at once with what `page` says, and POST never, unless the test does.
class Waiting : public Handler {
 public:
  std::optional<Response> refuse(const Request&) override { return std::nullopt; }
  std::optional<Response> handle(Request& request, std::uint64_t client) override {
    if (request.method == "GET") return Response{.body = page};
    if (answer > 0 && !loop->hold_answer(client, answer)) return refused(503, "no room");
    last = client;
    ++asked;
    return std::nullopt;
  }
  void abandon(std::uint64_t) override { ++left; }
  void responded(std::uint64_t, const Request&, int) override {}

  std::string page = "page";
  Loop* loop = nullptr;
  std::int64_t answer = 0;  // bytes that an answer will have
  std::atomic<std::uint64_t> last{0};
  std::atomic<int> asked{0}, left{0};
};

bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 1000 && !holds(); ++i) std::this_thread::sleep_for(10ms);
  return holds();
}

int connect_to(const std::string& address, int kind = SOCK_STREAM) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, kind, 0);
  const int result = ::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
  EXPECT_TRUE(result == 0 || errno == EINPROGRESS);
  return fd;
}

class LoopTest : public ::testing::Test {
 protected:
  LoopTest() : running_([this] { loop_.run(stop_); }) {}
  ~LoopTest() override {
    stop_ = true;
    running_.join();
  }

  int connect() const { return connect_to(loop_.address()); }
  static void send(int fd, const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }
  int post(std::size_t bytes) const {
    const int fd = connect();
    send(fd, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" +
                 std::string(bytes, 'x'));
    return fd;
  }
  static std::string first_line(int fd) {
    std::array<char, 64> text{};
    pollfd answered{fd, POLLIN, 0};
    if (::poll(&answered, 1, 5000) <= 0) return "no answer";
    const ssize_t got = ::recv(fd, text.data(), text.size(), 0);
    const std::string line(text.data(), static_cast<std::size_t>(std::max<ssize_t>(0, got)));
    return line.substr(0, line.find('\r'));
  }
  static void reset(int fd) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(fd);
  }

  static constexpr std::size_t kBody = 1 << 20;
  Waiting handler_;
  std::atomic<bool> stop_{false};
  Loop loop_{{.host = "127.0.0.1", .limits = {.body = kBody}, .held = kBody + kBody / 2, .seconds = 20},
             handler_};
  std::thread running_;
};

TEST_F(LoopTest, HoldsTheBodyOfAClientThatLeftUntilNobodyLooksAtIt) {
  const int first = post(kBody);
  ASSERT_TRUE(soon([&] { return handler_.asked == 1; }));
  reset(first);
  ASSERT_TRUE(soon([&] { return handler_.left == 1; }));
  const int refused = post(kBody);
  EXPECT_EQ(first_line(refused), "HTTP/1.1 503 Service Unavailable");
  ::close(refused);
  EXPECT_EQ(handler_.asked, 1);
  loop_.complete(handler_.last, {});
  const int second = post(kBody);
  ASSERT_TRUE(soon([&] { return handler_.asked == 2; })) << "there is room again";
  loop_.complete(handler_.last, {});
  EXPECT_EQ(first_line(second), "HTTP/1.1 200 OK");
  ::close(second);
}

TEST_F(LoopTest, CountsResponsesThatNobodyReads) {
  handler_.page.assign(std::size_t{16} << 20, 'x');  // more than the system takes
  const int reader = connect();
  send(reader, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(first_line(reader), "HTTP/1.1 200 OK");
  const int refused = post(kBody);
  EXPECT_EQ(first_line(refused), "HTTP/1.1 503 Service Unavailable");
  ::close(refused);
  reset(reader);
  int second = -1;
  bool fits = false;
  for (int i = 0; i < 100 && !fits; ++i) {  // until the loop has heard of the reset
    second = post(kBody);
    pollfd refusal{second, POLLIN, 0};
    fits = ::poll(&refusal, 1, 100) == 0;
    if (!fits) ::close(second);
  }
  ASSERT_TRUE(fits) << "there is room again";
  ASSERT_TRUE(soon([&] { return handler_.asked == 1; }));
  loop_.complete(handler_.last, {});
  EXPECT_EQ(first_line(second), "HTTP/1.1 200 OK");
  ::close(second);
}

TEST_F(LoopTest, CountsAnswersThatAreBeingMade) {
  handler_.loop = &loop_;
  handler_.answer = kBody;
  const int first = post(1);
  ASSERT_TRUE(soon([&] { return handler_.asked == 1; }));
  const int second = post(1), body = post(kBody);
  EXPECT_EQ(first_line(second), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(first_line(body), "HTTP/1.1 503 Service Unavailable");
  loop_.complete(handler_.last, {});
  EXPECT_EQ(first_line(first), "HTTP/1.1 200 OK");
  const int third = post(1);
  ASSERT_TRUE(soon([&] { return handler_.asked == 2; })) << "there is room again";
  loop_.complete(handler_.last, {});
  for (const int fd : {first, second, body, third}) ::close(fd);
}

// What the system has taken of it comes yet; the rest does not.
TEST(LoopOfShortTime, DropsAClientThatDoesNotReadItsAnswer) {
  Waiting handler;
  handler.page.assign(std::size_t{64} << 20, 'x');  // more than the system takes
  std::atomic<bool> stop{false};
  Loop loop({.host = "127.0.0.1", .limits = {}, .held = 1, .seconds = 0.3}, handler);
  std::thread running([&] { loop.run(stop); });
  const int fd = connect_to(loop.address());
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(::send(fd, request.data(), request.size(), MSG_NOSIGNAL), std::ssize(request));
  std::this_thread::sleep_for(1s);
  std::vector<char> buffer(1 << 20);
  std::size_t bytes = 0;
  for (ssize_t n = 0; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
    bytes += static_cast<std::size_t>(n);
  ::close(fd);
  EXPECT_GT(bytes, 0U);
  EXPECT_LT(bytes, handler.page.size());
  stop = true;
  running.join();
}

// A client that connects just before the listening socket is closed would be reset after its request.
TEST(Socket, StopsNewConnectionsButNotThoseThatWait) {
  const Socket listening = listen_at("127.0.0.1", 0);
  const std::string address = local_address(listening).first;
  const int before = connect_to(address);
  stop_new_connections(listening);
  const int after = connect_to(address, SOCK_STREAM | SOCK_NONBLOCK);
  pollfd connected{after, POLLOUT, 0};
  EXPECT_EQ(::poll(&connected, 1, 50), 0) << "it hears nothing";
  const auto [outcome, accepted] = accept_from(listening);
  EXPECT_EQ(outcome, Accepted::one);
  EXPECT_EQ(accept_from(listening).first, Accepted::none);
  ::send(before, "x", 1, MSG_NOSIGNAL);
  pollfd heard{accepted.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&heard, 1, 1000), 1) << "its segments come";
  ::close(before);
  ::close(after);
}

}  // namespace
}  // namespace resnet::serve
