#include "opencloc/eval/collect.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include <torch/utils.h>

#include "opencloc/base/progress.h"
#include "opencloc/eval/search_boxes.h"
#include "opencloc/text/clean_text.h"

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
  std::vector<std::vector<Box>> any_boxes;
};

// A phrase counts when it names one region of its picture, unless `every` one counts; the others
// are added to `repeated`.
Phrases phrases_of(const std::vector<EvalSample>& batch, bool every, TextBank& texts,
                   int64_t& repeated) {
  Phrases phrases;
  for (size_t image = 0; image < batch.size(); ++image) {
    std::map<std::string_view, int> times;
    for (const auto& region : batch[image].regions) ++times[region.text];
    for (const auto& region : batch[image].regions) {
      if (region.text.empty()) continue;
      if (times[region.text] > 1 && !every) {
        ++repeated;
        continue;
      }
      phrases.image_index.push_back(static_cast<int64_t>(image));
      phrases.text_ids.push_back(texts.id_of(region.text));
      phrases.boxes.push_back(region.canvas_box);
      phrases.any_boxes.push_back(region.any_boxes);
    }
  }
  return phrases;
}

// -> boxes of the canvas [phrases, 4], on the CPU. text [phrases, E].
torch::Tensor ground(Cloc& model, const ImageFeatures& features, const Phrases& phrases,
                     const torch::Tensor& text, int64_t at_a_time) {
  const auto device = features.tokens.device();
  const auto count = static_cast<int64_t>(phrases.boxes.size());
  const auto texts = text.to(device);
  const auto index = torch::tensor(phrases.image_index, torch::kInt64);  // [R]
  std::vector<torch::Tensor> boxes = {torch::empty({0, 4})};
  for (int64_t begin = 0; begin < count; begin += at_a_time) {
    const int64_t end = std::min(begin + at_a_time, count);
    boxes.push_back(model->ground(features, texts.slice(0, begin, end), index.slice(0, begin, end))
                        .to(torch::kCPU, torch::kFloat));  // [r, 4]
  }
  return torch::cat(boxes);
}

// The choices and the pair of one sample, whose regions begin with row `first`.
void note_choices(const EvalSample& sample, const CollectOptions& options, int64_t first,
                  TextBank& texts, Collected& out) {
  const int64_t image = out.images - 1;
  const auto id_of = [&](const std::string& text) {
    return texts.id_of(options.lower_case ? lower_case(text) : text);
  };
  const auto add = [&](int64_t region, const std::string& text,
                       const std::vector<std::string>& negatives, const std::string& kind) {
    CollectedChoice choice{image, region, id_of(text), {}, kind};
    for (const auto& negative : negatives) choice.negatives.push_back(id_of(negative));
    out.choices.push_back(std::move(choice));
  };
  for (const auto& choice : sample.choices) add(-1, choice.text, choice.negatives, choice.kind);
  for (size_t i = 0; i < sample.regions.size(); ++i) {
    const EvalRegion& region = sample.regions[i];
    if (!region.text.empty() && !region.negatives.empty())
      add(first + static_cast<int64_t>(i), region.text, region.negatives, region.kind);
  }
  if (sample.pair && !sample.captions.empty())
    out.pairs.push_back({*sample.pair, image, id_of(sample.captions.front())});
}

// What needs no model: labels and the like, captions, region texts, choices.
void note_texts(const std::vector<EvalSample>& batch, const CollectOptions& options,
                TextBank& texts, Collected& out) {
  for (const auto& sample : batch) {
    out.labels.push_back(sample.label);
    out.groups.push_back(sample.group);
    out.values.push_back(sample.value);
    ++out.images;
    if (!options.texts) continue;
    const int64_t image = out.images - 1;
    const auto first = static_cast<int64_t>(out.regions.size());
    for (const auto& caption : sample.captions) {
      out.captions.push_back({image, texts.id_of(caption)});
    }
    for (const auto& region : sample.regions) {
      const int64_t text_id = region.text.empty() ? -1 : texts.id_of(region.text);
      out.regions.push_back({image, text_id, region.held_out, region.area, region.frequency});
    }
    if (options.choices) note_choices(sample, options, first, texts, out);
  }
}

// How many rows every batch makes, in order of the data: the same in all processes.
class DealtRows {
 public:
  explicit DealtRows(dist::Group& group) : group_(group) {}
  void add(int64_t rows) { rows_.push_back(rows); }
  // `own`: the rows [n, width] of this process's batches; those of all of them afterwards, in order
  // of the data.
  void gather(RowStore& own, int64_t width) const {
    if (group_.size() == 1) return;
    const auto rows = own.size() > 0 ? own.rows() : torch::empty({0, width});
    const auto all = group_.gather(rows).rows;  // [n of all, width], by rank
    const auto ranks = static_cast<size_t>(group_.size());
    std::vector<int64_t> next(ranks + 1);  // row of each rank; batch b is of rank b % ranks
    for (size_t b = 0; b < rows_.size(); ++b) next[b % ranks + 1] += rows_[b];
    std::partial_sum(next.begin(), next.end(), next.begin());
    std::vector<int64_t> order;
    for (size_t b = 0; b < rows_.size(); ++b)
      for (int64_t row = 0; row < rows_[b]; ++row) order.push_back(next[b % ranks]++);
    own = RowStore();
    own.append(all.index_select(0, torch::tensor(order, torch::kInt64)));
  }

