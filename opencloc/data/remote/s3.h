// s3://BUCKET/KEY: where it lies (AWS, or any server that speaks S3), and lists of keys.
#pragma once

#include <string>
#include <vector>

#include "opencloc/data/remote/http.h"

namespace opencloc {

struct S3Name {
  std::string bucket, key;
};
// Throws Error (input) for names without a bucket.
S3Name split_s3(const std::string& name);

// Of an object. AWS_ENDPOINT_URL(_S3), AWS_REGION or AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN are read from the environment; without keys the
// request is not signed, as public buckets allow it.
HttpPlace s3_place(const std::string& name);

// All keys that begin with `prefix`. Throws Error.
std::vector<std::string> list_s3(const std::string& bucket, const std::string& prefix);

}  // namespace opencloc
