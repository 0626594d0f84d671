#include "opencloc/eval/protocol.h"

#include <algorithm>

#include "opencloc/base/error.h"

namespace opencloc {

// The one table of protocols. docs/guide/evaluation.md says which data and which command each
// needs, and what of the published evaluation is not as there.
const std::vector<Protocol>& protocols() {
  static const std::vector<Protocol> kProtocols{
      {"cloc",
       "CLOC (Chen et al., 2024): boxes of COCO or LVIS, bare names; its average is not defined",
       {"region_recognition/acc1", "region_recognition/mean_per_class_recall"},
       {{"tasks", "region_recognition"},
        {"region_templates", "none"},
        {"crowd", "false"},
        {"image_resize_mode", "longest"}}},
      {"cloc-grit",
       "CLOC (Chen et al., 2024): regions of 2,000 GRIT pictures against their texts, both ways",
       {"region_retrieval/region_to_text_recall@10", "region_retrieval/text_to_region_recall@10"},
       {{"tasks", "region_retrieval"}, {"max_samples", "2000"}, {"image_resize_mode", "longest"}}},
      {"clipself",
       "CLIPSelf (Wu et al., 2024), RoI: things of COCO panoptic, dense features, class mean",
       {"region_recognition/mean_per_class_recall"},
       {{"tasks", "region_recognition"},
        {"region_method", "dense"},
        {"region_templates", "vild"},
        {"crowd", "true"},
        {"min_box_area", "64"},
        {"max_box_area", "1048576"},
        {"image_resize_mode", "corner"},
        {"image_size", "1024"}}},
      {"clipself-crop",
       "CLIPSelf (Wu et al., 2024), image crops: the same boxes with 1.5 times their sides",
       {"region_recognition/mean_per_class_recall"},
       {{"tasks", "region_recognition"},
        {"region_method", "crop:1.5"},
        {"region_templates", "vild"},
        {"crowd", "true"},
        {"min_box_area", "64"},
        {"max_box_area", "1048576"},
        {"image_resize_mode", "shortest"}}},
      {"fg-clip",
       "FG-CLIP (Xie et al., 2025): all boxes of COCO, dense features, instance average",
       {"region_recognition/acc1"},
       {{"tasks", "region_recognition"},
        {"region_method", "dense_raw"},
        {"region_templates", "openai"},
        {"crowd", "true"},
        {"image_resize_mode", "squash"}}},
      {"fg-clip2",
       "FG-CLIP 2 (Xie et al., 2025): as FG-CLIP with lower-cased prompts",
       {"region_recognition/acc1"},
       {{"tasks", "region_recognition"},
        {"region_method", "dense_raw"},
        {"region_templates", "openai"},
        {"lower_case", "true"},
        {"crowd", "true"},
        {"image_resize_mode", "squash"}}},
      {"fg-clip2-crop",
       "FG-CLIP 2 (Xie et al., 2025), cropped and resized: what its SigLIP 2 rows are",
       {"region_recognition/acc1"},
       {{"tasks", "region_recognition"},
        {"region_method", "crop"},
        {"region_templates", "openai"},
        {"lower_case", "true"},
        {"crowd", "true"},
        {"image_resize_mode", "squash"}}},
      {"imagenet",
       "open_clip: ImageNet with its 1,000 names and 80 prompts; V2, -A, -R, Sketch by a names map",
       {"zeroshot/acc1", "zeroshot/acc5"},
       {{"tasks", "zeroshot"}, {"classes", "imagenet"}, {"templates", "openai"}}},
      {"retrieval",
       "CLIP_benchmark: COCO 5k and Flickr30k 1k, any of a picture's captions",
       {"retrieval/text_retrieval_recall@1", "retrieval/image_retrieval_recall@1"},
       {{"tasks", "retrieval"}}},
      {"refcoco",
       "RefCOCO, RefCOCO+, RefCOCOg: the box of every sentence",
       {"grounding/acc@0.5"},
       {{"tasks", "grounding"}, {"every_phrase", "true"}}},
      {"flickr30k-entities",
       "Flickr30k Entities: any of a phrase's boxes, and the box around all of them",
       {"grounding/acc_any@0.5", "grounding/acc@0.5"},
       {{"tasks", "grounding"}, {"every_phrase", "true"}}},
      {"sugarcrepe",
       "SugarCrepe (Hsieh et al., 2023): a picture's caption against one hard negative, by kind",
       {"choice/pictures/acc1", "choice/pictures/mean_of_kinds"},
       {{"tasks", "choice"}}},
      {"aro",
       "ARO (Yuksekgonul et al., 2023): VG-Relation and VG-Attribution, cut out, by kind",
       {"choice/regions/mean_of_kinds", "choice/regions/acc1"},
       {{"tasks", "choice"}, {"region_method", "crop"}}},
      {"winoground",
       "Winoground (Thrush et al., 2022): two captions, two pictures",
       {"choice/pairs/text_score", "choice/pairs/image_score", "choice/pairs/group_score"},
       {{"tasks", "choice"}}},
      {"fg-ovd",
       "FG-OVD as FG-CLIP asks it: a box's description against its hard negatives",
       {"choice/regions/acc1"},
       {{"tasks", "choice"}, {"region_method", "dense_raw"}, {"image_resize_mode", "squash"}}},
      {"sorce",
       "SORCE (Liu et al., 2025): the picture of a text about one of its small objects",
       {"object_retrieval/recall@1"},
       {{"tasks", "object_retrieval"}, {"distractors", "given"}}},
  };
  return kProtocols;
}

const Protocol& find_protocol(std::string_view name) {
  std::string known;
  for (const auto& protocol : protocols()) {
    if (name == protocol.name) return protocol;
    known += (known.empty() ? "" : ", ") + std::string(protocol.name);
  }
  throw Error::input("unknown protocol \"" + std::string(name) + "\"", {}, "known are " + known);
}

namespace {

// The figure "TASK/.../FIGURE" of results; null where there is none.
Json figure_at(const Json& results, std::string_view path) {
  const Json* at = &results;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const auto found = at->find(std::string(path.substr(0, slash)));
    if (found == at->end()) return nullptr;
    at = &*found;
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  }
  return *at;
}

}  // namespace

Json protocol_report(const Protocol& protocol, const std::vector<std::string>& changed,
                     const Json& results) {
  Json fixed = Json::object();
  for (const auto& [name, value] : protocol.settings) {
    if (std::find(changed.begin(), changed.end(), name) == changed.end()) fixed[name] = value;
  }
  Json headline = Json::object();
  for (const char* path : protocol.headline) {
    if (Json figure = figure_at(results, path); !figure.is_null()) headline[path] = figure;
  }
  return {{"name", protocol.name},
          {"what", protocol.what},
          {"fixed", fixed},
          {"changed", changed},
          {"headline", headline}};
}

}  // namespace opencloc
