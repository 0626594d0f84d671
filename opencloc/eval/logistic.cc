#include "opencloc/eval/logistic.h"

#include <algorithm>
#include <cmath>

#include <torch/utils.h>

#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc {
namespace {

using kernels::Transpose;

constexpr int64_t kBlockRows = 512;  // of a product
constexpr int64_t kParts = 16;       // sums that are added up at the end
constexpr double kProductNoise = 1e-7;

// A contiguous share of the rows: its loss and its gradient, not yet divided by the number of rows.
struct PartSum {
  double loss = 0;
  std::vector<double> gradient;  // [C, D + 1]
};

// logits [rows, C] -> softmax minus the one at the target, in place; returns the sum of the losses.
double to_residuals(float* logits, const int64_t* targets, int64_t rows, int64_t classes) {
  double loss = 0;
  for (int64_t i = 0; i < rows; ++i) {
    float* row = logits + i * classes;
    const double most = *std::max_element(row, row + classes);
    const double right = row[targets[i]] - most;
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const double share = std::exp(row[c] - most);
      sum += share;
      row[c] = static_cast<float>(share);
    }
    loss += std::log(sum) - right;
    const auto scale = static_cast<float>(1 / sum);
    for (int64_t c = 0; c < classes; ++c) row[c] *= scale;
    row[targets[i]] -= 1;
  }
  return loss;
}

// Rows with a last column of ones.
torch::Tensor with_ones(const torch::Tensor& features) {
  return torch::cat({features.to(torch::kCPU, torch::kFloat), torch::ones({features.size(0), 1})},
                    1)
      .contiguous();  // [n, D + 1]
}

class LogisticLoss {
 public:
  LogisticLoss(const LabelledRows& rows, double lambda)
      : rows_(with_ones(rows.features)),
        targets_(rows.targets.to(torch::kCPU, torch::kInt64).contiguous()),
        classes_(rows.classes),
        lambda_(lambda) {}

  double operator()(const std::vector<double>& weights, std::vector<double>& gradient) const {
    const std::vector<float> rounded(weights.begin(), weights.end());  // [C, D + 1]
    const int64_t blocks = (rows_.size(0) + kBlockRows - 1) / kBlockRows;
    std::vector<PartSum> parts(static_cast<size_t>(std::min(blocks, kParts)));
    kernels::parallel_items(static_cast<int64_t>(parts.size()), [&](int64_t part) {
      const kernels::ThreadLimit one_thread(1);  // also where there is only one part
      const auto count = static_cast<int64_t>(parts.size());
      parts[static_cast<size_t>(part)] =
          sum_of(rounded, blocks * part / count, blocks * (part + 1) / count);
    });
    std::fill(gradient.begin(), gradient.end(), 0.0);
    double loss = 0;
    for (const PartSum& part : parts) {
      loss += part.loss;
      for (size_t i = 0; i < gradient.size(); ++i) gradient[i] += part.gradient[i];
    }
    const auto n = static_cast<double>(rows_.size(0));
    loss /= n;
    for (double& value : gradient) value /= n;
    const auto width = static_cast<size_t>(rows_.size(1));
    for (size_t i = 0; i < weights.size(); ++i) {
      if (i % width == width - 1) continue;  // the bias
      loss += 0.5 * lambda_ * weights[i] * weights[i];
      gradient[i] += lambda_ * weights[i];
    }
    return loss;
  }
  size_t size() const { return static_cast<size_t>(classes_ * rows_.size(1)); }

 private:
  PartSum sum_of(const std::vector<float>& weights, int64_t first_block, int64_t last_block) const {
    const int64_t width = rows_.size(1);
    PartSum sum{0, std::vector<double>(weights.size())};
    std::vector<float> logits(static_cast<size_t>(kBlockRows * classes_));  // [rows, C]
    std::vector<float> gradient(weights.size());                            // [C, D + 1]
    for (int64_t block = first_block; block < last_block; ++block) {
      const int64_t begin = block * kBlockRows;
      const int64_t count = std::min(kBlockRows, rows_.size(0) - begin);
      const float* x = rows_.data_ptr<float>() + begin * width;
      kernels::gemm_fp32({.transpose_b = Transpose::kYes,
                          .m = count,
                          .n = classes_,
                          .k = width,
                          .lda = width,
                          .ldb = width,
                          .ldc = classes_},
                         x, weights.data(), logits.data());
      sum.loss +=
          to_residuals(logits.data(), targets_.data_ptr<int64_t>() + begin, count, classes_);
      kernels::gemm_fp32({.transpose_a = Transpose::kYes,
                          .m = classes_,
                          .n = width,
                          .k = count,
                          .lda = classes_,
                          .ldb = width,
                          .ldc = width},
                         logits.data(), x, gradient.data());
      for (size_t i = 0; i < gradient.size(); ++i) sum.gradient[i] += gradient[i];
    }
    return sum;
  }

  const torch::Tensor rows_;     // [n, D + 1]
  const torch::Tensor targets_;  // [n]
  const int64_t classes_;
  const double lambda_;
};

}  // namespace

double logistic_loss(const LabelledRows& rows, double lambda, const std::vector<double>& weights,
                     std::vector<double>& gradient) {
  return LogisticLoss(rows, lambda)(weights, gradient);
}

LogisticModel fit_logistic(const LabelledRows& rows, double lambda,
                           const std::vector<double>& start, const LbfgsOptions& options) {
  const LogisticLoss loss(rows, lambda);
  LogisticModel model;
  model.weights = start.empty() ? std::vector<double>(loss.size()) : start;
  LbfgsOptions with_noise = options;
  with_noise.value_noise = std::max(options.value_noise, kProductNoise);
  model.report = minimize([&loss](const std::vector<double>& x,
                                  std::vector<double>& gradient) { return loss(x, gradient); },
                          model.weights, with_noise);
  return model;
}

}  // namespace opencloc
