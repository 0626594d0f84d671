// A model whose towers multiply in 8 bits, for inference alone: the four linear layers of every
// block (attn.in_proj, attn.out_proj, mlp.c_fc, mlp.c_proj) hold weights as ops/quantized.h has
// them. They are nearly all of the work and of the memory. What else there is stays F32:
// embeddings, norms and biases, which are no products; the patch embedding, whose inputs are
// pixels, and the projections, whose outputs are the embeddings themselves, with one product an
// image each; and the region part, which is small.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "opencloc/model/cloc/cloc.h"

namespace opencloc {

// In place. Parameters stop asking for gradients, and those of these layers become empty: the
// weights live in the layers. Layers that cannot (ops::can_be_quantized) stay as they are. Error
// (input) naming a weight that is not finite.
void quantize_towers(Cloc& model);
// The same with zeros, to be set.
void make_quantized(Cloc& model);
bool is_quantized(const Cloc& model);

// clip_weights() with NAME (int8 [O, I]) and NAME_scale (F32 [O]) where a weight is quantised: what
// a file holds. Copies, where they are.
std::vector<std::pair<std::string, torch::Tensor>> quantized_clip_weights(const Cloc& model);
// Takes the quantised ones from such a list, which has all of them. `model` is quantised.
void set_quantized_weights(Cloc& model,
                           const std::vector<std::pair<std::string, torch::Tensor>>& weights);
// The weights of `from`, shared, for a model of the same towers that is not quantised yet.
void share_quantized_weights(const Cloc& from, Cloc& to);

}  // namespace opencloc
