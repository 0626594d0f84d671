#include "opencloc/serve/picture_answer.h"

#include <algorithm>
#include <filesystem>

#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/sha256.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/remote/remote_names.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/resize.h"
#include "opencloc/search/indexer.h"
#include "opencloc/serve/embed.h"

namespace opencloc::serve {
namespace {

constexpr int64_t kLeastSize = 256, kMostSize = 1600, kUsualSize = 1024;
constexpr int kJpegQuality = 88;
constexpr uint64_t kMostFileBytes = uint64_t{1} << 30;

int64_t size_asked(const CallPtr& call) {
  const auto text = query_value(call->request.query, "size");
  if (!text) return kUsualSize;
  const auto number = parse_number(*text);
  if (!number || *number < kLeastSize || *number > kMostSize) {
    throw Refused{bad_request("the size is a number from " + std::to_string(kLeastSize) + " to " +
                                  std::to_string(kMostSize),
                              "size")};
  }
  return static_cast<int64_t>(*number);
}

std::string tag_of(const CallPtr& call, const std::string& tag) {
  return '"' + tag.substr(0, 32) + "-" + std::to_string(size_asked(call)) + '"';
}

Image made_smaller(const Image& image, int64_t longest) {
  const int64_t side = std::max(image.width, image.height);
  ResizeOptions options;
  options.width = static_cast<int>(std::max<int64_t>(1, image.width * longest / side));
  options.height = static_cast<int>(std::max<int64_t>(1, image.height * longest / side));
  options.interpolation = Interpolation::kBilinear;
  return resize(image, options);
}

std::string read_name(const PictureName& name) {
  const std::string file = file_of(name);
  if (is_remote(file)) throw Error::input("the picture lies on another machine");
  if (!std::filesystem::is_regular_file(file)) throw Error::input("the file is not there any more");
  if (name.sample < 0) return read_file(file, kMostFileBytes);
  SkipCounter scratch(0);
  const ShardFile shard(file, scratch);
  if (name.sample >= shard.samples()) throw Error::input("the shard has fewer samples than before");
  return shard.read(name.sample).image;
}

}  // namespace

std::string take_picture(HttpRequest& request) {
  std::string picture;
  if (request.media_type() == "multipart/form-data") {
    for (const FormPart& part : parse_form(request.header("content-type"), request.body)) {
      if (part.name == "image") picture = std::string(part.body);
    }
  } else {
    picture = std::move(request.body);
  }
  if (picture.empty()) throw Refused{bad_request("there is no picture in the request", "image")};
  return picture;
}

bool answer_unchanged(const CallPtr& call, const std::string& tag) {
  if (call->request.header("if-none-match") != tag_of(call, tag)) return false;
  call->respond({.status = 304, .headers = {{"ETag", tag_of(call, tag)}}});
  return true;
}

void answer_picture(Service& service, const CallPtr& call, const std::string& bytes,
                    const std::string& tag) {
  if (answer_unchanged(call, tag)) return;
  const int64_t longest = size_asked(call);
  std::string jpeg;
  try {
    const auto image = service.decoder.decode(bytes, "picture");
    const bool smaller = std::max(image->width, image->height) > longest;
    jpeg = encode_jpeg(smaller ? made_smaller(*image, longest) : *image, kJpegQuality);
  } catch (const Error& error) {
    throw Refused{unusable(error, "invalid_image", "id")};
  }
  call->respond(
      {.content_type = "image/jpeg",
       .body = std::move(jpeg),
       .headers = {{"ETag", tag_of(call, tag)}, {"Cache-Control", "private, max-age=3600"}}});
}

HttpError no_such_picture() { return not_found("the index has no picture of this id", "id"); }

PictureEntry indexed_picture(ServedIndex& index, int64_t id) {
  auto entries = index.pictures({&id, 1});
  if (entries.empty()) throw Refused{no_such_picture()};
  return std::move(entries.front());
}

std::string read_indexed_picture(const PictureEntry& entry) {
  for (const PictureName& name : entry.names) {
    try {
      std::string bytes = read_name(name);
      if (sha256_hex(bytes) == entry.picture.digest) return bytes;
      log::debug("{}: has changed since it was indexed", name.name);
    } catch (const std::exception& error) {
      log::debug("{}: {}", name.name, error.what());
    }
  }
  throw Refused{
      not_found("the picture's file is gone, has changed since it was indexed, or lies "
                "on another machine",
                "id")};
}

}  // namespace opencloc::serve
