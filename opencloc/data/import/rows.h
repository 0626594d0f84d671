// Datasets that are rows: a JSON object a line, or a table. One row says something of one picture;
// rows of the same picture are put together. Names are those that people use:
//
//   picture   image, image_path, img_path, filepath, file_path, file_name, filename, path, img,
//             image_name; or an id: image_id
//   texts     caption, captions, title, text, comment, alt_text; sentences without a box; label,
//             class
//   regions   regions or objects: [{box | bbox | bbox_xyxy, text | phrase | caption | label |
//             name | category}], or Hugging Face's {"bbox": [...], "categories": [...]}
//   a region  box | bbox | bbox_xyxy | solution of the row itself, or xmin, ymin, xmax, ymax; with
//             phrase, expression, normal_caption, pos_expression, sentence, sent or sentences; else
//             its caption, else its label
//   negatives or neg_expression: wrong texts for the region, or else for the caption
//
// "box" is [x0, y0, x1, y1] in [0, 1]; "bbox" is COCO's [x, y, width, height] in pixels;
// "bbox_xyxy" and "solution" are corners in pixels. Other keys are kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/import/import.h"

namespace opencloc {

struct RowNames {
  std::string image = {};       // a column that comes before the usual ones; empty = none
  std::string caption = {};     // the same
  bool every_sentence = false;  // ImportOptions::every_sentence
};

// Names of columns and keys that hold a picture's name, or a text of the picture.
bool is_picture_key(std::string_view key);
bool is_text_key(std::string_view key);

// The picture a row speaks of: not found (and counted) when it is not there. A row with an id alone
// means the picture of that id in the list, else the one whose whole name is the number.
FoundPicture picture_of_row(const Json& row, const RowNames& names, ImportList& list,
                            const std::string& where, SkipCounter& skips);

// Adds what the row says to its picture. A row that cannot be used, or that says nothing, is
// counted.
void merge_row(const Json& row, const RowNames& names, const std::string& where, ImportItem& item,
               SkipCounter& skips);

// Calls visit(row, where) for the rows of a file: lines of JSON, one JSON list, an object with one
// list of rows ("images", "data", "rows", "annotations"), or a table. A table ends in .csv, .tsv or
// .txt; the others are known by what they begin with.
void for_each_row(const std::filesystem::path& path, const ImportOptions& options,
                  SkipCounter& skips,
                  const std::function<void(const Json& row, const std::string& where)>& visit);

// import_csv.cc: the rows of a table as JSON objects.
void for_each_table_row(
    const std::filesystem::path& path, const ImportOptions& options, SkipCounter& skips,
    const std::function<void(const Json& row, const std::string& where)>& visit);

}  // namespace opencloc
