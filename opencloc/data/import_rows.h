// Datasets that are rows: a JSON object a line, or a table. One row says something of one picture;
// rows of the same picture are put together. Names are those that people use:
//
//   picture   image, image_path, img_path, filepath, file_path, file_name, filename, path, img;
//             or a number: image_id
//   texts     caption, captions, title, text, alt_text; label, class
//   regions   regions or objects: [{box | bbox | bbox_xyxy, text | phrase | caption | label |
//   name}] a region  box | bbox | bbox_xyxy | solution of the row itself, with phrase, expression,
//             normal_caption, pos_expression, sentence, sent or sentences; else its caption
//
// "box" is [x0, y0, x1, y1] in [0, 1]; "bbox" is COCO's [x, y, width, height] in pixels;
// "bbox_xyxy" and "solution" are corners in pixels. Other keys are kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/import.h"

namespace opencloc {

struct RowNames {
  std::string image;    // a column that comes before the usual ones; empty = none
  std::string caption;  // the same
};

// The picture a row speaks of: empty (and counted) when it is not there.
std::optional<std::filesystem::path> picture_of_row(const Json& row, const RowNames& names,
                                                    const PictureFinder& pictures,
                                                    const std::string& where, SkipCounter& skips);

// Adds what the row says to its picture. A row that cannot be used is counted.
void merge_row(const Json& row, const RowNames& names, const std::string& where, ImportItem& item,
               SkipCounter& skips);

// Calls visit(row, where) for the rows of a .jsonl file, a .json list, or a table (.csv, .tsv,
// .txt).
void for_each_row(const std::filesystem::path& path, const ImportOptions& options,
                  SkipCounter& skips,
                  const std::function<void(const Json& row, const std::string& where)>& visit);

// import_csv.cc: the rows of a table as JSON objects.
void for_each_table_row(
    const std::filesystem::path& path, const ImportOptions& options, SkipCounter& skips,
    const std::function<void(const Json& row, const std::string& where)>& visit);

}  // namespace opencloc
