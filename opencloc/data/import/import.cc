#include "opencloc/data/import/import.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <utility>

#include "opencloc/base/files.h"
#include "opencloc/base/log.h"
#include "opencloc/data/import/frame.h"
#include "opencloc/data/load/ordered.h"
#include "opencloc/image/exif.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

struct Format {
  std::string_view name;
  Importer list;
};

constexpr std::array<Format, 14> kFormats = {{{"coco", import_coco},
                                              {"lvis", import_lvis},
                                              {"yolo", import_yolo},
                                              {"voc", import_voc},
                                              {"refcoco", import_refcoco},
                                              {"folder", import_folder},
                                              {"jsonl", import_jsonl},
                                              {"csv", import_csv},
                                              {"gpr1200", import_gpr1200},
                                              {"coco-panoptic", import_panoptic},
                                              {"flickr30k-entities", import_flickr30k_entities},
                                              {"sugarcrepe", import_sugarcrepe},
                                              {"aro", import_aro},
                                              {"winoground", import_winoground}}};

Importer importer_of(std::string_view format) {
  for (const auto& known : kFormats) {
    if (known.name == format) return known.list;
  }
  throw Error::input(
      "unknown dataset format", "'" + std::string(format) + "'",
      "use coco, lvis, yolo, voc, refcoco, folder, jsonl, csv, gpr1200, coco-panoptic, "
      "flickr30k-entities, sugarcrepe, aro or winoground");
}

// The extension by content: names lie.
std::string extension_of(const ImageInfo& info, const std::filesystem::path& path) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kByFormat = {
      {{"JPEG", "jpg"},
       {"PNG", "png"},
       {"WEBP", "webp"},
       {"GIF", "gif"},
       {"BMP", "bmp"},
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
  bool turned = false;
};

std::string size_text(double width, double height) {
  return std::to_string(static_cast<int64_t>(width)) + "x" +
         std::to_string(static_cast<int64_t>(height));
}

// Places the regions of an item in its picture.
void place_regions(ImportItem& item, const ImageInfo& info, int orientation, Finished& result,
                   SkipCounter& skips) {
  const std::string where = item.image.string();
  const BoxSource boxes{item.width, item.height, where, !item.regions.empty()};
  const auto frame = frame_of(boxes, {info.width, info.height, orientation}, skips);
  for (auto& region : item.regions) {
    if (!frame && !region.in_unit) {
      skips.add(skip::kOtherSize, where,
                "the picture is " + size_text(info.width, info.height) + ", the annotation says " +
                    size_text(item.width, item.height) + "; its boxes are left out");
      continue;
    }
    const Box unit = region.in_unit ? region.region.box : to_unit(region.region.box, *frame);
    const Box clipped = clip_to_unit(unit);
    if (!unit.finite() || clipped.area() <= 0) {
      skips.add(skip::kEmptyBox, where, "'" + region.region.text + "', that region is left out");
      continue;
    }
    if (sticks_out(unit, info.width, info.height)) ++result.clipped;
    region.region.box = clipped;
    result.record->regions.push_back(std::move(region.region));
  }
  result.turned = frame && frame->orientation != 1 && !result.record->regions.empty();
}

Finished finish(ImportItem& item, SkipCounter& skips) {
  Finished result;
  try {
    Record record = std::move(item.record);
    record.image = read_file(item.image);
    const ImageInfo info = probe_image(record.image);
    if (!info.ok) throw BadSample(skip::kBadImage, info.error, item.image.string());
    record.extension = extension_of(info, item.image);
    const int orientation = exif_orientation(record.image);
    result.record = std::move(record);
    place_regions(item, info, orientation, result, skips);
  } catch (const BadSample& bad) {
    skips.add(bad);
  } catch (const Error& error) {  // the file went away or cannot be read
    skips.add(skip::kMissingImage, item.image.string(), error.what());
  }
  return result;
}

using WriteRecord = std::function<void(const Record& record)>;

ImportReport run_import(std::string_view format, const ImportOptions& options,
                        const WriteRecord& write, SkipCounter& skips, const ImportRun& run) {
  const Importer list_pictures = importer_of(format);
  ImportList list(options.images);
  list_pictures(options, list, skips);
  if (!options.captions.empty()) add_captions(options, list, skips);
  if (!options.phrases.empty()) add_phrases(options, list, skips);
  const auto named = static_cast<int64_t>(list.items().size());
  list.finish(skips);
  if (list.items().empty()) {
    const std::string why = skips.total() > 0               ? ": " + skips.summary()
                            : list.pictures().all().empty() ? ": the folder holds no picture"
                                                            : "";
    throw Error::input("nothing to import" + why, options.images.string(),
                       "check the settings 'format', 'images' and 'annotations'");
  }
  ImportReport report;
  report.images_unused =
      std::max<int64_t>(0, static_cast<int64_t>(list.pictures().all().size()) - named);
  const auto total = static_cast<int64_t>(list.items().size());
  int64_t done = 0;
  produce_in_order(
      total, run.threads,
      [&](int64_t i) { return finish(list.items()[static_cast<size_t>(i)], skips); },
      [&](Finished&& finished) {
        if (run.progress) run.progress(++done, total);
        if (!finished.record) return;
        const Record& record = *finished.record;
        write(record);
        ++report.images;
        report.images_with_regions += record.regions.empty() ? 0 : 1;
        report.images_with_text += image_text(record).empty() ? 0 : 1;
        report.images_with_label += record.label ? 1 : 0;
        report.images_turned += finished.turned ? 1 : 0;
        report.regions += static_cast<int64_t>(record.regions.size());
        report.boxes_clipped += finished.clipped;
      });
  if (report.images > 0 &&
      report.images_with_regions + report.images_with_text + report.images_with_label == 0) {
    skips.note("not one picture has a region, a text or a label", options.images.string(),
               std::to_string(report.images) + " pictures");
  }
  return report;
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
          {"images_with_label", images_with_label},
          {"images_turned", images_turned},
          {"images_unused", images_unused},
          {"regions", regions},
          {"boxes_clipped", boxes_clipped}};
}

ImportReport import_dataset(std::string_view format, const ImportOptions& options,
                            ShardSetWriter& out, SkipCounter& skips, const ImportRun& run) {
  return run_import(
      format, options, [&out](const Record& record) { out.write(record); }, skips, run);
}

ImportReport check_dataset(std::string_view format, const ImportOptions& options,
                           SkipCounter& skips, const ImportRun& run) {
  return run_import(
      format, options, [](const Record&) {}, skips, run);
}

}  // namespace opencloc
