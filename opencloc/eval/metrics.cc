#include "opencloc/eval/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "opencloc/base/error.h"
#include "opencloc/ops/product.h"

namespace opencloc {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::vector<int64_t> to_vector(const torch::Tensor& values) {
  const auto flat = values.to(torch::kCPU, torch::kInt64).contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

std::array<float, 4> coordinates(const Box& box) { return {box.x0, box.y0, box.x1, box.y1}; }
Box box_of(const std::array<float, 4>& c) { return {c[0], c[1], c[2], c[3]}; }

Box mean_box(const std::vector<Box>& boxes) {
  std::array<double, 4> sum{};
  for (const Box& box : boxes) {
    for (size_t c = 0; c < 4; ++c) sum[c] += coordinates(box)[c];
  }
  std::array<float, 4> mean{};
  for (size_t c = 0; c < 4; ++c) {
    mean[c] = static_cast<float>(share(sum[c], static_cast<double>(boxes.size())));
  }
  return box_of(mean);
}

Box median_box(const std::vector<Box>& boxes) {
  std::array<float, 4> median{};
  std::vector<float> values(boxes.size());
  for (size_t c = 0; c < 4; ++c) {
    std::transform(boxes.begin(), boxes.end(), values.begin(),
                   [c](const Box& box) { return coordinates(box)[c]; });
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    median[c] = *middle;
  }
  return box_of(median);
}

// Standard deviation, mean of the four coordinates.
double spread(const std::vector<Box>& boxes) {
  const auto mean = coordinates(mean_box(boxes));
  double total = 0;
  for (size_t c = 0; c < 4; ++c) {
    double squares = 0;
    for (const Box& box : boxes) squares += std::pow(coordinates(box)[c] - mean[c], 2);
    total += std::sqrt(share(squares, static_cast<double>(boxes.size()))) / 4;
  }
  return total;
}

struct Overlap {
  double accuracy = 0;  // share of IoU >= 0.5
  double mean_iou = 0;
};

// `answer(i)` is the box given for target i.
template <typename Answer>
Overlap overlap(const std::vector<Box>& targets, const Answer& answer) {
  double hits = 0;
  double sum = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const float shared = iou(answer(i), targets[i]);
    hits += shared >= 0.5f ? 1 : 0;
    sum += shared;
  }
  const auto n = static_cast<double>(targets.size());
  return {share(hits, n), share(sum, n)};
}

// An overlap with a box of NaNs would be 0: a broken model would look like a poor one.
void need_finite(const std::vector<Box>& boxes, const std::vector<Box>& targets) {
  const auto is_broken = [](const Box& box) { return !box.finite(); };
  if (const auto broken = std::count_if(boxes.begin(), boxes.end(), is_broken); broken > 0) {
    throw Error::failed("the model gives boxes that are not finite numbers (" +
                            std::to_string(broken) + " of " + std::to_string(boxes.size()) + ")",
                        {}, "evaluate an earlier checkpoint");
  }
  if (std::any_of(targets.begin(), targets.end(), is_broken))
    throw Error::input("a given box is not made of finite numbers", {}, "check the data");
}

Json constant_box_figures(const std::vector<Box>& targets) {
  Json best;
  for (const auto& [kind, box] :
       {std::pair{"mean", mean_box(targets)}, std::pair{"median", median_box(targets)}}) {
    const Overlap found = overlap(targets, [constant = box](size_t) { return constant; });
    const bool better = best.is_null() || found.accuracy > best["acc@0.5"].get<double>() ||
                        (found.accuracy == best["acc@0.5"].get<double>() &&
                         found.mean_iou > best["mean_iou"].get<double>());
    if (!better) continue;
    best = {{"acc@0.5", found.accuracy},
            {"mean_iou", found.mean_iou},
            {"kind", kind},
            {"box", coordinates(box)}};
  }
  return best;
}

// No constant answer is much better than the best of the true boxes.
Json best_constant_box(const std::vector<Box>& targets) {
  constexpr size_t kMostSearched = 4096;
  const size_t searched = std::min(targets.size(), kMostSearched);
  Overlap best;
  Box answer;
  for (size_t i = 0; i < searched; ++i) {
    const Box& constant = targets[i * targets.size() / searched];
    const Overlap found = overlap(targets, [&](size_t) { return constant; });
    const bool better = found.accuracy > best.accuracy ||
                        (found.accuracy == best.accuracy && found.mean_iou > best.mean_iou);
    if (i > 0 && !better) continue;
    best = found;
    answer = constant;
  }
  return {{"acc@0.5", best.accuracy},
          {"mean_iou", best.mean_iou},
          {"box", coordinates(answer)},
          {"searched", static_cast<int64_t>(searched)}};
}

// Share of predictions that fit any of a phrase's boxes.
double any_box_accuracy(const std::vector<Box>& predicted, const std::vector<Box>& targets,
                        const std::vector<std::vector<Box>>& any) {
  double hits = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto fits = [&](const Box& box) { return iou(predicted[i], box) >= 0.5f; };
    hits += any[i].empty() ? fits(targets[i]) : std::any_of(any[i].begin(), any[i].end(), fits);
  }
  return share(hits, static_cast<double>(targets.size()));
}

}  // namespace

