#include "opencloc/label/linker.h"

#include <algorithm>
#include <cmath>

#include <spdlog/fmt/fmt.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/rng.h"
#include "opencloc/base/text_file.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc {
namespace {

constexpr double kLeastPrior = 1e-6;

torch::Tensor base_vectors(const EntityBase& base) {
  const auto path = base.vectors();
  if (path.empty()) return {};
  const SafetensorsFile file(path);
  const auto vectors = file.tensor("entity_vectors");  // [n, d]
  if (vectors.dim() != 2 || vectors.size(0) != base.size() || !vectors.is_floating_point())
    throw Error::input("entity_vectors has not one row an entity", path.string(),
                       "make the base again");
  return vectors;
}

}  // namespace

LinkWeights parse_link_weights(std::string_view text) {
  LinkWeights weights{0, 0, 0, 0};
  const std::string whole(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
    const size_t colon = part.find(':');
    const std::string_view name = part.substr(0, colon);
    const auto value = colon == part.npos ? 1.0 : parse_number(part.substr(colon + 1)).value_or(-1);
    double* weight = name == "prior"     ? &weights.prior
                     : name == "context" ? &weights.context
                     : name == "image"   ? &weights.image
                     : name == "seen"    ? &weights.seen
                                         : nullptr;
    if (weight == nullptr || value < 0 || value > 1e6) {
      throw Error::input("'" + std::string(part) + "' is no weight of evidence",
                         "setting 'link=" + whole + "'", "write prior:1,context:1,image:1");
    }
    *weight = value;
  }
  if (weights.prior + weights.context + weights.image + weights.seen <= 0)
    throw Error::input("nothing weighs anything", "setting 'link=" + whole + "'",
                       "write prior:1,context:1,image:1");
  return weights;
}

ImageThreshold parse_image_threshold(const std::string& text) {
  using Kind = ImageThreshold::Kind;
  if (text == "off") return {Kind::kOff, 0};
  const bool percentile = text.starts_with('p');
  const auto value = parse_number(percentile ? text.substr(1) : text);
  if (!value || *value < (percentile ? 0 : -1) || *value > (percentile ? 100 : 1)) {
    throw Error::input("'" + text + "' is no threshold", "setting 'min_image_score'",
                       "write p95 (a percentile), a cosine from -1 to 1, or off");
  }
  return {percentile ? Kind::kPercentile : Kind::kCosine, *value};
}

std::string to_string(const ImageThreshold& threshold) {
  if (threshold.kind == ImageThreshold::Kind::kOff) return "off";
  return (threshold.kind == ImageThreshold::Kind::kPercentile ? "p" : "") +
         fmt::format("{:g}", threshold.value);
}

Linker::Linker(std::shared_ptr<const AliasTable> table, std::shared_ptr<EntityEncoder> encoder,
               const LinkOptions& options)
    : table_(std::move(table)),
      encoder_(std::move(encoder)),
      options_(options),
      vectors_(base_vectors(table_->base())) {
  if (encoder_) evidence_.emplace(table_, *encoder_, options_.evidence);
  const LinkWeights& weights = options_.weights;
  if (!encoder_ && (weights.image > 0 || weights.seen > 0 ||
                    options_.min_image.kind != ImageThreshold::Kind::kOff)) {
    throw Error::input("linking by pictures needs a CLIP", "setting 'link'",
                       "pass the setting 'clip', or the settings 'link=prior:1' and "
                       "'min_image_score=off'");
  }
  if (!encoder_ && weights.context > 0 && !vectors_.defined()) {
    throw Error::input("linking by context needs vectors of the entities",
                       table_->base().folder().string(),
                       "pass the setting 'clip' for those of their descriptions, or the setting "
                       "'link=prior:1'");
  }
}

bool Linker::uses_pictures() const {
  return encoder_ &&
         (options_.weights.image > 0 || options_.min_image.kind != ImageThreshold::Kind::kOff);
}

Json Linker::config() const {
  const LinkWeights& weights = options_.weights;
  Json config = {{"base", table_->base().identity()},
                 {"weights",
                  {{"prior", weights.prior},
                   {"context", weights.context},
                   {"image", weights.image},
                   {"seen", weights.seen}}},
                 {"rounds", options_.rounds},
                 {"min_image_score", to_string(options_.min_image)},
                 {"max_entities", options_.max_entities}};
  if (encoder_) {
    config["clip"] = encoder_->config();
    std::string kinds = options_.evidence.prototypes ? "prototype" : "";
    if (options_.evidence.types) kinds += kinds.empty() ? "type" : ",type";
    if (options_.evidence.texts) kinds += kinds.empty() ? "text" : ",text";
    config["image_evidence"] = kinds;
  }
  return config;
}

torch::Tensor Linker::context_vectors(const std::vector<int64_t>& entities) {
  if (!vectors_.defined()) return evidence_->texts(entities);
  return normalized(vectors_.index_select(0, torch::tensor(entities)).to(torch::kFloat));  // [n, d]
}

const torch::Tensor& Linker::context_references() {
  if (!vectors_.defined()) return evidence_->references();
  if (!context_references_.defined()) {
    std::vector<int64_t> chosen;
    Rng rng(options_.evidence.seed, {1});
    for (int64_t i = 0; i < options_.evidence.references; ++i)
      chosen.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(vectors_.size(0)))));
    context_references_ = context_vectors(chosen);
  }
  return context_references_;
}

