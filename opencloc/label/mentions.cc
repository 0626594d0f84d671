#include "opencloc/label/mentions.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "opencloc/base/parallel_for.h"
#include "opencloc/label/chunker.h"
#include "opencloc/label/sentences.h"
#include "opencloc/label/word_lists.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

// Single words that are no label of a picture however many entities they name.
bool names_no_thing(const std::string& word) {
  return words::is_web(word) || words::is_stop(word) || words::is_place(word) ||
         words::is_group(word) || words::is_determiner(word) || words::is_pronoun(word) ||
         words::is_number(word);
}

class MentionStage : public Stage {
 public:
  MentionStage(std::shared_ptr<const AliasTable> table, const MentionStageOptions& options)
      : finder_(table, options.tagger), options_(options), base_(table->base().identity()) {}

  std::string name() const override { return "mentions"; }
  Json config() const override {
    static constexpr const char* kTexts[] = {"chosen", "alt_text", "caption"};
    return {{"finder", "noun-phrases link-grammar-" + LinkGrammar::version()},
            {"text", kTexts[static_cast<size_t>(options_.text)]},
            {"base", base_}};
  }

  void run(std::span<LabelSample> batch) override {
    const Json how = {{"text", config()["text"]}, {"format", base_.value("format", "")}};
    parallel_for(static_cast<int64_t>(batch.size()), options_.threads, [&](int64_t i) {
      auto& sample = batch[static_cast<size_t>(i)];
      MentionCounts counts;
      store_mentions(sample, finder_.find(text_of(sample), counts));
      store_provenance(sample, name(), how);
      const std::lock_guard lock(mutex_);
      counts_.texts += counts.texts;
      counts_.without_mention += counts.without_mention;
      counts_.mentions += counts.mentions;
      counts_.ambiguous += counts.ambiguous;
      counts_.web_words += counts.web_words;
    });
  }

  Json take_report() override { return std::exchange(counts_, {}).json(); }

 private:
  std::string text_of(const LabelSample& sample) const {
    if (options_.text == MentionText::kAltText) return sample.record.alt_text;
    if (options_.text == MentionText::kCaption) return sample.record.caption;
    return chosen_text(sample);
  }

  const MentionFinder finder_;
  const MentionStageOptions options_;
  const Json base_;
  std::mutex mutex_;
  MentionCounts counts_;
};

}  // namespace

std::vector<Mention> stored_mentions(const Record& record, std::string_view where) {
  std::vector<Mention> mentions;
  const auto found = record.extra.find(kMentionsKey);
  if (found == record.extra.end() || found->is_null()) return mentions;
  if (!found->is_array()) throw BadSample(skip::kBadJson, "'entity_mentions' is not a list", where);
  for (const Json& item : *found) {
    const bool fits = item.is_object() && item.contains("mention") && item["mention"].is_string() &&
                      item.contains("span") && item["span"].is_array() &&
                      item["span"].size() == 2 && item["span"][0].is_number_unsigned() &&
                      item["span"][1].is_number_unsigned();
    if (!fits) throw BadSample(skip::kBadJson, "a mention has no text and span", where);
    Mention mention{item["mention"].get<std::string>(), item["span"][0].get<size_t>(),
                    item["span"][1].get<size_t>()};
    if (const auto choices = item.find("choices"); choices != item.end() && choices->is_object()) {
      for (const auto& [by, id] : choices->items()) {
        if (id.is_string()) mention.choices[by] = id.get<std::string>();
      }
    }
    mentions.push_back(std::move(mention));
  }
  return mentions;
}

std::vector<Mention> stored_mentions(const LabelSample& sample) {
  return stored_mentions(sample.record, sample.name);
}

void store_mentions(LabelSample& sample, const std::vector<Mention>& mentions) {
  Json list = Json::array();
  for (const Mention& mention : mentions) {
    list.push_back({{"mention", mention.text}, {"span", {mention.begin, mention.end}}});
    for (const auto& [by, id] : mention.choices) list.back()["choices"][by] = id;
  }
  sample.record.extra[kMentionsKey] = std::move(list);
}

Json MentionCounts::json() const {
  return {{"texts", texts},
          {"texts_without_mention", without_mention},
          {"mentions", mentions},
          {"ambiguous_mentions", ambiguous},
          {"web_words", web_words}};
}

MentionFinder::MentionFinder(std::shared_ptr<const AliasTable> table, TaggerOptions tagger)
    : table_(std::move(table)), tagger_(tagger) {}

std::vector<Mention> MentionFinder::find(std::string_view text, MentionCounts& counts) const {
  std::vector<Mention> mentions;
  SplitCounts split;
  TaggerCounts tagged;
  ++counts.texts;
  for (const auto& sentence : split_placed_sentences(text, split)) {
    const size_t size = sentence.words.size();
    const auto tags = tag_words(sentence.words, grammar_, tagger_, tagged);
    std::vector<bool> inside(size, false), noun(size, false);
    for (const Chunk& chunk : noun_chunks(sentence.words, tags)) {
      for (size_t i = 0; i < chunk.places.size(); ++i) {
        inside[chunk.places[i]] = true;
        noun[chunk.places[i]] = i >= chunk.nouns_from;
      }
    }
    for (size_t i = 0; i < size;) {
      size_t past = i + 1;
      if (inside[i]) {
        size_t most = i;  // up to a break
        while (most < size && most - i < table_->longest() && sentence.words[most] != "|" &&
               sentence.words[most] != ",") {
          ++most;
        }
        for (size_t end = most; end > i; --end) {
          if (!noun[end - 1]) continue;
          const size_t from = sentence.begin[i], to = sentence.end[end - 1];
          const std::string_view written = text.substr(from, to - from);
          if (!table_->knows(written)) continue;
          past = end;
          if (end == i + 1 && names_no_thing(sentence.words[i])) {
            ++counts.web_words;
            break;
          }
          const size_t begin = utf8_characters(text.substr(0, from));
          mentions.push_back({std::string(written), begin, begin + utf8_characters(written)});
          if (table_->candidates(written).size() > 1) ++counts.ambiguous;
          break;
        }
      }
      i = past;
    }
  }
  counts.mentions += static_cast<int64_t>(mentions.size());
  if (mentions.empty()) ++counts.without_mention;
  return mentions;
}

std::unique_ptr<Stage> mention_stage(std::shared_ptr<const AliasTable> table,
                                     const MentionStageOptions& options) {
  return std::make_unique<MentionStage>(std::move(table), options);
}

}  // namespace opencloc
