#include "opencloc/objective/batch_texts.h"

#include <utility>

#include "opencloc/ops/transfer.h"

namespace opencloc {

int64_t TextBatch::size() const {
  int64_t count = 0;
  for (const auto& group : groups) count += group.size(0);
  return count;
}

TextBatch TextBatch::to(torch::Device device) const {
  TextBatch moved{{},
                  ops::to_device(captioned, device),
                  ops::to_device(caption_row, device),
                  ops::to_device(region_row, device),
                  ops::to_device(negative_row, device)};
  for (const auto& group : groups) moved.groups.push_back(ops::to_device(group, device));
  return moved;
}

TextBatch distinct_texts(const Batch& batch, const BatchTexts& wanted) {
  TextBatch result;
  const TokenRows none{torch::empty({0, 0}, torch::kInt64), torch::empty({0}, torch::kInt64)};
  TokenRows captions{batch.text_ids, batch.text_length};
  if (wanted.with_captions && batch.has_text.defined()) {
    result.captioned = batch.has_text.nonzero().squeeze(1);  // [C]
    captions = {captions.ids.index_select(0, result.captioned),
                captions.length.index_select(0, result.captioned)};
  }
  const TokenRows regions{batch.region_ids, batch.region_length};
  const bool with_negatives = wanted.with_negatives && batch.negatives() > 0;
  const TokenRows negatives =
      with_negatives ? TokenRows{batch.negative_ids, batch.negative_length} : none;
  TextGroups texts = group_texts(
      {wanted.with_captions ? captions : none, wanted.with_regions ? regions : none, negatives},
      {.max_rows = wanted.max_rows, .cut = wanted.cut});
  result.groups = std::move(texts.groups);
  result.caption_row = texts.rows[0];
  result.region_row = texts.rows[1];
  result.negative_row = texts.rows[2];
  return result;
}

}  // namespace opencloc
