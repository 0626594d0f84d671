// Sinusoidal encoding of points of the canvas, shared by prompts and patch centres.
// A model read at another image size keeps the frequencies of its own grid: one place has one
// encoding at every size.
#pragma once

#include <torch/types.h>

namespace opencloc {

// points [..., 2] (x, y in [0, 1]) -> [..., D]: sin and cos of x and of y over D/4 log-spaced
// frequencies, from half a cycle a canvas to encoding_grid / 2 cycles: a patch layout of that many
// patches along a side cannot tell finer ones apart, so they would only be noise to the attention.
// D must be a multiple of 4.
torch::Tensor sinusoidal_encoding(const torch::Tensor& points, int64_t width,
                                  int64_t encoding_grid);

// Boxes [R, 4] (x0 y0 x1 y1) -> [R, D]: the mean of sinusoidal_encoding over all places of the box,
// which is that of its centre, each frequency w of x or y times sinc(w side / 2), sinc(a) = sin(a)
// / a: what is finer than the box averages out (Barron et al., "Mip-NeRF", 2021, do so for cones).
torch::Tensor integrated_encoding(const torch::Tensor& boxes, int64_t width, int64_t encoding_grid);

// Its frequencies, in cycles a canvas -> [D/4].
torch::Tensor encoding_frequencies(int64_t width, int64_t encoding_grid,
                                   const torch::TensorOptions& options = {});

// Encoding of the centres of a grid x grid patch layout, row by row -> [grid * grid, D].
torch::Tensor patch_centre_encoding(int64_t grid, int64_t width, int64_t encoding_grid);

}  // namespace opencloc
