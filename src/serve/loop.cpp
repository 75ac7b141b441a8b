#include "serve/loop.h"

#include <poll.h>

#include <algorithm>
#include <new>
#include <thread>
#include <tuple>

namespace resnet::serve {
namespace {

using namespace std::chrono_literals;
using Outcome = Socket::Outcome;

constexpr auto kHeadTime = 10s;      // for a request's head, from its first byte on
constexpr auto kLingerTime = 2s;     // until the client has read the last response of its connection
constexpr auto kStopTime = 1s;       // in which a connection may still begin a request when the server stops
constexpr auto kAcceptTime = 100ms;  // for connections that were being made just then
constexpr auto kIdleTime = 1s;       // after which an idle connection may give way to a new one
constexpr auto kCrowdedTime = 100ms;
constexpr auto kNoMemoryTime = 10ms;
constexpr auto kLongestPoll = 200ms;
constexpr std::size_t kBuffer = 64 << 10;

SteadyTime::duration duration_of(double count) {
  return std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(count));
}

}  // namespace

Loop::Loop(LoopOptions options, Handler& handler)
    : options_(std::move(options)),
      handler_(handler),
      listening_(listen_at(options_.host, options_.port)),
      buffer_(kBuffer) {
  std::tie(address_, is_loopback_) = local_address(listening_);
  // Taking them needs no memory then.
  constexpr std::int64_t kMost = 1 << 16;
  const std::int64_t most = std::min(kMost, std::max<std::int64_t>(options_.connections, options_.answers));
  completed_.reserve(static_cast<std::size_t>(most));
  taken_.reserve(static_cast<std::size_t>(most));
}

void Loop::run(const std::atomic<bool>& stop) {
  while (!stopping_ || (now_ < end_ && (listening_.is_open() || !connections_.empty()))) {
    if (stop && !stopping_) begin_stop();
    try {
      poll_once();
    } catch (const std::bad_alloc&) {  // not even for its own lists: whoever has memory may give it back
      std::this_thread::sleep_for(kNoMemoryTime);
      now_ = std::chrono::steady_clock::now();
    }
    if (stopping_ && now_ >= accept_until_) listening_.close();
  }
  while (!connections_.empty()) drop(connections_.begin()->first, connections_.begin()->second);
}

// What the system has accepted for us is a promise, too: closing now would reset it. Who has not begun to speak
// may do so for a moment.
void Loop::begin_stop() {
  stopping_ = true;
  stop_new_connections(listening_);
  accept_until_ = std::chrono::steady_clock::now() + kAcceptTime;
  end_ = now_ + duration_of(options_.seconds);
  for (auto& [id, connection] : connections_) {
    if (connection.state == Connection::State::reading && !connection.begun)
      connection.deadline = now_ + kStopTime;
  }
}

void Loop::poll_once() {
  using State = Connection::State;
  std::vector<pollfd> polled = {{waker_.fd(), POLLIN, 0}};
  const bool has_room = stopping_ || std::ssize(connections_) < options_.connections || make_room();
  const bool accepts = listening_.is_open() && has_room && now_ >= accept_after_;
  if (accepts) polled.push_back({listening_.fd(), POLLIN, 0});
  const std::size_t first = polled.size();
  std::vector<std::uint64_t> ids;
  SteadyTime until = now_ + kLongestPoll;
  if (stopping_ && listening_.is_open()) until = std::min(until, accept_until_);
  if (listening_.is_open() && now_ < accept_after_) until = std::min(until, accept_after_);
  for (const auto& [id, connection] : connections_) {
    short events = 0;
    if (connection.state == State::reading || connection.state == State::lingering) events = POLLIN;
    if (connection.state == State::writing) events = POLLOUT;
    polled.push_back({connection.socket.fd(), events, 0});
    ids.push_back(id);
    if (connection.state != State::answering) until = std::min(until, connection.deadline);
  }
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(0, wait.count())));
  now_ = std::chrono::steady_clock::now();

  if (polled[0].revents != 0) waker_.clear();
  take_completed();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto found = connections_.find(ids[i]);
    if (found == connections_.end()) continue;
    auto& [id, connection] = *found;
    try {
      attend(id, connection, polled[first + i].revents);
    } catch (const std::bad_alloc&) {  // the others may need less
      if (const auto left = connections_.find(ids[i]); left != connections_.end())
        drop(left->first, left->second);
    }
  }
  if (!accepts || polled[1].revents == 0) return;
  try {
    accept_all();
  } catch (const std::bad_alloc&) {
    accept_after_ = now_ + kNoMemoryTime;
  }
}

