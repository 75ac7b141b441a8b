#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <new>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "resnet/serve.h"
#include "resnet/version.h"
#include "serve/batcher.h"
#include "serve/loop.h"
#include "serve/page.h"
#include "serve/socket.h"
#include "train/prediction.h"

namespace resnet {
namespace {

using serve::Ask;
using serve::Refusal;
using serve::Request;
using serve::Response;

constexpr const char* kPredict = "/predict";
constexpr std::size_t kMostFiles = 64;     // of a request
constexpr std::int64_t kMostBatch = 1024;  // a model keeps 16 plans
constexpr std::int64_t kMostBody = std::int64_t{1} << 40;
constexpr double kMostSeconds = 1e6;

// What a path takes; "" for one that there is not.
const char* methods_of(std::string_view path) {
  if (path == kPredict) return "POST";
  return path == "/" || path == "/health" || path == "/metrics" ? "GET, HEAD" : "";
}

bool takes(std::string_view methods, const std::string& method) {
  return methods == method || (methods.starts_with("GET") && (method == "GET" || method == "HEAD"));
}

// Of "name:port", in small letters.
std::string name_of_host(std::string_view host) {
  return lower_case(host.substr(0, host.starts_with('[') ? host.find(']') + 1 : host.find(':')));
}

// Whether it can only be this machine's own.
bool is_loopback_name(const std::string& name) {
  const bool is_number = name.find_first_not_of("0123456789.") == std::string::npos;
  if (name.starts_with('[') && name.ends_with(']'))
    return serve::is_loopback_v6(name.substr(1, name.size() - 2));
  return name == "localhost" || (is_number && name.starts_with("127."));
}

// Whether the request comes from a page of this address or of a proxy in front, or from no page: browsers send
// Origin with POST.
bool is_of_own_page(const Request& request, std::span<const std::string> names) {
  const std::string* origin = request.field("origin");
  if (origin == nullptr) return true;
  const std::size_t scheme = origin->find("://");
  if (scheme == std::string::npos) return false;
  const std::string host = lower_case(origin->substr(scheme + 3));
  return host == lower_case(request.host) || std::ranges::count(names, name_of_host(host)) > 0;
}

bool is_form(const Request& request) {
  const std::string* type = request.field("content-type");
  return type != nullptr &&
         lower_case(serve::trimmed(type->substr(0, type->find(';')))) == "multipart/form-data";
}

// The number that "top=" of a query gives; all classes where there are fewer.
std::int64_t top_of(const Request& request, std::int64_t otherwise, std::int64_t most) {
  std::string_view rest = request.query;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    if (!item.starts_with("top=")) continue;
    const std::string_view text = item.substr(4);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 1) {
      throw Refusal(400, "top is a number of classes, at least 1");
    }
    return std::min(value, most);
  }
  return std::min(otherwise, most);
}

// Bytes of JSON for one class of an answer, about: {"label":"cat","probability":0.001220703125},
double bytes_of_class(const std::vector<std::string>& names) {
  constexpr double kAround = 48, kNumber = 5;
  if (names.empty()) return kAround + kNumber;
  double all = 0;
  for (const std::string& name : names) all += static_cast<double>(Json(name).dump({.replace = true}).size());
  return kAround + all / static_cast<double>(names.size());
}

// An array with an object for each picture, as `resnet predict --json` prints it.
Response response_of(const Ask& ask) {
  Response response;
  const bool none = std::ranges::all_of(ask.answers, [](const Prediction& p) { return !p.error.empty(); });
  if (none) response.status = ask.failed ? 500 : 422;
  response.body = "[";
  for (const Prediction& prediction : ask.answers) {
    response.body += response.body.size() > 1 ? ",\n" : "\n";
    response.body += train::json_of(prediction).dump({.replace = true});
  }
  response.body += "\n]\n";
  return response;
}

// Where there is no memory for it, one that takes none.
Response any_response_of(const Ask& ask) noexcept {
  try {
    return response_of(ask);
  } catch (const std::bad_alloc&) {
    return {.status = 500, .type = "text/plain", .body = {}, .fields = {}};
  }
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.find('/') == std::string::npos && name_of_host(name).size() == name.size();
}

const ServeOptions& checked(const ServeOptions& options) {
  const auto demand = [](bool fits, const char* field, const char* wanted) {
    if (!fits) throw ConfigError(std::string("ServeOptions::") + field + " must be " + wanted);
  };
  demand(options.top >= 1, "top", "at least 1");
  demand(options.batch_size >= 1 && options.batch_size <= kMostBatch, "batch_size", "1 to 1024");
  demand(options.threads >= 0, "threads", "at least 0");
  demand(options.connections >= 1, "connections", "at least 1");
  demand(options.waiting >= 1, "waiting", "at least 1");
  demand(options.body >= 1 && options.body <= kMostBody, "body", "1 byte to 1 TiB");
  demand(options.seconds > 0 && options.seconds <= kMostSeconds, "seconds", "above 0 and at most 1e6 s");
  demand(std::ranges::all_of(options.names, is_plain_name), "names", "host names, without scheme and port");
  return options;
}

}  // namespace

