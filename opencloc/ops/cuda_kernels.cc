#include "opencloc/ops/cuda_kernels.h"

#include <atomic>
#include <filesystem>
#include <string>

#include <c10/core/DeviceGuard.h>
#include <dlfcn.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/ops/dispatch.h"
#include "opencloc/ops/torch_compat.h"

namespace opencloc::ops {
namespace {

namespace cuda = kernels::cuda;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kLibrary = "libopencloc_cuda.so";
constexpr int kKernelsVersion = 1;

const cuda::Kernels* load_kernels() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* folder : {".", "../lib", "../../lib"}) {  // built; installed: bin, libexec/opencloc
    const auto path = program / folder / kLibrary;
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    using Get = const cuda::Kernels* (*)();
    const auto get = reinterpret_cast<Get>(::dlsym(library, "opencloc_cuda_kernels"));
    if (get != nullptr && get()->version == kKernelsVersion) return get();
  }
  return nullptr;
}

struct OtherDevice {
  std::atomic<const cuda::Kernels*> kernels{nullptr};
  std::atomic<c10::DeviceType> type{c10::DeviceType::CUDA};
};
OtherDevice& other_device() {
  static OtherDevice other;
  return other;
}

void check(int error) {
  if (error != 0)
    throw Error::failed(
        "a CUDA kernel was not started (CUDA's error " + std::to_string(error) + ")", kLibrary,
        "build it for this GPU (docs/guide/gpu.md)");
}

const uint16_t* bf16_of(const torch::Tensor& t) {
  return t.defined() ? reinterpret_cast<const uint16_t*>(t.data_ptr<at::BFloat16>()) : nullptr;
}
uint16_t* bf16_into(const torch::Tensor& t) {
  return reinterpret_cast<uint16_t*>(t.data_ptr<at::BFloat16>());
}

cuda::CudaGelu cuda_kind(Gelu kind) {
  return kind == Gelu::kErf     ? cuda::CudaGelu::kErf
         : kind == Gelu::kQuick ? cuda::CudaGelu::kQuick
                                : cuda::CudaGelu::kTanh;
}

// libtorch's own work is on the default stream: nobody here sets another.
constexpr cuda::Stream kDefaultStream = nullptr;

// -> {normed, sum}; without `added` the sum is the input.
struct AddLayerNormFunction : torch::autograd::Function<AddLayerNormFunction> {
  static variable_list forward(AutogradContext* ctx, const torch::Tensor& input,
                               const OptionalTensor& added_input, const torch::Tensor& weight_input,
                               const torch::Tensor& bias_input, double epsilon,
                               const cuda::Kernels* kernels) {
    const auto x = input.contiguous(), weight = weight_input.contiguous();
    const auto bias = bias_input.contiguous();
    const auto added = added_input ? added_input->contiguous() : torch::Tensor();
    const int64_t rows = row_count(x);
    const c10::DeviceGuard on(x.device());
    auto normed = torch::empty_like(x), sum = added.defined() ? torch::empty_like(x) : x;
    const auto f32 = x.options().dtype(torch::kFloat);
    auto mean = torch::empty({rows}, f32), rstd = torch::empty({rows}, f32);
    check(kernels->add_layer_norm_forward({.rows = rows,
                                           .width = static_cast<int>(x.size(-1)),
                                           .epsilon = static_cast<float>(epsilon),
                                           .x = bf16_of(x),
                                           .added = bf16_of(added),
                                           .weight = weight.data_ptr<float>(),
                                           .bias = bias.data_ptr<float>(),
                                           .sum = bf16_into(sum),
                                           .normed = bf16_into(normed),
                                           .mean = mean.data_ptr<float>(),
                                           .rstd = rstd.data_ptr<float>()},
                                          kDefaultStream));
    ctx->save_for_backward({sum, weight, mean, rstd});
    ctx->saved_data["kernels"] = reinterpret_cast<int64_t>(kernels);
    ctx->saved_data["added"] = added.defined();
    return {normed, added.defined() ? sum : input};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto &sum = saved[0], &weight = saved[1];
    const auto* kernels =
        reinterpret_cast<const cuda::Kernels*>(ctx->saved_data["kernels"].toInt());
    const bool added = ctx->saved_data["added"].toBool();
    torch::Tensor beside;
    if (grads[1].defined()) beside = grads[1].contiguous();
    const auto of_added = [&](const torch::Tensor& dx) { return added ? dx : torch::Tensor(); };
    if (!grads[0].defined()) return {beside, of_added(beside), {}, {}, {}, {}};
    const auto dnormed = grads[0].contiguous();
    const c10::DeviceGuard on(sum.device());
    const int width = static_cast<int>(sum.size(-1));
    auto dx = torch::empty_like(sum);
    auto dweight = torch::empty_like(weight), dbias = torch::empty_like(weight);
    auto scratch = torch::empty({kernels->layer_norm_scratch(width)}, weight.options());
    check(kernels->add_layer_norm_backward({.rows = row_count(sum),
                                            .width = width,
                                            .sum = bf16_of(sum),
                                            .mean = saved[2].data_ptr<float>(),
                                            .rstd = saved[3].data_ptr<float>(),
                                            .weight = weight.data_ptr<float>(),
                                            .dnormed = bf16_of(dnormed),
                                            .dsum = bf16_of(beside),
                                            .dx = bf16_into(dx),
                                            .dweight = dweight.data_ptr<float>(),
                                            .dbias = dbias.data_ptr<float>(),
                                            .scratch = scratch.data_ptr<float>()},
                                           kDefaultStream));
    return {dx, of_added(dx), dweight, dbias, {}, {}};
  }
};

}  // namespace