void Loop::attend(std::uint64_t id, Connection& connection, int happened) {
  using State = Connection::State;
  if (connection.state == State::answering && (happened & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
    drop(id, connection);
  } else if ((connection.state == State::reading || connection.state == State::lingering) && happened != 0) {
    receive(id, connection);
  } else if (connection.state == State::writing && happened != 0) {
    advance(id, connection);
  } else {
    check_deadline(id, connection);
  }
}

void Loop::accept_all() {
  while (std::ssize(connections_) < options_.connections || stopping_) {
    auto [outcome, socket] = accept_from(listening_);
    if (outcome == Accepted::crowded && !make_room()) accept_after_ = now_ + kCrowdedTime;
    if (outcome != Accepted::one) return;
    Connection& connection =
        connections_.try_emplace(++next_id_, std::move(socket), options_.limits).first->second;
    expect_request(connection);
  }
}

// Closes the connection that has been idle longest; false where none is.
bool Loop::make_room() {
  auto oldest = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    const Connection& connection = at->second;
    if (connection.state != Connection::State::reading || connection.begun ||
        now_ - connection.since < kIdleTime)
      continue;
    if (oldest == connections_.end() || connection.since < oldest->second.since) oldest = at;
  }
  if (oldest == connections_.end()) return false;
  pollfd waiting{listening_.fd(), POLLIN, 0};
  if (!listening_.is_open() || ::poll(&waiting, 1, 0) <= 0) return true;  // nobody needs it yet
  drop(oldest->first, oldest->second);
  return true;
}

void Loop::expect_request(Connection& connection) {
  connection.state = Connection::State::reading;
  connection.reader = RequestReader(options_.limits);
  connection.begun = connection.checked = connection.told_to_continue = false;
  connection.since = now_;
  connection.deadline = now_ + (stopping_ ? kStopTime : duration_of(options_.seconds));
}

void Loop::complete(std::uint64_t client, Response response) {
  {
    const std::scoped_lock lock(mutex_);
    completed_.emplace_back(client, std::move(response));
  }
  waker_.wake();
}

void Loop::take_completed() {
  taken_.clear();
  {
    const std::scoped_lock lock(mutex_);
    taken_.swap(completed_);
  }
  for (const auto& [id, response] : taken_) {
    if (const auto left = left_behind_.extract(id)) held_ -= left.mapped();
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second.state != Connection::State::answering) continue;
    try {
      respond(id, found->second, response, false);
      advance(id, found->second);
    } catch (const std::bad_alloc&) {
      if (found->second.state == Connection::State::answering)
        found->second.state = Connection::State::writing;  // nobody has its body any more
      drop(id, found->second);
    }
  }
}

void Loop::receive(std::uint64_t id, Connection& connection) {
  const auto [outcome, count] = connection.socket.receive(buffer_);
  if (outcome == Outcome::later) return check_deadline(id, connection);
  if (outcome != Outcome::done) return drop(id, connection);
  if (connection.state == Connection::State::lingering) return check_deadline(id, connection);
  connection.in.append(buffer_.data(), count);
  advance(id, connection);
}

// As far as it goes without waiting: what came, perhaps several requests, one after the other.
void Loop::advance(std::uint64_t id, Connection& connection) {
  for (;;) {
    if (connection.state == Connection::State::writing) {
      if (!write(connection)) return drop(id, connection);
      if (connection.state == Connection::State::writing) return check_deadline(id, connection);
    }
    if (connection.state != Connection::State::reading) return;
    try {
      if (!read_request(id, connection)) return check_deadline(id, connection);
    } catch (const Refusal& refusal) {
      respond(id, connection, refused(refusal.status(), refusal.what()), true);
    }
  }
}

