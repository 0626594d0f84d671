// The numbers of a collection: how many pictures, regions and words, what was skipped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

struct StatsOptions {
  const Tokenizer* tokenizer = nullptr;  // null: words and punctuation marks are counted
  std::string tokenizer_name = "words";
  bool decode = true;  // find pictures that do not decode, and the sizes
  int threads = 1;
  ShardOptions shards = {};
  std::function<void(int64_t samples)> progress = {};
};

struct DataStats {
  int64_t shards = 0;
  int64_t images = 0;
  int64_t images_with_text = 0;
  int64_t images_with_regions = 0;
  int64_t images_with_label = 0;
  int64_t regions = 0;
  int64_t regions_with_text = 0;
  int64_t image_tokens = 0;    // over all images with text
  int64_t region_tokens = 0;   // over all regions with text
  int64_t captions = 0;        // all of them, where an image has several
  int64_t caption_tokens = 0;  // over all captions
  int64_t phrases = 0;         // that `label` asks the detector for
  int64_t phrase_tokens = 0;
  int64_t distinct_texts = 0;
  int64_t distinct_region_texts = 0;
  int64_t image_bytes = 0;
  int64_t pixels = 0;  // width x height, over all images; 0 without `decode`
  std::map<std::string, int64_t> labels;
  std::map<std::string, int64_t> region_texts;
  std::map<std::string, int64_t> formats;
  std::string tokenizer;

  // regions_per_image, image_text_tokens, region_text_tokens (the table data engines are compared
  // by), and all counts.
  Json json() const;
  // The same for people, with the most frequent labels and region texts.
  std::string table() const;
  // A row of CLOC's Table 1 (arXiv 2410.02746) in Markdown, with a column for the phrases and the
  // table's head above it.
  std::string markdown(std::string_view name) const;
};

DataStats collect_stats(const std::vector<std::string>& shards, const StatsOptions& options,
                        SkipCounter& skips);

// Words and punctuation marks: "a cat's hat." -> a, cat, ', s, hat, .
int64_t count_words(std::string_view text);

}  // namespace opencloc
