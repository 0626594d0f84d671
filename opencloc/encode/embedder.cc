#include "opencloc/encode/embedder.h"

#include <algorithm>
#include <functional>

#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/encode/regions.h"
#include "opencloc/encode/wire.h"

namespace opencloc {
namespace {

constexpr int64_t kSkipsLogged = 3;

Json box_json(const Box& box) { return Json::array({box.x0, box.y0, box.x1, box.y1}); }

void require_shape(bool holds, const char* name, const torch::Tensor& tensor,
                   const std::string& wanted, const std::string& where) {
  if (holds) return;
  std::string shape;
  for (const int64_t side : tensor.sizes())
    shape += (shape.empty() ? "" : ", ") + std::to_string(side);
  throw Error::input(std::string(name) + " is " + torch::toString(tensor.scalar_type()) + " [" +
                         shape + "] where the model takes " + wanted,
                     where, "prepare the tensors for this model");
}

}  // namespace

Embedder::Embedder(LoadedModel& loaded, const EmbedderOptions& options)
    : loaded_(loaded), options_(options) {
  loaded_.model->to(options_.device);
  loaded_.model->set_precision(options_.precision);
  loaded_.model->set_backend(options_.backend);
  loaded_.model->eval();
  const int64_t layers = loaded_.model->config().vision.layers;
  if (options_.layer < -layers - 1 || options_.layer > layers) {
    throw Error::input(
        "the image tower has no layer " + std::to_string(options_.layer), "setting 'layer'",
        "give one of " + std::to_string(-layers - 1) + " to " + std::to_string(layers));
  }
}

std::string Embedder::region_method() const {
  if (options_.crop_regions) return to_string(RegionMethod::kCrop);
  return loaded_.has_region_heads ? to_string(loaded_.model->config().cloc.region_extractor)
                                  : "image_roi_align";
}

const std::array<Embedder::NamedRows, 9> Embedder::kRows = {{
    {"image_embeds", &Embedder::image_embeds_},
    {"vision_penultimate_hidden", &Embedder::penultimate_},
    {"image_tokens", &Embedder::image_tokens_},
    {"pixel_values", &Embedder::pixel_values_},
    {"text_embeds", &Embedder::text_embeds_},
    {"input_ids", &Embedder::input_ids_},
    {"region_embeds", &Embedder::region_embeds_},
    {"region_tokens", &Embedder::region_tokens_},
    {"region_quality", &Embedder::region_quality_},
}};

void Embedder::begin_round(const std::vector<SourcePicture>& pictures, size_t captions) {
  Seen batch;
  batch.text_rows = static_cast<int64_t>(captions);
  for (const auto& picture : pictures) {
    ++batch.pictures;
    ++(picture.pixels.defined() ? batch.image_rows : batch.skipped_pictures);
    if (!picture.pixels.defined()) continue;
    for (const Box& box : picture.canvas_boxes)
      ++(box.area() > 0 ? batch.region_rows : batch.skipped_regions);
  }
  begin_round(batch);
}

// Where this process's batch begins, and the round ends.
void Embedder::begin_round(const Seen& batch) {
  dist::Group& group = *options_.group;
  if (group.size() == 1) return;
  const auto all = group
                       .gather(torch::tensor(
                           {{batch.pictures, batch.image_rows, batch.text_rows, batch.region_rows,
                             batch.skipped_pictures, batch.skipped_regions}}))
                       .rows;  // [N, 6]
  const auto plus = [&](const torch::Tensor& counts) {
    const auto sum = counts.sum(0);  // [6]
    const auto* n = sum.data_ptr<int64_t>();
    return Seen{seen_.pictures + n[0],         seen_.image_rows + n[1],
                seen_.text_rows + n[2],        seen_.region_rows + n[3],
                seen_.skipped_pictures + n[4], seen_.skipped_regions + n[5]};
  };
  after_round_ = plus(all);
  seen_ = plus(all.slice(0, 0, group.rank()));
}

void Embedder::end_round() {
  dist::Group& group = *options_.group;
  if (group.size() == 1) return;
  group.collect(group.is_first() ? std::string() : pack_rows(),
                [&](int rank, const std::string& bytes) {
                  if (rank > 0) add_rows(bytes);
                });
  if (!group.is_first()) forget_rows();
  seen_ = after_round_;
}

std::string Embedder::pack_rows() const {
  const auto counts = truncation().counts();
  NamedTensors rows = tensors();
  rows.emplace_back("truncation", torch::tensor({counts[0], counts[1], counts[2], counts[3]}));
  return pack({row_list_, pack_tensors(rows)});
}

void Embedder::add_rows(const std::string& bytes) {
  const auto texts = unpack(bytes);
  row_list_ += texts[0];
  for (const auto& [name, tensor] : unpack_tensors(texts[1])) {
    const auto* numbers =
        tensor.scalar_type() == torch::kInt64 ? tensor.data_ptr<int64_t>() : nullptr;
    if (name == "truncation") {
      if (numbers[0] > 0)
        text_encoder().truncation().add({numbers[0], numbers[1], numbers[2], numbers[3]});
    } else if (name == "image_index") {
      image_index_.insert(image_index_.end(), numbers, numbers + tensor.numel());
    } else if (name == "region_image") {
      region_image_.insert(region_image_.end(), numbers, numbers + tensor.numel());
    } else {
      const auto known = std::ranges::find(kRows, name, &NamedRows::name);
      (this->*known->rows).add(tensor);
    }
  }
}

void Embedder::forget_rows() {
  for (const auto& named : kRows) (this->*named.rows).parts.clear();
  image_index_.clear();
  region_image_.clear();
  region_index_.clear();
  row_list_.clear();
  texts_.reset();
}

void Embedder::list(Json line) { row_list_ += dump_json(line) + '\n'; }

void Embedder::add_pictures(const std::vector<SourcePicture>& pictures) {
  std::vector<torch::Tensor> pixels;
  std::vector<const SourcePicture*> good;
  for (const auto& picture : pictures) {
    const int64_t index = seen_.pictures++;
    if (!picture.pixels.defined()) {
      if (seen_.skipped_pictures++ < kSkipsLogged) log::warn("skipped: {}", picture.error);
      list({{"skipped", picture.name}, {"index", index}, {"error", picture.error}});
      continue;
    }
    Json line = {{"tensor", "image_embeds"}};
    line["row"] = seen_.image_rows + static_cast<int64_t>(good.size());
    line["index"] = index;
    line["image"] = picture.name;
    list(std::move(line));
    image_index_.push_back(index);
    pixels.push_back(picture.pixels);
    good.push_back(&picture);
  }
  if (!good.empty()) encode_pictures(torch::stack(pixels), good);  // [B, 3, S, S]
}

void Embedder::encode_pictures(const torch::Tensor& pixels,
                               const std::vector<const SourcePicture*>& source) {
  const torch::NoGradGuard no_grad;
  const bool patches = options_.tokens == Tokens::kPatch,
             all = options_.tokens == Tokens::kClassAndPatch;
  EncodeOptions encode;
  if (options_.penultimate || patches || all) encode.hidden_layer = options_.layer;
  auto features = loaded_.model->encode_image(pixels.to(options_.device), encode);
  image_embeds_.add(normalized(features.embedding));  // [B, E]
  if (options_.penultimate) penultimate_.add(features.hidden);
  if (patches) image_tokens_.add(patch_tokens(features.hidden).contiguous());  // [B, N, D]
  if (all) image_tokens_.add(features.hidden);                                 // [B, T, D]
  if (options_.save_inputs) pixel_values_.add(pixels);
  encode_regions(features, source);
  seen_.image_rows += pixels.size(0);
}

void Embedder::encode_regions(ImageFeatures& features,
                              const std::vector<const SourcePicture*>& source) {
  std::vector<float> corners;
  std::vector<int64_t> owners;
  for (size_t i = 0; i < source.size(); ++i) {
    const int64_t image_row = seen_.image_rows + static_cast<int64_t>(i);
    for (size_t k = 0; k < source[i]->regions.size(); ++k) {
      const auto& region = source[i]->regions[k];
      const Box& box = source[i]->canvas_boxes[k];
      Json line;
      line["image"] = source[i]->name;
      line["box"] = box_json(region.box);
      if (!region.text.empty()) line["text"] = region.text;
      if (box.area() <= 0) {
        ++seen_.skipped_regions;
        line["skipped"] = "region";
        line["error"] = "the model's canvas does not show it";
      } else {
        line["tensor"] = "region_embeds";
        line["row"] = seen_.region_rows++;
        region_image_.push_back(image_row);
        region_index_.push_back(static_cast<int64_t>(k));
        owners.push_back(static_cast<int64_t>(i));
        corners.insert(corners.end(), {box.x0, box.y0, box.x1, box.y1});
      }
      list(std::move(line));
    }
  }
  if (owners.empty()) return;
  const auto count = static_cast<int64_t>(owners.size());
  RegionRows rows{torch::tensor(corners).reshape({count, 4}).to(options_.device),
                  torch::tensor(owners),
                  {},
                  {}};
  auto method = loaded_.has_region_heads ? default_method(loaded_.model->config(), true)
                                         : RegionMethod::kRoiAlign;
  if (options_.crop_regions) {
    method = RegionMethod::kCrop;
    for (size_t i = 0; i < owners.size(); ++i) {
      const SourcePicture& picture = *source[static_cast<size_t>(owners[i])];
      rows.pictures.push_back(&picture.image);
      rows.picture_boxes.push_back(
          picture
              .regions[static_cast<size_t>(region_index_[region_index_.size() - owners.size() + i])]
              .box);
    }
  } else if (loaded_.has_region_heads) {
    loaded_.model->prepare_prompts(features);
  }
  const auto z = opencloc::encode_regions(
      method, loaded_.model, features, rows,
      {.regions = options_.region_batch, .workers = options_.workers});  // [R, E]
  region_embeds_.add(normalized(z));
  if (options_.tokens == Tokens::kRegions) region_tokens_.add(z);
  if (loaded_.has_region_heads && loaded_.model->quality_head && !options_.crop_regions)
    region_quality_.add(torch::sigmoid(loaded_.model->quality_logits(z)));  // [R]
}

TextEncoder& Embedder::text_encoder() {
  if (!loaded_.tokenizer) {
    throw Error::input(
        "the model has no tokenizer", "texts",
        "name one with the setting 'tokenizer', or put its files into the model directory");
  }
  if (!texts_) texts_.emplace(loaded_.model, *loaded_.tokenizer, options_.batch_size);
  return *texts_;
}

void Embedder::add_texts_of_all(const std::vector<std::string>& texts) {
  add_texts(texts, *options_.group);
  if (!options_.group->is_first()) forget_rows();
}

void Embedder::add_texts(const std::vector<std::string>& texts, dist::Group& group) {
  if (texts.empty()) return;
  const TextEncoder::Tokens tokens = text_encoder().tokenize(texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    Json line = {{"tensor", "text_embeds"}};
    line["row"] = seen_.text_rows + static_cast<int64_t>(i);
    line["text"] = texts[i];
    if (tokens.cut[i]) line["truncated"] = true;
    list(std::move(line));
  }
  add_ids(tokens.rows.ids, text_encoder().encode(tokens.rows, group));
}

// ids [n, T] and what they became [n, E].
void Embedder::add_ids(const torch::Tensor& ids, const torch::Tensor& embeddings) {
  text_embeds_.add(normalized(embeddings));
  if (options_.save_inputs) input_ids_.add(ids);
  seen_.text_rows += ids.size(0);
}

// Batches of `rows` [B, ...], a round of them at a time; `count` is what each row counts as.
void Embedder::for_own_parts(const torch::Tensor& rows, int64_t Seen::*count,
                             const std::function<void(const torch::Tensor& part)>& work) {
  const auto parts = rows.split(options_.batch_size);
  const auto ranks = static_cast<size_t>(options_.group->size());
  for (size_t first = 0; first < parts.size(); first += ranks) {
    const size_t own = first + static_cast<size_t>(options_.group->rank());
    Seen batch;
    if (own < parts.size()) batch.*count = parts[own].size(0);
    begin_round(batch);
    if (own < parts.size()) work(parts[own]);
    end_round();
  }
}

void Embedder::add_tensors(const torch::Tensor& pixels, const torch::Tensor& ids,
                           const std::string& where) {
  const auto& config = loaded_.model->config();
  if (pixels.defined()) {
    const int64_t side = config.vision.image_size;
    require_shape(pixels.is_floating_point() && pixels.dim() == 4 && pixels.size(0) > 0 &&
                      pixels.size(1) == 3 && pixels.size(2) == side && pixels.size(3) == side,
                  "pixel_values", pixels,
                  "floats [B, 3, " + std::to_string(side) + ", " + std::to_string(side) + "]",
                  where);
    for_own_parts(pixels, &Seen::image_rows, [&](const torch::Tensor& part) {
      encode_pictures(part.to(torch::kFloat32), {});
    });
  }
  if (ids.defined()) {
    const int64_t vocab = config.text.vocab_size;
    const bool shaped = !ids.is_floating_point() && ids.scalar_type() != torch::kBool &&
                        ids.dim() == 2 && ids.size(0) > 0 && ids.size(1) > 0 &&
                        ids.size(1) <= config.text.context_length;
    require_shape(shaped && ids.min().item<int64_t>() >= 0 && ids.max().item<int64_t>() < vocab,
                  "input_ids", ids,
                  "integers below " + std::to_string(vocab) + " of [B, T], T at most " +
                      std::to_string(config.text.context_length),
                  where);
    const torch::NoGradGuard no_grad;
    for_own_parts(ids, &Seen::text_rows, [&](const torch::Tensor& part) {
      const auto wide = part.to(torch::kInt64);
      add_ids(wide, loaded_.model->encode_text(wide.to(options_.device)));  // [b, E]
    });
  }
}

NamedTensors Embedder::tensors() const {
  NamedTensors tensors;
  for (const auto& [name, rows] : kRows) {
    const auto& parts = (this->*rows).parts;
    if (!parts.empty()) tensors.emplace_back(name, torch::cat(parts, 0));
  }
  if (!image_index_.empty()) tensors.emplace_back("image_index", torch::tensor(image_index_));
  if (!region_image_.empty()) tensors.emplace_back("region_image", torch::tensor(region_image_));
  return tensors;
}

std::vector<NamedTensors> Embedder::take_features(int64_t pictures) {
  std::vector<NamedTensors> taken(static_cast<size_t>(pictures));
  const auto rows = static_cast<int64_t>(image_index_.size());
  const int64_t first_picture = seen_.pictures - pictures, first_row = seen_.image_rows - rows;
  size_t region = 0;
  const NamedTensors all = tensors();
  for (int64_t row = 0; row < rows; ++row) {
    auto& own = taken[static_cast<size_t>(image_index_[static_cast<size_t>(row)] - first_picture)];
    const size_t begin = region;
    while (region < region_image_.size() && region_image_[region] == first_row + row) ++region;
    const auto from = static_cast<int64_t>(begin), to = static_cast<int64_t>(region);
    for (const auto& [name, tensor] : all) {
      if (name.starts_with("region_e") || name.starts_with("region_t") ||
          name == "region_quality") {
        if (to > from) own.emplace_back(name, tensor.slice(0, from, to));
      } else if (name != "image_index" && name != "region_image") {
        own.emplace_back(name, tensor[row]);
      }
    }
    if (to > from)
      own.emplace_back("region_index", torch::tensor(region_index_).slice(0, from, to));
  }
  forget_rows();
  return taken;
}

}  // namespace opencloc
