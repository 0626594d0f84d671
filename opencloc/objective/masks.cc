#include "opencloc/objective/masks.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <torch/utils.h>

namespace opencloc {
namespace {

constexpr float kNoPatch = 1;  // orders of patches that are padding lie above it

// The first `count` of `order` [n], ascending.
std::vector<int64_t> first_of(const float* order, int64_t n, int64_t count) {
  std::vector<int64_t> places(static_cast<size_t>(n));
  std::iota(places.begin(), places.end(), int64_t{0});
  std::stable_sort(places.begin(), places.end(),
                   [order](int64_t a, int64_t b) { return order[a] < order[b]; });
  places.resize(static_cast<size_t>(count));
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

Masks mask_patches(const torch::Tensor& order, double share) {
  const int64_t batch = order.size(0), n = order.size(1);
  const auto seen = std::max<int64_t>(1, std::llround((1 - share) * static_cast<double>(n)));
  Masks masks{torch::empty({batch, seen}, torch::kInt64), real_patches(order)};
  const auto values = order.contiguous();
  auto* keep = masks.keep.data_ptr<int64_t>();
  for (int64_t row = 0; row < batch; ++row) {
    for (const int64_t place : first_of(values.data_ptr<float>() + row * n, n, seen)) {
      *keep++ = place;
      masks.hidden.data_ptr<bool>()[row * n + place] = false;
    }
  }
  return masks;
}

torch::Tensor real_patches(const torch::Tensor& order) { return order < kNoPatch; }

torch::Tensor hide_patches(const torch::Tensor& order, double share) {
  const int64_t batch = order.size(0), n = order.size(1);
  auto hidden = real_patches(order).contiguous();
  const auto values = order.contiguous();
  for (int64_t row = 0; row < batch; ++row) {
    bool* const places = hidden.data_ptr<bool>() + row * n;
    const int64_t real = std::count(places, places + n, true);
    const auto hide = std::min<int64_t>(
        real, std::max<int64_t>(1, std::llround(share * static_cast<double>(real))));
    for (const int64_t seen : first_of(values.data_ptr<float>() + row * n, n, real - hide))
      places[seen] = false;
  }
  return hidden;
}

Masks mask_words(const torch::Tensor& order, const torch::Tensor& length, double share) {
  const int64_t batch = order.size(0), n = order.size(1);
  std::vector<std::vector<int64_t>> kept;
  size_t most = 1;
  Masks masks;
  masks.hidden = torch::zeros({batch, n}, torch::kBool);
  const auto values = order.contiguous();
  for (int64_t row = 0; row < batch; ++row) {
    const int64_t words = std::max<int64_t>(0, length[row].item<int64_t>() - 1);
    const auto hide = std::min<int64_t>(
        words, std::max<int64_t>(1, std::llround(share * static_cast<double>(words))));
    auto seen = first_of(values.data_ptr<float>() + row * n, words, words - hide);
    bool* hidden = masks.hidden.data_ptr<bool>() + row * n;
    std::fill(hidden, hidden + words, true);
    for (const int64_t place : seen) hidden[place] = false;
    seen.push_back(words);  // the end
    most = std::max(most, seen.size());
    kept.push_back(std::move(seen));
  }
  masks.keep = torch::full({batch, static_cast<int64_t>(most)}, n, torch::kInt64);
  for (int64_t row = 0; row < batch; ++row) {
    const auto& seen = kept[static_cast<size_t>(row)];
    std::copy(seen.begin(), seen.end(),
              masks.keep.data_ptr<int64_t>() + row * static_cast<int64_t>(most));
  }
  return masks;
}

}  // namespace opencloc
