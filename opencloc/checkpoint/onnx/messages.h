// Numbers of the fields of ONNX's messages (onnx.proto3), those that we write or read.
#pragma once

#include <cstdint>
#include <string>

#include <torch/types.h>

namespace opencloc::onnx {

namespace model_field {
inline constexpr uint32_t kIrVersion = 1, kProducer = 2, kProducerVersion = 3, kGraph = 7,
                          kOpset = 8;
}
namespace opset_field {
inline constexpr uint32_t kDomain = 1, kVersion = 2;
}
namespace graph_field {
inline constexpr uint32_t kNode = 1, kName = 2, kStored = 5, kInput = 11, kOutput = 12;
}
namespace node_field {
inline constexpr uint32_t kInput = 1, kOutput = 2, kName = 3, kOp = 4, kAttribute = 5;
}
namespace attribute_field {
inline constexpr uint32_t kName = 1, kFloat = 2, kInt = 3, kInts = 8, kType = 20;
}
namespace attribute_type {
inline constexpr int64_t kFloat = 1, kInt = 2, kInts = 7;
}
namespace tensor_field {
inline constexpr uint32_t kDim = 1, kType = 2, kName = 8, kRaw = 9, kOutside = 13, kLocation = 14;
}
inline constexpr int64_t kOutsideLocation = 1;
namespace pair_field {
inline constexpr uint32_t kKey = 1, kValue = 2;
}
namespace value_field {
inline constexpr uint32_t kName = 1, kType = 2;
}
namespace type_field {
inline constexpr uint32_t kTensor = 1;
}
namespace tensor_type_field {
inline constexpr uint32_t kElement = 1, kShape = 2;
}
namespace shape_field {
inline constexpr uint32_t kDim = 1;
}
namespace dim_field {
inline constexpr uint32_t kValue = 1, kName = 2;
}

// ONNX's number of a type of elements: those of our graphs.
inline constexpr int64_t kOnnxFloat = 1, kOnnxInt64 = 7;
inline int64_t onnx_type(torch::ScalarType type) {
  TORCH_CHECK(type == torch::kFloat || type == torch::kInt64, "no such tensors in ONNX graphs");
  return type == torch::kFloat ? kOnnxFloat : kOnnxInt64;
}

}  // namespace opencloc::onnx
