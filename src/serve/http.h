// HTTP/1.1 as text: requests in, responses out (RFC 9112). What it takes is strict where others are lenient,
// so that nothing in front of it can read a request another way (request smuggling).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "resnet/error.h"

namespace resnet::serve {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method, path, query;  // path without its query, as it was sent
  int minor = 1;                    // HTTP/1.<minor>
  std::string host;                 // of the Host field or an absolute target; may have a port
  Fields fields;                    // names in lower case
  std::string body;
  bool keep_alive = true;

  /// The value of the first field of that name, or null.
  const std::string* field(std::string_view name) const noexcept;
};

/// A request that is not served, with the status that says why.
class Refusal : public Error {
 public:
  Refusal(int status, const std::string& why) : Error(why), status_(status) {}
  int status() const noexcept { return status_; }

 private:
  int status_;
};

struct HttpLimits {
  std::size_t target = 4 << 10, head = 16 << 10;  // bytes
  std::size_t fields = 100;
  std::int64_t body = std::int64_t{32} << 20;  // bytes
};

/// Reads one request as its bytes come. Its time is linear in them, and its memory in the body.
class RequestReader {
 public:
  explicit RequestReader(const HttpLimits& limits) : limits_(limits) {}

  /// Gives how many of the bytes belong to this request. Throws Refusal; it is of no use then.
  std::size_t take(std::string_view bytes);

  bool begun() const noexcept { return !head_.empty() || state_ != State::head; }
  bool has_head() const noexcept { return state_ != State::head; }
  bool done() const noexcept { return state_ == State::done; }
  /// Whether the client waits for "100 Continue" before it sends the body.
  bool wants_continue() const noexcept { return wants_continue_; }
  Request& request() noexcept { return request_; }

 private:
  enum class State { head, body, chunk_size, chunk, chunk_end, trailer, done };

  std::size_t take_head(std::string_view bytes);
  std::size_t take_body(std::string_view bytes);
  std::size_t take_line(std::string_view bytes);
  void begin_body();
  void end_line();
  void begin_chunk();

  HttpLimits limits_;
  State state_ = State::head;
  std::string head_, line_;
  std::size_t framing_ = 0;  // bytes of chunks' sizes and trailers
  std::int64_t left_ = 0;    // of the body or the chunk
  bool wants_continue_ = false;
  Request request_;
};

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  Fields fields = {};
  bool close = false;  // the connection, whatever the client wants
};

/// {"error": why}, for people and programs.
Response refused(int status, const std::string& why);

/// The bytes of a response, without its body to HEAD. `close`: the connection ends behind it.
std::string to_bytes(const Response& response, const Request& request, bool close);

/// Of "Content-Type: type; name=value" and its like: the value, unquoted; "" where there is none.
std::string parameter(std::string_view field, std::string_view name);
/// Without spaces at both ends.
std::string_view trimmed(std::string_view text);

}  // namespace resnet::serve
