// Pascal VOC: a folder of XML files, one a picture.
#include <charconv>
#include <memory>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "opencloc/base/files.h"
#include "opencloc/data/import.h"
#include "opencloc/data/import_annotations.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

struct FreeXml {
  void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
};

const xmlNode* child(const xmlNode* node, std::string_view name) {
  if (node == nullptr) return nullptr;
  for (const xmlNode* c = node->children; c != nullptr; c = c->next) {
    if (c->type == XML_ELEMENT_NODE && name == reinterpret_cast<const char*>(c->name)) return c;
  }
  return nullptr;
}

std::string text_of(const xmlNode* node) {
  if (node == nullptr) return {};
  struct FreeText {
    void operator()(xmlChar* t) const { xmlFree(t); }
  };
  const std::unique_ptr<xmlChar, FreeText> text(xmlNodeGetContent(node));
  const std::string raw = text ? reinterpret_cast<const char*>(text.get()) : "";
  const size_t first = raw.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return raw.substr(first, raw.find_last_not_of(" \t\r\n") - first + 1);
}

bool number_of(const xmlNode* node, double& value) {
  const std::string text = text_of(node);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && read.ec == std::errc() && read.ptr == text.data() + text.size();
}

void add_objects(const xmlNode* root, const std::string& where, ImportItem& item,
                 SkipCounter& skips) {
  for (const xmlNode* object = root->children; object != nullptr; object = object->next) {
    if (object->type != XML_ELEMENT_NODE ||
        std::string_view("object") != reinterpret_cast<const char*>(object->name)) {
      continue;
    }
    const std::string name = text_of(child(object, "name"));
    const xmlNode* bounds = child(object, "bndbox");
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    if (name.empty()) {
      skips.add(skip::kBadAnnotation, where, "an object has no name");
    } else if (!number_of(child(bounds, "xmin"), x0) || !number_of(child(bounds, "ymin"), y0) ||
               !number_of(child(bounds, "xmax"), x1) || !number_of(child(bounds, "ymax"), y1)) {
      skips.add(skip::kBadBox, where, "'" + name + "' has no bndbox of four numbers");
    } else {
      // VOC counts pixels from 1, and its boxes hold the last pixel.
      const Box box{static_cast<float>(x0 - 1), static_cast<float>(y0 - 1), static_cast<float>(x1),
                    static_cast<float>(y1)};
      item.regions.push_back(class_region(name, box));
      if (text_of(child(object, "difficult")) == "1") {
        item.regions.back().region.extra["difficult"] = true;
      }
    }
  }
}

void import_file(const fs::path& path, ImportList& list, SkipCounter& skips) {
  const std::string text = read_file(path);
  // No network, no entities from outside, no messages on stderr.
  const std::unique_ptr<xmlDoc, FreeXml> document(
      xmlReadMemory(text.data(), static_cast<int>(text.size()), path.c_str(), nullptr,
                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  const xmlNode* root = document ? xmlDocGetRootElement(document.get()) : nullptr;
  if (root == nullptr ||
      std::string_view("annotation") != reinterpret_cast<const char*>(root->name)) {
    skips.add(skip::kBadAnnotation, path.string(), "not a VOC annotation");
    return;
  }
  const std::string named = text_of(child(root, "filename"));
  auto picture = list.pictures().find(named);
  for (const char* extension : {".jpg", ".jpeg", ".png"}) {
    if (!picture) picture = list.pictures().find(path.stem().string() + extension);
  }
  if (!picture) {
    skips.add(skip::kMissingImage, named.empty() ? path.stem().string() : named, path.string());
    return;
  }
  ImportItem& item = list.at(*picture);
  const xmlNode* size = child(root, "size");
  if (!number_of(child(size, "width"), item.width)) item.width = 0;
  if (!number_of(child(size, "height"), item.height)) item.height = 0;
  add_objects(root, path.string(), item, skips);
}

}  // namespace

void import_voc(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& given = options.annotations;
  require_annotations(given, "the folder of XML files");
  std::vector<fs::path> files;
  if (fs::is_directory(given)) {
    for (const auto& entry : fs::recursive_directory_iterator(given)) {
      if (entry.path().extension() == ".xml") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(given);
  }
  if (files.empty()) {
    throw Error::input("no .xml file in the folder", given.string(), "check --annotations");
  }
  for (const auto& file : files) import_file(file, list, skips);
}

}  // namespace opencloc
