#include "opencloc/data/look/stats.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/parallel_for.h"
#include "opencloc/data/look/label_output.h"
#include "opencloc/image/image.h"

namespace opencloc {
namespace {

constexpr size_t kMostFrequent = 10;

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

// What counting one sample takes time for.
struct Measured {
  Record record;
  ImageInfo info;
  std::vector<std::string> captions;
  std::vector<std::string> phrases;
  int64_t image_tokens = 0;
  int64_t caption_tokens = 0;
  int64_t region_tokens = 0;
  int64_t phrase_tokens = 0;
};

// `caption` is one of `captions`, or another one (a captioner's).
std::vector<std::string> captions_of(const Record& record) {
  std::vector<std::string> all = record.captions;
  if (std::find(all.begin(), all.end(), record.caption) == all.end()) all.push_back(record.caption);
  std::erase(all, "");
  return all;
}

void measure(Measured& sample, const StatsOptions& options) {
  const auto tokens = [&options](std::string_view text) {
    return options.tokenizer == nullptr
               ? count_words(text)
               : static_cast<int64_t>(options.tokenizer->encode(text).size());
  };
  if (options.decode) sample.info = probe_image(sample.record.image);
  sample.image_tokens = tokens(image_text(sample.record));
  sample.captions = captions_of(sample.record);
  sample.phrases = readable_phrases(sample.record);
  for (const auto& text : sample.captions) sample.caption_tokens += tokens(text);
  for (const auto& text : sample.phrases) sample.phrase_tokens += tokens(text);
  for (const auto& region : sample.record.regions) sample.region_tokens += tokens(region.text);
}

class Collector {
 public:
  explicit Collector(const StatsOptions& options) : options_(options) {}

  void add(const Measured& sample) {
    const Record& record = sample.record;
    ++stats.images;
    stats.image_bytes += static_cast<int64_t>(record.image.size());
    stats.pixels += int64_t{sample.info.width} * sample.info.height;
    ++stats.formats[options_.decode ? sample.info.format : record.extension];
    if (const auto text = image_text(record); !text.empty()) {
      ++stats.images_with_text;
      texts_.insert(std::hash<std::string_view>()(text));
    }
    if (record.label) {
      ++stats.images_with_label;
      ++stats.labels[*record.label];
    }
    stats.images_with_regions += record.regions.empty() ? 0 : 1;
    stats.regions += static_cast<int64_t>(record.regions.size());
    for (const auto& region : record.regions) {
      if (region.text.empty()) continue;
      ++stats.regions_with_text;
      ++stats.region_texts[region.text];
    }
    stats.image_tokens += sample.image_tokens;
    stats.region_tokens += sample.region_tokens;
    stats.captions += static_cast<int64_t>(sample.captions.size());
    stats.caption_tokens += sample.caption_tokens;
    stats.phrases += static_cast<int64_t>(sample.phrases.size());
    stats.phrase_tokens += sample.phrase_tokens;
  }

  DataStats finish() {
    stats.distinct_texts = static_cast<int64_t>(texts_.size());
    stats.distinct_region_texts = static_cast<int64_t>(stats.region_texts.size());
    return std::move(stats);
  }

  DataStats stats;

