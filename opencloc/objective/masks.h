// Which patches and words a pass sees whose model must do without the others: masked autoencoders,
// and CLIP with dropped patches.
#pragma once

#include <torch/types.h>

namespace opencloc {

// Which of N places a masked pass sees and which it restores.
struct Masks {
  torch::Tensor keep;    // [B, K] int64, ascending; N where a row has fewer than K
  torch::Tensor hidden;  // [B, N] bool: to be restored
};
// Of patches: the first round((1 - share) N), at least one, of `order` [B, N] (Batch::patch_order).
// Patches of nothing but padding are neither restored nor, as long as there are others, seen.
Masks mask_patches(const torch::Tensor& order, double share);
// The patches whose places a pass sees a learned token in: the last round(share n), at least one,
// of the n that are not padding, [B, N] bool. Without padding they are those that mask_patches()
// restores.
torch::Tensor hide_patches(const torch::Tensor& order, double share);
// Those that are not padding, [B, N] bool.
torch::Tensor real_patches(const torch::Tensor& order);
// Of texts: the end token and the first round((1 - share) n) of the n words before it, but one word
// is always hidden. order [B, T], length [B] (ids before the padding).
Masks mask_words(const torch::Tensor& order, const torch::Tensor& length, double share);

}  // namespace opencloc
