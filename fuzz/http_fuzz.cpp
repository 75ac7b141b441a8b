// Requests as a server reads them: at once and in pieces the same, within the limits, and a form's files
// within the body. The first byte says how long the pieces are.
#include "found.h"
#include "serve/http.h"
#include "serve/multipart.h"
#include "target.h"

namespace resnet::fuzz {
namespace {

constexpr serve::HttpLimits kLimits = {.target = 64, .head = 1024, .fields = 16, .body = 4096};

// What is read, as text; the status of what is refused.
std::string read(std::string_view bytes, std::size_t step, bool& accepted) {
  serve::RequestReader reader(kLimits);
  std::string said;
  try {
    std::size_t used = 0;
    while (used < bytes.size() && !reader.done()) {
      const std::size_t taken = reader.take(bytes.substr(used, step));
      demand(taken > 0 && taken <= step, "a reader that does not go on");
      used += taken;
    }
    const serve::Request& request = reader.request();
    if (!reader.done()) return "more";
    demand(std::ssize(request.body) <= kLimits.body && request.fields.size() <= kLimits.fields,
           "beyond the limits");
    accepted = true;
    said = request.method + ' ' + request.path + ' ' + request.query + ' ' + request.host + ' ' +
           std::to_string(used);
    for (const auto& [name, value] : request.fields) said += '\n' + name + ": " + value;
    said += "\n\n" + request.body;
    const std::string* type = request.field("content-type");
    if (type == nullptr) return said;
    for (const serve::Part& part : serve::files_of_form(request.body, *type, 8)) {
      const bool inside = part.content.empty() || (part.content.data() >= request.body.data() &&
                                                   part.content.data() + part.content.size() <=
                                                       request.body.data() + request.body.size());
      demand(inside, "a file beyond the body");
      said += part.file + std::to_string(part.content.size());
    }
  } catch (const serve::Refusal& refusal) {
    demand(refusal.status() >= 400 && refusal.status() < 600, "a status that refuses nothing");
    demand(!to_bytes(serve::refused(refusal.status(), refusal.what()), reader.request(), true).empty(),
           "no response");
    said += std::to_string(refusal.status());
  }
  return said;
}

bool run(std::string_view input) {
  if (input.empty()) return false;
  const std::size_t step = 1 + static_cast<unsigned char>(input[0]) % 64;
  input.remove_prefix(1);
  bool accepted = false;
  const std::string whole = read(input, std::max<std::size_t>(1, input.size()), accepted);
  demand(read(input, step, accepted) == whole, "another request in pieces");
  return accepted;
}

}  // namespace

Target http_target() {
  const std::string form =
      "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\nx\r\n--b--\r\n";
  Target target{
      "http",
      run,
      {"\3GET /predict?top=3 HTTP/1.1\r\nHost: localhost:80\r\nConnection: keep-alive, close\r\n\r\n",
       "\1POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: x\r\n\r\n",
       "\7POST /predict HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: multipart/form-data; "
       "boundary=\"b\"\r\nContent-Length: " +
           std::to_string(form.size()) + "\r\n\r\n" + form,
       "\2\r\nGET http://a/ HTTP/1.0\r\n\r\n"},
      words_of("GET POST HEAD HTTP/1.0 HTTP/1.1 HTTP/2.0 Host: Content-Length: Transfer-Encoding: chunked "
               "Connection: Expect: 100-continue Content-Type: multipart/form-data; boundary= --b filename= "
               "0 1 7fffffffffffffff ; : , \" \\")};
  for (const char* end : {"\r\n", "\r\n\r\n", "\r", "\n", "\t", "\r\n--b"}) target.words.emplace_back(end);
  return target;
}

}  // namespace resnet::fuzz
