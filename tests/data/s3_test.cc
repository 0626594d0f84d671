// s3:// against a server that checks every signature.
#include <algorithm>
#include <cstdlib>
#include <iomanip>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "opencloc/data/shard/find_shards.h"
#include "tests/data/remote_fixture.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string hex(const unsigned char* bytes, size_t count) {
  std::ostringstream text;
  for (size_t i = 0; i < count; ++i)
    text << std::hex << std::setw(2) << std::setfill('0') << static_cast<int>(bytes[i]);
  return text.str();
}

std::string keyed_hash(const std::string& key, const std::string& text) {
  unsigned char digest[32];
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &length);
  return {reinterpret_cast<char*>(digest), length};
}

// The signature as the server computes it (AWS Signature Version 4).
std::string expected_signature(const httplib::Request& request, const std::string& secret) {
  const std::string header = request.get_header_value("Authorization");
  const auto part = [&](const std::string& name) {
    const size_t at = header.find(name + "=") + name.size() + 1;
    return header.substr(at, header.find(',', at) - at);
  };
  const std::string scope = part("Credential").substr(part("Credential").find('/') + 1);
  const std::string signed_headers = part("SignedHeaders");
  const size_t question = request.target.find('?');
  std::string canonical =
      request.method + "\n" + request.target.substr(0, question) + "\n" +
      (question == std::string::npos ? "" : request.target.substr(question + 1)) + "\n";
  std::istringstream names(signed_headers);
  for (std::string name; std::getline(names, name, ';');)
    canonical += name + ":" + request.get_header_value(name.c_str()) + "\n";
  canonical += "\n" + signed_headers + "\n" + request.get_header_value("x-amz-content-sha256");
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(canonical.data()), canonical.size(), digest);
  const std::string text = "AWS4-HMAC-SHA256\n" + request.get_header_value("x-amz-date") + "\n" +
                           scope + "\n" + hex(digest, sizeof digest);
  std::string key = "AWS4" + secret;
  std::istringstream parts(scope);
  for (std::string step; std::getline(parts, step, '/');) key = keyed_hash(key, step);
  const std::string signature = keyed_hash(key, text);
  return hex(reinterpret_cast<const unsigned char*>(signature.data()), signature.size());
}

class S3Test : public fixtures::RemoteTest {
 protected:
  S3Test() {
    ::setenv("AWS_ENDPOINT_URL", server_.url().c_str(), 1);
    ::setenv("AWS_REGION", "us-west-2", 1);
    ::setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "se/cret", 1);
    ::setenv("AWS_SESSION_TOKEN", "to/ken==", 1);
    server_.answer_with([this](const auto& request, auto& response) { answer(request, response); });
  }
  ~S3Test() override {
    for (const char* name : {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID",
                             "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})
      ::unsetenv(name);
  }
  void answer(const httplib::Request& request, httplib::Response& response) {
    const std::string header = request.get_header_value("Authorization");
    const size_t at = header.find("Signature=");
    const bool right = at != std::string::npos &&
                       header.find("/us-west-2/s3/aws4_request") != std::string::npos &&
                       request.get_header_value("x-amz-security-token") == "to/ken==" &&
                       header.substr(at + 10) == expected_signature(request, "se/cret");
    if (!right) {
      response.status = 403;
      response.set_content("<Error><Code>SignatureDoesNotMatch</Code></Error>", "text/xml");
    } else if (request.path == "/bucket/" && request.has_param("list-type")) {
      list(request, response);
    } else {
      server_.serve(request, response);
    }
  }
  // Two keys a page.
  void list(const httplib::Request& request, httplib::Response& response) {
    const std::string prefix = request.get_param_value("prefix");
    const std::string token = request.get_param_value("continuation-token");
    const size_t begin = token.empty() ? 0 : std::stoul(token.substr(1));
    std::vector<std::string> keys;
    for (const auto& key : objects_) {
      if (key.starts_with(prefix)) keys.push_back(key);
    }
    std::string xml =
        "<?xml version=\"1.0\"?>\n<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    for (size_t i = begin; i < std::min(keys.size(), begin + 2); ++i)
      xml += "<Contents><Key>" + keys[i] + "</Key><Size>1</Size></Contents>";
    if (begin + 2 < keys.size())
      xml += "<NextContinuationToken>+" + std::to_string(begin + 2) + "</NextContinuationToken>";
    response.set_content(xml + "</ListBucketResult>", "application/xml");
  }

  std::vector<std::string> objects_ = {"set/00.tar",  "set/01.tar",      "set/02.tar",
                                       "set/a b.tar", "set/report.json", "set/sub/03.tar",
                                       "zz.tar"};
};

TEST_F(S3Test, ObjectsAreSignedAndFetched) {
  put("o.tar", 20);
  server_.put("/bucket/set/a b.tar", bytes_of("o.tar"));
  server_.put("/bucket/set/00.tar", bytes_of("o.tar"));
  EXPECT_EQ(fetched("s3://bucket/set/00.tar"), bytes_of("o.tar"));
  EXPECT_EQ(fetched("s3://bucket/set/a b.tar"), bytes_of("o.tar"));
  ::setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
  EXPECT_THAT(error_of([&] { fetched("s3://bucket/set/01.tar"); }),
              AllOf(HasSubstr("SignatureDoesNotMatch"), HasSubstr("AWS_SECRET_ACCESS_KEY")));
}

TEST_F(S3Test, PrefixesAndGlobsAreLists) {
  EXPECT_THAT(find_shards("s3://bucket/set/", {}, skips_),
              ElementsAre("s3://bucket/set/00.tar", "s3://bucket/set/01.tar",
                          "s3://bucket/set/02.tar", "s3://bucket/set/a b.tar"));
  EXPECT_THAT(find_shards("s3://bucket/s*/0[13].tar::s3://bucket/z?.tar", {}, skips_),
              ElementsAre("s3://bucket/set/01.tar", "s3://bucket/zz.tar"));
  EXPECT_THAT(find_shards("s3://bucket/set/{00..01}.tar", {}, skips_).size(), 2U);
  EXPECT_THAT(error_of([&] { find_shards("s3://bucket/none/", {}, skips_); }),
              HasSubstr("no shard matches"));
  EXPECT_THAT(error_of([&] { find_shards("s3:///x/", {}, skips_); }), HasSubstr("no bucket"));
  server_.answer_with(
      [](const auto&, auto& response) { response.set_content("<html>hello</html>", "text/html"); });
  EXPECT_THAT(error_of([&] { find_shards("s3://bucket/set/", {}, skips_); }),
              HasSubstr("no list of keys"));
}

TEST_F(S3Test, AnotherRegionIsNamed) {
  server_.answer_with([](const auto&, auto& response) {
    response.status = 301;
    response.set_header("x-amz-bucket-region", "eu-north-1");
  });
  EXPECT_THAT(error_of([&] { fetched("s3://bucket/set/00.tar"); }),
              HasSubstr("AWS_REGION=eu-north-1"));
}

}  // namespace
}  // namespace opencloc
