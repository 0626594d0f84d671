// Rows of JSON (see import_rows.h), and the captions and phrases that any format may add.
#include "opencloc/data/import.h"
#include "opencloc/data/import_annotations.h"
#include "opencloc/data/import_rows.h"

namespace opencloc {
namespace {

bool in_split(const Json& row, const std::string& split) {
  if (split.empty() || !row.is_object()) return true;
  const auto it = row.find("split");
  return it != row.end() && *it == split;
}

void import_rows(const ImportOptions& options, const RowNames& names, ImportList& list,
                 SkipCounter& skips) {
  for_each_row(options.annotations, options, skips, [&](const Json& row, const std::string& where) {
    if (!in_split(row, options.split)) return;
    if (const auto picture = picture_of_row(row, names, list.pictures(), where, skips)) {
      merge_row(row, names, where, list.at(*picture), skips);
    }
  });
}

// Rows about pictures that are in the list; the others are passed over.
void add_rows(const std::filesystem::path& path, const ImportOptions& options, ImportList& list,
              SkipCounter& skips) {
  const RowNames names{options.csv_img_key, options.csv_caption_key};
  SkipCounter not_ours(0);
  for_each_row(path, options, skips, [&](const Json& row, const std::string& where) {
    const auto picture = picture_of_row(row, names, list.pictures(), where, not_ours);
    ImportItem* item = picture ? list.find(*picture) : nullptr;
    if (item != nullptr) merge_row(row, names, where, *item, skips);
  });
}

}  // namespace

void import_jsonl(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the .jsonl file");
  import_rows(options, {}, list, skips);
}

void import_csv(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the .csv or .tsv file");
  const RowNames names{options.csv_img_key, options.csv_caption_key};
  for_each_table_row(
      options.annotations, options, skips, [&](const Json& row, const std::string& where) {
        if (!in_split(row, options.split)) return;
        const auto picture = picture_of_row(row, names, list.pictures(), where, skips);
        if (picture) merge_row(row, names, where, list.at(*picture), skips);
      });
}

void add_captions(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.captions, "an existing file with --captions");
  if (options.captions.extension() == ".json") {
    add_coco_captions(options.captions, list, skips);
  } else {
    add_rows(options.captions, options, list, skips);
  }
}

void add_phrases(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.phrases, "an existing file with --phrases");
  add_rows(options.phrases, options, list, skips);
}

}  // namespace opencloc
