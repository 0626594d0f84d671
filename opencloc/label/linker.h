// From mentions to entities: score = w_prior log prior + w_seen seen + w_context context +
// w_image image.
//   prior    P(entity | mention), from the base
//   context  how near the entity lies to the mean of what the text's other mentions are taken for
//            (MOFI, arXiv 2306.07952, as its reviews tell it); recomputed as choices change
//   seen     log of how often the data's pictures name it without ambiguity, plus one: what a data
//            set is about is no matter of the world's frequencies
//   image    how well the picture fits it (evidence.h): beyond the paper, whose linking sees only
//            texts
// Context and image are standardised, so that weights mean the same with every CLIP.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/types.h>

#include "opencloc/label/evidence.h"
#include "opencloc/label/mentions.h"

namespace opencloc {

struct LinkWeights {
  double prior = 1, context = 1, image = 1, seen = 0;
};
// "prior:1,context:0.5"; what is not named weighs nothing. Error (input).
LinkWeights parse_link_weights(std::string_view text);

// "p95": above the 95th percentile of the picture's cosines with random entities; "0.2": a cosine
// of at least that; "off".
struct ImageThreshold {
  enum class Kind { kOff, kPercentile, kCosine };
  Kind kind = Kind::kPercentile;
  double value = 95;
};
ImageThreshold parse_image_threshold(const std::string& text);
std::string to_string(const ImageThreshold& threshold);

struct LinkOptions {
  LinkWeights weights;
  int rounds = 2;  // of the context; and of the prototypes (prototypes.h)
  ImageThreshold min_image;
  size_t max_entities = 5;      // a picture, the highest scores first
  size_t most_candidates = 16;  // a mention, the likeliest first
  EvidenceOptions evidence;
};

// One candidate's share in the decision.
struct LinkScore {
  int64_t entity = 0;
  double prior = 0;
  int64_t seen = 0;                              // pictures
  std::optional<double> context = std::nullopt;  // cosine
  std::optional<Evidence> image = std::nullopt;
  double score = 0;
};

struct LinkedText {
  std::vector<LinkScore> chosen;  // one a mention; of mentions without candidates: entity -1
  std::vector<Mention> mentions;  // with their choices
};

// Not thread-safe.
class Linker {
 public:
  // `encoder` may be null: no image then, and context only where the base has vectors. Error
  // (input) for weights that nothing can be measured for, and for vectors that do not fit the base.
  Linker(std::shared_ptr<const AliasTable> table, std::shared_ptr<EntityEncoder> encoder,
         const LinkOptions& options);

  // `picture` [E] or undefined.
  LinkedText link(std::vector<Mention> mentions, const torch::Tensor& picture);
  // Whether the picture shows it, by the threshold. True without a picture or evidence to go by.
  bool keeps(const LinkScore& score) const;

  // Pictures of the data that name an entity (row of the base) without ambiguity.
  void set_seen(std::unordered_map<int64_t, int64_t> pictures) { seen_ = std::move(pictures); }
  const std::unordered_map<int64_t, int64_t>& seen() const { return seen_; }

  bool uses_pictures() const;  // of the sample at hand
  bool counts_pictures() const { return options_.weights.seen > 0; }
  const LinkOptions& options() const { return options_; }
  const AliasTable& table() const { return *table_; }
  EntityEncoder* encoder() const { return encoder_.get(); }
  PictureEvidence* evidence() { return evidence_ ? &*evidence_ : nullptr; }
  Json config() const;

 private:
  torch::Tensor context_vectors(const std::vector<int64_t>& entities);
  const torch::Tensor& context_references();
  void add_context(std::vector<std::vector<LinkScore>>& candidates,
                   const std::vector<size_t>& choice, std::vector<std::vector<double>>& standard);
  std::vector<size_t> choose(std::vector<std::vector<LinkScore>>& candidates, double image_weight);

  const std::shared_ptr<const AliasTable> table_;
  const std::shared_ptr<EntityEncoder> encoder_;
  const LinkOptions options_;
  std::optional<PictureEvidence> evidence_;
  std::unordered_map<int64_t, int64_t> seen_;
  torch::Tensor vectors_;             // [n, d] of the base, if it has any
  torch::Tensor context_references_;  // [R, d]
};

}  // namespace opencloc
