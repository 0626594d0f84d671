// What only a GPU can show: operations, kernels, steps and the optimizer there against the CPU, and
// that nothing in a step reads back. Without a GPU the program says what its first CUDA call said
// and exits with 77. Run by tools/gpu_check.
#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

#include <ATen/record_function.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/loss/loss.h"
#include "opencloc/model/device.h"
#include "opencloc/ops/cuda_kernels.h"
#include "tests/ops/all_ops.h"
#include "tests/train/steps.h"

namespace opencloc {
namespace {

const torch::Device kGpu(torch::kCUDA, 0);

// `op` with its inputs on the GPU, its results in main memory.
ops::Op on_gpu(const ops::Op& op) {
  return [op](const ops::Tensors& t) {
    ops::Tensors there;
    for (const auto& input : t) there.push_back(input.to(kGpu));
    return op(there).to(torch::kCPU, t[0].scalar_type());
  };
}

void expect_each_near(const ops::Tensors& got, const ops::Tensors& wanted, double share) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(ops::largest_difference(got[i], wanted[i]),
              share * std::max(1.0, wanted[i].abs().max().item<double>()))
        << i;
  }
}

// Against the same in F64 on the CPU; gradients too.
TEST(Gpu, EveryOperationAgreesWithF64) {
  for (const auto& one : ops::all_ops()) {
    SCOPED_TRACE(one.name);
    const auto inputs = ops::inputs_of(one);
    const auto wanted = ops::output_and_gradients(one.op, inputs, torch::kDouble);
    expect_each_near(ops::output_and_gradients(on_gpu(one.op), inputs, torch::kFloat), wanted,
                     2e-3);  // F32 products may be TF32
    const PrecisionScope bf16(Precision::kBf16);
    expect_each_near(ops::output_and_gradients(on_gpu(one.op), inputs, torch::kFloat), wanted,
                     0.05);
  }
}

// Shapes of real towers, where cuDNN's and cuBLAS's fast ways are taken.
TEST(Gpu, ABlockOfARealTowerAgreesWithF32) {
  torch::manual_seed(1);
  const auto qkv = ops::random({8, 197, 3 * 768});
  const ops::Op attention = [](const ops::Tensors& t) {
    return ops::self_attention(ops::as_activation(t[0]), 12);
  };
  const auto wanted = ops::output_and_gradients(attention, {qkv}, torch::kFloat);
  const PrecisionScope bf16(Precision::kBf16);
  expect_each_near(ops::output_and_gradients(on_gpu(attention), {qkv}, torch::kFloat), wanted,
                   0.05);
}

TEST(Gpu, OurKernelsAreThere) {
  EXPECT_NE(ops::cuda_kernels(kGpu), nullptr)
      << "libopencloc_cuda.so is not beside the program: libtorch computes what it would";
}

TEST(Gpu, OurKernelsAgreeWithLibtorch) {
  const auto* kernels = ops::cuda_kernels(kGpu);
  if (kernels == nullptr) GTEST_SKIP() << "no libopencloc_cuda.so";
  torch::manual_seed(2);
  const PrecisionScope bf16(Precision::kBf16);
  const auto block = [](const ops::Tensors& t) {
    const auto start =
        ops::add_branch_start(ops::as_activation(t[0]), ops::as_activation(t[1]), t[2], t[3]);
    return ops::mlp(start.normed, {t[4], t[5], t[6], t[7], ops::Gelu::kQuick}) + start.x;
  };
  const ops::Tensors inputs{ops::random({4, 50, 768}),
                            ops::random({4, 50, 768}),
                            ops::random({768}),
                            ops::random({768}),
                            ops::random({3072, 768}, 0.03),
                            ops::random({3072}),
                            ops::random({768, 3072}, 0.02),
                            ops::random({768})};
  const auto with = ops::output_and_gradients(on_gpu(block), inputs, torch::kFloat);
  ops::set_cuda_kernels(c10::DeviceType::CUDA, nullptr);
  const ComputeScope f32(Precision::kFp32, Backend::kTorch);
  expect_each_near(with, ops::output_and_gradients(block, inputs, torch::kFloat), 0.05);
}

