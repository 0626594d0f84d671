// What the loader hands to a training step.
#pragma once

#include <string>
#include <vector>

#include <torch/types.h>

namespace opencloc {

// B images, R regions over all of them (R may be 0).
struct Batch {
  // [B, 3, H, W] float, normalised; or [B, H, W, 3] uint8 as decoded, which the model normalises
  torch::Tensor pixels;
  torch::Tensor text_ids;     // [B, T] int64
  torch::Tensor text_length;  // [B] int64: ids before the padding
  // [B] int64: a hash of the text's ids, as region_text_id. Undefined = none.
  torch::Tensor text_id;
  // [B] bool: has a text. Pictures of region data without one stay out of L_CLIP; their rows of
  // text_ids hold the empty text. Undefined = all.
  torch::Tensor has_text;
  torch::Tensor boxes;          // [R, 4] float, of the canvas
  torch::Tensor region_image;   // [R] int64: row of the image, ascending
  torch::Tensor region_ids;     // [R, T] int64
  torch::Tensor region_length;  // [R] int64: ids before the padding
  // [R] int64: a hash of the text's ids, the same in every batch and process: equal numbers = equal
  // texts (for the identical-text mask)
  torch::Tensor region_text_id;
  // [R] bool: the text names one box of its picture, so that it can be grounded. Undefined = all.
  torch::Tensor names_one_box;
  // [R] float, above 0: how much each region's losses count. Undefined = all alike.
  torch::Tensor region_weight;
  // Wrong texts of regions: ids [H, T] int64, their length [H] int64, and the region's row [H]
  // int64, ascending. Undefined = none are asked for.
  torch::Tensor negative_ids, negative_length, negative_region;
  // [R] int64: the PromptKind a region is prompted with (0 box, 1 point, 2 mask), and [R, K, 2]
  // x, y inside its box (a point prompt takes the first). Undefined = all boxes.
  torch::Tensor prompt_kind;
  torch::Tensor points;
  // For the quality head: boxes [Q, 4] float, of the canvas; the IoU [Q] float of each with the
  // best box of its image; and the row [Q] int64 of the image, ascending. Undefined = none.
  torch::Tensor rated_boxes, rated_iou, rated_image;
  // For crop distillation: boxes [C, 4] float, of the canvas; what is in each of them, in the form
  // of the pixels but of another size; and the row [C] int64 of the image, ascending. Undefined =
  // none.
  torch::Tensor crop_boxes, crop_pixels, crop_image;
  // Of dialogues (SampleOptions::sequences): ids [B, L] int64 with zeros behind them, which of them
  // are to be learned [B, L] bool, and [R, P, 2] float, points x, y within each of the regions,
  // which are those that the sequences name, in order. Undefined = none.
  torch::Tensor sequence_ids, sequence_learned, clouds;
  // For masked learning: which patches [B, N] and which places of a text [B, T] are seen first:
  // F32, in [0, 1), lower first; patches of nothing but padding have 2. Undefined = none.
  torch::Tensor patch_order, word_order;
  // For SimCLR: two other views of each picture, in the form of the pixels. Undefined = none.
  torch::Tensor first_view, second_view;
  // Of each picture's entities (SampleOptions::entities), as classes: the one that was drawn [B]
  // int64, -1 = none; and what else is true of picture i: entity_others[entity_others_begin[i]] to
  // before entity_others[entity_others_begin[i + 1]], [B + 1] and [n] int64. Undefined = no
  // classes.
  torch::Tensor entity, entity_others_begin, entity_others;
  // Another crop of each picture, which its text goes with, in the form of the pixels. Undefined =
  // none.
  torch::Tensor captioned_view;
  std::vector<std::string> keys;          // B, "shard#key": names a batch in logs
  std::vector<std::string> texts;         // B
  std::vector<std::string> region_texts;  // R
  int64_t images_with_regions = 0;

  int64_t images() const { return pixels.size(0); }
  int64_t regions() const { return boxes.size(0); }
  int64_t negatives() const { return negative_region.defined() ? negative_region.size(0) : 0; }
  int64_t crops() const { return crop_image.defined() ? crop_image.size(0) : 0; }
  int64_t rated() const { return rated_image.defined() ? rated_image.size(0) : 0; }
};

}  // namespace opencloc
