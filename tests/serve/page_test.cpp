#include "serve/page.h"

#include <gtest/gtest.h>

#include <string>

#include "base/sha256.h"
#include "serve/metrics.h"

namespace resnet::serve {
namespace {

TEST(Page, NeedsNothingElseAndAllowsNothingElse) {
  const Page page = page_of("<b>&\"");
  EXPECT_NE(page.html.find("<title>&lt;b&gt;&amp;&quot;</title>"), std::string::npos);
  EXPECT_EQ(page.html.find("<b>&"), std::string::npos);
  for (const char* outside :
       {"src=\"", "<link rel=\"stylesheet", "url(", "@import", "innerHTML", "style=", "onclick="})
    EXPECT_EQ(page.html.find(outside), std::string::npos) << outside;
  EXPECT_TRUE(page.policy.starts_with("default-src 'none'; script-src 'sha256-"));
  EXPECT_EQ(page.policy.find("unsafe"), std::string::npos);
}

// Of "abc", by FIPS 180-4: what a browser compares with is the digest in base64.
TEST(Page, PolicyHasDigestsOfScriptAndStyleInBase64) {
  const Page page = page_of("x");
  for (const char* tag : {"script", "style"}) {
    const std::string open = std::string("<") + tag + ">", close = std::string("</") + tag + ">";
    const std::size_t begin = page.html.find(open) + open.size();
    const std::string hex = sha256_of(page.html.substr(begin, page.html.find(close) - begin));
    const std::size_t at =
        page.policy.find(std::string(tag) + "-src 'sha256-") + std::string(tag).size() + 13;
    const std::string base64 = page.policy.substr(at, page.policy.find('\'', at) - at);
    ASSERT_EQ(base64.size(), 44U);
    std::string bits, expected;
    const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (const char c : base64) {
      for (int i = 5; c != '=' && i >= 0; --i)
        bits += (letters.find(c) >> static_cast<unsigned>(i) & 1U) != 0 ? '1' : '0';
    }
    for (const char c : hex) {
      const std::size_t digit = std::string("0123456789abcdef").find(c);
      for (int i = 3; i >= 0; --i) expected += (digit >> static_cast<unsigned>(i) & 1U) != 0 ? '1' : '0';
    }
    EXPECT_EQ(bits.substr(0, 256), expected) << tag;
  }
}

TEST(Metrics, AreInPrometheusTextForm) {
  Metrics metrics;
  metrics.count_request("/predict", 200);
  metrics.count_request("/predict", 200);
  metrics.count_request("other", 404);
  for (const double seconds : {0.001, 0.0011, 20.0}) metrics.count_answer(seconds);
  metrics.count_pictures(8);
  metrics.count_bad_picture();
  const std::string text = metrics.text({.connections = 3, .waiting = 4});
  for (const char* line :
       {"resnet_requests_total{path=\"/predict\",status=\"200\"} 2\n",
        "resnet_requests_total{path=\"other\",status=\"404\"} 1\n",
        "# TYPE resnet_predict_seconds histogram\n", "resnet_predict_seconds_bucket{le=\"0.001\"} 1\n",
        "resnet_predict_seconds_bucket{le=\"0.0025\"} 2\n", "resnet_predict_seconds_bucket{le=\"10\"} 2\n",
        "resnet_predict_seconds_bucket{le=\"+Inf\"} 3\n", "resnet_predict_seconds_count 3\n",
        "resnet_batch_pictures_bucket{le=\"4\"} 0\n", "resnet_batch_pictures_bucket{le=\"8\"} 1\n",
        "resnet_pictures_total 8\n", "resnet_bad_pictures_total 1\n", "resnet_pictures_waiting 4\n",
        "resnet_connections 3\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

}  // namespace
}  // namespace resnet::serve
