#include "opencloc/label/caption_stage.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/rng.h"

namespace opencloc {
namespace {

uint64_t hash_of(std::string_view text) {
  uint64_t hash = text.size();
  for (const char c : text) hash = mix64(hash ^ static_cast<unsigned char>(c));
  return hash;
}

constexpr const char* kNotAsked = "not asked";

// The captioner did answer, if only with a text of no use.
bool is_answer(const std::string& failure) {
  return failure.empty() || failure == "empty" || failure == "refusal" ||
         failure == "repeats itself";
}

class CaptionStage : public Stage {
 public:
  explicit CaptionStage(const CaptionStageOptions& options)
      : options_(options), cache_(options.cache) {}

  std::string name() const override { return "caption"; }
  bool needs_images() const override { return options_.embedded != nullptr; }

  Json config() const override {
    const TextShares& shares = options_.shares;
    Json config = {{"shares",
                    {{"caption", shares.caption},
                     {"captions", shares.captions},
                     {"alt_text", shares.alt_text}}},
                   {"seed", options_.seed}};
    if (options_.captioner) {
      config["captioner"] = options_.captioner->model();
      config["prompt"] = options_.captioner->prompt();
    }
    if (options_.embedded) config.update(options_.embedded->config());
    return config;
  }

  void run(std::span<LabelSample> batch) override {
    std::vector<std::string> failures(batch.size());
    if (options_.captioner) {
      retries_left_ =
          4 + static_cast<int64_t>(options_.retry_share * static_cast<double>(batch.size()));
      failed_in_a_row_ = 0;
      parallel_for(static_cast<int64_t>(batch.size()), options_.concurrency, [&](int64_t i) {
        const auto at = static_cast<size_t>(i);
        failures[at] = ask(batch[at].record);
      });
    }
    if (options_.embedded) failures = ask_embedded(batch);
    // A few pictures it cannot take are not a captioner that is gone.
    constexpr int64_t kFew = 4;
    const int64_t answered = std::ranges::count_if(failures, is_answer);
    gone_ = options_.captioner && answered == 0 && static_cast<int64_t>(batch.size()) >= kFew;
    for (size_t i = 0; i < batch.size(); ++i) choose(batch[i], failures[i]);
  }

  void check_shard(const std::string& shard) const override {
    int64_t without = 0, unreached = 0;
    std::string reasons;
    for (const auto& [reason, count] : without_) {
      without += count;
      if (!is_answer(reason)) unreached += count;
      reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", count, reason);
    }
    if (without == 0) return;
    const bool given_up = without_.contains(kNotAsked);
    if (given_up || gone_ || (unreached > 0 && unreached >= answered_)) {
      throw Error::failed(fmt::format("the captioner gave {} of {} pictures no answer ({})",
                                      without, without + answered_, reasons),
                          shard,
                          "look whether it runs, and start again: the shard is not finished");
    }
    log::warn("{}: {} of {} pictures got no caption ({}) and keep the text they have", shard,
              without, without + answered_, reasons);
  }

  Json take_report() override {
    answered_ = 0;
    gone_ = false;
    Json report = {{"from", std::exchange(from_, {})}};
    if (options_.captioner) {
      report["asked"] = asked_.exchange(0);
      report["from_cache"] = cached_.exchange(0);
      report["retries"] = retries_.exchange(0);
      report["failures"] = std::exchange(failures_, {});       // of single requests
      report["without_answer"] = std::exchange(without_, {});  // pictures
    }
    if (options_.embedded) {
      report["asked"] = asked_.exchange(0);
      const int64_t cut = options_.embedded->cut();
      report["cut_at_max_tokens"] = cut - std::exchange(cut_before_, cut);
      report["without_answer"] = std::exchange(without_, {});
    }
    return report;
  }

 private:
  // Why each picture has no caption; empty where it has one.
  std::vector<std::string> ask_embedded(std::span<LabelSample> batch) {
    std::vector<const Image*> pictures;
    for (const auto& sample : batch) pictures.push_back(&sample.image);
    auto answers = options_.embedded->caption(pictures);
    std::vector<std::string> failures;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!answers[i].text.empty()) set_caption(batch[i].record, std::move(answers[i].text));
      failures.push_back(std::move(answers[i].failure));
    }
    asked_ += static_cast<int64_t>(batch.size());
    return failures;
  }

  static void set_caption(Record& record, std::string text) {
    if (!record.caption.empty() && record.caption != text)
      record.captions.insert(record.captions.begin(), record.caption);
    record.caption = std::move(text);
  }

