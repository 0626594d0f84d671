// Our models as ONNX graphs: the two towers, and the Prompter with what it is asked for. Their
// numbers are those of model/clip and model/cloc in F32; embeddings are not normalised, as there.
#pragma once

#include "opencloc/checkpoint/onnx/graph.h"
#include "opencloc/model/cloc/cloc.h"

namespace opencloc::onnx {

// Names of inputs and outputs.
inline constexpr const char* kPixelValues = "pixel_values";    // [batch, 3, S, S], normalised
inline constexpr const char* kImageEmbeds = "image_embeds";    // [batch, E]
inline constexpr const char* kImageTokens = "image_tokens";    // [batch, T, D], for regions
inline constexpr const char* kInputIds = "input_ids";          // [batch, context length], int64
inline constexpr const char* kTextEmbeds = "text_embeds";      // [batch, E]; regions: [.., R, E]
inline constexpr const char* kBoxes = "boxes";                 // [batch, regions, 4]
inline constexpr const char* kPoints = "points";               // [batch, regions, 2]
inline constexpr const char* kRegionEmbeds = "region_embeds";  // [batch, regions, E]
inline constexpr const char* kQuality = "quality_logits";      // [batch, regions]

// Error (input) for a captioner (its attentional pooler, its text tower's own class token), which
// these graphs have no words for; `where` names the model.
void require_onnx_towers(const ModelConfig& config, std::string_view where);

Graph visual_graph(const Cloc& model);   // pixel_values -> image_embeds, image_tokens
Graph textual_graph(const Cloc& model);  // input_ids -> text_embeds
// image_tokens and boxes -> region_embeds (and quality_logits of models with a quality head). By
// the configured extractor, Prompter or RoIAlign.
Graph box_graph(const Cloc& model);
// image_tokens and points -> region_embeds. Only with the Prompter.
Graph point_graph(const Cloc& model);
// image_tokens and text_embeds [batch, regions, E] -> boxes.
Graph grounding_graph(const Cloc& model);

}  // namespace opencloc::onnx
