// A server in the process that asks it; the program is tested in tests/e2e/serve_test.py.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>
#include <thread>

#include "resnet/images.h"
#include "resnet/serve.h"
#include "support/message_of.h"
#include "support/networks.h"

namespace resnet {
namespace {

Model small_model(std::int64_t classes = 3) {
  const models::ResNetOptions options{.in_channels = 1, .classes = classes, .blocks = {1}, .channels = {8}};
  Network network = network_of(test::random_network("d2l_resnet18", options), {1, 1, 8, 8});
  return Model({std::move(network.state), std::move(network.eval), {.resize = {8, 8}, .channels = 1}, {}},
               {.threads = 1});
}

int port_of(const std::string& address) {
  return std::stoi(address.substr(address.rfind(':') + 1));
}

// A connection over which these bytes were sent; -1 where nobody listens.
int sent_to(int port, std::string_view bytes) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == std::ssize(bytes))
    return fd;
  ::close(fd);
  return -1;
}

// All that comes back over it.
std::string answer_of(int fd) {
  std::string result;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
    result.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(fd);
  return result;
}

std::string answer_to(int port, std::string_view bytes) {
  return answer_of(sent_to(port, bytes));
}

constexpr const char* kGet = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

TEST(Server, AnswersWhatCameBeforeItRanAndUntilItIsStopped) {
  Model model = small_model();
  Server server(model, {.port = 0, .seconds = 5});
  std::atomic<bool> stop{false};
  const int port = port_of(server.address()), early = sent_to(port, kGet);
  ASSERT_GE(early, 0);
  std::thread running([&] { server.run(stop); });
  const std::string first = answer_of(early), second = answer_to(port, kGet);
  stop = true;
  running.join();
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK\r\n")) << first;
  EXPECT_TRUE(second.starts_with("HTTP/1.1 200 OK\r\n")) << second;
  EXPECT_EQ(answer_to(port, kGet), "") << "nobody listens any more";
}

TEST(Server, RefusesWhatCannotBe) {
  Model model = small_model();
  const Server server(model, {.port = 0});
  const int port = port_of(server.address());
  EXPECT_NE(
      test::message_of<IoError>([&] { Server(model, {.port = port}); }).find("port " + std::to_string(port)),
      std::string::npos);
  EXPECT_THROW(Server(model, {.port = -1}), ConfigError);
  EXPECT_THROW(Server(model, {.host = "localhost.example", .port = 0}), ConfigError);
  EXPECT_THROW(Server(model, {.port = 0, .batch_size = 0}), ConfigError);
  for (const char* name : {"", "photos.example:8443", "https://photos.example"})
    EXPECT_THROW(Server(model, {.port = 0, .names = {name}}), ConfigError) << name;
  EXPECT_THROW(Server(model, {.port = 0, .seconds = 0}), ConfigError);
  EXPECT_THROW(Server(model, {.port = 0, .seconds = 1e300}), ConfigError);
  EXPECT_THROW(Server(model, {.port = 0, .body = std::numeric_limits<std::int64_t>::max()}), ConfigError);
}

TEST(Server, ListensAtAddressesOfBothKinds) {
  Model model = small_model();
  EXPECT_TRUE(Server(model, {.host = "localhost", .port = 0}).address().starts_with("http://127.0.0.1:"));
  try {
    EXPECT_TRUE(Server(model, {.host = "::1", .port = 0}).address().starts_with("http://[::1]:"));
  } catch (const IoError&) {
    GTEST_SKIP() << "this machine has no IPv6";
  }
}

// ::ffff:127.0.0.1 is this machine alone, too: pages of other names may not come to it (DNS rebinding).
TEST(Server, AtALoopbackAddressAnswersToLocalhostAlone) {
  Model model = small_model();
  for (const char* host : {"127.0.0.1", "::ffff:127.0.0.1"}) {
    Server server(model, {.host = host, .port = 0, .seconds = 5});
    std::atomic<bool> stop{false};
    std::thread running([&] { server.run(stop); });
    const int port = port_of(server.address());
    const std::string own = answer_to(port, kGet);
    const std::string address = server.address().substr(std::string_view("http://").size());
    const std::string said =
        answer_to(port, "GET /health HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n");
    const std::string other =
        answer_to(port, "GET /health HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
    stop = true;
    running.join();
    EXPECT_TRUE(own.starts_with("HTTP/1.1 200 OK\r\n")) << host << ": " << own;
    EXPECT_TRUE(said.starts_with("HTTP/1.1 200 OK\r\n")) << address << ": " << said;
    EXPECT_TRUE(other.starts_with("HTTP/1.1 421 ")) << host << ": " << other;
  }
}

// A reverse proxy keeps its own name in Host, or puts the server's there; browsers name its page in Origin.
TEST(Server, BehindAProxyAnswersToItsNames) {
  Model model = small_model();
  Server server(model, {.port = 0, .names = {"Photos.example"}, .seconds = 5});
  std::atomic<bool> stop{false};
  std::thread running([&] { server.run(stop); });
  const int port = port_of(server.address());
  const auto status = [&](const std::string& fields) {
    return answer_to(port, "GET /health HTTP/1.1\r\n" + fields + "Connection: close\r\n\r\n").substr(9, 3);
  };
  EXPECT_EQ(status("Host: photos.example\r\n"), "200");
  EXPECT_EQ(status("Host: photos.example:8443\r\nOrigin: https://photos.example:8443\r\n"), "200");
  EXPECT_EQ(status("Host: 127.0.0.1\r\nOrigin: https://photos.example\r\n"), "200");
  EXPECT_EQ(status("Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n"), "403");
  EXPECT_EQ(status("Host: evil.example\r\n"), "421");
  stop = true;
  running.join();
}

// 64 tiny pictures with all of 65,536 classes would be 400 MB.
TEST(Server, RefusesAnswersThatAreLargerThanARequestMayBe) {
  Model model = small_model(5000);
  Server server(model, {.port = 0, .body = 100'000, .seconds = 5});
  std::atomic<bool> stop{false};
  std::thread running([&] { server.run(stop); });
  const auto png = images::encode_png({8, 8, 1, std::vector<std::uint8_t>(64, 7)});
  const std::string picture(png.begin(), png.end());
  const auto status = [&](int pictures, const std::string& query) {
    std::string body;
    for (int i = 0; i < pictures; ++i)
      body += "--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n" + picture + "\r\n";
    body += "--x--\r\n";
    return answer_to(port_of(server.address()),
                     "POST /predict" + query +
                         " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: " +
                         std::to_string(body.size()) + "\r\n\r\n" + body)
        .substr(9, 3);
  };
  EXPECT_EQ(status(1, ""), "200");
  EXPECT_EQ(status(1, "?top=1000"), "200");
  EXPECT_EQ(status(1, "?top=65536"), "413");
  EXPECT_EQ(status(3, "?top=1000"), "413");
  EXPECT_EQ(status(3, "?top=100"), "200");
  stop = true;
  running.join();
}

}  // namespace
}  // namespace resnet