// Candidates' contexts, by the current choice of the other mentions.
void Linker::add_context(std::vector<std::vector<LinkScore>>& candidates,
                         const std::vector<size_t>& choice,
                         std::vector<std::vector<double>>& standard) {
  std::vector<int64_t> chosen(candidates.size(), -1);
  for (size_t m = 0; m < candidates.size(); ++m) {
    if (!candidates[m].empty()) chosen[m] = candidates[m][choice[m]].entity;
  }
  for (size_t m = 0; m < candidates.size(); ++m) {
    if (candidates[m].empty()) continue;
    std::vector<int64_t> others;
    for (size_t o = 0; o < chosen.size(); ++o) {
      // The same words again say nothing new.
      if (o != m && chosen[o] >= 0 && chosen[o] != chosen[m]) others.push_back(chosen[o]);
    }
    if (others.empty()) continue;
    std::vector<int64_t> mine;
    for (const LinkScore& one : candidates[m]) mine.push_back(one.entity);
    const auto mean = normalized(context_vectors(others).mean(0, true))[0];  // [d]
    const auto cosines = context_vectors(mine).mv(mean);                     // [candidates]
    const auto random = context_references().mv(mean);                       // [R]
    for (size_t i = 0; i < mine.size(); ++i) {
      const auto cosine = cosines[static_cast<int64_t>(i)].item<double>();
      candidates[m][i].context = cosine;
      standard[m][i] = place_among(EvidenceKind::kText, cosine, random).standard;
    }
  }
}

// The index of each mention's best candidate; fills the scores.
std::vector<size_t> Linker::choose(std::vector<std::vector<LinkScore>>& candidates,
                                   double image_weight) {
  std::vector<size_t> choice(candidates.size(), 0);
  std::vector<std::vector<double>> context(candidates.size());
  for (size_t m = 0; m < candidates.size(); ++m) context[m].assign(candidates[m].size(), 0);
  const auto score_all = [&] {
    std::vector<size_t> best(candidates.size(), 0);
    for (size_t m = 0; m < candidates.size(); ++m) {
      for (size_t i = 0; i < candidates[m].size(); ++i) {
        LinkScore& one = candidates[m][i];
        one.score = options_.weights.prior * std::log(std::max(one.prior, kLeastPrior)) +
                    options_.weights.seen * std::log1p(static_cast<double>(one.seen)) +
                    options_.weights.context * context[m][i] +
                    (one.image ? image_weight * one.image->standard : 0);
        if (one.score > candidates[m][best[m]].score) best[m] = i;
      }
    }
    return best;
  };
  choice = score_all();
  if (options_.weights.context <= 0) return choice;
  for (int round = 0; round < std::max(1, options_.rounds); ++round) {
    add_context(candidates, choice, context);
    auto next = score_all();
    if (next == choice && round > 0) break;
    choice = std::move(next);
  }
  return choice;
}

LinkedText Linker::link(std::vector<Mention> mentions, const torch::Tensor& picture) {
  const torch::NoGradGuard no_grad;
  LinkedText linked;
  std::vector<std::vector<LinkScore>> candidates;
  std::vector<int64_t> all;
  for (Mention& mention : mentions) {
    auto found = table_->candidates(mention.text);
    if (found.size() > options_.most_candidates) found.resize(options_.most_candidates);
    candidates.emplace_back();
    for (const auto& one : found) {
      const auto seen = seen_.find(one.entity);
      candidates.back().push_back({one.entity, one.prior, seen == seen_.end() ? 0 : seen->second});
      all.push_back(one.entity);
    }
    mention.choices.clear();
  }
  if (picture.defined() && evidence_ && !all.empty()) {
    const auto evidence = evidence_->of(picture, all);
    size_t at = 0;
    for (auto& of_mention : candidates) {
      for (LinkScore& one : of_mention) one.image = evidence[at++];
    }
  }
  const auto note = [&](const char* by, const std::vector<size_t>& choice) {
    for (size_t m = 0; m < mentions.size(); ++m) {
      if (!candidates[m].empty())
        mentions[m].choices[by] = std::string(table_->base()[candidates[m][choice[m]].entity].id);
    }
  };
  note("prior", std::vector<size_t>(mentions.size(), 0));
  std::vector<size_t> choice = choose(candidates, 0);
  if (options_.weights.context > 0 || options_.weights.seen > 0) note("context", choice);
  if (picture.defined() && options_.weights.image > 0) {
    choice = choose(candidates, options_.weights.image);
    note("image", choice);
  }
  for (size_t m = 0; m < mentions.size(); ++m) {
    if (candidates[m].empty()) {
      linked.chosen.push_back({-1});
    } else {
      linked.chosen.push_back(candidates[m][choice[m]]);
    }
  }
  linked.mentions = std::move(mentions);
  return linked;
}

bool Linker::keeps(const LinkScore& score) const {
  if (!score.image) return true;
  switch (options_.min_image.kind) {
    case ImageThreshold::Kind::kPercentile:
      return score.image->percentile >= options_.min_image.value;
    case ImageThreshold::Kind::kCosine:
      return score.image->cosine >= options_.min_image.value;
    default:
      return true;
  }
}

}  // namespace opencloc
