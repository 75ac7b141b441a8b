#include "serve/http.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/json.h"
#include "base/text.h"

namespace resnet::serve {
namespace {

constexpr std::size_t kMostLine = 256;  // of a chunk's size with its extensions, or a trailer's field
constexpr std::size_t kLeastFraming = 64 << 10;  // of them all, or as much as the body

constexpr int kBad = 400, kTooLarge = 413, kLongTarget = 414, kManyFields = 431;

// A letter of a method or a field's name.
bool is_token(char c) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         kOther.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return is_token(c); });
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

// The lines of a head, each without its CRLF; there is one at least.
std::vector<std::string_view> lines_of(std::string_view head) {
  std::vector<std::string_view> lines;
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    lines.push_back(head.substr(0, end));
    head.remove_prefix(end + 2);
  }
  return lines;
}

void read_target(std::string_view target, Request& request) {
  if (!std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f'; })) {
    throw Refusal(kBad, "the request's target has a character that must be escaped");
  }
  for (const std::string_view scheme : {"http://", "https://"}) {  // as to a proxy
    if (lower_case(target.substr(0, scheme.size())) != scheme) continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = std::min(target.find_first_of("/?#"), target.size());
    request.host = target.substr(0, end);
    target.remove_prefix(end);
    if (target.empty()) target = "/";
  }
  if (!target.starts_with('/') && target != "*") throw Refusal(kBad, "the request's target is no path");
  const std::size_t question = std::min(target.find('?'), target.size());
  request.path = target.substr(0, question);
  if (question < target.size()) request.query = target.substr(question + 1);
}

void read_request_line(std::string_view line, const HttpLimits& limits, Request& request) {
  const std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    throw Refusal(kBad, "the first line is not METHOD TARGET HTTP/1.1");
  }
  const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!is_token(method)) throw Refusal(kBad, "the method is no word");
  const bool is_http = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
                       version[5] >= '0' && version[5] <= '9' && version[7] >= '0' && version[7] <= '9';
  if (!is_http) throw Refusal(kBad, "the first line is not METHOD TARGET HTTP/1.1");
  if (version[5] != '1') throw Refusal(505, "this server speaks HTTP/1.1");
  if (target.size() > limits.target) throw Refusal(kLongTarget, "the request's target is too long");
  request.method = method;
  request.minor = version[7] == '0' ? 0 : 1;
  read_target(target, request);
}

