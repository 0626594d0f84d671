#include "opencloc/checkpoint/layout/clip_names.h"

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

// Replaces the beginning that matches; empty when none does.
std::string rename(std::span<const Renamed> table, std::string_view name) {
  for (const auto& entry : table) {
    if (name.starts_with(entry.open_clip))
      return std::string(entry.other) + std::string(name.substr(entry.open_clip.size()));
  }
  return {};
}

[[noreturn]] void refuse(const ClipNames& names, const std::string& parameter) {
  throw Error::input(
      "the " + std::string(names.layout) + " layout has no name for '" + parameter + "'",
      names.layout, "use the open_clip layout: this is not a classic CLIP");
}

}  // namespace

StoredAs stored_as(const ClipNames& names, const std::string& parameter) {
  constexpr std::string_view kVisual = "visual.", kBlocks = "transformer.resblocks.";
  const bool visual = parameter.starts_with(kVisual);
  const std::string_view rest = std::string_view(parameter).substr(visual ? kVisual.size() : 0);
  if (!rest.starts_with(kBlocks)) {
    std::string renamed = rename(names.singles, parameter);
    if (renamed.empty()) refuse(names, parameter);
    const bool projection = parameter == "visual.proj" || parameter == "text_projection";
    return {{std::move(renamed)}, projection ? StoredAs::Form::kTransposed : StoredAs::Form::kSame};
  }
  const std::string_view block = rest.substr(kBlocks.size());  // "11.mlp.c_fc.weight"
  const size_t dot = block.find('.');
  const std::string layer = std::string(visual ? names.vision_blocks : names.text_blocks) +
                            std::string(block.substr(0, dot + 1));
  const std::string_view part = block.substr(dot + 1);
  constexpr std::string_view kInProjection = "attn.in_proj_";  // "attn.in_proj_weight"
  if (part.starts_with(kInProjection)) {
    const std::string kind(part.substr(kInProjection.size()));
    std::vector<std::string> stored;
    for (const auto name : names.qkv) stored.push_back(layer + std::string(name) + kind);
    return {std::move(stored), StoredAs::Form::kSplitRows};
  }
  const std::string renamed = rename(names.in_block, part);
  if (renamed.empty()) refuse(names, parameter);
  return {{layer + renamed}};
}

}  // namespace opencloc
