#include "opencloc/label/link_stage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

double four_decimals(double value) { return std::round(value * 1e4) / 1e4; }

constexpr const char* kEvidenceNames[] = {"prototype", "type", "text"};

class LinkStage : public Stage {
 public:
  explicit LinkStage(std::shared_ptr<Linker> linker) : linker_(std::move(linker)) {
    const Json whole = linker_->config();
    how_ = {{"weights", whole["weights"]},
            {"rounds", whole["rounds"]},
            {"min_image_score", whole["min_image_score"]}};
    if (whole.contains("clip")) how_["clip"] = whole["clip"];
  }

  std::string name() const override { return "link"; }
  bool needs_images() const override { return linker_->uses_pictures(); }
  Json config() const override { return linker_->config(); }

  void run(std::span<LabelSample> batch) override {
    std::vector<const Image*> images;
    std::vector<size_t> with_mentions;
    std::vector<std::vector<Mention>> mentions(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      if (!batch[i].record.extra.contains(kMentionsKey)) ++counts_.unread;
      mentions[i] = stored_mentions(batch[i]);
      batch[i].record.extra[kEntitiesKey] = Json::array();
      if (mentions[i].empty()) continue;
      with_mentions.push_back(i);
      images.push_back(&batch[i].image);
    }
    torch::Tensor embeddings;  // [with_mentions, E]
    if (needs_images() && !images.empty()) embeddings = linker_->encoder()->pictures(images);
    for (size_t at = 0; at < with_mentions.size(); ++at) {
      LabelSample& sample = batch[with_mentions[at]];
      auto linked = linker_->link(
          std::move(mentions[with_mentions[at]]),
          embeddings.defined() ? embeddings[static_cast<int64_t>(at)] : torch::Tensor());
      store_mentions(sample, linked.mentions);
      sample.record.extra[kEntitiesKey] = choose_entities(linked);
    }
    for (LabelSample& sample : batch) {
      ++counts_.pictures;
      if (sample.record.extra[kEntitiesKey].empty()) ++counts_.without_entities;
      store_provenance(sample, "entities", how_);
    }
  }

  // Nothing linked, and nobody told: the stage before was forgotten.
  void check_shard(const std::string& shard) const override {
    if (counts_.pictures == 0 || counts_.unread < counts_.pictures) return;
    throw Error::failed("no record has mentions to link", shard,
                        "run the stage mentions before, or with it: the setting "
                        "'stages=mentions,link'");
  }

  Json take_report() override {
    const Counts counts = std::exchange(counts_, {});
    return {{"pictures", counts.pictures},
            {"pictures_without_entities", counts.without_entities},
            {"linked", counts.linked},
            {"unknown_mentions", counts.unknown},
            {"not_seen", counts.not_seen},
            {"repeated", counts.repeated},
            {"over_the_limit", counts.too_many},
            {"kept", counts.kept},
            {"by_prototype", counts.by[0]},
            {"by_type", counts.by[1]},
            {"by_text", counts.by[2]},
            {"changed_by_context", counts.changed_by_context},
            {"changed_by_image", counts.changed_by_image}};
  }

 private:
  struct Counts {
    int64_t pictures = 0, unread = 0, without_entities = 0, linked = 0, unknown = 0, not_seen = 0,
            repeated = 0, too_many = 0, kept = 0, changed_by_context = 0, changed_by_image = 0;
    std::array<int64_t, 3> by = {};
  };

  void count_changes(const MentionChoices& choices) {
    const auto at = [&](const char* by) {
      const auto found = choices.find(by);
      return found == choices.end() ? std::string() : found->second;
    };
    const std::string prior = at("prior"), context = at("context"), image = at("image");
    counts_.changed_by_context += !context.empty() && context != prior;
    counts_.changed_by_image += !image.empty() && image != (context.empty() ? prior : context);
  }

  Json choose_entities(const LinkedText& linked) {
    std::vector<size_t> order;
    for (size_t m = 0; m < linked.chosen.size(); ++m) {
      const LinkScore& one = linked.chosen[m];
      if (one.entity < 0) {
        ++counts_.unknown;
        continue;
      }
      ++counts_.linked;
      count_changes(linked.mentions[m].choices);
      if (linker_->keeps(one))
        order.push_back(m);
      else
        ++counts_.not_seen;
    }
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](size_t m) { return linked.chosen[m].score; });
    Json entities = Json::array();
    std::set<int64_t> seen;
    for (const size_t m : order) {
      const LinkScore& one = linked.chosen[m];
      if (!seen.insert(one.entity).second) {
        ++counts_.repeated;
      } else if (entities.size() >= linker_->options().max_entities) {
        ++counts_.too_many;
      } else {
        entities.push_back(entity_json(one, linked.mentions[m]));
        ++counts_.kept;
        if (one.image) ++counts_.by[static_cast<size_t>(one.image->kind)];
      }
    }
    return entities;
  }

  Json entity_json(const LinkScore& one, const Mention& mention) const {
    const auto& entity = linker_->table().base()[one.entity];
    Json json = {{"id", entity.id},
                 {"name", entity.name},
                 {"mention", mention.text},
                 {"span", {mention.begin, mention.end}},
                 {"prior", four_decimals(one.prior)}};
    if (one.context) json["context"] = four_decimals(*one.context);
    if (one.image) {
      json["image"] = four_decimals(one.image->cosine);
      json["image_by"] = kEvidenceNames[static_cast<size_t>(one.image->kind)];
    }
    json["score"] = four_decimals(one.score);
    return json;
  }

  const std::shared_ptr<Linker> linker_;
  Json how_;
  Counts counts_;
};

}  // namespace

std::unique_ptr<Stage> link_stage(std::shared_ptr<Linker> linker) {
  return std::make_unique<LinkStage>(std::move(linker));
}

}  // namespace opencloc