 private:
  dist::Group& group_;
  std::vector<int64_t> rows_;
};

std::vector<Box> boxes_of(const torch::Tensor& corners) {
  std::vector<Box> boxes;
  if (!corners.defined()) return boxes;
  const auto flat = corners.contiguous();  // [n, 4]
  const float* b = flat.data_ptr<float>();
  for (int64_t i = 0; i < flat.size(0); ++i, b += 4) boxes.push_back({b[0], b[1], b[2], b[3]});
  return boxes;
}

int64_t region_count(const std::vector<EvalSample>& batch) {
  size_t count = 0;
  for (const auto& sample : batch) count += sample.regions.size();
  return static_cast<int64_t>(count);
}

// Encodes the batches of this process.
class Collector {
 public:
  Collector(Cloc& model, TextBank& texts, const CollectOptions& options)
      : model_(model), texts_(texts), options_(options) {}

  // Of every process one batch, of which `own` is this one's.
  void add(const std::vector<std::vector<EvalSample>>& round, size_t own) {
    Phrases phrases;
    for (size_t rank = 0; rank < round.size(); ++rank) {
      note_texts(round[rank], options_, texts_, out_);
      images_.add(static_cast<int64_t>(round[rank].size()));
      regions_.add(region_count(round[rank]));
      if (!options_.grounding) continue;
      Phrases of_batch =
          phrases_of(round[rank], options_.every_phrase, texts_, out_.repeated_phrases);
      texts_.end_list();
      phrases_.add(static_cast<int64_t>(of_batch.boxes.size()));
      out_.true_boxes.insert(out_.true_boxes.end(), of_batch.boxes.begin(), of_batch.boxes.end());
      out_.any_boxes.insert(out_.any_boxes.end(), of_batch.any_boxes.begin(),
                            of_batch.any_boxes.end());
      if (rank == own) phrases = std::move(of_batch);
    }
    torch::Tensor phrase_embeds;  // [phrases, E]
    if (options_.grounding && texts_.size() > 0)
      phrase_embeds = texts_.embeddings(phrases.text_ids);
    if (!round[own].empty()) encode(round[own], phrases, phrase_embeds);
  }

  Collected take() {
    const int64_t width = model_->config().embed_dim;
    images_.gather(out_.image_embeds, width);
    for (const auto method : options_.methods) regions_.gather(out_.region_embeds[method], width);
    if (options_.quality) regions_.gather(out_.region_quality, 1);
    if (options_.grounding) phrases_.gather(predicted_, 4);
    out_.predicted_boxes = boxes_of(predicted_.rows());
    return std::move(out_);
  }

 private:
  void encode(const std::vector<EvalSample>& batch, const Phrases& phrases,
              const torch::Tensor& phrase_embeds) {
    const auto device = model_->logit_scale.device();
    EncodeOptions encode;
    if (std::any_of(options_.methods.begin(), options_.methods.end(), needs_penultimate))
      encode.hidden_layer = -2;
    auto features = model_->encode_image(stack_pixels(batch, device), encode);
    out_.image_embeds.append(normalized(features.embedding));
    const auto& methods = options_.methods;
    const bool prompts = options_.grounding || std::find(methods.begin(), methods.end(),
                                                         RegionMethod::kPrompter) != methods.end();
    if (prompts) model_->prepare_prompts(features);
    const RegionRows rows = rows_of(batch, device);
    for (const auto method : methods) {
      const auto regions = encode_regions(method, model_, features, rows, options_.batching);
      out_.region_embeds[method].append(normalized(regions));
      if (options_.quality && method == RegionMethod::kPrompter && regions.size(0) > 0)
        out_.region_quality.append(model_->quality_logits(regions).sigmoid().unsqueeze(1));
    }
    if (phrases.boxes.empty()) return;
    const int64_t at_a_time = regions_at_a_time(options_.batching.regions, model_->config());
    predicted_.append(
        options_.ground_by_search
            ? ground_by_search(model_, features, phrases.image_index, phrase_embeds, at_a_time)
            : ground(model_, features, phrases, phrase_embeds, at_a_time));
  }

  Cloc& model_;
  TextBank& texts_;
  const CollectOptions& options_;
  Collected out_;
  RowStore predicted_;  // [phrases, 4]
  DealtRows images_{*options_.group}, regions_{*options_.group}, phrases_{*options_.group};
};

}  // namespace

Collected collect(Cloc& model, SampleReader& reader, TextBank& texts,
                  const CollectOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto own = static_cast<size_t>(options.group->rank());
  std::optional<ProgressBar> bar;
  if (options.progress) bar.emplace(options.name, reader.expected(), "samples");
  Collector collector(model, texts, options);
  for (auto round = reader.next_round(); !round.empty(); round = reader.next_round()) {
    collector.add(round, own);
    size_t samples = 0;
    for (const auto& batch : round) samples += batch.size();
    if (bar) bar->advance(static_cast<int64_t>(samples));
  }
  return collector.take();
}

}  // namespace opencloc
