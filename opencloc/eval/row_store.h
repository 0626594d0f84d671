// Rows that arrive in pieces and are read once all are there.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

namespace opencloc {

class RowStore {
 public:
  // rows [k, W], any device; kept on the CPU.
  void append(const torch::Tensor& rows) {
    if (rows.size(0) == 0) return;
    size_ += rows.size(0);
    blocks_.push_back(rows.to(torch::kCPU));
  }
  int64_t size() const { return size_; }
  // [size, W]; undefined when nothing was appended.
  torch::Tensor rows() {
    if (blocks_.size() > 1) blocks_ = {torch::cat(blocks_)};
    return blocks_.empty() ? torch::Tensor() : blocks_.front();
  }

 private:
  std::vector<torch::Tensor> blocks_;
  int64_t size_ = 0;
};

}  // namespace opencloc
