// The first stage: which text of a picture the phrases come from, and captions by a captioner.
#pragma once

#include <memory>
#include <string_view>

#include "opencloc/label/captioner.h"
#include "opencloc/label/embedded_captioner.h"
#include "opencloc/label/stage.h"

namespace opencloc {

// Shares of the samples whose phrases come from "caption", from one of "captions", and from the
// alt-text, among those a record has. A record that has none of those asked for gives image_text().
struct TextShares {
  double caption = 1;
  double captions = 0;
  double alt_text = 0;
};
// "caption:0.8,alt_text:0.2". Throws Error (input).
TextShares parse_text_shares(std::string_view text);

struct CaptionStageOptions {
  TextShares shares = {};
  uint64_t seed = 0;
  std::shared_ptr<const Captioner> captioner = {};   // null: records keep the captions they have
  std::shared_ptr<EmbeddedCaptioner> embedded = {};  // instead: asked a batch at a time, once
  std::filesystem::path cache = {};                  // of the captioner's answers; empty = none
  int concurrency = 8;                               // requests under way at a time
  int attempts = 4;                                  // a picture
  double retry_share = 0.5;  // retries a batch, as a share of its pictures (and 4 more)
  double back_off = 0.5;     // seconds before the first retry, doubled each time
  double longest_wait = 30;  // seconds
  int give_up_after =
      20;  // pictures in a row without an answer: the rest of the batch is not asked
};

// A picture the captioner fails on keeps the text it has; failures are counted by kind, and warned
// of at the end of a shard. A shard does not count as finished (Error, failed) when its captioner
// gave half of its pictures no answer, or none of the last batch; answers are in the cache for the
// next try.
std::unique_ptr<Stage> caption_stage(const CaptionStageOptions& options);

}  // namespace opencloc
