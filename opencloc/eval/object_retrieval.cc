// Small-object image retrieval (SORCE's form): a text about one object asks for its picture. By the
// picture's embedding, and by the best of its boxes: which boxes there are (labelled ones,
// proposals of a detector, random ones) the data say.
#include <algorithm>

#include "opencloc/eval/metrics.h"
#include "opencloc/eval/score_rows.h"
#include "opencloc/eval/tasks.h"

namespace opencloc {
namespace {

struct ObjectQueries {
  std::vector<int64_t> text_ids;             // distinct
  std::vector<int64_t> times;                // how often each is asked
  std::vector<std::vector<int64_t>> images;  // pictures that are right for it, ascending
};

// The texts of regions, and the captions of pictures that have no region with a text. A text of
// several pictures is right for all of them, and is asked once for each region.
ObjectQueries queries_of(const TaskInput& input) {
  std::vector<bool> has_text(static_cast<size_t>(input.data.images));
  for (const auto& region : input.data.regions)
    if (region.text_id >= 0) has_text[static_cast<size_t>(region.image)] = true;
  ObjectQueries queries;
  std::vector<int64_t> number(static_cast<size_t>(input.texts.size()), -1);  // of text ids
  const auto add = [&](int64_t text_id, int64_t image) {
    int64_t& at = number[static_cast<size_t>(text_id)];
    if (at < 0) {
      at = static_cast<int64_t>(queries.text_ids.size());
      queries.text_ids.push_back(text_id);
      queries.times.push_back(0);
      queries.images.emplace_back();
    }
    ++queries.times[static_cast<size_t>(at)];
    auto& images = queries.images[static_cast<size_t>(at)];
    if (images.empty() || images.back() != image) images.push_back(image);
  };
  for (const auto& region : input.data.regions)
    if (region.text_id >= 0) add(region.text_id, region.image);
  for (const auto& caption : input.data.captions)
    if (!has_text[static_cast<size_t>(caption.image)]) add(caption.text_id, caption.image);
  for (auto& images : queries.images) {
    std::sort(images.begin(), images.end());
    images.erase(std::unique(images.begin(), images.end()), images.end());
  }
  return queries;
}

// How many wrong pictures come before the best right one; equal scores by number.
int64_t rank_of_picture(const std::vector<float>& scores, const std::vector<int64_t>& right) {
  int64_t best = right.front();
  for (const int64_t image : right)
    if (scores[static_cast<size_t>(image)] > scores[static_cast<size_t>(best)]) best = image;
  const float bar = scores[static_cast<size_t>(best)];
  int64_t before = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto image = static_cast<int64_t>(i);
    const bool ahead = scores[i] > bar || (scores[i] == bar && image < best);
    before += ahead && !std::binary_search(right.begin(), right.end(), image);
  }
  return before;
}

// Rows that pictures are scored by: image [rows] says whose, weight [rows] (or undefined) what a
// row's cosine is multiplied by.
struct PictureRows {
  torch::Tensor embeddings;  // [rows, E]
  std::vector<int64_t> image;
  torch::Tensor weight;
};

Json recall_figures(TaskInput& input, const ObjectQueries& queries, const PictureRows& rows) {
  const auto texts = input.texts.unit_embeddings(queries.text_ids);  // [Q, E]
  require_finite(texts);
  require_finite(rows.embeddings);
  const auto weights = rows.weight.defined()
                           ? rows.weight.to(torch::kCPU, torch::kFloat).contiguous()
                           : torch::ones({static_cast<int64_t>(rows.image.size())});
  const float* weight = weights.data_ptr<float>();
  auto ranks = torch::zeros({static_cast<int64_t>(queries.text_ids.size())}, torch::kInt64);
  int64_t* rank = ranks.data_ptr<int64_t>();
  const auto images = static_cast<size_t>(input.data.images);
  dist::Group& group = *input.options.group;
  const auto own = visit_scores(
      {texts, rows.embeddings, input.options.chunk}, group, [&](int64_t i, const float* scores) {
        // Below every cosine: a picture without boxes comes last.
        std::vector<float> best(images, -2);
        for (size_t r = 0; r < rows.image.size(); ++r) {
          float& its = best[static_cast<size_t>(rows.image[r])];
          its = std::max(its, scores[r] * weight[r]);
        }
        rank[i] = rank_of_picture(best, queries.images[static_cast<size_t>(i)]);
      });
  ranks = group.gather(ranks.slice(0, own.begin, own.end)).rows;
  const auto times = torch::tensor(queries.times, torch::kInt64);
  Json figures;
  for (const int k : {1, 5, 10})
    figures["recall@" + std::to_string(k)] = recall_at(ranks, k, times);
  return figures;
}

}  // namespace

TaskResult object_retrieval(TaskInput& input, const std::vector<RegionMethod>& methods) {
  const ObjectQueries queries = queries_of(input);
  if (queries.text_ids.empty()) return {{}, "no sample has a region with a text, or a caption"};
  PictureRows global{input.data.image_embeds.rows(), {}, {}};
  for (int64_t image = 0; image < input.data.images; ++image) global.image.push_back(image);
  Json read_outs = Json::object();
  read_outs["global"] = recall_figures(input, queries, global);
  PictureRows boxes;
  for (const auto& region : input.data.regions) boxes.image.push_back(region.image);
  for (const auto method : methods) {
    if (boxes.image.empty()) break;
    boxes.embeddings = input.data.region_embeds.at(method).rows();
    boxes.weight = torch::Tensor();
    read_outs[to_string(method)] = recall_figures(input, queries, boxes);
    if (method != RegionMethod::kPrompter || input.data.region_quality.size() == 0) continue;
    boxes.weight = input.data.region_quality.rows().flatten();
    read_outs["prompter_x_quality"] = recall_figures(input, queries, boxes);
  }
  int64_t asked = 0;
  for (const int64_t times : queries.times) asked += times;
  Json figures = boxes.image.empty() ? read_outs["global"] : read_outs[to_string(methods.front())];
  figures["n"] = asked;
  figures["distinct_texts"] = static_cast<int64_t>(queries.text_ids.size());
  figures["pictures"] = input.data.images;
  figures["boxes"] = static_cast<int64_t>(boxes.image.size());
  figures["method"] = boxes.image.empty() ? "global" : to_string(methods.front());
  figures["methods"] = std::move(read_outs);
  return {figures, {}};
}

}  // namespace opencloc