const cuda::Kernels* cuda_kernels(torch::Device device) {
  if (device.is_cpu()) return nullptr;
  if (other_device().type == device.type() && other_device().kernels != nullptr)
    return other_device().kernels;
  if (!device.is_cuda()) return nullptr;
  static const cuda::Kernels* const loaded = load_kernels();
  return loaded;
}

void set_cuda_kernels(c10::DeviceType device, const cuda::Kernels* kernels) {
  other_device().type = device;
  other_device().kernels = kernels;
}

BranchStart add_layer_norm(const cuda::Kernels& kernels, const torch::Tensor& x,
                           const torch::Tensor& added, const torch::Tensor& weight,
                           const torch::Tensor& bias, double epsilon) {
  const auto out =
      AddLayerNormFunction::apply(x, added.defined() ? OptionalTensor(added) : OptionalTensor(),
                                  weight, bias, epsilon, &kernels);
  return {out[1], out[0]};
}

torch::Tensor gelu_by(const cuda::Kernels& kernels, const torch::Tensor& input, Gelu kind) {
  const auto z = input.contiguous();
  const c10::DeviceGuard on(z.device());
  auto h = torch::empty_like(z);
  check(kernels.gelu_forward(cuda_kind(kind), z.numel(), bf16_of(z), bf16_into(h), kDefaultStream));
  return h;
}

GeluGradient gelu_gradient_by(const cuda::Kernels& kernels, const torch::Tensor& dh_input,
                              const torch::Tensor& z_input, Gelu kind) {
  const auto dh = dh_input.contiguous(), z = z_input.contiguous();
  const c10::DeviceGuard on(z.device());
  const int width = static_cast<int>(z.size(-1));
  const auto f32 = z.options().dtype(torch::kFloat);
  GeluGradient gradient{torch::empty_like(z), torch::empty({width}, f32)};
  auto scratch = torch::empty({kernels.gelu_scratch(width)}, f32);
  check(kernels.gelu_backward({.kind = cuda_kind(kind),
                               .rows = row_count(z),
                               .width = width,
                               .z = bf16_of(z),
                               .dh = bf16_of(dh),
                               .dz = bf16_into(gradient.z),
                               .dbias = gradient.bias.data_ptr<float>(),
                               .scratch = scratch.data_ptr<float>()},
                              kDefaultStream));
  return gradient;
}

}  // namespace opencloc::ops
