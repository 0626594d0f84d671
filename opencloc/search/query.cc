#include "opencloc/search/query.h"

#include <charconv>
#include <cmath>

#include "opencloc/api/impl.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/fingerprint.h"
#include "opencloc/index/npy.h"
#include "opencloc/search/indexer.h"

namespace opencloc {
namespace {

constexpr uint8_t kInsideFrom = 128;

Mask read_mask(const std::string& path) {
  const Image image = Image::read(path);
  std::vector<uint8_t> inside;
  inside.reserve(static_cast<size_t>(image.width) * static_cast<size_t>(image.height));
  for (int y = 0; y < image.height; ++y) {
    const uint8_t* row = image.row(y);
    for (int x = 0; x < image.width; ++x) inside.push_back(row[3 * x + 1] >= kInsideFrom ? 1 : 0);
  }
  return {image.width, image.height, std::move(inside)};
}

std::vector<float> read_vector(const std::string& path) {
  if (path.ends_with(".npy")) return NpyRows(path).row(0);
  const Json json = read_json(path);
  std::vector<float> vector;
  for (const Json& x : json) {
    if (!json.is_array() || !x.is_number())
      throw Error::input("not a list of numbers", path, "write [0.1, -0.2, ...]");
    vector.push_back(x.get<float>());
  }
  return vector;
}

std::vector<float> of_unit_length(std::vector<float> vector, const std::string& where) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  if (!(squares > 0) || !std::isfinite(squares)) {
    throw Error::input("the vector has no direction (all zeros, or numbers that are not finite)",
                       where, "give another");
  }
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
  return vector;
}

const StoredRow* row_of_region(const PictureRows& picture, int64_t region) {
  for (const StoredRow& row : picture.rows) {
    if (row.region == region) return &row;
  }
  return nullptr;
}

void require_sound(const QuerySpec& spec) {
  const int what =
      !spec.phrase.empty() + !spec.image.empty() + !spec.stored.empty() + !spec.embedding.empty();
  if (what != 1) {
    throw Error::input(what == 0 ? "nothing is searched for" : "several things are searched for",
                       "search", "give one of a phrase and settings 'image', 'id' and 'embedding'");
  }
  const int where =
      spec.box.has_value() + spec.point.has_value() + !spec.mask.empty() + !spec.part.empty();
  if (where > 1 || (where == 1 && spec.image.empty())) {
    throw Error::input(
        where > 1 ? "several parts of the picture are named" : "a part is named, but no picture",
        "search",
        where > 1 ? "give one of settings 'box', 'point', 'mask' and 'prompt'"
                  : "name it with the setting 'image'");
  }
}

}  // namespace

QueryEncoder::QueryEncoder(const IndexStore& index, std::string model, LoadOptions options)
    : index_(index),
      path_(model.empty() ? index.info().model : std::move(model)),
      options_(std::move(options)) {}
QueryEncoder::~QueryEncoder() = default;

const Model& QueryEncoder::model() {
  if (model_) return *model_;
  if (path_.empty()) {
    throw Error::input("the index does not say which model its vectors are from", index_.name(),
                       "name it with the setting 'model'");
  }
  if (!std::filesystem::exists(path_)) {
    throw Error::input("the model that the index was made with is not there", path_,
                       "say where it is with the setting 'model'");
  }
  auto loaded = std::make_unique<Model>(Model::load(path_, options_));
  const Model::Impl& impl = loaded->impl();
  Cloc on_cpu = impl.handle();
  require_model(index_.info(), model_fingerprint(on_cpu, impl.tokenizer.get()), path_,
                index_.name());
  model_ = std::move(loaded);
  return *model_;
}

QueryVector QueryEncoder::of_image(const QuerySpec& spec) {
  const Scene scene = model().encode(Image::read(spec.image));
  if (spec.box) return {scene.region(*spec.box).values, SearchUnit::kRegion};
  if (spec.point) return {scene.region(*spec.point).values, SearchUnit::kRegion};
  if (!spec.mask.empty()) return {scene.region(read_mask(spec.mask)).values, SearchUnit::kRegion};
  if (!spec.part.empty()) return {scene.region(spec.part).values, SearchUnit::kRegion};
  return {scene.embedding().values, SearchUnit::kPicture};
}

QueryVector QueryEncoder::of_stored(const std::string& id) const {
  int64_t picture = 0, region = 0;
  const char* end = id.data() + id.size();
  auto [rest, error] = std::from_chars(id.data(), end, picture);
  bool sound = error == std::errc();
  if (sound && rest != end) {
    sound = *rest == ':';
    if (sound) {
      const auto second = std::from_chars(rest + 1, end, region);
      sound = second.ec == std::errc() && second.ptr == end && region >= 0;
    }
  }
  if (!sound) {
    throw Error::input("'" + id + "' is no id of the index", "setting 'id'",
                       "give a picture's number, or with a region's as in 7:2");
  }
  const auto found = index_.rows_of({&picture, 1});
  const StoredRow* row = found.empty() ? nullptr : row_of_region(found.front(), region);
  if (row == nullptr) {
    throw Error::input("the index has no " + id, index_.name(),
                       "take an id from the hits of a search");
  }
  return {of_unit_length(row->vector, id),
          region == 0 ? SearchUnit::kPicture : SearchUnit::kRegion};
}

QueryVector QueryEncoder::encode(const QuerySpec& spec) {
  require_sound(spec);
  QueryVector query;
  if (!spec.phrase.empty()) query = {model().encode_text(spec.phrase).values, SearchUnit::kRegion};
  if (!spec.image.empty()) query = of_image(spec);
  if (!spec.stored.empty()) query = of_stored(spec.stored);
  if (!spec.embedding.empty())
    query = {of_unit_length(read_vector(spec.embedding), spec.embedding), SearchUnit::kRegion};
  if (index_.searched(query.unit) == 0)
    query.unit = query.unit == SearchUnit::kRegion ? SearchUnit::kPicture : SearchUnit::kRegion;
  return query;
}

}  // namespace opencloc
