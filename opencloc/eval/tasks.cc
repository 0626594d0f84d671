#include "opencloc/eval/tasks.h"

#include <algorithm>

#include "opencloc/eval/classify.h"
#include "opencloc/eval/metrics.h"
#include "opencloc/eval/ranking.h"

namespace opencloc {
namespace {

torch::Tensor ids(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

TaskResult not_run(std::string why) { return {{}, std::move(why)}; }

Json classify(const torch::Tensor& embeddings, const torch::Tensor& class_embeddings,
              const torch::Tensor& targets, const EvalOptions& options) {
  const auto classes = class_embeddings.size(0);
  const auto ranks =
      best_ranks({embeddings, class_embeddings, targets, torch::arange(classes, torch::kInt64), {}},
                 options.chunk, *options.group);
  Json figures = classification_figures(ranks, targets, classes);
  figures["classes"] = classes;
  figures["chance"] = 1.0 / static_cast<double>(classes);
  return figures;
}

// The regions whose names were kept out of training, with only such names as candidates.
Json held_out_figures(TaskInput& input, const torch::Tensor& regions) {
  std::vector<const std::string*> names;
  for (const auto& region : input.data.regions) {
    names.push_back(region.held_out ? &input.texts.text(region.text_id) : nullptr);
  }
  const ClassTargets held_out = class_targets(names, {});
  if (held_out.rows.numel() == 0) return {};
  return classify(regions.index_select(0, held_out.rows),
                  class_embeddings(input.encoder, held_out.classes, {}, *input.options.group),
                  held_out.targets, input.options);
}

}  // namespace

TaskResult zeroshot(TaskInput& input) {
  std::vector<const std::string*> names;
  for (const auto& label : input.data.labels) names.push_back(label ? &*label : nullptr);
  const ClassTargets samples = class_targets(names, input.options.classes);
  if (samples.rows.numel() == 0) {
    return not_run(samples.left_out > 0 ? "no sample's label is among the classes"
                                        : "no sample has a label");
  }
  const auto names_embedded = class_embeddings(input.encoder, samples.classes,
                                               input.options.templates, *input.options.group);
  Json figures = classify(input.data.image_embeds.rows().index_select(0, samples.rows),
                          names_embedded, samples.targets, input.options);
  figures["templates"] = input.options.templates;
  figures["left_out"] = samples.left_out;
  return {figures, {}};
}

TaskResult retrieval(TaskInput& input) {
  const auto& captions = input.data.captions;
  if (captions.empty()) return not_run("no sample has a caption");
  std::vector<int64_t> caption_image;
  std::vector<int64_t> caption_text;
  std::vector<int64_t> image_rows;  // pictures that have a caption
  for (const auto& caption : captions) {
    if (image_rows.empty() || image_rows.back() != caption.image) {
      image_rows.push_back(caption.image);
    }
    caption_image.push_back(caption.image);
    caption_text.push_back(caption.text_id);
  }
  const auto images = input.data.image_embeds.rows().index_select(0, ids(image_rows));  // [n, E]
  const auto texts = input.texts.unit_embeddings(caption_text);                         // [t, E]
  const auto text_ranks = best_ranks({texts, images, ids(caption_image), ids(image_rows), {}},
                                     input.options.chunk, *input.options.group);
  const auto image_ranks = best_ranks({images, texts, ids(image_rows), ids(caption_image), {}},
                                      input.options.chunk, *input.options.group);
  Json figures;
  for (const int k : {1, 5, 10}) {
    figures["image_retrieval_recall@" + std::to_string(k)] = recall_at(text_ranks, k);
  }
  for (const int k : {1, 5, 10}) {
    figures["text_retrieval_recall@" + std::to_string(k)] = recall_at(image_ranks, k);
  }
  figures["n"] = images.size(0);
  figures["texts"] = texts.size(0);
  std::sort(caption_text.begin(), caption_text.end());
  figures["distinct_texts"] =
      std::unique(caption_text.begin(), caption_text.end()) - caption_text.begin();
  return {figures, {}};
}

TaskResult region_recognition(TaskInput& input, RegionMethod method) {
  std::vector<const std::string*> names;
  std::vector<int64_t> images;
  for (const auto& region : input.data.regions) {
    names.push_back(&input.texts.text(region.text_id));
    images.push_back(region.image);
  }
  if (names.empty()) return not_run("no sample has regions");
  const ClassTargets samples = class_targets(names, input.options.classes);
  if (samples.rows.numel() == 0) return not_run("no region's text is among the classes");

  const auto all_regions = input.data.region_embeds.at(method).rows();
  const auto regions = all_regions.index_select(0, samples.rows);  // [n, E]
  const auto names_embedded =
      class_embeddings(input.encoder, samples.classes, {}, *input.options.group);  // [C, E]
  Json figures = classify(regions, names_embedded, samples.targets, input.options);
  figures["templates"] = false;
  figures["method"] = to_string(method);
  figures["left_out"] = samples.left_out;
  figures.update(within_image_figures(regions, names_embedded, samples.targets,
                                      ids(images).index_select(0, samples.rows)));
  if (Json held_out = held_out_figures(input, all_regions); !held_out.is_null()) {
    figures["held_out"] = std::move(held_out);
  }
  return {figures, {}};
}

TaskResult region_retrieval(TaskInput& input, RegionMethod method) {
  const auto& collected = input.data.regions;
  if (collected.empty()) return not_run("no sample has regions");
  // Each distinct text is ranked once and counts as often as it occurs.
  std::vector<int64_t> region_text;
  std::vector<int64_t> times(static_cast<size_t>(input.texts.size()));
  for (const auto& region : collected) {
    region_text.push_back(region.text_id);
    ++times[static_cast<size_t>(region.text_id)];
  }
  std::vector<int64_t> text_ids;
  std::vector<int64_t> weights;
  for (size_t id = 0; id < times.size(); ++id) {
    if (times[id] == 0) continue;
    text_ids.push_back(static_cast<int64_t>(id));
    weights.push_back(times[id]);
  }
  const auto regions = input.data.region_embeds.at(method).rows();  // [n, E]
  const auto texts = input.texts.unit_embeddings(text_ids);         // [u, E]
  const auto region_ranks =
      best_ranks({regions, texts, ids(region_text), ids(text_ids), ids(weights)},
                 input.options.chunk, *input.options.group);
  const auto text_ranks = best_ranks({texts, regions, ids(text_ids), ids(region_text), {}},
                                     input.options.chunk, *input.options.group);
  Json figures;
  for (const int k : {1, 5, 10}) {
    figures["region_to_text_recall@" + std::to_string(k)] = recall_at(region_ranks, k);
  }
  for (const int k : {1, 5, 10}) {
    figures["text_to_region_recall@" + std::to_string(k)] = recall_at(text_ranks, k, ids(weights));
  }
  figures["n"] = regions.size(0);
  figures["distinct_texts"] = texts.size(0);
  figures["method"] = to_string(method);
  return {figures, {}};
}

TaskResult grounding(TaskInput& input) {
  if (input.data.true_boxes.empty()) {
    return not_run("no phrase occurs exactly once in its picture");
  }
  Json figures = grounding_figures(input.data.predicted_boxes, input.data.true_boxes);
  if (input.options.ground_by_search) figures["by"] = "search";
  figures["repeated_phrases_left_out"] = input.data.repeated_phrases;
  return {figures, {}};
}

}  // namespace opencloc
