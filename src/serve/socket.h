// Sockets of TCP, none of which blocks.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace resnet::serve {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) noexcept : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;

  int fd() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  void close() noexcept;

  enum class Outcome { done, later, ended, failed };
  /// What came, at most as much as `into` holds. ended: the other side sends no more.
  std::pair<Outcome, std::size_t> receive(std::span<char> into) const noexcept;
  /// Sends the beginning of `bytes`; how much that was. later: the other side is slow.
  std::pair<Outcome, std::size_t> send(std::string_view bytes) const noexcept;
  /// Says that no more is sent.
  void end_sending() const noexcept;

 private:
  int fd_ = -1;
};

/// Listens at an address or "localhost", port 0: one that is free. Throws IoError, or ConfigError for what is
/// no address.
Socket listen_at(const std::string& host, int port);
/// From now on the system drops requests for new connections; those under way still come to be accepted. Where it
/// cannot, it goes on as before.
void stop_new_connections(const Socket& listening) noexcept;
/// Whether an address such as "::1" or "::ffff:127.0.0.1" is this machine's own.
bool is_loopback_v6(const std::string& address) noexcept;
/// "127.0.0.1:8000", "[::1]:8000", and whether only this machine reaches it.
std::pair<std::string, bool> local_address(const Socket& listening);

/// The next connection. `none`: try again later; `crowded`: the process has no more files.
enum class Accepted { one, none, crowded };
std::pair<Accepted, Socket> accept_from(const Socket& listening) noexcept;

/// Wakes a thread that polls.
class Waker {
 public:
  Waker();  ///< throws IoError
  int fd() const noexcept { return ours_.fd(); }
  void wake() const noexcept;
  void clear() const noexcept;

 private:
  Socket ours_, theirs_;
};

}  // namespace resnet::serve
