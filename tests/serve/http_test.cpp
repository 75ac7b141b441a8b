#include "serve/http.h"

#include <gtest/gtest.h>

#include <string>

#include "serve/multipart.h"
#include "support/message_of.h"

namespace resnet::serve {
namespace {

// What a request is read as, or the status that refuses it; `step` bytes at a time.
std::string read(std::string_view bytes, std::size_t step, const HttpLimits& limits = {}) {
  RequestReader reader(limits);
  try {
    std::size_t used = 0;
    while (used < bytes.size() && !reader.done()) {
      const std::size_t taken = reader.take(bytes.substr(used, step));
      EXPECT_GT(taken, 0U);
      used += taken;
    }
    if (!reader.done()) return "more";
    const Request& r = reader.request();
    return r.method + " " + r.path + "?" + r.query + " 1." + std::to_string(r.minor) + " " + r.host +
           (r.keep_alive ? " stays" : " ends") + " [" + r.body + "] then [" +
           std::string(bytes.substr(used)) + "]";
  } catch (const Refusal& refusal) {
    return std::to_string(refusal.status());
  }
}

// In one piece, and however it is cut.
std::string read(std::string_view bytes) {
  const std::string whole = read(bytes, bytes.size());
  for (const std::size_t step : {1U, 2U, 3U, 7U, 64U})
    EXPECT_EQ(read(bytes, step), whole) << step << '\n' << bytes;
  return whole;
}

TEST(HttpRequest, IsReadAsRfc9112Has) {
  EXPECT_EQ(read("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"), "GET /? 1.1 a stays [] then [GET]");
  EXPECT_EQ(read("\r\nGET /p?top=2&x HTTP/1.1\r\nHOST:\ta:80 \r\nconnection: x , Close\r\n\r\n"),
            "GET /p?top=2&x 1.1 a:80 ends [] then []");
  EXPECT_EQ(read("GET / HTTP/1.0\r\n\r\n"), "GET /? 1.0  ends [] then []");
  EXPECT_EQ(read("GET / HTTP/1.7\r\nHost: a\r\n\r\n"), "GET /? 1.1 a stays [] then []");
  EXPECT_EQ(read("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "GET /? 1.0  stays [] then []");
  EXPECT_EQ(read("GET HTTP://b/q?r HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /q?r 1.1 b stays [] then []");
  EXPECT_EQ(read("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /? 1.1 b stays [] then []");
  EXPECT_EQ(read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS *? 1.1 a stays [] then []");
}

TEST(HttpRequest, HasABodyOfItsLengthOrInChunks) {
  EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcdef"),
            "POST /? 1.1 a stays [abc] then [def]");
  EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\nContent-Length: 3\r\n\r\nabc"),
            "POST /? 1.1 a stays [abc] then []");
  EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3 "
                 ";x=\"y\"\r\nabc\r\n00a\r\n0123456789\r\n"
                 "0\r\nTrailer: x\r\n\r\nGET"),
            "POST /? 1.1 a stays [abc0123456789] then [GET]");
  EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab"), "more");
}

// Two programs that read one request as two, or as others, can be played against each other.
TEST(HttpRequest, ThatCouldBeReadAnotherWayIsRefused) {
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const char* fields :
       {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1,1\r\n", "Content-Length: +1\r\n", "Content-Length: 1 \v\r\n",
        "Content-Length : 1\r\n", "a: b\r\n Content-Length: 1\r\n", "a: b\nContent-Length: 1\r\n",
        "Host: b\r\n", "a: b\rc\r\n"}) {
    EXPECT_EQ(read(post + fields + "\r\n0\r\n\r\n"), "400") << fields;
  }
  for (const char* chunk :
       {"+1\r\nx", "0x1\r\nx", "1\nx\n", "1\r\nxy\r\n", "1\r\nx\n", "-1\r\n", "g\r\n", "\r\n"}) {
    EXPECT_EQ(read(post + "Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"), "400") << chunk;
  }
  EXPECT_EQ(read(post + "Transfer-Encoding: xchunked\r\n\r\n"), "501");
}

// Nobody shall wait for the end of what will never have one.
TEST(HttpRequest, ThatIsNoneIsRefusedAtOnce) {
  EXPECT_EQ(read("GET / HTTP/1.1\nHost: x\n"), "400");
  EXPECT_EQ(read("\x16\x03\x01"), "400") << "TLS";
  EXPECT_EQ(read("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /? 1.1 a stays [] then []");
}

TEST(HttpRequest, IsLimitedBeforeItIsThere) {
  const HttpLimits limits{.target = 10, .head = 100, .fields = 3, .body = 5};
  const auto refused = [&](const std::string& bytes) { return read(bytes, bytes.size(), limits); };
  EXPECT_EQ(refused("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /123456789? 1.1 a stays [] then []");
  EXPECT_EQ(refused("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n"), "414");
  EXPECT_EQ(refused("GET /" + std::string(96, 'x')), "414");
  EXPECT_EQ(refused("GET / HTTP/1.1\r\n" + std::string(85, 'x')), "431");
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\n\r\n"), "GET /? 1.1 a stays [] then []");
  EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\nd:\r\n\r\n"), "431");
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(refused(post + "Content-Length: 6\r\n\r\n"), "413");
  EXPECT_EQ(refused(post + "Content-Length: 18446744073709551617\r\n\r\n"), "413");
  EXPECT_EQ(refused(post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\n"), "413");
  EXPECT_EQ(refused(post + "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n"), "413");
  EXPECT_EQ(refused(post + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + std::string(300, 'x')), "400");
}

TEST(HttpResponse, SaysWhatTheConnectionDoes) {
  Request request;
  const Response response{.body = "text", .fields = {{"Allow", "POST"}}};
  const auto ends = [&](const char* end) { return to_bytes(response, request, false).ends_with(end); };
  EXPECT_TRUE(ends("Allow: POST\r\n\r\ntext"));
  EXPECT_TRUE(to_bytes(response, request, true).ends_with("Connection: close\r\n\r\ntext"));
  request.minor = 0;
  EXPECT_TRUE(ends("Connection: keep-alive\r\n\r\ntext"));
  request.method = "HEAD";
  EXPECT_TRUE(ends("\r\n\r\n"));
  EXPECT_NE(to_bytes(response, request, false).find("Content-Length: 4\r\n"), std::string::npos);
  EXPECT_EQ(refused(400, "a \"b\"").body, "{\"error\":\"a \\\"b\\\"\"}\n");
}

TEST(HttpField, HasParameters) {
  const std::string field = R"(form-data; name="a;b=\"c\""; Filename = x y ; z; w=)";
  EXPECT_EQ(parameter(field, "name"), "a;b=\"c\"");
  EXPECT_EQ(parameter(field, "filename"), "x y");
  EXPECT_EQ(parameter(field, "z"), "");
  EXPECT_EQ(parameter(field, "form-data"), "");
  EXPECT_EQ(parameter("a; b=\"c", "b"), "c") << "a quote that does not end";
}

std::string files(const std::string& body, const std::string& type = "multipart/form-data; boundary=b",
                  std::size_t most = 9) {
  try {
    std::string result;
    for (const Part& part : files_of_form(body, type, most))
      result += part.file + "=" + std::string(part.content) + "|";
    return result;
  } catch (const Refusal& refusal) {
    return std::to_string(refusal.status());
  }
}

TEST(Form, HasFiles) {
  const auto part = [](const std::string& disposition, const std::string& content) {
    return "\r\n--b\r\nContent-Disposition: " + disposition + "\r\nX: y\r\n\r\n" + content;
  };
  const std::string one = part("form-data; name=f; filename=\"a.png\"", "A\r\n--\r\n-b"),
                    end = "\r\n--b--\r\n";
  EXPECT_EQ(files(one + end), "a.png=A\r\n--\r\n-b|");
  EXPECT_EQ(files(one.substr(2) + end), "a.png=A\r\n--\r\n-b|") << "without a line before it";
  EXPECT_EQ(files("preamble" + one + part("form-data; name=x", "y") + part("form-data; filename=", "") +
                  part("FORM-DATA; filename=\xe7\x8a\xac", "") + end),
            "a.png=A\r\n--\r\n-b|\xe7\x8a\xac=|");
  EXPECT_EQ(files(end), "");
  EXPECT_EQ(files(one + end, "multipart/form-data; boundary=\"b\"", 1), "a.png=A\r\n--\r\n-b|");
  EXPECT_EQ(files(one + one + end, "multipart/form-data; boundary=b", 1), "413");
  for (const std::string& cut : {std::string(), one, one + "\r\n--b", one + "\r\n--bx\r\n",
                                 std::string("\r\n--b\r\nno head\r\n--b--")})
    EXPECT_EQ(files(cut), "400") << cut;
}

}  // namespace
}  // namespace resnet::serve
