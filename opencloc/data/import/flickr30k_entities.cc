// Flickr30k Entities (Plummer et al., 2015): Sentences/ID.txt with phrases that name chains of
// boxes, "[/EN#283585/people Two young guys] with ...", and Annotations/ID.xml with the boxes of
// the chains. A phrase becomes a region: its box is the one around all of its chain's, which stand
// in "boxes".
#include <map>
#include <set>

#include <libxml/parser.h>

#include "opencloc/base/error.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/xml.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

using Chains = std::map<std::string, std::vector<Box>>;  // in [0, 1] of the picture

// The boxes of a picture's chains; empty (and counted) when the file is none.
Chains read_chains(const fs::path& path, SkipCounter& skips) {
  Chains chains;
  const std::string text = read_text(path);
  const XmlDocument document(
      xmlReadMemory(text.data(), static_cast<int>(text.size()), path.c_str(), nullptr,
                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  const xmlNode* root = document ? xmlDocGetRootElement(document.get()) : nullptr;
  double width = 0, height = 0;
  const xmlNode* size = xml_child(root, "size");
  if (!xml_number(xml_child(size, "width"), width) ||
      !xml_number(xml_child(size, "height"), height) || width <= 0 || height <= 0) {
    skips.add(skip::kBadAnnotation, path.string(), "no size of the picture");
    return chains;
  }
  for (const xmlNode* object = root->children; object != nullptr; object = object->next) {
    const xmlNode* bounds = xml_is_called(object, "object") ? xml_child(object, "bndbox") : nullptr;
    if (bounds == nullptr) continue;  // a scene, or nothing to be seen
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    if (!xml_number(xml_child(bounds, "xmin"), x0) || !xml_number(xml_child(bounds, "ymin"), y0) ||
        !xml_number(xml_child(bounds, "xmax"), x1) || !xml_number(xml_child(bounds, "ymax"), y1)) {
      skips.add(skip::kBadBox, path.string(), "a bndbox without four numbers");
      continue;
    }
    // Pixels count from 1; the data set's own reader takes 1 off all four.
    const Box box{static_cast<float>((x0 - 1) / width), static_cast<float>((y0 - 1) / height),
                  static_cast<float>((x1 - 1) / width), static_cast<float>((y1 - 1) / height)};
    for (const xmlNode* name = object->children; name != nullptr; name = name->next)
      if (xml_is_called(name, "name")) chains[xml_text(name)].push_back(clip_to_unit(box));
  }
  return chains;
}

ImportRegion phrase_region(std::string text, const std::vector<Box>& boxes) {
  ImportRegion made;
  made.in_unit = true;
  made.region.text = std::move(text);
  made.region.source = "human";
  Box around = boxes.front();
  Json all = Json::array();
  for (const Box& box : boxes) {
    around = {std::min(around.x0, box.x0), std::min(around.y0, box.y0), std::max(around.x1, box.x1),
              std::max(around.y1, box.y1)};
    all.push_back({box.x0, box.y0, box.x1, box.y1});
  }
  made.region.box = around;
  if (boxes.size() > 1) made.region.extra["boxes"] = std::move(all);
  return made;
}

// One line of Sentences/ID.txt: its phrases become regions, its words a caption.
void add_sentence(std::string_view line, const Chains& chains, ImportItem& item) {
  std::string caption;
  while (!line.empty()) {
    const size_t open = line.find("[/EN#");
    caption += line.substr(0, open);
    if (open == std::string_view::npos) break;
    line.remove_prefix(open + 5);
    const size_t close = line.find(']');
    const std::string_view inside = line.substr(0, close);
    const size_t blank = inside.find(' ');
    const std::string text(trimmed(blank == std::string_view::npos ? "" : inside.substr(blank)));
    const auto chain = chains.find(std::string(inside.substr(0, inside.find('/'))));
    if (!text.empty() && chain != chains.end())
      item.regions.push_back(phrase_region(text, chain->second));
    caption += text;
    line = close == std::string_view::npos ? std::string_view() : line.substr(close + 1);
  }
  add_caption(item.record, std::move(caption));
}

}  // namespace

void import_flickr30k_entities(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  require_annotations(options.annotations, "the folder with Sentences and Annotations");
  const fs::path sentences = options.annotations / "Sentences";
  if (!fs::is_directory(sentences) || !fs::is_directory(options.annotations / "Annotations"))
    throw Error::input("no folders Sentences and Annotations", options.annotations.string(),
                       "unpack the data set's annotations.zip");
  std::set<std::string> ids;
  if (!options.split.empty()) {
    for (const auto& line : read_text_lines(options.annotations / (options.split + ".txt")))
      if (!trimmed(line).empty()) ids.emplace(trimmed(line));
  } else {
    for (const auto& entry : fs::directory_iterator(sentences))
      if (lower_extension(entry.path()) == "txt") ids.insert(entry.path().stem().string());
  }
  for (const auto& id : ids) {
    const fs::path lines = sentences / (id + ".txt");
    const fs::path boxes = options.annotations / "Annotations" / (id + ".xml");
    if (!fs::exists(lines) || !fs::exists(boxes)) {
      skips.add(skip::kBadAnnotation, id, "its .txt or its .xml is not there");
      continue;
    }
    ImportItem* item = list.claim(id + ".jpg", lines.string(), skips);
    if (item == nullptr) continue;
    const Chains chains = read_chains(boxes, skips);
    for_each_line(lines, skips, [&](std::string_view line, const std::string&) {
      add_sentence(line, chains, *item);
    });
  }
}

}  // namespace opencloc
