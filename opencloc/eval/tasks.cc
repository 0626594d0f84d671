#include "opencloc/eval/tasks.h"

#include <algorithm>

#include "opencloc/eval/classify.h"
#include "opencloc/eval/metrics.h"
#include "opencloc/eval/ranking.h"
#include "opencloc/text/clean_text.h"

namespace opencloc {
namespace {

torch::Tensor ids(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kInt64);
}

TaskResult not_run(std::string why) { return {{}, std::move(why)}; }

// Ranks of the right classes [n].
torch::Tensor class_ranks(const torch::Tensor& embeddings, const torch::Tensor& class_embeddings,
                          const torch::Tensor& targets, const EvalOptions& options) {
  const auto classes = class_embeddings.size(0);
  return best_ranks(
      {embeddings, class_embeddings, targets, torch::arange(classes, torch::kInt64), {}},
      options.chunk, *options.group);
}

Json class_figures(const torch::Tensor& ranks, const torch::Tensor& targets, int64_t classes) {
  Json figures = classification_figures(ranks, targets, classes);
  figures["classes"] = classes;
  figures["chance"] = 1.0 / static_cast<double>(classes);
  return figures;
}

// Prompts of these names; -> [classes, E].
torch::Tensor embedded(TaskInput& input, std::vector<std::string> names,
                       std::vector<std::string> templates) {
  if (input.options.lower_case) {
    for (auto& name : names) name = lower_case(name);
    for (auto& pattern : templates) pattern = lower_case(pattern);
  }
  return class_embeddings(input.encoder, names, templates, *input.options.group);
}

// COCO's limits; ours are of the box's area, COCO's of the object's.
std::string size_of(double area) {
  if (area < 32.0 * 32) return "small";
  return area < 96.0 * 96 ? "medium" : "large";
}

// The regions whose names were kept out of training, with only such names as candidates.
Json held_out_figures(TaskInput& input, const torch::Tensor& regions) {
  std::vector<const std::string*> names;
  for (const auto& region : input.data.regions) {
    const bool counts = region.held_out && region.text_id >= 0;
    names.push_back(counts ? &input.texts.text(region.text_id) : nullptr);
  }
  const ClassTargets held_out = class_targets(names, {});
  if (held_out.rows.numel() == 0) return {};
  const auto ranks = class_ranks(regions.index_select(0, held_out.rows),
                                 embedded(input, held_out.classes, input.options.region_templates),
                                 held_out.targets, input.options);
  return class_figures(ranks, held_out.targets, static_cast<int64_t>(held_out.classes.size()));
}

}  // namespace

