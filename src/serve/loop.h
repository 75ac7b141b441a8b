// Connections: what comes is read and what is answered is sent, by one thread, within limits.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "serve/http.h"
#include "serve/socket.h"

namespace resnet::serve {

/// What is served. Called by the thread that runs the loop, and must not block.
class Handler {
 public:
  virtual ~Handler() = default;
  /// By its head, before the body is read: a response to a request that is refused.
  virtual std::optional<Response> refuse(const Request& request) = 0;
  /// The response; nothing where Loop::complete() gives it later to `client`.
  virtual std::optional<Response> handle(Request& request, std::uint64_t client) = 0;
  /// A client that waits for its response has left.
  virtual void abandon(std::uint64_t client) = 0;
  /// The client has its response, whatever gave it.
  virtual void responded(std::uint64_t client, const Request& request, int status) = 0;
};

struct LoopOptions {
  std::string host;
  int port = 0;
  int connections = 256;
  HttpLimits limits;
  std::int64_t held = 0;       // bytes of all bodies and responses together, beyond which no body is read
  std::int64_t answers = 256;  // of complete() at once; clients that left wait for theirs too
  double seconds = 60;         // for a request to arrive, and a response to be taken in
};

class Loop {
 public:
  /// Listens. Throws IoError, ConfigError.
  Loop(LoopOptions options, Handler& handler);

  const std::string& address() const noexcept { return address_; }  ///< "127.0.0.1:8000"
  bool is_loopback() const noexcept { return is_loopback_; }
  /// By the thread that runs the loop.
  std::int64_t connections() const noexcept { return std::ssize(connections_); }
  bool is_stopping() const noexcept { return stopping_; }
  /// From Handler::handle(): what the response to `client` will take. False where there is no room for it.
  bool hold_answer(std::uint64_t client, std::int64_t bytes);

  /// Until `stop` is set and everything is answered, or `seconds` later.
  void run(const std::atomic<bool>& stop);
  /// From any thread: the response to a request that handle() left open.
  void complete(std::uint64_t client, Response response);

 private:
  struct Connection {
    enum class State { reading, answering, writing, lingering };
    explicit Connection(Socket its, const HttpLimits& limits) : socket(std::move(its)), reader(limits) {}

    Socket socket;
    RequestReader reader;
    State state = State::reading;
    std::string in;   // that came behind the request
    std::string out;  // of which `written` bytes are sent
    std::size_t written = 0;
    std::int64_t held = 0;  // bytes: of the request's body, then of `out`
    bool begun = false, checked = false, told_to_continue = false, close = false;
    SteadyTime since, deadline;
  };
  using Connections = std::map<std::uint64_t, Connection>;

  void poll_once();
  void attend(std::uint64_t id, Connection& connection, int happened);
  void accept_all();
  bool make_room();
  void begin_stop();
  void take_completed();
  void receive(std::uint64_t id, Connection& connection);
  void advance(std::uint64_t id, Connection& connection);
  bool read_request(std::uint64_t id, Connection& connection);
  void respond(std::uint64_t id, Connection& connection, const Response& response, bool close);
  bool write(Connection& connection);
  void expect_request(Connection& connection);
  void check_deadline(std::uint64_t id, Connection& connection);
  void drop(std::uint64_t id, Connection& connection);
  void hold(Connection& connection, std::int64_t bytes);

  LoopOptions options_;
  Handler& handler_;
  Socket listening_;
  std::string address_;
  bool is_loopback_ = false;
  Waker waker_;
  SteadyTime now_ = std::chrono::steady_clock::now();
  SteadyTime accept_after_ = now_, accept_until_ = now_, end_ = now_;
  bool stopping_ = false;
  std::uint64_t next_id_ = 0;
  std::int64_t held_ = 0;                              // bytes of all connections,
  std::map<std::uint64_t, std::int64_t> left_behind_;  // and of clients that left before their response
  Connections connections_;
  std::vector<char> buffer_;
  std::vector<std::pair<std::uint64_t, Response>> taken_;  // of completed_

  std::mutex mutex_;  // of what follows
  std::vector<std::pair<std::uint64_t, Response>> completed_;
};

}  // namespace resnet::serve
