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
  EXPECT_EQ(read("GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n"), "GET /? 1.0  ends [] then []");
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
        "Content-Length: 1,1\r\n", "Content-Length: +1\r\n", "Content-Length: 1a\r\n",
        "Content-Length: 1 \v\r\n", "Content-Length : 1\r\n", "a: b\r\n Content-Length: 1\r\n",
        "a: b\nContent-Length: 1\r\n", "Host: b\r\n", "a: b\rc\r\n"}) {
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
  EXPECT_EQ(read("\nGET / HTTP/1.1\r\n"), "400");
  EXPECT_EQ(read("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "400");
  EXPECT_EQ(read("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET /? 1.1 a stays [] then []");
}

TEST(HttpRequest, HasAFirstLineOfThreeWords) {
  const auto first = [](const std::string& line) { return read(line + "\r\nHost: a\r\n\r\n"); };
  EXPECT_EQ(first("M-SEARCH2 /a!b~ HTTP/1.1"), "M-SEARCH2 /a!b~? 1.1 a stays [] then []");
  EXPECT_EQ(first("GET https://b?q HTTP/1.1"), "400") << "a query without a path";
  EXPECT_EQ(first("GET https://b/?q HTTP/1.1"), "GET /?q 1.1 b stays [] then []");
  for (const char* line : {"GET",
                           "GET /",
                           "GET/HTTP/1.1",
                           "G(T / HTTP/1.1",
                           " / HTTP/1.1",
                           "GET /a b HTTP/1.1",
                           "GET /\x7f HTTP/1.1",
                           "GET /\xc3\xa4 HTTP/1.1",
                           "GET a HTTP/1.1",
                           "GET  HTTP/1.1",
                           "GET / HTTP/1.10",
                           "GET / HTTP/1,1",
                           "GET / HTTP/x.1",
                           "GET / HTTP/,.1",
                           "GET / HTTP/1.,",
                           "G{T / HTTP/1.1",
                           "GET / HTTP/:.1",
                           "GET / HTTP/1.x",
                           "GET / HTTP/1.:",
                           "GET / XTTP/1.1"})
    EXPECT_EQ(first(line), "400") << line;
  EXPECT_EQ(first("GET / HTTP/2.0"), "505");
  EXPECT_EQ(first("GET / HTTP/0.9"), "505");
}

TEST(HttpRequest, HasFieldsOfANameAndAValue) {
  const auto with = [](const std::string& fields) { return read("GET / HTTP/1.1\r\n" + fields + "\r\n"); };
  EXPECT_EQ(with("Host: a\r\nx-1_: \t\r\n"), "GET /? 1.1 a stays [] then []");
  EXPECT_EQ(with("Host: a\r\nConnection: ,, close,x\r\n"), "GET /? 1.1 a ends [] then []");
  EXPECT_EQ(with("Host: a\r\nConnection: x, closed\r\n"), "GET /? 1.1 a stays [] then []");
  for (const char* fields : {"", "Host: a\r\nx\r\n", "Host: a\r\n: x\r\n", "Host: a\r\n\xc3: x\r\n"})
    EXPECT_EQ(with(fields), "400") << fields;
  RequestReader reader{HttpLimits{}};
  reader.take("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n");
  ASSERT_NE(reader.request().field("x"), nullptr);
  EXPECT_EQ(*reader.request().field("x"), "1");
  EXPECT_EQ(reader.request().field("y"), nullptr);
}

TEST(HttpRequest, MayWaitToBeAskedForItsBody) {
  const auto waits = [](const std::string& version, const std::string& fields) {
    RequestReader reader{HttpLimits{}};
    EXPECT_FALSE(reader.begun());
    reader.take("POST / HTTP/" + version + "\r\nHost: a\r\nExpect: 100-Continue\r\n" + fields + "\r\n");
    EXPECT_TRUE(reader.begun() && reader.has_head());
    return reader.wants_continue();
  };
  EXPECT_TRUE(waits("1.1", "Content-Length: 3\r\n"));
  EXPECT_TRUE(waits("1.1", "Transfer-Encoding: chunked\r\n"));
  EXPECT_FALSE(waits("1.0", "Content-Length: 3\r\n")) << "which HTTP/1.0 has not";
  EXPECT_FALSE(waits("1.1", "Content-Length: 000\r\n")) << "there is no body";
  EXPECT_EQ(read("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n"), "417");
}

TEST(HttpRequest, InChunksIsRefusedWhereTheirLinesAreNone) {
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
  EXPECT_EQ(read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "400");
  EXPECT_EQ(read(post + "Transfer-Encoding: chunked\r\n\r\n"), "501");
  EXPECT_EQ(read(post + "Content-Length: 1\r\n\r\n"), "400");
  EXPECT_EQ(read(post + "\r\n1;\x01\r\nx\r\n0\r\n\r\n"), "400") << "a control character";
  for (const char* blank : {" 1", "\t1", "1 ", "1\t", "1\t;x"})
    EXPECT_EQ(read(post + "\r\n" + blank + "\r\ny\r\n0\r\n\r\n"), "400") << "RFC 9112, 7.1: " << blank;
  EXPECT_EQ(read(post + "\r\n1 ;x\r\ny\r\n0\r\n\r\n"), "POST /? 1.1 a stays [y] then []");
  EXPECT_EQ(read(post + "\r\n0\r\nA: 1\r\nB: 2\r\n\r\n"), "POST /? 1.1 a stays [] then []");
  std::string padded = post + "\r\n";  // lines of 200 bytes for a byte each: 80,000 in all
  for (int i = 0; i < 400; ++i) padded += "1;" + std::string(196, 'x') + "\r\ny\r\n";
  EXPECT_EQ(read(padded + "0\r\n\r\n", padded.size() + 5), "400");
  EXPECT_EQ(read("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"), "400");
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

TEST(HttpResponse, SaysWhatItsStatusMeans) {
  const std::pair<int, const char*> phrases[] = {{200, "OK"},
                                                 {204, "No Content"},
                                                 {400, "Bad Request"},
                                                 {403, "Forbidden"},
                                                 {404, "Not Found"},
                                                 {405, "Method Not Allowed"},
                                                 {408, "Request Timeout"},
                                                 {411, "Length Required"},
                                                 {413, "Content Too Large"},
                                                 {414, "URI Too Long"},
                                                 {415, "Unsupported Media Type"},
                                                 {417, "Expectation Failed"},
                                                 {421, "Misdirected Request"},
                                                 {422, "Unprocessable Content"},
                                                 {431, "Request Header Fields Too Large"},
                                                 {500, "Internal Server Error"},
                                                 {501, "Not Implemented"},
                                                 {503, "Service Unavailable"},
                                                 {505, "HTTP Version Not Supported"}};
  for (const auto& [status, phrase] : phrases) {
    Response response;
    response.status = status;
    const std::string line = "HTTP/1.1 " + std::to_string(status) + " " + phrase + "\r\nDate: ";
    EXPECT_TRUE(to_bytes(response, {}, true).starts_with(line)) << line;
  }
}

TEST(HttpField, HasParameters) {
  const std::string field = R"(form-data; name="a;b=\"c\""; Filename = x y ; z; w=)";
  EXPECT_EQ(parameter(field, "name"), "a;b=\"c\"");
  EXPECT_EQ(parameter(field, "filename"), "x y");
  EXPECT_EQ(parameter(field, "z"), "");
  EXPECT_EQ(parameter(field, "form-data"), "");
  EXPECT_EQ(parameter("a; b=\"c", "b"), "c") << "a quote that does not end";
  EXPECT_EQ(parameter(R"(a; b="c\d\\e\)", "b"), R"(c\d\e\)") << "of the escapes two mean something";
  EXPECT_EQ(parameter(R"(a; b="c;d"; e="f)", "e"), "f");
  EXPECT_EQ(parameter("a", "b"), "");
  EXPECT_EQ(parameter("a;", "b"), "");
  EXPECT_EQ(parameter("a; b", "b"), "") << "a name alone";
  EXPECT_EQ(parameter("a; b;c=d", "c"), "d");
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
  EXPECT_EQ(files("\r\n--b \t\r\nX: y\r\n\r\ntext" + end), "") << "a part without a disposition is no file";
  EXPECT_EQ(files("\r\n--b\r\nno colon\r\nContent-Disposition: x; filename=f\r\n\r\nA" + end), "f=A|");
  const std::string long_one(5000, 'x');
  EXPECT_EQ(files("\r\n--b\r\nX: " + long_one + "\r\n\r\nA" + end), "400") << "a head of 5,000 bytes";
  const std::string longest(70, 'b');
  EXPECT_EQ(files("--" + longest + "--", "a; boundary=" + longest), "");
  for (const std::string& boundary : {std::string(), longest + "b"})
    EXPECT_EQ(test::message_of<Refusal>(
                  [&] { files_of_form("--" + boundary + "--", "a; boundary=" + boundary, 9); }),
              "the form's Content-Type has no boundary");
  for (const std::string& cut : {std::string(), one, one + "\r\n--b", one + "\r\n--bx\r\n",
                                 std::string("\r\n--b\r\nno head\r\n--b--")})
    EXPECT_EQ(files(cut), "400") << cut;
}

}  // namespace
}  // namespace resnet::serve
