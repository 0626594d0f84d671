#include "opencloc/data/import.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/data/ordered.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

struct Format {
  std::string_view name;
  Importer list;
};

constexpr std::array<Format, 8> kFormats = {{{"coco", import_coco},
                                             {"lvis", import_lvis},
                                             {"yolo", import_yolo},
                                             {"voc", import_voc},
                                             {"refcoco", import_refcoco},
                                             {"folder", import_folder},
                                             {"jsonl", import_jsonl},
                                             {"csv", import_csv}}};

Importer importer_of(std::string_view format) {
  for (const auto& known : kFormats) {
    if (known.name == format) return known.list;
  }
  throw Error::input("unknown dataset format", "'" + std::string(format) + "'",
                     "use coco, lvis, yolo, voc, refcoco, folder, jsonl or csv");
}

// The extension by content: names lie.
std::string extension_of(const ImageInfo& info, const std::filesystem::path& path) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kByFormat = {
      {{"JPEG", "jpg"},
       {"PNG", "png"},
       {"WEBP", "webp"},
       {"GIF", "gif"},
       {"BMP", "bmp"},
       {"TIFF", "tif"},
       {"PPM", "ppm"}}};
  for (const auto& [format, extension] : kByFormat) {
    if (info.format == format) return std::string(extension);
  }
  throw BadSample(skip::kBadImage, "format " + info.format + " has no place in shards",
                  path.string());
}

// What became of one item.
struct Finished {
  std::optional<Record> record;
  int64_t clipped = 0;
};

Box to_unit(const ImportRegion& region, double width, double height) {
  if (region.in_unit) return region.region.box;
  const Box& box = region.region.box;
  return {static_cast<float>(box.x0 / width), static_cast<float>(box.y0 / height),
          static_cast<float>(box.x1 / width), static_cast<float>(box.y1 / height)};
}

// Half a pixel over the edge is rounding in the annotation, not worth a count.
bool sticks_out(const Box& unit, const ImageInfo& info) {
  const Box clipped = clip_to_unit(unit);
  const double over = std::max(std::max(clipped.x0 - unit.x0, unit.x1 - clipped.x1) * info.width,
                               std::max(clipped.y0 - unit.y0, unit.y1 - clipped.y1) * info.height);
  return over > 0.5;
}

Finished finish(ImportItem& item, SkipCounter& skips) {
  Finished result;
  try {
    Record record = std::move(item.record);
    record.image = read_file(item.image);
    const ImageInfo info = probe_image(record.image);
    if (!info.ok) throw BadSample(skip::kBadImage, info.error, item.image.string());
    record.extension = extension_of(info, item.image);
    const double width = item.width > 0 ? item.width : info.width;
    const double height = item.height > 0 ? item.height : info.height;
    for (auto& region : item.regions) {
      const Box unit = to_unit(region, width, height);
      const Box clipped = clip_to_unit(unit);
      if (!unit.finite() || clipped.area() <= 0) {
        skips.add(skip::kEmptyBox, item.image.string(),
                  "'" + region.region.text + "', that region is left out");
        continue;
      }
      if (sticks_out(unit, info)) ++result.clipped;
      region.region.box = clipped;
      record.regions.push_back(std::move(region.region));
    }
    result.record = std::move(record);
  } catch (const BadSample& bad) {
    skips.add(bad);
  } catch (const Error& error) {  // the file went away or cannot be read
    skips.add(skip::kMissingImage, item.image.string(), error.what());
  }
  return result;
}

}  // namespace

std::vector<std::string> import_formats() {
  std::vector<std::string> names;
  for (const auto& format : kFormats) names.emplace_back(format.name);
  return names;
}

Json ImportReport::json() const {
  return {{"images", images},
          {"images_with_regions", images_with_regions},
          {"images_with_text", images_with_text},
          {"regions", regions},
          {"boxes_clipped", boxes_clipped}};
}

ImportReport import_dataset(std::string_view format, const ImportOptions& options,
                            ShardSetWriter& out, SkipCounter& skips, const ImportRun& run) {
  const Importer list_pictures = importer_of(format);
  ImportList list(options.images);
  list_pictures(options, list, skips);
  if (!options.captions.empty()) add_captions(options, list, skips);
  if (!options.phrases.empty()) add_phrases(options, list, skips);
  if (list.items().empty()) {
    throw Error::input("nothing to import" + (skips.total() > 0 ? ": " + skips.summary() : ""),
                       options.images.string(), "check --format, --images and --annotations");
  }
  ImportReport report;
  const auto total = static_cast<int64_t>(list.items().size());
  int64_t done = 0;
  produce_in_order(
      total, run.threads,
      [&](int64_t i) { return finish(list.items()[static_cast<size_t>(i)], skips); },
      [&](Finished&& finished) {
        if (run.progress) run.progress(++done, total);
        if (!finished.record) return;
        const Record& record = *finished.record;
        out.write(record);
        ++report.images;
        report.images_with_regions += record.regions.empty() ? 0 : 1;
        report.images_with_text += image_text(record).empty() ? 0 : 1;
        report.regions += static_cast<int64_t>(record.regions.size());
        report.boxes_clipped += finished.clipped;
      });
  return report;
}

}  // namespace opencloc
