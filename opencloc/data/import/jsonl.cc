// Rows of JSON (see import_rows.h), and the captions and phrases that any format may add.
#include <map>
#include <unordered_map>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/rows.h"

namespace opencloc {
namespace {

// Which rows are wanted, and which other splits there were.
class SplitFilter {
 public:
  explicit SplitFilter(std::string split) : split_(std::move(split)) {}
  bool wants(const Json& row) {
    if (split_.empty() || !row.is_object()) return true;
    const std::string split = json_text(json_value(row, "split"));
    wanted_ += split == split_ ? 1 : 0;
    if (split != split_) ++others_[split];
    return split == split_;
  }
  // Error (input) when rows were there, but none of the split.
  void check(const std::filesystem::path& path) const {
    if (split_.empty() || wanted_ > 0 || others_.empty()) return;
    std::string seen;
    for (const auto& [split, rows] : others_) {
      seen += (seen.empty() ? "" : ", ") + (split.empty() ? "none" : "'" + split + "'") + " (" +
              std::to_string(rows) + ")";
    }
    throw Error::input("no row has the split '" + split_ + "'; splits of the rows: " + seen,
                       path.string(), "check the setting 'split'");
  }

 private:
  const std::string split_;
  int64_t wanted_ = 0;
  std::map<std::string, int64_t> others_;
};

// Rows about pictures that are in the list; the others are passed over. Two names that fit one
// picture fit none, so that all names are looked at before anything is added.
void add_rows(const std::filesystem::path& path, const ImportOptions& options, ImportList& list,
              std::string_view what, SkipCounter& skips) {
  const RowNames names{options.csv_img_key, options.csv_caption_key, options.every_sentence};
  SkipCounter not_ours(0);
  std::unordered_map<std::string, std::string> claims;
  const std::string contested = "\n";
  for_each_row(path, options, not_ours, [&](const Json& row, const std::string& where) {
    const FoundPicture picture = picture_of_row(row, names, list, where, not_ours);
    if (!picture || list.find(picture.path) == nullptr) return;
    const auto [it, is_new] = claims.emplace(picture.path.string(), picture.claim);
    if (is_new || it->second == picture.claim || it->second.empty()) return;
    it->second = picture.claim.empty() ? std::string() : contested;
  });
  int64_t rows = 0, used = 0;
  SkipCounter again(0);
  for_each_row(path, options, skips, [&](const Json& row, const std::string& where) {
    ++rows;
    const FoundPicture picture = picture_of_row(row, names, list, where, again);
    ImportItem* item = picture ? list.find(picture.path) : nullptr;
    if (item == nullptr || !item->rivals.empty()) return;
    if (claims[picture.path.string()] != picture.claim) {
      skips.add(skip::kMissingImage, picture.claim, where + ": other names fit its picture, too");
      return;
    }
    ++used;
    merge_row(row, names, where, *item, skips);
  });
  note_unused(path, what, {rows, used}, skips);
}

}  // namespace

void note_unused(const std::filesystem::path& path, std::string_view what, const RowsUsed& rows,
                 SkipCounter& skips) {
  if (rows.used > 0) return;
  skips.note("none of the " + std::string(what) + " belongs to a picture of the data set",
             path.string(), std::to_string(rows.all) + " rows");
}

void import_jsonl(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the file of rows");
  const RowNames names{options.csv_img_key, options.csv_caption_key, options.every_sentence};
  SplitFilter filter(options.split);
  for_each_row(options.annotations, options, skips, [&](const Json& row, const std::string& where) {
    if (!filter.wants(row)) return;
    const FoundPicture picture = picture_of_row(row, names, list, where, skips);
    ImportItem* item = picture ? list.at(picture) : nullptr;
    if (item != nullptr) merge_row(row, names, where, *item, skips);
  });
  filter.check(options.annotations);
}

void import_csv(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the .csv or .tsv file");
  const RowNames names{options.csv_img_key, options.csv_caption_key, options.every_sentence};
  SplitFilter filter(options.split);
  for_each_table_row(options.annotations, options, skips,
                     [&](const Json& row, const std::string& where) {
                       if (!filter.wants(row)) return;
                       const FoundPicture picture = picture_of_row(row, names, list, where, skips);
                       ImportItem* item = picture ? list.at(picture) : nullptr;
                       if (item != nullptr) merge_row(row, names, where, *item, skips);
                     });
  filter.check(options.annotations);
}

void add_captions(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.captions, "an existing file with the setting 'captions'");
  // COCO's file is one object; rows are lines, a list or a table.
  if (lower_extension(options.captions) == "json" && is_coco_file(options.captions)) {
    add_coco_captions(options.captions, list, skips);
  } else {
    add_rows(options.captions, options, list, "captions", skips);
  }
}

void add_phrases(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.phrases, "an existing file with the setting 'phrases'");
  add_rows(options.phrases, options, list, "phrases", skips);
}

}  // namespace opencloc