// False where more has to come.
bool Loop::read_request(std::uint64_t id, Connection& connection) {
  RequestReader& reader = connection.reader;
  connection.in.erase(0, reader.take(connection.in));
  if (!connection.begun && reader.begun()) {
    connection.begun = true;
    connection.since = now_;
    connection.deadline = now_ + std::min<SteadyTime::duration>(kHeadTime, duration_of(options_.seconds));
  }
  if (!reader.has_head()) return false;
  const std::int64_t body = std::ssize(reader.request().body);
  hold(connection, body);
  if (!connection.checked) {
    connection.checked = true;
    connection.deadline = connection.since + duration_of(options_.seconds);
    if (const auto response = handler_.refuse(reader.request())) {
      respond(id, connection, *response, !reader.done());
      return true;
    }
  }
  if (body > 0 && held_ > options_.held) {
    respond(id, connection, refused(503, "too many large requests at once"), true);
    return true;
  }
  if (reader.done()) {
    if (const auto response = handler_.handle(reader.request(), id)) {
      respond(id, connection, *response, false);
    } else {
      connection.state = Connection::State::answering;
    }
    return true;
  }
  if (reader.wants_continue() && body == 0 && !connection.told_to_continue) {
    connection.told_to_continue = true;  // one that does not fit is left out: clients send the body anyway
    static_cast<void>(connection.socket.send("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  return false;
}

void Loop::respond(std::uint64_t id, Connection& connection, const Response& response, bool close) {
  const Request& request = connection.reader.request();
  handler_.responded(id, request, response.status);
  connection.close = close || response.close || stopping_ || !request.keep_alive;
  connection.out = to_bytes(response, request, connection.close);
  connection.written = 0;
  connection.reader.request().body = {};
  hold(connection, std::ssize(connection.out));
  connection.state = Connection::State::writing;
  connection.deadline = now_ + duration_of(options_.seconds);
}

// False where the connection is broken.
bool Loop::write(Connection& connection) {
  while (connection.written < connection.out.size()) {
    const auto [outcome, count] =
        connection.socket.send(std::string_view(connection.out).substr(connection.written));
    if (outcome == Outcome::later) return true;
    if (outcome != Outcome::done) return false;
    connection.written += count;
  }
  connection.out = {};
  hold(connection, 0);
  if (!connection.close) {
    expect_request(connection);
  } else {  // closing at once, with bytes unread, would take the response from the client (RFC 9112, 9.6)
    connection.socket.end_sending();
    connection.state = Connection::State::lingering;
    connection.deadline = now_ + kLingerTime;
    connection.in = {};
  }
  return true;
}

void Loop::check_deadline(std::uint64_t id, Connection& connection) {
  using State = Connection::State;
  if (connection.state == State::answering || now_ < connection.deadline) return;
  if (connection.state != State::reading || !connection.begun) return drop(id, connection);
  respond(id, connection, refused(408, "the request did not arrive in time"), true);
  advance(id, connection);
}

void Loop::hold(Connection& connection, std::int64_t bytes) {
  held_ += bytes - std::exchange(connection.held, bytes);
}

bool Loop::hold_answer(std::uint64_t client, std::int64_t bytes) {
  if (held_ + bytes > options_.held) return false;
  Connection& connection = connections_.at(client);
  hold(connection, connection.held + bytes);
  return true;
}

// The body of a client that left is there until complete() says that nobody looks at it any more.
void Loop::drop(std::uint64_t id, Connection& connection) {
  if (connection.state == Connection::State::answering) {
    try {
      left_behind_.emplace(id, connection.held);
      connection.held = 0;
    } catch (const std::bad_alloc&) {  // then its bytes are not counted
    }
    handler_.abandon(id);
  }
  hold(connection, 0);
  connections_.erase(id);
}

}  // namespace resnet::serve