void read_field(std::string_view line, Request& request) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    throw Refusal(kBad, "a header field is not NAME: VALUE");
  }
  request.fields.emplace_back(lower_case(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
}

std::size_t fields_named(const Request& request, std::string_view name) {
  return static_cast<std::size_t>(
      std::ranges::count_if(request.fields, [&](const auto& field) { return field.first == name; }));
}

// Whether a list with commas, in any field of that name, has `word`.
bool has_word(const Request& request, std::string_view name, std::string_view word) {
  for (const auto& [key, value] : request.fields) {
    if (key != name) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (lower_case(trimmed(rest.substr(0, comma))) == word) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

void read_host(Request& request) {
  const std::size_t hosts = fields_named(request, "host");
  if (hosts > 1 || (hosts == 0 && request.minor == 1)) {
    throw Refusal(kBad, "a request has one Host");
  }
  if (hosts == 1 && request.host.empty()) request.host = *request.field("host");
}

// Where it throws, `request` has what was read before, for the answer.
void parse_head(std::string_view head, const HttpLimits& limits, Request& request) {
  const std::vector<std::string_view> lines = lines_of(head);
  if (lines.size() > limits.fields + 1) throw Refusal(kManyFields, "the request has too many header fields");
  for (const std::string_view line : lines) {
    if (std::ranges::any_of(line, is_control)) throw Refusal(kBad, "the head has a control character");
  }
  read_request_line(lines[0], limits, request);
  for (std::size_t i = 1; i < lines.size(); ++i) read_field(lines[i], request);
  read_host(request);
  request.keep_alive = !has_word(request, "connection", "close") &&
                       (request.minor == 1 || has_word(request, "connection", "keep-alive"));
}

// The length that the fields declare; -1: none.
std::int64_t declared_length(const Request& request) {
  std::int64_t length = -1;
  for (const auto& [name, value] : request.fields) {
    if (name != "content-length") continue;
    if (value.empty() || !std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; })) {
      throw Refusal(kBad, "Content-Length is no number");
    }
    constexpr std::size_t kMostDigits = 18;
    const std::string_view digits =
        std::string_view(value).substr(std::min(value.find_first_not_of('0'), value.size() - 1));
    if (digits.size() > kMostDigits) throw Refusal(kTooLarge, "the request is too large");
    const std::int64_t found = std::stoll(std::string(digits));
    if (length >= 0 && length != found) throw Refusal(kBad, "Content-Length is given twice");
    length = found;
  }
  return length;
}

const char* reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

std::string date_now() {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(static_cast<std::size_t>(utc.tm_wday)),
                     utc.tm_mday, kMonths.at(static_cast<std::size_t>(utc.tm_mon)), utc.tm_year + 1900,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

std::string parameter(std::string_view field, std::string_view name) {
  std::size_t at = std::min(field.find(';'), field.size());
  while (at < field.size()) {
    ++at;  // the semicolon
    const std::size_t equals = field.find_first_of("=;", at);
    if (equals == std::string_view::npos) return "";
    const bool is_it = field[equals] == '=' && lower_case(trimmed(field.substr(at, equals - at))) == name;
    at = equals;
    if (field[equals] == ';') continue;
    std::string value;
    if (++at < field.size() && field[at] == '"') {
      for (++at; at < field.size() && field[at] != '"'; ++at) {
        if (field[at] == '\\' && at + 1 < field.size() && (field[at + 1] == '"' || field[at + 1] == '\\'))
          ++at;
        value += field[at];
      }
      at = std::min(field.find(';', at), field.size());
    } else {
      const std::size_t end = std::min(field.find(';', at), field.size());
      value = trimmed(field.substr(at, end - at));
      at = end;
    }
    if (is_it) return value;
  }
  return "";
}

const std::string* Request::field(std::string_view name) const noexcept {
  const auto found = std::ranges::find_if(fields, [&](const auto& field) { return field.first == name; });
  return found == fields.end() ? nullptr : &found->second;
}

std::size_t RequestReader::take(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && state_ != State::done) {
    const std::string_view rest = bytes.substr(used);
    if (state_ == State::head) {
      used += take_head(rest);
    } else if (state_ == State::body || state_ == State::chunk) {
      used += take_body(rest);
    } else {
      used += take_line(rest);
    }
  }
  return used;
}

std::size_t RequestReader::take_head(std::string_view bytes) {
  // An empty line, which some clients send behind a request, is passed over (RFC 9112, 2.2).
  if (head_.empty() && bytes.starts_with("\r\n")) return 2;
  if (head_ == "\r" && bytes.starts_with('\n')) {
    head_.clear();
    return 1;
  }
  const std::size_t before = head_.size();
  head_ += bytes.substr(0, limits_.head + 1 - before);
  const std::size_t added = head_.size() - before;
  const std::size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  const std::size_t seen = std::min(end, head_.size());
  for (std::size_t i = before; i < seen; ++i) {  // what is no HTTP is refused before its end is waited for
    const char c = head_[i];
    if ((is_control(c) && c != '\r' && c != '\n') || (c == '\n' && (i == 0 || head_[i - 1] != '\r'))) {
      throw Refusal(kBad, "this is no HTTP request");
    }
  }
  if (end == std::string::npos) {
    if (head_.size() <= limits_.head) return added;
    if (head_.find('\n') == std::string::npos) throw Refusal(kLongTarget, "the first line is too long");
    throw Refusal(kManyFields, "the request's head is too large");
  }
  parse_head(std::string_view(head_).substr(0, end + 2), limits_, request_);
  begin_body();
  return end + 4 - before;
}

void RequestReader::begin_body() {
  const std::int64_t length = declared_length(request_);
  const std::size_t codings = fields_named(request_, "transfer-encoding");
  if (codings > 0) {
    if (length >= 0 || request_.minor == 0) {
      throw Refusal(kBad, "a request has a Content-Length or a Transfer-Encoding, not both");
    }
    if (codings > 1 || lower_case(*request_.field("transfer-encoding")) != "chunked") {
      throw Refusal(501, "the one Transfer-Encoding here is chunked");
    }
    state_ = State::chunk_size;
  } else {
    if (length > limits_.body) throw Refusal(kTooLarge, "the request is too large");
    left_ = std::max<std::int64_t>(0, length);
    state_ = left_ > 0 ? State::body : State::done;
  }
  if (const std::string* expected = request_.field("expect")) {
    if (lower_case(*expected) != "100-continue")
      throw Refusal(417, "the one expectation here is 100-continue");
    wants_continue_ = request_.minor == 1 && state_ != State::done;
  }
}

std::size_t RequestReader::take_body(std::string_view bytes) {
  bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::int64_t>(left_, std::ssize(bytes))));
  request_.body += bytes;
  left_ -= std::ssize(bytes);
  if (left_ == 0) state_ = state_ == State::body ? State::done : State::chunk_end;
  return bytes.size();
}

