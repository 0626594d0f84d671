// Texts as tensors of bytes. Private to opencloc/dist.
#pragma once

#include <string>

#include <torch/types.h>

namespace opencloc::dist {

torch::Tensor bytes_of(const std::string& text);  // [bytes] uint8
std::string text_of(const torch::Tensor& bytes);

}  // namespace opencloc::dist
