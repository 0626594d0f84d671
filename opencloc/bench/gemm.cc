#include <torch/utils.h>

#include "opencloc/bench/precision.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/ops/ops.h"
#include "opencloc/ops/products.h"
#include "opencloc/ops/reference.h"

namespace opencloc::bench {
namespace {

constexpr double kShareOfSeconds = 0.1;  // for each of many short products

void report_rate(const BenchOptions& options, Precision precision, double operations_an_item,
                 Figure& figure) {
  figure.gflops = figure.items_per_s * operations_an_item * 1e-9;
  figure.peak = precision == Precision::kBf16 ? measured_peak_bf16() : measured_peak_fp32();
  report(options, figure);
}

const char* name_of(Precision precision) { return precision == Precision::kFp32 ? "fp32" : "bf16"; }

struct Layer {
  torch::Tensor ln1_weight, ln1_bias, qkv_weight, qkv_bias, out_weight, out_bias, ln2_weight,
      ln2_bias;
  ops::MlpWeights mlp;
};

torch::Tensor parameter(torch::IntArrayRef sizes) {
  return (torch::randn(sizes) * 0.02).requires_grad_(true);
}

struct Tower {
  int64_t width = 192, layers = 6, tokens = 65, batch = 64, heads = 3;

  std::vector<Layer> make() const {
    std::vector<Layer> result;
    for (int64_t i = 0; i < layers; ++i) {
      result.push_back({parameter({width}),
                        parameter({width}),
                        parameter({3 * width, width}),
                        parameter({3 * width}),
                        parameter({width, width}),
                        parameter({width}),
                        parameter({width}),
                        parameter({width}),
                        {parameter({4 * width, width}), parameter({4 * width}),
                         parameter({width, 4 * width}), parameter({width})}});
    }
    return result;
  }

  // Multiply-adds of the products, twice; backward is twice the forward pass.
  double operations() const {
    const double rows = static_cast<double>(batch * tokens);
    const double linear = 2.0 * rows * 12.0 * static_cast<double>(width * width);
    const double attention = 4.0 * rows * static_cast<double>(tokens * width);
    return 3.0 * static_cast<double>(layers) * (linear + attention);
  }
};

torch::Tensor on_our_ops(torch::Tensor x, const std::vector<Layer>& layers, int64_t heads) {
  for (const Layer& l : layers) {
    const auto qkv =
        ops::linear(ops::layer_norm(x, l.ln1_weight, l.ln1_bias), l.qkv_weight, l.qkv_bias);
    x = x + ops::linear(ops::self_attention(qkv, heads), l.out_weight, l.out_bias);
    x = x + ops::mlp(ops::layer_norm(x, l.ln2_weight, l.ln2_bias), l.mlp);
  }
  return x;
}

torch::Tensor on_plain_torch(torch::Tensor x, const std::vector<Layer>& layers, int64_t heads) {
  namespace plain = ops::reference;
  for (const Layer& l : layers) {
    const auto qkv =
        plain::linear(plain::layer_norm(x, l.ln1_weight, l.ln1_bias), l.qkv_weight, l.qkv_bias);
    x = x + plain::linear(plain::self_attention(qkv, heads), l.out_weight, l.out_bias);
    x = x + plain::mlp(plain::layer_norm(x, l.ln2_weight, l.ln2_bias), l.mlp);
  }
  return x;
}

}  // namespace

void gemm(const BenchOptions& options) {
  const torch::NoGradGuard no_grad;
  struct Shape {
    int64_t rows, out, in;
  };
  for (const Shape s : {Shape{4160, 576, 192}, Shape{4160, 192, 192}, Shape{4160, 768, 192},
                        Shape{4160, 192, 768}, Shape{1576, 2304, 768}, Shape{1576, 768, 768},
                        Shape{1576, 3072, 768}, Shape{1576, 768, 3072}}) {
    auto x = torch::randn({s.rows, s.in}), y = torch::randn({s.rows, s.out});
    const auto weight = torch::randn({s.out, s.in}), bias = torch::randn({s.out});
    const double operations = 2.0 * static_cast<double>(s.rows * s.out * s.in);
    const std::string shape =
        std::to_string(s.rows) + "x" + std::to_string(s.out) + "x" + std::to_string(s.in);
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      const auto tell = [&](const std::string& product, const std::function<void()>& work) {
        const Spent spent = time_of(options.seconds * kShareOfSeconds, work);
        auto figure = figure_of(
            std::string("gemm/") + name_of(precision) + "/" + product + "/" + shape, 1, spent);
        report_rate(options, precision, operations, figure);
      };
      tell("forward", [&] { ops::product_forward(precision, x, weight, bias, y); });
      tell("dx", [&] { ops::product_dx(precision, y, weight, x); });
      tell("dw", [&] { ops::product_dw(precision, y, x); });
    }
  }
}

void tower(const BenchOptions& options) {
  torch::manual_seed(1);
  const Tower tower;
  const auto layers = tower.make();
  const auto x = torch::randn({tower.batch, tower.tokens, tower.width});
  using Forward = torch::Tensor (*)(torch::Tensor, const std::vector<Layer>&, int64_t);
  const auto tell = [&](const std::string& what, Precision precision, Forward forward) {
    const PrecisionScope scope(precision);
    const Spent spent = time_of(options.seconds, [&] {
      const auto input = x.detach().clone().requires_grad_(true);
      forward(input, layers, tower.heads).sum().backward();
    });
    const auto images = static_cast<double>(tower.batch);
    auto figure = figure_of("tower/w192-l6-t65-b64/" + what, images, spent);
    report_rate(options, precision, tower.operations() / images, figure);
  };
  tell("torch-fp32", Precision::kFp32, on_plain_torch);
  tell("fp32", Precision::kFp32, on_our_ops);
  tell("bf16", Precision::kBf16, on_our_ops);
}

}  // namespace opencloc::bench
