#include "serve/socket.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/file_system.h"
#include "resnet/error.h"

namespace resnet::serve {
namespace {

std::string error_text(int error) {
  return std::system_category().message(error);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// Numbers alone: looking up names asks the network, and a static program has no part that could.
Address parse_address(const std::string& host, int port) {
  if (port < 0 || port > 0xffff)
    throw ConfigError(fmt::format("ServeOptions::port cannot be {}", port), "0 to 65535");
  const std::string text = host == "localhost" ? "127.0.0.1" : host;
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v6;
  } else {
    throw ConfigError(fmt::format("ServeOptions::host: '{}' is no address", host),
                      "give 127.0.0.1 for this machine alone, 0.0.0.0 or :: for all of its networks");
  }
  return address;
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  close();
  fd_ = std::exchange(other.fd_, -1);
  return *this;
}

void Socket::close() noexcept {
  if (fd_ >= 0) file_system().close(std::exchange(fd_, -1));
}

std::pair<Socket::Outcome, std::size_t> Socket::receive(std::span<char> into) const noexcept {
  const ssize_t count = uninterrupted([&] { return ::recv(fd_, into.data(), into.size(), 0); });
  if (count > 0) return {Outcome::done, static_cast<std::size_t>(count)};
  if (count == 0) return {Outcome::ended, 0};
  return {errno == EAGAIN || errno == EWOULDBLOCK ? Outcome::later : Outcome::failed, 0};
}

std::pair<Socket::Outcome, std::size_t> Socket::send(std::string_view bytes) const noexcept {
  const ssize_t count = uninterrupted([&] { return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
  if (count >= 0) return {Outcome::done, static_cast<std::size_t>(count)};
  return {errno == EAGAIN || errno == EWOULDBLOCK ? Outcome::later : Outcome::failed, 0};
}

void Socket::end_sending() const noexcept {
  ::shutdown(fd_, SHUT_WR);
}

Socket listen_at(const std::string& host, int port) {
  Address address = parse_address(host, port);
  Socket socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto failed = [&](int error) {
    const char* hint = "";
    if (error == EADDRINUSE) hint = "another program listens there; port 0 takes one that is free";
    if (error == EADDRNOTAVAIL) hint = "give an address of this machine: 127.0.0.1, or 0.0.0.0 for all";
    if (error == EACCES) hint = "ports below 1024 are the system's; take a higher one";
    return IoError(fmt::format("cannot listen at {} port {}: {}", host, port, error_text(error)), hint);
  };
  if (!socket.is_open()) throw failed(errno);
  const int on = 1, off = 0;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6)
    ::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  constexpr int kBacklog = 256;
  if (::bind(socket.fd(), address.get(), address.size) != 0 || ::listen(socket.fd(), kBacklog) != 0) {
    throw failed(errno);
  }
  return socket;
}

// A filter of a listening socket sees the segments from their TCP header on.
void stop_new_connections(const Socket& listening) noexcept {
  constexpr std::uint32_t kFlags = 13, kSyn = 2, kAll = 0xffffffff;
  std::array<sock_filter, 4> code = {{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kFlags),
                                      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kSyn, 0, 1),
                                      BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, kAll)}};
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  ::setsockopt(listening.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

namespace {

bool is_loopback(const in6_addr& ip) {
  constexpr std::size_t kFirstOfV4 = 12;  // in ::ffff:127.0.0.1
  return IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[kFirstOfV4] == IN_LOOPBACKNET);
}

}  // namespace

bool is_loopback_v6(const std::string& address) noexcept {
  in6_addr ip{};
  return ::inet_pton(AF_INET6, address.c_str(), &ip) == 1 && is_loopback(ip);
}

std::pair<std::string, bool> local_address(const Socket& listening) {
  Address address;
  address.size = sizeof address.storage;
  if (::getsockname(listening.fd(), address.get(), &address.size) != 0) {
    throw IoError("the system does not say where it listens: " + error_text(errno));
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
    ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
    return {fmt::format("{}:{}", text.data(), ntohs(v4->sin_port)),
            (ntohl(v4->sin_addr.s_addr) >> 24U) == IN_LOOPBACKNET};
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
  ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
  return {fmt::format("[{}]:{}", text.data(), ntohs(v6->sin6_port)), is_loopback(v6->sin6_addr)};
}

std::pair<Accepted, Socket> accept_from(const Socket& listening) noexcept {
  Socket socket(uninterrupted(
      [&] { return ::accept4(listening.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC); }));
  if (socket.is_open()) {
    const int on = 1;
    ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return {Accepted::one, std::move(socket)};
  }
  const bool crowded = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
  return {crowded ? Accepted::crowded : Accepted::none, Socket()};
}

Waker::Waker() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    throw IoError("cannot make a pair of sockets: " + error_text(errno), "raise `ulimit -n`");
  }
  ours_ = Socket(pair[0]);
  theirs_ = Socket(pair[1]);
}

void Waker::wake() const noexcept {
  static_cast<void>(theirs_.send("x"));  // one that is full wakes as well
}

void Waker::clear() const noexcept {
  std::array<char, 256> bytes{};
  while (ours_.receive(bytes).first == Socket::Outcome::done) {
  }
}

}  // namespace resnet::serve