TaskResult zeroshot(TaskInput& input) {
  std::vector<const std::string*> names;
  for (const auto& label : input.data.labels) names.push_back(label ? &*label : nullptr);
  const ClassTargets samples =
      class_targets(names, input.options.classes, input.options.class_labels);
  if (samples.rows.numel() == 0) {
    return not_run(samples.left_out > 0 ? "no sample's label is among the classes"
                                        : "no sample has a label");
  }
  const auto ranks = class_ranks(input.data.image_embeds.rows().index_select(0, samples.rows),
                                 embedded(input, samples.classes, input.options.templates),
                                 samples.targets, input.options);
  Json figures =
      class_figures(ranks, samples.targets, static_cast<int64_t>(samples.classes.size()));
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
    names.push_back(region.text_id < 0 ? nullptr : &input.texts.text(region.text_id));
    images.push_back(region.image);
  }
  if (names.empty()) return not_run("no sample has regions");
  const ClassTargets samples =
      class_targets(names, input.options.classes, input.options.class_labels);
  if (samples.rows.numel() == 0) return not_run("no region's text is among the classes");

  const auto all_regions = input.data.region_embeds.at(method).rows();
  const auto regions = all_regions.index_select(0, samples.rows);  // [n, E]
  const auto& templates = input.options.region_templates;
  const auto names_embedded = embedded(input, samples.classes, templates);  // [C, E]
  const auto ranks = class_ranks(regions, names_embedded, samples.targets, input.options);
  const auto classes = static_cast<int64_t>(samples.classes.size());
  Json figures = class_figures(ranks, samples.targets, classes);
  figures["templates"] = templates.empty() ? Json(false) : Json(templates);
  figures["method"] = to_string(method);
  figures["left_out"] = samples.left_out;
  figures.update(within_image_figures(regions, names_embedded, samples.targets,
                                      ids(images).index_select(0, samples.rows)));
  std::vector<std::string> sizes, frequencies;
  const int64_t* row = samples.rows.data_ptr<int64_t>();
  for (int64_t i = 0; i < samples.rows.numel(); ++i) {
    const CollectedRegion& region = input.data.regions[static_cast<size_t>(row[i])];
    sizes.push_back(size_of(region.area));
    frequencies.push_back(region.frequency);
  }
  figures["by_size"] = figures_by_part(ranks, samples.targets, classes, sizes);
  if (Json parts = figures_by_part(ranks, samples.targets, classes, frequencies); !parts.empty())
    figures["by_frequency"] = std::move(parts);
  if (Json held_out = held_out_figures(input, all_regions); !held_out.is_null()) {
    figures["held_out"] = std::move(held_out);
  }
  return {figures, {}};
}

TaskResult region_retrieval(TaskInput& input, RegionMethod method) {
  const auto& collected = input.data.regions;
  // Each distinct text is ranked once and counts as often as it occurs.
  std::vector<int64_t> rows, region_text;  // of regions that have a text
  std::vector<int64_t> any_text;           // of all of them; -1: a distractor's
  std::vector<int64_t> times(static_cast<size_t>(input.texts.size()));
  for (size_t i = 0; i < collected.size(); ++i) {
    const int64_t text_id = collected[i].text_id;
    any_text.push_back(text_id);
    if (text_id < 0) continue;
    rows.push_back(static_cast<int64_t>(i));
    region_text.push_back(text_id);
    ++times[static_cast<size_t>(text_id)];
  }
  if (rows.empty()) return not_run("no sample has regions");
  std::vector<int64_t> text_ids;
  std::vector<int64_t> weights;
  for (size_t id = 0; id < times.size(); ++id) {
    if (times[id] == 0) continue;
    text_ids.push_back(static_cast<int64_t>(id));
    weights.push_back(times[id]);
  }
  const auto all_regions = input.data.region_embeds.at(method).rows();  // [n + distractors, E]
  const auto regions = all_regions.index_select(0, ids(rows));          // [n, E]
  const auto texts = input.texts.unit_embeddings(text_ids);             // [u, E]
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
  const int64_t distractors = all_regions.size(0) - regions.size(0);
  if (distractors > 0) {
    const auto ranks = best_ranks({texts, all_regions, ids(text_ids), ids(any_text), {}},
                                  input.options.chunk, *input.options.group);
    for (const int k : {1, 5, 10}) {
      figures["text_to_region_with_distractors_recall@" + std::to_string(k)] =
          recall_at(ranks, k, ids(weights));
    }
    figures["distractors"] = distractors;
  }
  figures["n"] = regions.size(0);
  figures["distinct_texts"] = texts.size(0);
  figures["method"] = to_string(method);
  return {figures, {}};
}

TaskResult grounding(TaskInput& input) {
  if (input.data.true_boxes.empty()) {
    return not_run(input.options.every_phrase ? "no region has a text"
                                              : "no phrase occurs exactly once in its picture");
  }
  Json figures =
      grounding_figures(input.data.predicted_boxes, input.data.true_boxes, input.data.any_boxes);
  if (input.options.ground_by_search) figures["by"] = "search";
  figures["repeated_phrases_left_out"] = input.data.repeated_phrases;
  return {figures, {}};
}

}  // namespace opencloc
