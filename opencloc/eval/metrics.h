// Figures of merit from ranks and boxes. All shares are in [0, 1]; means over nothing are 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/image/box.h"

namespace opencloc {

// Share of ranks below k. ranks [n] int64; weight [n] int64, undefined: all alike.
double recall_at(const torch::Tensor& ranks, int64_t k, const torch::Tensor& weight = {});

// {"acc1", "acc5", "mean_per_class_recall", "n"}: the instance average and the class mean (over the
// classes that occur among the targets). ranks, targets [n] int64, targets in [0, classes).
Json classification_figures(const torch::Tensor& ranks, const torch::Tensor& targets,
                            int64_t classes);

// "The right name among the names of the same picture": {"within_image_acc1",
// "within_image_chance", "within_image_n"}. Only pictures with two or more different names count;
// chance is the mean of 1 / names; without such pictures "within_image_n": 0 alone. regions [n, E],
// names [C, E], both L2-normalised; targets, images [n] int64. Throws Error (failed) for embeddings
// that are not finite.
Json within_image_figures(const torch::Tensor& regions, const torch::Tensor& names,
                          const torch::Tensor& targets, const torch::Tensor& images);

// Throws Error (failed) for predicted boxes that are not finite numbers, Error (input) for such
// targets. {"acc@0.5", "mean_iou", "n"} and beside them what tells a working box head from a lazy
// one: "predicted_spread" and "target_spread" (standard deviation, mean of the four coordinates),
// "inverted_share" (x1 <= x0 or y1 <= y0), and "constant_box": the better of the targets' mean and
// median as an answer to every phrase.
Json grounding_figures(const std::vector<Box>& predicted, const std::vector<Box>& targets);

}  // namespace opencloc