// Names of operations that read back, since the last reset.
class ReadBacks {
 public:
  ReadBacks() {
    handle_ = at::addGlobalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& fn)
                                       -> std::unique_ptr<at::ObserverContext> {
          const std::string name = fn.name();
          if (name == "aten::_local_scalar_dense" || name == "aten::nonzero" ||
              name == "aten::is_nonzero" || name == "aten::equal" || name == "aten::item") {
            const std::lock_guard lock(mutex());
            names().push_back(name);
          }
          return nullptr;
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~ReadBacks() { at::removeCallback(handle_); }
  static std::vector<std::string>& names() {
    static std::vector<std::string> all;
    return all;
  }
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }

 private:
  at::CallbackHandle handle_;
};

// The same steps as on the tests' device of main memory, where every kind of wait is counted; here
// the operations of the CPU are counted as well, so the host's own are known and few.
TEST(Gpu, StepsAgreeWithTheCpu) {
  for (const auto& recipe : fixtures::recipes()) {
    SCOPED_TRACE(recipe.name);
    fixtures::How how;
    how.device = kGpu;
    how.late = true;
    fixtures::expect_same(fixtures::train_steps(recipe, how, 3),
                          fixtures::train_steps(recipe, {}, 3));
  }
}

TEST(Gpu, FiftyStepsInBf16FollowF32) {
  const auto& recipe = fixtures::recipes()[1];
  fixtures::How how;
  how.device = kGpu;
  how.late = true;
  const auto f32 = fixtures::train_steps(recipe, how, 50);
  how.precision = Precision::kBf16;
  const auto bf16 = fixtures::train_steps(recipe, how, 50);
  const double first = f32.losses.front();
  for (size_t i = 0; i < 50; ++i) EXPECT_NEAR(bf16.losses[i], f32.losses[i], 0.05 * first) << i;
}

TEST(Gpu, AStepReadsNothingBackButWhatLiesInMainMemory) {
  const auto& recipe =
      fixtures::recipes()[0];  // CLIP: the host reads how many pictures have a text
  const ReadBacks counting;
  const auto reads_of = [&](torch::Device device) {
    fixtures::How how;
    how.device = device;
    how.backend = Backend::kTorch;
    how.late = true;
    size_t count = 0;
    how.before_steps = [] { ReadBacks::names().clear(); };
    how.before_reading = [&] { count = ReadBacks::names().size(); };
    fixtures::train_steps(recipe, how, 2);
    return count;
  };
  EXPECT_EQ(reads_of(kGpu), reads_of(torch::kCPU));
}

TEST(Gpu, RegionLossAgreesWithF64) {
  torch::manual_seed(3);
  const auto unit = [](const torch::Tensor& x) { return x / x.norm(2, 1, true); };
  const auto a = unit(torch::randn({700, 64}, torch::kDouble)),
             b = unit(torch::randn({700, 64}, torch::kDouble));
  const auto id = torch::randint(0, 300, {700}, torch::kInt64);
  const auto loss_of = [&](torch::Device device, torch::Dtype type) {
    auto x = a.to(device, type).requires_grad_(), y = b.to(device, type).requires_grad_();
    auto scale = torch::full({}, 2.0, torch::TensorOptions(device).dtype(type)).requires_grad_();
    const auto result = region_loss(x, y, id, scale, {.similarity_test = true}, {.chunk = 128});
    result.loss.backward();
    return ops::Tensors{result.loss.detach().cpu(), x.grad().cpu(), y.grad().cpu(),
                        scale.grad().cpu(), result.removed_share.cpu()};
  };
  const auto got = loss_of(kGpu, torch::kFloat), wanted = loss_of(torch::kCPU, torch::kDouble);
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(ops::largest_difference(got[i], wanted[i]),
              2e-3 * std::max(1e-3, wanted[i].abs().max().item<double>()))
        << i;
}

// What the driver's first call says; empty: there is a GPU.
std::string no_gpu() {
  void* driver = ::dlopen("libcuda.so.1", RTLD_NOW);
  if (driver == nullptr) return std::string("dlopen: ") + ::dlerror();
  const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(driver, "cuInit"));
  const int error = init == nullptr ? -1 : init(0);
  if (error != 0) return "cuInit: error " + std::to_string(error);
  try {
    parse_device("cuda");
  } catch (const Error& refused) {
    return refused.what();
  }
  return {};
}

}  // namespace
}  // namespace opencloc

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const std::string why = opencloc::no_gpu();
  if (!why.empty()) {
    std::printf("gpu_test: no GPU: its first CUDA call failed (%s)\n", why.c_str());
    return 77;
  }
  return RUN_ALL_TESTS();
}
