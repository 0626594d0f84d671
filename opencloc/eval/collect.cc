#include "opencloc/eval/collect.h"

#include <algorithm>
#include <map>

#include <torch/utils.h>

#include "opencloc/base/progress.h"

namespace opencloc {
namespace {

torch::Tensor stack_pixels(const std::vector<EvalSample>& batch, torch::Device device) {
  std::vector<torch::Tensor> pixels;
  for (const auto& sample : batch) pixels.push_back(sample.pixels);
  return torch::stack(pixels).to(device);  // [B, 3, S, S]
}

RegionRows rows_of(const std::vector<EvalSample>& batch, torch::Device device) {
  std::vector<std::vector<Box>> boxes(batch.size());
  for (size_t image = 0; image < batch.size(); ++image) {
    for (const EvalRegion& region : batch[image].regions) boxes[image].push_back(region.canvas_box);
  }
  RegionRows rows = region_rows(boxes, device);
  for (const EvalSample& sample : batch) {
    for (const EvalRegion& region : sample.regions) {
      rows.pictures.push_back(&sample.image);
      rows.picture_boxes.push_back(region.image_box);
    }
  }
  return rows;
}

// The phrases of a batch that can be grounded, each with its box.
struct Phrases {
  std::vector<int64_t> image_index;
  std::vector<int64_t> text_ids;
  std::vector<Box> boxes;  // of the canvas
};

// A phrase counts when it names one region of its picture; the others are added to `repeated`.
Phrases unique_phrases(const std::vector<EvalSample>& batch, TextBank& texts, int64_t& repeated) {
  Phrases phrases;
  for (size_t image = 0; image < batch.size(); ++image) {
    std::map<std::string_view, int> times;
    for (const auto& region : batch[image].regions) ++times[region.text];
    for (const auto& region : batch[image].regions) {
      if (times[region.text] > 1) {
        ++repeated;
        continue;
      }
      phrases.image_index.push_back(static_cast<int64_t>(image));
      phrases.text_ids.push_back(texts.id_of(region.text));
      phrases.boxes.push_back(region.canvas_box);
    }
  }
  return phrases;
}

void ground(Cloc& model, const ImageFeatures& features, const std::vector<EvalSample>& batch,
            TextBank& texts, int64_t at_a_time, Collected& out) {
  const Phrases phrases = unique_phrases(batch, texts, out.repeated_phrases);
  const auto count = static_cast<int64_t>(phrases.boxes.size());
  if (count == 0) return;
  const auto device = features.tokens.device();
  const auto text = texts.embeddings(phrases.text_ids).to(device);       // [R, E]
  const auto index = torch::tensor(phrases.image_index, torch::kInt64);  // [R]
  for (int64_t begin = 0; begin < count; begin += at_a_time) {
    const int64_t end = std::min(begin + at_a_time, count);
    const auto boxes =
        model->ground(features, text.slice(0, begin, end), index.slice(0, begin, end))
            .to(torch::kCPU, torch::kFloat)
            .contiguous();  // [r, 4]
    const float* b = boxes.data_ptr<float>();
    for (int64_t i = 0; i < boxes.size(0); ++i, b += 4) {
      out.predicted_boxes.push_back({b[0], b[1], b[2], b[3]});
    }
  }
  out.true_boxes.insert(out.true_boxes.end(), phrases.boxes.begin(), phrases.boxes.end());
}

// What needs no model: labels, captions, region texts.
void note_texts(const std::vector<EvalSample>& batch, TextBank& texts, Collected& out) {
  for (const auto& sample : batch) {
    out.labels.push_back(sample.label);
    for (const auto& caption : sample.captions) {
      out.captions.push_back({out.images, texts.id_of(caption)});
    }
    for (const auto& region : sample.regions) {
      out.regions.push_back({out.images, texts.id_of(region.text), region.held_out});
    }
    ++out.images;
  }
}

}  // namespace

Collected collect(Cloc& model, SampleReader& reader, TextBank& texts,
                  const CollectOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto device = model->logit_scale.device();
  Collected out;
  std::optional<ProgressBar> bar;
  if (options.progress) bar.emplace("evaluate", reader.expected(), "samples");
  for (auto batch = reader.next_batch(); !batch.empty(); batch = reader.next_batch()) {
    EncodeOptions encode;
    if (options.penultimate) encode.hidden_layer = -2;
    auto features = model->encode_image(stack_pixels(batch, device), encode);
    out.image_embeds.append(normalized(features.embedding));
    note_texts(batch, texts, out);
    const bool prompts =
        options.grounding || std::find(options.methods.begin(), options.methods.end(),
                                       RegionMethod::kPrompter) != options.methods.end();
    if (prompts) model->prepare_prompts(features);
    const RegionRows rows = rows_of(batch, device);
    for (const auto method : options.methods) {
      out.region_embeds[method].append(
          normalized(encode_regions(method, model, features, rows, options.batching)));
    }
    if (options.grounding) {
      ground(model, features, batch, texts,
             regions_at_a_time(options.batching.regions, model->config()), out);
    }
    if (bar) bar->advance(static_cast<int64_t>(batch.size()));
  }
  return out;
}

}  // namespace opencloc
