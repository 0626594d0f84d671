#include "opencloc/search/report.h"

#include <algorithm>
#include <unordered_map>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/data/look/contact_sheet_card.h"
#include "opencloc/data/look/contact_sheet_page.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/search/indexer.h"

namespace opencloc {
namespace {

constexpr int kPictureSide = 320;

// What the catalog says of every picture of a result, fetched at once.
class Entries {
 public:
  Entries(IndexStore& index, const SearchResult& result) {
    std::vector<int64_t> ids;
    for (const Hit& hit : result.hits) {
      ids.push_back(hit.picture);
      ids.insert(ids.end(), hit.duplicates.begin(), hit.duplicates.end());
    }
    for (auto& entry : index.catalog().pictures(ids)) {
      const int64_t id = entry.picture.id;
      entries_.emplace(id, std::move(entry));
    }
  }
  // An empty one where the picture was removed since.
  const PictureEntry& of(int64_t picture) const {
    static const PictureEntry kNone;
    const auto at = entries_.find(picture);
    return at == entries_.end() ? kNone : at->second;
  }
  std::string name(int64_t picture) const {
    const PictureEntry& entry = of(picture);
    return entry.names.empty() ? "(removed)" : entry.names.front().name;
  }
  std::string text(int64_t picture, int64_t region) const {
    for (const RegionText& text : of(picture).texts) {
      if (text.region == region) return text.text;
    }
    return {};
  }

