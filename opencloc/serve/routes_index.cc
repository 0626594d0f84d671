// Our own dialect, indexes: what is in them, their pictures, and changes where they are allowed.
#include <charconv>
#include <filesystem>

#include "opencloc/api/impl.h"
#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/base/sha256.h"
#include "opencloc/index/index_writer.h"
#include "opencloc/search/indexer.h"
#include "opencloc/serve/find_hits.h"
#include "opencloc/serve/picture_answer.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {
namespace {

namespace fs = std::filesystem;

Json index_json(ServedIndex& index) {
  const CatalogCounts counts = index.counts();
  const IndexInfo& info = index.info();
  return {{"name", index.name()},    {"pictures", counts.pictures},
          {"names", counts.names},   {"vectors", counts.rows},
          {"width", info.width},     {"fingerprint", info.fingerprint},
          {"regions", info.regions}, {"region_method", info.region_method}};
}

void get_indexes(Service& service, const CallPtr& call) {
  Json data = Json::array();
  for (const auto& index : service.indexes.all()) data.push_back(index_json(*index));
  call->respond(json_response({{"data", std::move(data)}}));
}

ServedIndex& index_of(Service& service, const CallPtr& call) {
  return service.index(call->params.at("name"));
}

void get_index(Service& service, const CallPtr& call) {
  call->respond(json_response(index_json(index_of(service, call))));
}

int64_t id_of(const CallPtr& call) {
  const std::string& text = call->params.at("id");
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 1)
    throw Refused{no_such_picture()};
  return id;
}

void get_image(Service& service, const CallPtr& call) {
  ServedIndex& index = index_of(service, call);
  auto entry = std::make_shared<const PictureEntry>(indexed_picture(index, id_of(call)));
  service.batcher.work(call, WorkKind::kScan, [&service, &index, call, entry] {
    const int64_t id = entry->picture.id;
    const IndexReader& reader = index.reader();
    const auto place = reader.find(id);
    if (!place) throw Refused{no_such_picture()};
    Json json = {{"id", id},
                 {"width", entry->picture.width},
                 {"height", entry->picture.height},
                 {"sha256", entry->picture.digest},
                 {"caption", entry->picture.caption},
                 {"names", Json::array()},
                 {"picture", picture_address(service, index, id)},
                 {"regions", Json::array()}};
    for (const PictureName& name : entry->names) json["names"].push_back(shown_picture_name(name));
    for (int64_t row = place->rows.begin + 1; row < place->rows.end; ++row) {
      const int64_t region = row - place->rows.begin;
      Json one = {{"region", region},
                  {"box", json_of(box_of(reader.columns(place->segment).box[row]))}};
      for (const RegionText& text : entry->texts) {
        if (text.region == region) one["text"] = text.text;
      }
      json["regions"].push_back(std::move(one));
    }
    call->respond(json_response(json));
  });
}

void get_image_picture(Service& service, const CallPtr& call) {
  const PictureEntry entry = indexed_picture(index_of(service, call), id_of(call));
  if (answer_unchanged(call, entry.picture.digest)) return;
  answer_picture(service, call, read_indexed_picture(entry), entry.picture.digest);
}

std::string ending_of(std::string_view bytes) {
  if (bytes.starts_with("\xff\xd8")) return ".jpg";
  if (bytes.starts_with("\x89PNG")) return ".png";
  if (bytes.starts_with("RIFF")) return ".webp";
  if (bytes.starts_with("GIF8")) return ".gif";
  return bytes.starts_with("BM") ? ".bmp" : ".ppm";
}

// Where pictures that came over the network are kept.
fs::path kept_folder(const ServedIndex& index) { return index.path() / "pictures"; }

HttpError cannot_change(const Error& error) {
  log::warn("an index was not changed: {}", error.what());
  return unavailable("the index cannot be changed now: another process may be writing to it", 5);
}

// On the compute thread.
void add_image(Service& service, const CallPtr& call, ServedIndex& index,
               const std::string& picture) {
  const std::string digest = sha256_hex(picture);
  const fs::path file = kept_folder(index) / (digest + ending_of(picture));
  const Model::Impl& impl = service.engine.model().impl();
  LoadedModel loaded;
  loaded.model = impl.handle();
  loaded.tokenizer = impl.tokenizer;
  loaded.has_region_heads = impl.region_heads;
  IndexerSummary summary;
  try {
    write_file(file, picture);
    IndexerOptions options;
    options.images = {file.string()};
    SkipCounter skips;
    summary = index_pictures(loaded, index.path(), index.info(), options, skips);
  } catch (const Error& error) {
    throw Refused{cannot_change(error)};
  }
  const auto id = index.picture_of_digest(digest);
  if (!id) throw Error::failed("the picture was added, and is not there", file.string());
  call->respond(json_response({{"id", *id}, {"added", summary.added > 0}, {"sha256", digest}},
                              summary.added > 0 ? 201 : 200));
}

void post_image(Service& service, const CallPtr& call) {
  ServedIndex& index = index_of(service, call);
  auto picture = std::make_shared<const std::string>(take_picture(call->request));
  try {
    service.decoder.decode(*picture, "image");
  } catch (const Error& error) {
    throw Refused{unusable(error, "invalid_image", "image")};
  }
  service.batcher.work(call, WorkKind::kOther, [&service, &index, call, picture] {
    add_image(service, call, index, *picture);
  });
}

void delete_image(Service& service, const CallPtr& call) {
  ServedIndex& index = index_of(service, call);
  const int64_t id = id_of(call);
  service.batcher.work(call, WorkKind::kOther, [&index, call, id] {
    const PictureEntry entry = indexed_picture(index, id);
    try {
      IndexWriter(index.path()).remove({&id, 1});
    } catch (const Error& error) {
      throw Refused{cannot_change(error)};
    }
    for (const PictureName& name : entry.names) {
      if (fs::path(name.name).parent_path() != kept_folder(index)) continue;
      std::error_code ignored;  // the picture is out of the index either way
      fs::remove(name.name, ignored);
    }
    call->respond({.status = 204});
  });
}

constexpr Route kIndex[] = {
    {"GET", "/v1/indexes", Access::kKey, BodyKind::kNone, Work::kReads, get_indexes},
    {"GET", "/v1/indexes/{name}", Access::kKey, BodyKind::kNone, Work::kReads, get_index},
    {"POST", "/v1/indexes/{name}/images", Access::kWrite, BodyKind::kPicture, Work::kPictures,
     post_image},
    {"GET", "/v1/indexes/{name}/images/{id}", Access::kKey, BodyKind::kNone, Work::kHeavy,
     get_image},
    {"DELETE", "/v1/indexes/{name}/images/{id}", Access::kWrite, BodyKind::kNone, Work::kHeavy,
     delete_image},
    {"GET", "/v1/indexes/{name}/images/{id}/picture", Access::kKey, BodyKind::kNone,
     Work::kPictures, get_image_picture},
};

}  // namespace

std::span<const Route> index_routes() { return kIndex; }

}  // namespace opencloc::serve
