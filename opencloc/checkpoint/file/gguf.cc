#include "opencloc/checkpoint/file/gguf.h"

#include <cmath>
#include <cstring>

#include "opencloc/base/error.h"
#include "opencloc/base/not_fetched.h"

namespace opencloc {
namespace {

torch::ScalarType scalar_of(GgufType type) {
  switch (type) {
    case GgufType::kF16:
      return torch::kFloat16;
    case GgufType::kBF16:
      return torch::kBFloat16;
    case GgufType::kI32:
      return torch::kInt32;
    case GgufType::kF32:
    case GgufType::kQ8_0:
      break;
  }
  return torch::kFloat32;
}

torch::Tensor from_q8(const std::byte* blocks, const std::vector<int64_t>& shape) {
  auto values = torch::empty(shape, torch::kFloat32);
  auto* out = values.data_ptr<float>();
  const auto count = static_cast<uint64_t>(values.numel()) / kQ8Block;
  for (uint64_t block = 0; block < count; ++block, blocks += kQ8BlockBytes) {
    c10::Half scale;
    std::memcpy(&scale, blocks, sizeof scale);
    for (uint64_t i = 0; i < kQ8Block; ++i)
      *out++ = static_cast<float>(scale) * static_cast<float>(static_cast<int8_t>(blocks[2 + i]));
  }
  return values;
}

GgufType stored_type(const GgufOutTensor& tensor) {
  const bool rows_fit =
      tensor.values.dim() > 0 && tensor.values.size(-1) % static_cast<int64_t>(kQ8Block) == 0;
  return tensor.type == GgufType::kQ8_0 && !rows_fit ? GgufType::kF16 : tensor.type;
}

}  // namespace

bool looks_like_gguf(std::span<const std::byte> start) { return GgufHeader::looks_like_one(start); }

GgufFile::GgufFile(const std::filesystem::path& path)
    : path_(path.string()), map_(path), header_(map_.bytes(), path_) {}

std::shared_ptr<const GgufFile> open_gguf(const std::filesystem::path& path) {
  require_fetched(MappedFile(path).bytes(), path);
  return std::make_shared<const GgufFile>(path);
}

StoredTensors GgufFile::stored() const {
  const auto self = shared_from_this();
  std::vector<StoredTensor> tensors;
  for (const auto& info : header_.tensors()) {
    tensors.push_back({info.name, to_string(info.type), info.shape,
                       [self, &info] { return self->tensor(info); }});
  }
  return {path_, std::move(tensors)};
}

torch::Tensor GgufFile::tensor(const GgufTensor& info) const {
  const auto* begin = map_.bytes().data() + info.begin;
  if (info.type == GgufType::kQ8_0) return from_q8(begin, info.shape);
  const auto options = torch::TensorOptions().dtype(scalar_of(info.type));
  auto copy = torch::empty(info.shape, options);
  if (info.size > 0) std::memcpy(copy.data_ptr(), begin, info.size);
  return copy;
}

std::string to_q8(const torch::Tensor& values) {
  const auto* x = values.data_ptr<float>();
  const auto count = static_cast<uint64_t>(values.numel()) / kQ8Block;
  std::string out(count * kQ8BlockBytes, '\0');
  char* at = out.data();
  for (uint64_t block = 0; block < count; ++block, x += kQ8Block, at += kQ8BlockBytes) {
    float largest = 0;
    for (uint64_t i = 0; i < kQ8Block; ++i) largest = std::max(largest, std::abs(x[i]));
    const float scale = largest / 127.0f;
    const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
    const c10::Half stored(scale);
    std::memcpy(at, &stored, sizeof stored);
    for (uint64_t i = 0; i < kQ8Block; ++i)
      at[2 + i] = static_cast<char>(static_cast<int8_t>(std::round(x[i] * inverse)));
  }
  return out;
}

void write_gguf(const std::filesystem::path& path,
                const std::vector<std::pair<std::string, GgufOut>>& keys,
                const std::vector<GgufOutTensor>& tensors) {
  std::vector<GgufTensor> infos;
  uint64_t place = 0;
  for (const auto& tensor : tensors) {
    const GgufType type = stored_type(tensor);
    const auto size = bytes_of(type, static_cast<uint64_t>(tensor.values.numel()));
    infos.push_back({tensor.name, type, tensor.values.sizes().vec(), place, size});
    place += (size + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
  }
  AtomicFile file(path);
  file.write(format_gguf_header(keys, infos));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto values = tensors[i].values.detach().cpu();
    const auto& info = infos[i];
    if (info.type == GgufType::kQ8_0) {
      if (!values.isfinite().all().item<bool>()) {
        throw Error::input("tensor '" + info.name + "' holds values that are not finite",
                           path.string(),
                           "use the setting 'dtype=f32', and look at how it was trained");
      }
      file.write(to_q8(values.to(torch::kFloat32).contiguous()));
    } else {
      const auto data = values.to(scalar_of(info.type)).contiguous();
      file.write(data.data_ptr(), data.nbytes());
    }
    file.write(std::string((kGgufAlignment - info.size % kGgufAlignment) % kGgufAlignment, '\0'));
  }
  file.commit();
}

}  // namespace opencloc
