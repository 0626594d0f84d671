// The graphs of regions: boxes, points, and texts that look for their box.
#include <torch/utils.h>

#include "opencloc/checkpoint/onnx/region_layers.h"
#include "opencloc/checkpoint/onnx/towers.h"

namespace opencloc::onnx {
namespace {

Value tokens_input(Graph& graph, const ModelConfig& config) {
  return graph.input(kImageTokens, torch::kFloat,
                     {"batch", config.vision.tokens(), config.vision.width});
}

void region_output(Graph& graph, const ModelConfig& config, const Value& regions) {
  graph.output(regions, kRegionEmbeds, {"batch", "regions", config.embed_dim});
}

}  // namespace

Graph box_graph(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  const auto& config = model->config();
  Graph graph("prompter");
  RegionLayers regions(graph, model);
  const auto tokens = tokens_input(graph, config);
  const auto boxes = graph.input(kBoxes, torch::kFloat, {"batch", "regions", 4});
  const auto found =
      config.cloc.region_extractor == RegionExtractor::kRoiAlign
          ? regions.roi_aligned(tokens, boxes)
          : regions.prompted(tokens, regions.box_tokens(boxes), regions.tokens_of_box());
  if (config.cloc.quality_head) {
    const auto quality = regions.layers().reshape(regions.head(found, "quality_head"), {0, -1});
    graph.output(quality, kQuality, {"batch", "regions"});
  }
  region_output(graph, config, found);
  return graph;
}

Graph point_graph(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  const auto& config = model->config();
  Graph graph("prompter_points");
  RegionLayers regions(graph, model);
  const auto tokens = tokens_input(graph, config);
  const auto points = graph.input(kPoints, torch::kFloat, {"batch", "regions", 2});
  region_output(graph, config, regions.prompted(tokens, regions.point_tokens(points), 1));
  return graph;
}

Graph grounding_graph(const Cloc& model) {
  const torch::NoGradGuard no_grad;
  const auto& config = model->config();
  Graph graph("grounding");
  RegionLayers regions(graph, model);
  const auto tokens = tokens_input(graph, config);
  const auto text = graph.input(kTextEmbeds, torch::kFloat, {"batch", "regions", config.embed_dim});
  const auto found = regions.prompted(tokens, regions.text_tokens(text), 1);
  graph.output(regions.box_of(found), kBoxes, {"batch", "regions", 4});
  return graph;
}

}  // namespace opencloc::onnx
