// Any dataset -> shards. A format's file lists pictures with their annotations (FORMAT.cc);
// what all formats share, reading pictures, scaling and clipping boxes, writing, is done once here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/data/import/list.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/data/shard/skips.h"

namespace opencloc {

struct ImportOptions {
  std::filesystem::path images = {};       // folder of pictures
  std::filesystem::path annotations = {};  // file or folder, as the format needs
  std::filesystem::path captions = {};     // more captions, any format: see add_captions()
  std::filesystem::path phrases = {};      // more regions, a line of JSON each: see rows.h
  std::string split = {};                  // only rows that say so (refcoco, jsonl, csv)
  std::string csv_img_key = {};            // column names; empty = the usual ones
  std::string csv_caption_key = {};
  std::string csv_separator = {};                    // one character; empty = found out
  bool csv_no_header = false;                        // the first line is a row, whatever it says
  std::vector<std::string> csv_columns = {};         // names instead of the first line's, in order
  std::string caption_template = "a photo of a {}";  // folder: of the class name; empty = none
  // For evaluations that count them: boxes around many objects, marked "crowd" (coco, lvis,
  // coco-panoptic), and a sentence that was said of its box before (refcoco, jsonl, csv).
  bool crowd = false;
  bool every_sentence = false;
};

// Lists a dataset. Broken entries are counted; what cannot be used at all is an Error (input).
using Importer = void (*)(const ImportOptions& options, ImportList& list, SkipCounter& skips);

void import_coco(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_lvis(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_yolo(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_voc(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_refcoco(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_folder(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_jsonl(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_gpr1200(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_panoptic(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_flickr30k_entities(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_sugarcrepe(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_aro(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_winoground(const ImportOptions& options, ImportList& list, SkipCounter& skips);
void import_csv(const ImportOptions& options, ImportList& list, SkipCounter& skips);

// "coco", "lvis", ...; in the order in which help should show them.
std::vector<std::string> import_formats();

// Adds captions to pictures of the list: COCO's captions.json, or rows (.jsonl, .csv, .tsv) with
// an image and a caption. Captions of pictures that are not in the list are passed over.
void add_captions(const ImportOptions& options, ImportList& list, SkipCounter& skips);
// The first of these forms (coco.cc).
bool is_coco_file(const std::filesystem::path& path);
void add_coco_captions(const std::filesystem::path& path, ImportList& list, SkipCounter& skips);
// Adds regions from ImportOptions::phrases in the same way.
void add_phrases(const ImportOptions& options, ImportList& list, SkipCounter& skips);

struct RowsUsed {
  int64_t all = 0;
  int64_t used = 0;
};
// Notes that not one row of an added file was of use.
void note_unused(const std::filesystem::path& path, std::string_view what, const RowsUsed& rows,
                 SkipCounter& skips);

struct ImportReport {
  int64_t images = 0;
  int64_t images_with_regions = 0;
  int64_t images_with_text = 0;
  int64_t images_with_label = 0;
  int64_t images_turned = 0;  // boxes were of the picture as EXIF shows it; turned back
  int64_t images_unused = 0;  // pictures of the folder that the annotations do not name
  int64_t regions = 0;
  int64_t boxes_clipped = 0;  // stuck out of the picture; kept, clipped

  Json json() const;
};
// What the import did and did not, for people: pictures found and missing, annotations used,
// clipped and left out by reason, with the first names of each.
std::string import_table(const ImportReport& report, const SkipCounter& skips);

struct ImportRun {
  int threads = 1;
  std::function<void(int64_t done, int64_t total)> progress = {};  // called now and then
};

// Lists with the importer of `format`, then writes every picture that decodes, its bytes as they
// are. The shards do not depend on `threads`. The caller commits `out`.
ImportReport import_dataset(std::string_view format, const ImportOptions& options,
                            ShardSetWriter& out, SkipCounter& skips, const ImportRun& run = {});
// The same without writing: reads and decodes all that an import would.
ImportReport check_dataset(std::string_view format, const ImportOptions& options,
                           SkipCounter& skips, const ImportRun& run = {});

}  // namespace opencloc