// Of a chunked body: what is between the chunks are lines.
std::size_t RequestReader::take_line(std::string_view bytes) {
  const std::size_t newline = bytes.find('\n');
  const std::size_t used = newline == std::string_view::npos ? bytes.size() : newline + 1;
  framing_ += used;
  if (line_.size() + used > kMostLine || framing_ > std::max(kLeastFraming, request_.body.size())) {
    throw Refusal(kBad, "the chunks of the request have lines that are too long");
  }
  line_ += bytes.substr(0, used);
  if (newline == std::string_view::npos) return used;
  if (!line_.ends_with("\r\n")) throw Refusal(kBad, "a line of the request does not end in CRLF");
  line_.resize(line_.size() - 2);
  if (std::ranges::any_of(line_, is_control)) throw Refusal(kBad, "a chunk's line has a control character");
  end_line();
  line_.clear();
  return used;
}

void RequestReader::end_line() {
  switch (state_) {
    case State::chunk_size:
      return begin_chunk();
    case State::chunk_end:
      if (!line_.empty()) throw Refusal(kBad, "a chunk is longer than its size says");
      state_ = State::chunk_size;
      return;
    default:  // a trailer, of which nothing is used
      if (line_.empty()) state_ = State::done;
  }
}

void RequestReader::begin_chunk() {
  std::string_view digits = std::string_view(line_).substr(0, line_.find(';'));
  while (digits.size() < line_.size() && digits.ends_with(' '))
    digits.remove_suffix(1);  // before an extension
  constexpr std::size_t kMostDigits = 15;
  if (digits.empty() || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
    throw Refusal(kBad, "a chunk's size is no number");
  }
  if (digits.size() > kMostDigits) throw Refusal(kTooLarge, "the request is too large");
  left_ = std::stoll(std::string(digits), nullptr, 16);
  if (left_ > limits_.body - std::ssize(request_.body)) throw Refusal(kTooLarge, "the request is too large");
  state_ = left_ > 0 ? State::chunk : State::trailer;
}

Response refused(int status, const std::string& why) {
  Response response{.status = status, .body = Json::object({{"error", why}}).dump({.replace = true}) + "\n"};
  if (status == 503) response.fields.emplace_back("Retry-After", "1");
  return response;
}

std::string to_bytes(const Response& response, const Request& request, bool close) {
  std::string bytes = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status,
                                  reason_phrase(response.status), date_now());
  bytes += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", response.type, response.body.size());
  bytes += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  for (const auto& [name, value] : response.fields) bytes += fmt::format("{}: {}\r\n", name, value);
  if (close) {
    bytes += "Connection: close\r\n";
  } else if (request.minor == 0) {
    bytes += "Connection: keep-alive\r\n";
  }
  bytes += "\r\n";
  if (request.method != "HEAD") bytes += response.body;
  return bytes;
}

}  // namespace resnet::serve
