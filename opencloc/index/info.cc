#include "opencloc/index/info.h"

#include <cmath>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/index/catalog.h"
#include "opencloc/kernels/scan/scan.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kIndexFormat = 1;
constexpr const char* kInfoFile = "index.json";

}  // namespace

fs::path catalog_path(const fs::path& index) { return index / "catalog.sqlite"; }

fs::path segment_path(const fs::path& index, int64_t id) {
  return index / "segments" / fmt::format("{:08}.seg", id);
}

bool index_exists(const fs::path& index) {
  if (fs::exists(index / kInfoFile)) return true;
  std::error_code ignored;
  if (!fs::exists(index) || (fs::is_directory(index) && fs::is_empty(index, ignored))) return false;
  throw Error::input("something else than an index lies here", index.string(),
                     "name a folder that is new, or an index");
}

Json index_info_json(const IndexInfo& info) {
  Json json;
  json["format_version"] = kIndexFormat;
  json["width"] = info.width;
  json["model"] = info.model;
  json["fingerprint"] = info.fingerprint;
  json["orientation"] = "stored";  // boxes are of the stored picture: EXIF turns nothing
  json["regions"] = info.regions;
  json["grid"] = info.grid;
  if (info.keep > 0) json["keep"] = info.keep;
  if (info.keep > 0 && info.coarse > 0) json["coarse"] = info.coarse;
  if (info.inverse_temperature > 0) json["inverse_temperature"] = info.inverse_temperature;
  json["region_method"] = info.region_method;
  json["precision"] = "int8";
  return json;
}

void create_index(const fs::path& index, const IndexInfo& info) {
  write_folder(index, [&](const fs::path& folder) {
    fs::create_directory(folder / "segments");
    Catalog::create(catalog_path(folder));
    write_file(folder / kInfoFile, dump_json(index_info_json(info), 2) + "\n");
  });
}

IndexInfo read_index_info(const fs::path& index) {
  const fs::path file = index / kInfoFile;
  if (!fs::exists(file)) {
    throw Error::input("no index here", index.string(),
                       "make one with 'opencloc index add', or check the path");
  }
  return parse_index_info(read_json(file), file.string());
}

IndexInfo parse_index_info(const Json& json, std::string_view where) {
  const int64_t format = json_int(json, "format_version", where, 0);
  if (format != kIndexFormat) {
    throw Error::input("an index of version " + std::to_string(format) + ", this program knows " +
                           std::to_string(kIndexFormat),
                       where, "use another version of OpenCLOC");
  }
  IndexInfo info;
  info.width = json_int(json, "width", where, 0);
  if (info.width < 1 || info.width > kernels::kMaxScanWidth)
    throw Error::input("'width' is not a width of vectors", where, "restore the file");
  info.model = json_string(json, "model", where, "");
  info.fingerprint = json_string(json, "fingerprint", where, "");
  info.regions = json_string(json, "regions", where, info.regions);
  info.keep = json_int(json, "keep", where, 0);
  info.coarse = json_int(json, "coarse", where, 0);
  if (json.contains("inverse_temperature")) {
    const Json& value = json["inverse_temperature"];
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>()))
      throw Error::input("'inverse_temperature' is no number above 0", where, "restore the file");
    info.inverse_temperature = value.get<double>();
  }
  info.region_method = json_string(json, "region_method", where, "");
  if (json.contains("grid")) {
    info.grid.clear();
    for (const Json& side : json["grid"]) {
      if (!side.is_number_integer())
        throw Error::input("'grid' is not a list of numbers", where, "restore the file");
      info.grid.push_back(side.get<int64_t>());
    }
  }
  return info;
}

}  // namespace opencloc
