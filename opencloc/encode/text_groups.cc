#include "opencloc/encode/text_groups.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace opencloc {
namespace {

// Distinct texts by first appearance, as the bytes of their ids.
class Collector {
 public:
  // cut: without the padding.
  explicit Collector(bool cut) : cut_(cut) {}
  // -> number of each row's text, [n] int64. The rows outlive the collector.
  torch::Tensor add(const TokenRows& part) {
    const int64_t count = part.ids.size(0), width = part.ids.size(1);
    const auto numbers = torch::empty({count}, torch::kInt64);
    const auto* first = part.ids.data_ptr<int64_t>();
    const auto* lengths = part.length.data_ptr<int64_t>();
    auto* number = numbers.data_ptr<int64_t>();
    for (int64_t i = 0; i < count; ++i) {
      const std::string_view text(reinterpret_cast<const char*>(first + i * width),
                                  static_cast<size_t>(cut_ ? lengths[i] : width) * sizeof(int64_t));
      const auto [it, added] = seen_.emplace(text, static_cast<int64_t>(texts.size()));
      if (added) texts.push_back(text);
      number[i] = it->second;
    }
    return numbers;
  }

  std::vector<std::string_view> texts;

 private:
  const bool cut_;
  std::unordered_map<std::string_view, int64_t> seen_;
};

int64_t ids_in(std::string_view text) {
  return static_cast<int64_t>(text.size() / sizeof(int64_t));
}

// [u, L]: what follows a shorter text's end token does not matter; zeros.
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

int64_t TextGroups::size() const {
  int64_t count = 0;
  for (const auto& group : groups) count += group.size(0);
  return count;
}

TextGroups group_texts(const std::vector<TokenRows>& parts, const TextGrouping& grouping) {
  Collector collector(grouping.cut);
  std::vector<torch::Tensor> numbers;
  for (const auto& part : parts) numbers.push_back(collector.add(part));
  const auto& texts = collector.texts;

  const auto bucket = [&](int64_t i) {
    return std::bit_ceil(std::max<uint64_t>(8, static_cast<uint64_t>(ids_in(texts[i]))));
  };
  std::vector<int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return bucket(a) < bucket(b); });

  TextGroups result;
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
  for (const auto& part : numbers) result.rows.push_back(row_of.index_select(0, part));
  return result;
}

}  // namespace opencloc
