// What the handles of opencloc.h point at. Not installed.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <torch/utils.h>

#include "opencloc/api/opencloc.h"
#include "opencloc/image/canvas.h"
#include "opencloc/kernels/parallel.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

struct Model::Impl {
  Cloc model{nullptr};  // in eval mode; never changed after load
  std::shared_ptr<const Tokenizer> tokenizer;
  bool region_heads = false;
  int threads = 0;  // of its calls; 0 = the process's number

  // Lives while a thread runs the model: no gradients, at most `threads` threads, and libtorch's
  // own operations on this thread. The host program's settings come back after it.
  struct Run {
    explicit Run(const Impl& model) : limit(model.threads) {}
    const torch::NoGradGuard no_grad;
    const kernels::ThreadLimit limit;
    const kernels::OneOpenMpThread one_thread;
  };

  // A handle whose (non-const, non-mutating) forward functions can be called.
  Cloc handle() const { return model; }
  torch::Tensor encode_texts(const std::vector<std::string>& texts) const;  // [n, E], unit length
};

struct Scene::Impl {
  std::shared_ptr<const Model::Impl> model;
  ImageFeatures features;  // of one picture, B = 1, prompt context included
  CanvasMap map;           // picture -> canvas
  int width = 0;
  int height = 0;

  // What Scene's functions of these names do, on tensors: [R, E], not normalised, and boxes of the
  // picture for text embeddings [R, E].
  torch::Tensor regions(std::span<const Box> boxes) const;
  std::vector<Box> ground(const torch::Tensor& texts) const;
};

// [n, E] -> n embeddings of unit length.
std::vector<Embedding> to_embeddings(const torch::Tensor& rows);

}  // namespace opencloc
