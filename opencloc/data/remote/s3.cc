#include "opencloc/data/remote/s3.h"

#include <cstdlib>
#include <memory>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "opencloc/base/error.h"
#include "opencloc/data/remote/cache.h"

namespace opencloc {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string first_of(std::string first, const std::string& second) {
  return first.empty() ? second : first;
}

enum class Slash { kKept, kEncoded };

// RFC 3986's unreserved characters stay, as S3's signatures want it.
std::string percent_encoded(std::string_view text, Slash slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' ||
                       (c == '/' && slash == Slash::kKept);
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kDigits[byte >> 4];
      encoded += kDigits[byte & 15];
    }
  }
  return encoded;
}

// `path`: encoded, with the query; may be empty.
HttpPlace place_in_bucket(const std::string& bucket, const std::string& path, std::string shown) {
  HttpPlace place;
  place.shown = std::move(shown);
  place.s3 = true;
  place.signing.region =
      first_of(first_of(variable("AWS_REGION"), variable("AWS_DEFAULT_REGION")), "us-east-1");
  place.signing.id = variable("AWS_ACCESS_KEY_ID");
  place.signing.secret = variable("AWS_SECRET_ACCESS_KEY");
  place.signing.token = variable("AWS_SESSION_TOKEN");
  std::string endpoint = first_of(variable("AWS_ENDPOINT_URL_S3"), variable("AWS_ENDPOINT_URL"));
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::string aws = "s3." + place.signing.region + ".amazonaws.com";
  if (!endpoint.empty()) {
    place.url = endpoint + "/" + bucket + "/" + path;
  } else if (bucket.find('.') != std::string::npos) {  // no certificate is for such hosts
    place.url = "https://" + aws + "/" + bucket + "/" + path;
  } else {
    place.url = "https://" + bucket + "." + aws + "/" + path;
  }
  return place;
}

struct FreeDocument {
  void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
};

bool has_name(const xmlNode* node, std::string_view name) {
  return node->type == XML_ELEMENT_NODE && name == reinterpret_cast<const char*>(node->name);
}

std::string content_of(const xmlNode* node) {
  xmlChar* text = xmlNodeGetContent(node);
  std::string content(text == nullptr ? "" : reinterpret_cast<const char*>(text));
  xmlFree(text);
  return content;
}

// Adds the keys of one page; the token of the next one, empty at the last.
std::string take_page(const std::string& xml, const std::string& where,
                      std::vector<std::string>& keys) {
  const std::unique_ptr<xmlDoc, FreeDocument> document(
      xmlReadMemory(xml.data(), static_cast<int>(xml.size()), nullptr, nullptr,
                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  const xmlNode* root = document ? xmlDocGetRootElement(document.get()) : nullptr;
  if (root == nullptr || !has_name(root, "ListBucketResult")) {
    throw Error::input("the server's answer is no list of keys", where,
                       "check AWS_ENDPOINT_URL: it must be an S3 server");
  }
  std::string next;
  for (const xmlNode* node = root->children; node != nullptr; node = node->next) {
    if (has_name(node, "NextContinuationToken")) next = content_of(node);
    if (!has_name(node, "Contents")) continue;
    for (const xmlNode* part = node->children; part != nullptr; part = part->next) {
      if (has_name(part, "Key")) keys.push_back(content_of(part));
    }
  }
  return next;
}

}  // namespace

S3Name split_s3(const std::string& name) {
  const std::string rest = name.substr(std::string_view("s3://").size());
  const size_t slash = rest.find('/');
  S3Name parts{rest.substr(0, slash), slash == std::string::npos ? "" : rest.substr(slash + 1)};
  if (parts.bucket.empty()) throw Error::input("no bucket", name, "write s3://BUCKET/KEY");
  return parts;
}

HttpPlace s3_place(const std::string& name) {
  const S3Name parts = split_s3(name);
  return place_in_bucket(parts.bucket, percent_encoded(parts.key, Slash::kKept), name);
}

std::vector<std::string> list_s3(const std::string& bucket, const std::string& prefix) {
  const std::string where = "s3://" + bucket + "/" + prefix;
  std::vector<std::string> keys;
  std::string token;
  do {  // parameters in the order of their names, as the signature wants them
    std::string query = "?";
    if (!token.empty())
      query += "continuation-token=" + percent_encoded(token, Slash::kEncoded) + "&";
    query += "list-type=2&prefix=" + percent_encoded(prefix, Slash::kEncoded);
    const std::string xml =
        download_text(place_in_bucket(bucket, query, where), shard_cache_options().retry);
    const std::string next = take_page(xml, where, keys);
    if (!next.empty() && next == token)
      throw Error::input("the server's list of keys does not end", where, "check the server");
    token = next;
  } while (!token.empty());
  return keys;
}

}  // namespace opencloc