  // Fills the record's caption; returns why it could not.
  std::string ask(Record& record) {
    const CaptionRequest request{record.image, record.extension, record.alt_text};
    const std::string key = cache_.key(*options_.captioner, request);
    std::string text = cache_.find(key);
    if (!text.empty()) {
      ++cached_;
    } else {
      if (failed_in_a_row_ >= options_.give_up_after) return kNotAsked;
      const CaptionAnswer answer = ask_patiently(request, hash_of(key));
      if (answer.text.empty()) {
        ++failed_in_a_row_;
        return answer.failure;
      }
      failed_in_a_row_ = 0;
      text = answer.text;
      cache_.keep(key, text);
    }
    set_caption(record, std::move(text));
    return {};
  }

  CaptionAnswer ask_patiently(const CaptionRequest& request, uint64_t place) {
    Rng rng(options_.seed, {place});
    double wait = options_.back_off;
    for (int attempt = 1;; ++attempt) {
      ++asked_;
      CaptionAnswer answer = options_.captioner->ask(request);
      if (!answer.text.empty()) return answer;
      {
        const std::lock_guard lock(mutex_);
        ++failures_[answer.failure];
      }
      if (!answer.retry || attempt >= options_.attempts || retries_left_.fetch_sub(1) <= 0)
        return answer;
      ++retries_;
      // Between half and the whole, so that many clients do not come back as one.
      const double seconds = std::max(answer.wait, wait * rng.uniform(0.5, 1.0));
      std::this_thread::sleep_for(
          std::chrono::duration<double>(std::min(seconds, options_.longest_wait)));
      wait *= 2;
    }
  }

  void choose(LabelSample& sample, const std::string& failure) {
    const Record& record = sample.record;
    const TextShares& shares = options_.shares;
    const double caption = record.caption.empty() ? 0 : shares.caption;
    const double captions = record.captions.empty() ? 0 : shares.captions;
    const double alt_text = record.alt_text.empty() ? 0 : shares.alt_text;
    Rng rng(options_.seed, {hash_of(record.key)});
    double at = rng.uniform() * (caption + captions + alt_text);
    Json how;
    if (caption + captions + alt_text <= 0) {
      how["from"] = record.caption.empty() && record.captions.empty() ? "alt_text" : "any";
    } else if (at < caption) {
      how["from"] = "caption";
    } else if (at < caption + captions) {
      how["from"] = "captions";
      how["number"] = rng.below(record.captions.size());
    } else {
      how["from"] = "alt_text";
    }
    ++from_[how["from"].get<std::string>()];
    if (options_.captioner || options_.embedded) {
      how["captioner"] =
          options_.captioner ? options_.captioner->model() : options_.embedded->model();
      if (failure.empty()) {
        ++answered_;
      } else {
        how["failure"] = failure;
        ++without_[failure];
      }
    }
    store_provenance(sample, name(), how);
  }

  const CaptionStageOptions options_;
  const CaptionCache cache_;
  std::atomic<int64_t> asked_ = 0, cached_ = 0, retries_ = 0, retries_left_ = 0;
  std::atomic<int> failed_in_a_row_ = 0;
  bool gone_ = false;       // the captioner, by the batch that came last
  int64_t answered_ = 0;    // pictures with a new caption, of the shard at hand
  int64_t cut_before_ = 0;  // of the captioner's cut(), reported
  std::mutex mutex_;
  std::map<std::string, int64_t> failures_, without_, from_;
};

}  // namespace

TextShares parse_text_shares(std::string_view text) {
  TextShares shares{0, 0, 0};
  const std::string whole(text);
  const auto wrong = [&](const std::string& part) {
    return Error::input("'" + part + "' is not a share of texts",
                        "setting 'text_from=" + whole + "'",
                        "write caption:0.8,captions:0.1,alt_text:0.1");
  };
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string part(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    const size_t colon = part.find(':');
    char* end = nullptr;
    const std::string number = colon == std::string::npos ? "1" : part.substr(colon + 1);
    const double share = std::strtod(number.c_str(), &end);
    if (number.empty() || *end != '\0' || !(share >= 0) || share > 1e6) throw wrong(part);
    const std::string name = part.substr(0, colon);
    if (name == "caption")
      shares.caption = share;
    else if (name == "captions")
      shares.captions = share;
    else if (name == "alt_text")
      shares.alt_text = share;
    else
      throw wrong(part);
  }
  if (shares.caption + shares.captions + shares.alt_text <= 0) throw wrong(whole);
  return shares;
}

std::unique_ptr<Stage> caption_stage(const CaptionStageOptions& options) {
  return std::make_unique<CaptionStage>(options);
}

}  // namespace opencloc
