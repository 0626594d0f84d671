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

// The same for the samples of each part: {part: figures}, in order of the names; samples whose part
// is empty belong to none. parts: n.
Json figures_by_part(const torch::Tensor& ranks, const torch::Tensor& targets, int64_t classes,
                     const std::vector<std::string>& parts);

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
// "inverted_share" (x1 <= x0 or y1 <= y0), "constant_box": the better of the targets' mean and
// median as an answer to every phrase, and "best_constant_box": the best of the targets themselves
// as such an answer (of 4,096 of them, evenly spread, where there are more: "searched").
// `any`, one list a target or none at all: where a phrase has several boxes, each of them is right
// for "acc_any@0.5", and the target (the box around all of them) alone for "acc@0.5".
Json grounding_figures(const std::vector<Box>& predicted, const std::vector<Box>& targets,
                       const std::vector<std::vector<Box>>& any = {});

}  // namespace opencloc
