#include "opencloc/train/texts.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace opencloc {
namespace {

// The distinct texts of a batch by first appearance, as the bytes of their ids.
class Collector {
 public:
  // cut: without the padding.
  explicit Collector(bool cut) : cut_(cut) {}
  // ids [n, T], length [n] -> number of each row's text, [n] int64.
  torch::Tensor add(const torch::Tensor& ids, const torch::Tensor& length) {
    const int64_t count = ids.size(0), width = ids.size(1);
    const auto rows = torch::empty({count}, torch::kInt64);
    const auto* first = ids.data_ptr<int64_t>();
    const auto* lengths = length.data_ptr<int64_t>();
    auto* row = rows.data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      const std::string_view text(reinterpret_cast<const char*>(first + i * width),
                                  static_cast<size_t>(cut_ ? lengths[i] : width) * sizeof(int64_t));
      const auto [it, added] = seen_.emplace(text, static_cast<int64_t>(texts.size()));
      if (added) texts.push_back(text);
      row[i] = it->second;
    }
    return rows;
  }

  std::vector<std::string_view> texts;

 private:
  const bool cut_;
  std::unordered_map<std::string_view, int64_t> seen_;
};

int64_t ids_in(std::string_view text) {
  return static_cast<int64_t>(text.size() / sizeof(int64_t));
}

// [u, L]: what is behind a shorter text's end token does not matter; zeros.
torch::Tensor stack(const std::vector<std::string_view>& texts) {
  int64_t longest = 0;
  for (const auto text : texts) longest = std::max(longest, ids_in(text));
  const auto ids = torch::zeros({static_cast<int64_t>(texts.size()), longest}, torch::kInt64);
  auto* row = ids.data_ptr<int64_t>();
  for (const auto text : texts) {
    std::copy(text.begin(), text.end(), reinterpret_cast<char*>(row));
    row += longest;
  }
  return ids;
}

}  // namespace

int64_t TextBatch::size() const {
  int64_t count = 0;
  for (const auto& group : groups) count += group.size(0);
  return count;
}

TextBatch TextBatch::to(torch::Device device) const {
  TextBatch moved{{},
                  captioned.defined() ? captioned.to(device) : captioned,
                  caption_row.to(device),
                  region_row.to(device)};
  for (const auto& group : groups) moved.groups.push_back(group.to(device));
  return moved;
}

TextBatch distinct_texts(const Batch& batch, const TextGrouping& grouping) {
  Collector collector(grouping.cut);
  const auto none = torch::empty({0}, torch::kInt64);
  torch::Tensor captioned;                                                // [C]
  auto caption_ids = batch.text_ids, caption_length = batch.text_length;  // live as long as `texts`
  if (grouping.with_captions && batch.has_text.defined()) {
    captioned = batch.has_text.nonzero().squeeze(1);
    caption_ids = caption_ids.index_select(0, captioned);
    caption_length = caption_length.index_select(0, captioned);
  }
  auto caption_text =
      grouping.with_captions ? collector.add(caption_ids, caption_length) : none;  // [C]
  auto region_text =
      grouping.with_regions ? collector.add(batch.region_ids, batch.region_length) : none;  // [R]
  const auto& texts = collector.texts;

  // Rows in order of the length rounded up to a power of two, then of appearance.
  const auto bucket = [&](int64_t i) {
    return std::bit_ceil(std::max<uint64_t>(8, static_cast<uint64_t>(ids_in(texts[i]))));
  };
  std::vector<int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return bucket(a) < bucket(b); });

  TextBatch result;
  const auto row_of = torch::empty({static_cast<int64_t>(texts.size())}, torch::kInt64);
  std::vector<std::string_view> group;
  for (size_t row = 0; row < order.size(); ++row) {
    row_of.data_ptr<int64_t>()[order[row]] = static_cast<int64_t>(row);
    group.push_back(texts[order[row]]);
    const bool last = row + 1 == order.size() || bucket(order[row + 1]) != bucket(order[row]);
    if (last || static_cast<int64_t>(group.size()) == grouping.max_rows) {
      result.groups.push_back(stack(group));
      group.clear();
    }
  }
  result.captioned = captioned;
  result.caption_row = row_of.index_select(0, caption_text);
  result.region_row = row_of.index_select(0, region_text);
  return result;
}

}  // namespace opencloc
