// The choice task: is the right text nearer than every wrong one? SugarCrepe, ARO and FG-OVD ask
// so; Winoground asks two texts about two pictures.
#include <map>

#include "opencloc/eval/score_rows.h"
#include "opencloc/eval/tasks.h"

namespace opencloc {
namespace {

struct Count {
  double hits = 0, chance = 0;
  int64_t n = 0;
};

Json figures_of(const Count& count) {
  const auto n = static_cast<double>(count.n);
  return {{"acc1", count.hits / n}, {"n", count.n}, {"chance", count.chance / n}};
}

// The choices of pictures (region < 0) or of regions, asked about rows [n, E] of `embeddings`. Null
// without choices. The right text must be ahead of all wrong ones: a tie is wrong.
Json choice_figures(TaskInput& input, const torch::Tensor& embeddings, bool of_regions) {
  Count all;
  std::map<std::string, Count> kinds;
  for (const auto& choice : input.data.choices) {
    if ((choice.region >= 0) != of_regions) continue;
    std::vector<int64_t> ids{choice.text_id};
    ids.insert(ids.end(), choice.negatives.begin(), choice.negatives.end());
    const auto texts = input.texts.unit_embeddings(ids);  // [1 + negatives, E]
    const auto row = embeddings[of_regions ? choice.region : choice.image];
    const auto scores = texts.mv(row.to(torch::kFloat)).contiguous();
    require_finite(scores);
    const float* score = scores.data_ptr<float>();
    bool hit = true;
    for (size_t i = 1; i < ids.size(); ++i) hit = hit && score[0] > score[i];
    for (Count* count : {&all, &kinds[choice.kind]}) {
      count->hits += hit;
      count->chance += 1.0 / static_cast<double>(ids.size());
      ++count->n;
    }
  }
  if (all.n == 0) return nullptr;
  Json figures = figures_of(all);
  if (kinds.size() == 1 && kinds.begin()->first.empty()) return figures;
  double sum = 0;
  Json by_kind = Json::object();
  for (const auto& [kind, count] : kinds) {
    by_kind[kind.empty() ? "none" : kind] = figures_of(count);
    sum += count.hits / static_cast<double>(count.n);
  }
  figures["mean_of_kinds"] = sum / static_cast<double>(kinds.size());
  figures["kinds"] = std::move(by_kind);
  return figures;
}

// Winoground's three scores. Null without pairs; a pair that is not of two pictures is counted.
Json pair_figures(TaskInput& input) {
  std::map<std::string, std::vector<const CollectedPair*>> pairs;
  for (const auto& one : input.data.pairs) pairs[one.name].push_back(&one);
  if (pairs.empty()) return nullptr;
  const auto images = input.data.image_embeds.rows();
  double text = 0, image = 0, both = 0;
  int64_t n = 0, incomplete = 0;
  for (const auto& [name, members] : pairs) {
    if (members.size() != 2) {
      ++incomplete;
      continue;
    }
    const auto& a = *members[0];
    const auto& b = *members[1];
    const auto texts = input.texts.unit_embeddings({a.text_id, b.text_id});
    const auto pictures = images.index_select(0, torch::tensor({a.image, b.image}));
    const auto scores = pictures.to(torch::kFloat).mm(texts.t()).contiguous();  // [picture, text]
    require_finite(scores);
    const float* s = scores.data_ptr<float>();  // s[2 picture + text]
    const bool text_right = s[0] > s[1] && s[3] > s[2];
    const bool image_right = s[0] > s[2] && s[3] > s[1];
    text += text_right;
    image += image_right;
    both += text_right && image_right;
    ++n;
  }
  if (n == 0) return {{"n", 0}, {"incomplete", incomplete}};
  const auto count = static_cast<double>(n);
  return {{"text_score", text / count},
          {"image_score", image / count},
          {"group_score", both / count},
          {"n", n},
          {"incomplete", incomplete},
          {"chance", {{"text_score", 0.25}, {"image_score", 0.25}, {"group_score", 1.0 / 6}}}};
}

}  // namespace

TaskResult choice(TaskInput& input, const std::vector<RegionMethod>& methods) {
  Json figures = Json::object();
  const auto images = input.data.image_embeds.rows();  // [images, E]
  if (Json pictures = choice_figures(input, images, false); !pictures.is_null())
    figures["pictures"] = std::move(pictures);
  Json by_method = Json::object();
  for (const auto method : methods) {
    Json regions =
        choice_figures(input, input.data.region_embeds.at(method).rows(), /*of_regions=*/true);
    if (regions.is_null()) break;
    regions["method"] = to_string(method);
    if (!figures.contains("regions")) figures["regions"] = regions;
    by_method[to_string(method)] = std::move(regions);
  }
  if (by_method.size() > 1) figures["regions"]["methods"] = std::move(by_method);
  if (Json pairs = pair_figures(input); !pairs.is_null()) figures["pairs"] = std::move(pairs);
  if (figures.empty()) return {{}, "no sample has negatives, choices or a pair"};
  return {figures, {}};
}

}  // namespace opencloc