double recall_at(const torch::Tensor& ranks, int64_t k, const torch::Tensor& weight) {
  const auto hit = (ranks < k).to(torch::kDouble);
  if (!weight.defined()) return share(hit.sum().item<double>(), static_cast<double>(ranks.numel()));
  const auto weights = weight.to(torch::kDouble);
  return share((hit * weights).sum().item<double>(), weights.sum().item<double>());
}

Json classification_figures(const torch::Tensor& ranks, const torch::Tensor& targets,
                            int64_t classes) {
  const auto count = targets.bincount({}, classes).to(torch::kDouble);  // [C]
  const auto hits = targets.masked_select(ranks < 1).bincount({}, classes).to(torch::kDouble);
  const auto occurs = count > 0;
  const double recall_sum = (hits / count).masked_select(occurs).sum().item<double>();
  return {{"acc1", recall_at(ranks, 1)},
          {"acc5", recall_at(ranks, 5)},
          {"mean_per_class_recall", share(recall_sum, occurs.sum().item<double>())},
          {"n", targets.numel()}};
}

Json figures_by_part(const torch::Tensor& ranks, const torch::Tensor& targets, int64_t classes,
                     const std::vector<std::string>& parts) {
  std::map<std::string, std::vector<int64_t>> rows_of;
  for (size_t i = 0; i < parts.size(); ++i)
    if (!parts[i].empty()) rows_of[parts[i]].push_back(static_cast<int64_t>(i));
  Json figures = Json::object();
  for (const auto& [part, rows] : rows_of) {
    const auto chosen = torch::tensor(rows, torch::kInt64);
    figures[part] = classification_figures(ranks.index_select(0, chosen),
                                           targets.index_select(0, chosen), classes);
  }
  return figures;
}

Json within_image_figures(const torch::Tensor& regions, const torch::Tensor& names,
                          const torch::Tensor& targets, const torch::Tensor& images) {
  const auto target = to_vector(targets);
  const auto image = to_vector(images);
  std::map<int64_t, std::vector<int64_t>> rows_of;  // image -> rows
  for (size_t i = 0; i < image.size(); ++i) rows_of[image[i]].push_back(static_cast<int64_t>(i));

  double hits = 0;
  double chance = 0;
  int64_t counted = 0;
  for (const auto& [number, rows] : rows_of) {
    std::vector<int64_t> candidates;  // distinct names of this picture, ascending
    for (const int64_t row : rows) candidates.push_back(target[static_cast<size_t>(row)]);
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    if (candidates.size() < 2) continue;
    const auto scores = ops::product(regions.index_select(0, torch::tensor(rows)),
                                     names.index_select(0, torch::tensor(candidates)).t());
    if (!scores.isfinite().all().item<bool>()) {
      throw Error::failed("the model gives embeddings that are not finite numbers", {},
                          "evaluate an earlier checkpoint");
    }
    const auto chosen = to_vector(scores.argmax(1));  // [rows]
    for (size_t i = 0; i < rows.size(); ++i) {
      hits += candidates[static_cast<size_t>(chosen[i])] == target[static_cast<size_t>(rows[i])];
      chance += 1.0 / static_cast<double>(candidates.size());
      ++counted;
    }
  }
  if (counted == 0) return {{"within_image_n", 0}};
  const auto n = static_cast<double>(counted);
  return {{"within_image_acc1", share(hits, n)},
          {"within_image_chance", share(chance, n)},
          {"within_image_n", counted}};
}

Json grounding_figures(const std::vector<Box>& predicted, const std::vector<Box>& targets,
                       const std::vector<std::vector<Box>>& any) {
  need_finite(predicted, targets);
  const Overlap found = overlap(targets, [&](size_t i) { return predicted[i]; });
  const auto n = static_cast<double>(targets.size());
  const auto inverted = std::count_if(predicted.begin(), predicted.end(), [](const Box& box) {
    return box.width() <= 0 || box.height() <= 0;
  });
  Json figures{{"acc@0.5", found.accuracy},
               {"mean_iou", found.mean_iou},
               {"n", static_cast<int64_t>(targets.size())},
               {"inverted_share", share(static_cast<double>(inverted), n)}};
  if (targets.empty()) return figures;
  figures["predicted_spread"] = spread(predicted);
  figures["target_spread"] = spread(targets);
  const bool several =
      std::any_of(any.begin(), any.end(), [](const auto& boxes) { return !boxes.empty(); });
  if (several) figures["acc_any@0.5"] = any_box_accuracy(predicted, targets, any);
  figures["constant_box"] = constant_box_figures(targets);
  figures["best_constant_box"] = best_constant_box(targets);
  return figures;
}

}  // namespace opencloc