 private:
  std::unordered_map<int64_t, PictureEntry> entries_;
};

void put_region(const RegionHit& region, const std::string& text, Json& json) {
  json["score"] = region.score;
  json["z"] = region.z;
  if (region.quality) {
    json["cosine"] = region.cosine;
    json["quality"] = *region.quality;
  }
  json["region"] = region.region;
  json["box"] = {region.box.x0, region.box.y0, region.box.x1, region.box.y1};
  if (!text.empty()) json["text"] = text;
}

const char* name_of(Cut::Mode mode) {
  if (mode == Cut::Mode::kAuto) return "auto";
  return mode == Cut::Mode::kZ ? "z" : "off";
}

std::string box_text(const Box& box) {
  return fmt::format("{:.3f},{:.3f},{:.3f},{:.3f}", box.x0, box.y0, box.x1, box.y1);
}

// As the card of a data set shows a sample: the boxes that matched are its regions.
Record record_of(const Hit& hit, const Entries& entries) {
  const PictureEntry& entry = entries.of(hit.picture);
  const PictureName& name = entry.names.at(0);
  Record record;
  if (name.sample < 0) {
    record.image = read_file(name.name);
  } else {
    SkipCounter scratch(0);
    const ShardFile shard(file_of(name), scratch);
    if (name.sample >= shard.samples())
      throw Error::input("the shard has fewer samples than before", name.name);
    record.image = shard.read(name.sample).image;
  }
  record.key = name.name;
  record.caption = fmt::format(
      "{}. score {:.3f}, z {:.1f}, id {}{}", hit.rank, hit.best.score, hit.best.z, hit.picture,
      hit.duplicates.empty() ? "" : fmt::format(", {} near-duplicates", hit.duplicates.size()));
  record.alt_text = entry.picture.caption;
  const auto add = [&](const RegionHit& region) {
    if (region.region == 0) return;
    std::string text = entries.text(hit.picture, region.region);
    if (text.empty()) text = "region " + std::to_string(region.region);
    record.regions.push_back({region.box, std::move(text), static_cast<float>(region.score), {}});
  };
  add(hit.best);
  for (const RegionHit& region : hit.more) add(region);
  return record;
}

}  // namespace

Json search_json(IndexStore& index, const SearchResult& result, const SearchOptions& options) {
  const Entries entries(index, result);
  Json json;
  json["scanned"] = result.scanned;
  json["median"] = result.median;
  json["deviation"] = result.deviation;
  json["cut"]["mode"] = name_of(options.cut.mode);
  if (result.cut_z) json["cut"]["z"] = *result.cut_z;
  if (options.cut.mode == Cut::Mode::kAuto) json["cut"]["calibrated"] = result.calibrated;
  if (options.min_score) json["cut"]["min_score"] = *options.min_score;
  json["cut"]["below"] = result.below;
  json["folded"] = result.folded;
  json["hits"] = Json::array();
  for (const Hit& hit : result.hits) {
    const PictureEntry& entry = entries.of(hit.picture);
    Json line;
    line["id"] = hit.picture;
    line["rank"] = hit.rank;
    line["name"] = entries.name(hit.picture);
    line["names"] = Json::array();
    for (const PictureName& name : entry.names) line["names"].push_back(name.name);
    line["width"] = entry.picture.width;
    line["height"] = entry.picture.height;
    put_region(hit.best, entries.text(hit.picture, hit.best.region), line);
    if (!entry.picture.caption.empty()) line["caption"] = entry.picture.caption;
    line["regions"] = Json::array();
    for (const RegionHit& region : hit.more) {
      Json more;
      put_region(region, entries.text(hit.picture, region.region), more);
      line["regions"].push_back(std::move(more));
    }
    line["duplicates"] = Json::array();
    for (const int64_t id : hit.duplicates)
      line["duplicates"].push_back({{"id", id}, {"name", entries.name(id)}});
    json["hits"].push_back(std::move(line));
  }
  return json;
}

std::string search_text(IndexStore& index, const SearchResult& result) {
  const Entries entries(index, result);
  const bool rated = std::any_of(result.hits.begin(), result.hits.end(),
                                 [](const Hit& hit) { return hit.best.quality.has_value(); });
  std::string text =
      fmt::format("rank   score {}     z  id      region  box                      name\n",
                  rated ? "cosine   qual " : "");
  const auto line = [&](const RegionHit& region, const std::string& rank, const std::string& id,
                        const std::string& name) {
    const std::string quality = region.quality ? fmt::format("{:.2f}", *region.quality) : "";
    const std::string parts = rated ? fmt::format("{:6.3f} {:>6} ", region.cosine, quality) : "";
    text += fmt::format("{:>4}  {:6.3f} {}{:6.1f}  {:<7} {:<7} {:<24} {}\n", rank, region.score,
                        parts, region.z, id, region.region, box_text(region.box), name);
  };
  for (const Hit& hit : result.hits) {
    std::string name = entries.name(hit.picture);
    const std::string label = entries.text(hit.picture, hit.best.region);
    if (!label.empty()) name += "  \"" + label + "\"";
    if (!hit.duplicates.empty()) name += fmt::format("  (+{} like it)", hit.duplicates.size());
    line(hit.best, std::to_string(hit.rank), std::to_string(hit.picture), name);
    for (const RegionHit& region : hit.more) {
      const std::string more = entries.text(hit.picture, region.region);
      line(region, "", "", more.empty() ? "" : "\"" + more + "\"");
    }
  }
  if (result.hits.empty()) text = "nothing found\n";
  text += fmt::format("{} rows searched", result.scanned);
  if (result.cut_z) text += fmt::format(", cut at z {:.1f}", *result.cut_z);
  if (result.calibrated) text += " (calibrated)";
  if (result.below > 0) text += fmt::format(", {} pictures below the limit", result.below);
  if (result.folded > 0) text += fmt::format(", {} near-duplicates folded", result.folded);
  return text + "\n";
}

int64_t write_search_page(IndexStore& index, const SearchResult& result, const std::string& title,
                          const std::filesystem::path& page, SkipCounter& skips) {
  const Entries entries(index, result);
  AtomicFile file(page);
  std::string cards;
  int64_t shown = 0;
  for (const Hit& hit : result.hits) {
    const std::string name = entries.name(hit.picture);
    try {
      if (entries.of(hit.picture).names.empty())
        throw Error::input("the picture was removed", std::to_string(hit.picture));
      cards += contact_sheet_card(record_of(hit, entries), name, kPictureSide);
      ++shown;
    } catch (const Error& error) {
      skips.add(skip::kMissingImage, name, error.what());
    }
  }
  file.write(contact_sheet_head(title, kPictureSide, shown));
  file.write(cards);
  file.write(contact_sheet_tail());
  file.commit();
  return shown;
}

}  // namespace opencloc
