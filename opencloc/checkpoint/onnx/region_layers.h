// What the Prompter and RoIAlign are made of, as operators of an ONNX graph: the same computation
// as model/cloc/prompter.cc and roi_align.cc, with regions [B, R, ...] beside tokens [B, T, D].
#pragma once

#include "opencloc/checkpoint/onnx/layers.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::onnx {

class RegionLayers {
 public:
  // The graph and the model outlive this.
  RegionLayers(Graph& graph, const Cloc& model);
  Layers& layers() { return layers_; }

  // Tokens of prompts of one kind -> [B, R, P, D]. boxes [B, R, 4], points [B, R, 2], text [B, R,
  // E].
  Value box_tokens(const Value& boxes);
  Value point_tokens(const Value& points);
  Value text_tokens(const Value& text);
  int64_t tokens_of_box() const { return config_.cloc.joint_box_token ? 3 : 2; }

  // image_tokens [B, T, D], prompts [B, R, P, D] -> region embeddings [B, R, E].
  Value prompted(const Value& image_tokens, const Value& prompts, int64_t tokens_of_one);
  // The same of boxes by RoIAlign.
  Value roi_aligned(const Value& image_tokens, const Value& boxes);
  // The two layers of BoxHead and QualityHead, [B, R, E] -> [B, R, ...].
  Value head(const Value& regions, const std::string& name);
  Value box_of(const Value& regions);  // [B, R, 4]

 private:
  Value encoded(const Value& places, const std::vector<int64_t>& shape);
  Value integrated(const Value& corners, const Value& centre);
  Value placed(const Value& tokens, double share);
  Value typed(const Value& tokens, int64_t first, int64_t count);
  Value pool_prompt(const Value& image_tokens, const Value& prompts, int64_t tokens_of_one);
  Value pool_all(const Value& image_tokens, const Value& prompts, int64_t tokens_of_one);
  Value mean_of_layer(const Value& x);
  Value value_out(const Value& x);
  Value axis_weights(const Value& low, const Value& high);

  Graph& graph_;
  const ModelConfig& config_;
  Layers layers_;
  int64_t width_;         // D
  torch::Tensor places_;  // [T, D], or undefined
};

}  // namespace opencloc::onnx