 private:
  const StatsOptions& options_;
  std::unordered_set<size_t> texts_;  // hashes: enough to count
};

double ratio(int64_t sum, int64_t count) {
  return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
}

std::vector<std::pair<std::string, int64_t>> most_frequent(
    const std::map<std::string, int64_t>& counts) {
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return sorted;
}

std::string top_line(const std::map<std::string, int64_t>& counts) {
  std::string line;
  const auto sorted = most_frequent(counts);
  for (size_t i = 0; i < std::min(kMostFrequent, sorted.size()); ++i) {
    line += fmt::format("{}{} ({})", i == 0 ? "" : ", ", sorted[i].first, sorted[i].second);
  }
  if (sorted.size() > kMostFrequent) line += ", ...";
  return line;
}

Json counts_json(const std::map<std::string, int64_t>& counts) {
  Json result = Json::object();
  for (const auto& [name, count] : most_frequent(counts)) result[name] = count;
  return result;
}

}  // namespace

int64_t count_words(std::string_view text) {
  int64_t count = 0;
  bool in_word = false;
  for (const char c : text) {
    const bool word = is_word_byte(c);
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    if ((word && !in_word) || (!word && !blank)) ++count;
    in_word = word;
  }
  return count;
}

DataStats collect_stats(const std::vector<std::string>& shards, const StatsOptions& options,
                        SkipCounter& skips) {
  Collector collector(options);
  const size_t chunk = 32 * static_cast<size_t>(std::max(1, options.threads));
  for (const auto& path : shards) {
    ShardReader reader(path, skips, options.shards);
    std::vector<Measured> batch;
    for (bool more = true; more;) {
      batch.clear();
      std::vector<std::string> names;
      while (batch.size() < chunk) {
        Record record;
        more = reader.next(record);
        if (!more) break;
        batch.emplace_back().record = std::move(record);
        names.push_back(reader.name());
      }
      parallel_for(static_cast<int64_t>(batch.size()), options.threads,
                   [&](int64_t i) { measure(batch[static_cast<size_t>(i)], options); });
      for (size_t i = 0; i < batch.size(); ++i) {
        if (options.decode && !batch[i].info.ok) {
          skips.add(skip::kBadImage, names[i], batch[i].info.error);
        } else {
          collector.add(batch[i]);
        }
      }
      if (options.progress) options.progress(static_cast<int64_t>(batch.size()));
    }
  }
  collector.stats.shards = static_cast<int64_t>(shards.size());
  collector.stats.tokenizer = options.tokenizer_name;
  return collector.finish();
}

Json DataStats::json() const {
  return {{"shards", shards},
          {"images", images},
          {"images_with_text", images_with_text},
          {"images_with_regions", images_with_regions},
          {"images_with_label", images_with_label},
          {"regions", regions},
          {"regions_with_text", regions_with_text},
          {"regions_per_image", ratio(regions, images)},
          {"image_text_tokens", ratio(image_tokens, images_with_text)},
          {"region_text_tokens", ratio(region_tokens, regions_with_text)},
          {"captions", captions},
          {"caption_tokens", ratio(caption_tokens, captions)},
          {"phrases", phrases},
          {"phrases_per_image", ratio(phrases, images)},
          {"phrase_tokens", ratio(phrase_tokens, phrases)},
          {"tokenizer", tokenizer},
          {"distinct_texts", distinct_texts},
          {"distinct_region_texts", distinct_region_texts},
          {"distinct_labels", labels.size()},
          {"bytes_per_image", ratio(image_bytes, images)},
          {"pixels_per_image", ratio(pixels, images)},
          {"formats", counts_json(formats)},
          {"labels", counts_json(labels)}};
}

std::string DataStats::table() const {
  std::string out;
  const auto line = [&out](std::string_view name, const std::string& value) {
    out += fmt::format("{:<28}{}\n", name, value);
  };
  const auto share = [this](int64_t count) {
    return fmt::format("{} ({:.1f}%)", count, 100 * ratio(count, images));
  };
  line("shards", std::to_string(shards));
  line("images", std::to_string(images));
  line("  with text", share(images_with_text));
  line("  with regions", share(images_with_regions));
  line("  with label", share(images_with_label));
  line("regions", std::to_string(regions));
  line("regions/image", fmt::format("{:.2f}", ratio(regions, images)));
  line("image text (tokens)", fmt::format("{:.1f}", ratio(image_tokens, images_with_text)));
  line("region text (tokens)", fmt::format("{:.1f}", ratio(region_tokens, regions_with_text)));
  if (captions > images_with_text) {
    line("captions", fmt::format("{} ({:.1f} tokens)", captions, ratio(caption_tokens, captions)));
  }
  if (phrases > 0) {
    line("phrases/image", fmt::format("{:.2f}", ratio(phrases, images)));
    line("phrase (tokens)", fmt::format("{:.1f}", ratio(phrase_tokens, phrases)));
  }
  line("tokens are", tokenizer);
  line("distinct image texts", std::to_string(distinct_texts));
  line("distinct region texts", std::to_string(distinct_region_texts));
  line("picture",
       fmt::format(
           "{:.1f} kB{}", ratio(image_bytes, images) / 1000,
           pixels == 0 ? "" : fmt::format(", {:.3f} megapixels", ratio(pixels, images) / 1e6)));
  line("formats", top_line(formats));
  if (!labels.empty()) {
    line("labels", fmt::format("{}: {}", labels.size(), top_line(labels)));
  }
  if (!region_texts.empty()) line("region texts", top_line(region_texts));
  return out;
}

std::string DataStats::markdown(std::string_view name) const {
  const auto number = [](int64_t sum, int64_t count, int decimals = 1) {
    return count == 0 ? std::string("-") : fmt::format("{:.{}f}", ratio(sum, count), decimals);
  };
  std::string cell(name);
  for (size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2)
    cell.insert(at, "\\");
  return "| data | images | regions/image | image text (tokens) | region text (tokens) | "
         "phrases/image | phrase (tokens) |\n|---|---|---|---|---|---|---|\n" +
         fmt::format(
             "| {} | {} | {} | {} | {} | {} | {} |\n", cell, images,
             regions == 0 ? "-" : number(regions, images, 2),
             number(image_tokens, images_with_text), number(region_tokens, regions_with_text),
             phrases == 0 ? "-" : number(phrases, images, 2), number(phrase_tokens, phrases));
}

}  // namespace opencloc