struct Server::Impl final : serve::Handler {
  Impl(Model& model, const ServeOptions& its)
      : options(checked(its)),
        page(serve::page_of(options.title)),
        loop({.host = options.host,
              .port = options.port,
              .connections = options.connections,
              .limits = {.body = options.body},
              .held = 8 * options.body,
              .answers = options.waiting,
              .seconds = options.seconds},
             *this),
        address("http://" + loop.address()),
        class_bytes(bytes_of_class(model.classes())),
        batcher(model, options, metrics, [this](const std::shared_ptr<Ask>& ask) {
          loop.complete(ask->client, any_response_of(*ask));
        }) {
    for (std::string& name : options.names) name = lower_case(name);
  }

  std::optional<Response> refuse(const Request& request) override {
    if (const std::string name = name_of_host(request.host); loop.is_loopback() && !name.empty() &&
                                                             !is_loopback_name(name) &&
                                                             std::ranges::count(options.names, name) == 0) {
      return serve::refused(421, "this server answers to localhost and to its own names alone");
    }
    if (!is_of_own_page(request, options.names))
      return serve::refused(403, "pages of other origins may not ask this server");
    const std::string_view methods = methods_of(request.path);
    if (methods.empty()) return serve::refused(404, "there is no such path; GET / shows the page");
    if (!takes(methods, request.method)) {
      Response response = serve::refused(405, fmt::format("{} takes {}", request.path, methods));
      response.fields.emplace_back("Allow", methods);
      return response;
    }
    return request.path == kPredict ? refuse_pictures(request) : std::nullopt;
  }

  std::optional<Response> handle(Request& request, std::uint64_t client) override {
    if (request.path == kPredict) return ask(request, client);
    if (request.path == "/") {
      return Response{
          .type = "text/html; charset=utf-8",
          .body = page.html,
          .fields = {{"Content-Security-Policy", page.policy}, {"Referrer-Policy", "no-referrer"}}};
    }
    if (request.path == "/metrics") {
      return Response{.type = "text/plain; version=0.0.4; charset=utf-8",
                      .body = metrics.text({loop.connections(), batcher.waiting()})};
    }
    return Response{.status = loop.is_stopping() ? 503 : 200,
                    .body = Json::object({{"status", loop.is_stopping() ? "stopping" : "ok"},
                                          {"title", options.title},
                                          {"classes", batcher.classes()},
                                          {"version", kVersion}})
                                .dump({.replace = true}) +
                            "\n"};
  }

  void abandon(std::uint64_t client) override {
    const auto found = asked.find(client);
    if (found == asked.end()) return;
    found->second->abandoned = true;
    asked.erase(found);
  }

  void responded(std::uint64_t client, const Request& request, int status) override {
    metrics.count_request(*methods_of(request.path) != '\0' ? request.path : "other", status);
    const auto found = asked.find(client);
    if (found == asked.end()) return;
    metrics.count_answer(seconds_since(found->second->came));
    asked.erase(found);
  }

  // What can be said of pictures before they are here.
  std::optional<Response> refuse_pictures(const Request& request) const {
    if (request.field("content-length") == nullptr && request.field("transfer-encoding") == nullptr) {
      Response response = serve::refused(411, "a picture has a Content-Length");
      response.close = true;  // what follows may be the picture
      return response;
    }
    if (const std::string* coding = request.field("content-encoding");
        coding && lower_case(*coding) != "identity") {
      return serve::refused(415, "pictures are compressed as they are: no Content-Encoding here");
    }
    if (batcher.waiting() >= options.waiting) return serve::refused(503, "too many pictures are waiting");
    return std::nullopt;
  }

  std::optional<Response> ask(Request& request, std::uint64_t client) {
    auto made = std::make_shared<Ask>();
    made->client = client;
    made->top = top_of(request, options.top, batcher.classes());
    made->body = std::move(request.body);
    if (is_form(request)) {
      made->files = serve::files_of_form(made->body, *request.field("content-type"), kMostFiles);
    } else if (!made->body.empty()) {
      made->files.push_back({"-", made->body});  // as `resnet predict RUN -` calls it
    }
    if (made->files.empty()) return serve::refused(400, "the request has no picture");
    const std::int64_t others = batcher.waiting();
    if (others > 0 && others + std::ssize(made->files) > options.waiting)
      return serve::refused(503, "too many pictures are waiting");
    const double answer =
        static_cast<double>(made->files.size()) * static_cast<double>(made->top) * class_bytes;
    if (answer > static_cast<double>(options.body))
      return serve::refused(413, "the answers would be larger than a request may be: ask for fewer classes");
    if (!loop.hold_answer(client, static_cast<std::int64_t>(answer)))
      return serve::refused(503, "too many large answers at once");
    batcher.add(made);
    asked[client] = made;  // nobody looks before this thread is back in its loop
    return std::nullopt;
  }

  ServeOptions options;
  serve::Metrics metrics;
  serve::Page page;
  serve::Loop loop;
  std::string address;
  double class_bytes;
  std::map<std::uint64_t, std::shared_ptr<Ask>> asked;  // by clients that wait
  serve::Batcher batcher;                               // its threads use what stands above
};

Server::Server(Model& model, const ServeOptions& options) : impl_(std::make_unique<Impl>(model, options)) {}
Server::~Server() = default;

const std::string& Server::address() const noexcept {
  return impl_->address;
}

void Server::run(const std::atomic<bool>& stop) {
  impl_->loop.run(stop);
}

}  // namespace resnet
