// Pascal VOC: a folder of XML files, one a picture. All of them are read before a picture is given
// to any, because programs write the same <filename> into many files.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <memory>
#include <tuple>
#include <unordered_map>

#include <libxml/parser.h>

#include "opencloc/base/files.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/import/annotations.h"
#include "opencloc/data/import/import.h"
#include "opencloc/data/import/xml.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kByStem = "picture found by the name of its XML";

struct VocFile {
  fs::path path;
  fs::path below;                // the folder of annotations, without the ending
  std::string folder, filename;  // as the file says
  double width = 0, height = 0;
  std::vector<ImportRegion> regions;
  std::string encoding;  // as declared; empty = none
  bool ascii = true;

  FoundPicture by_place;  // beside the XML, or in the same place below --images
  FoundPicture by_name;   // <filename> alone
  FoundPicture by_stem;   // named like the XML, in the same place
};

// Corners in VOC's pixels.
bool bounds_of(const xmlNode* object, double (&corners)[4]) {
  const xmlNode* bounds = xml_child(object, "bndbox");
  return xml_number(xml_child(bounds, "xmin"), corners[0]) &&
         xml_number(xml_child(bounds, "ymin"), corners[1]) &&
         xml_number(xml_child(bounds, "xmax"), corners[2]) &&
         xml_number(xml_child(bounds, "ymax"), corners[3]);
}

// <polygon><x1>..<y1>..<x2>.. or <pt><x>..<y>..: the corners around all points.
bool bounds_of_polygon(const xmlNode* polygon, double (&corners)[4]) {
  bool any = false, good = polygon != nullptr;
  const auto take = [&](const xmlNode* node) {
    const char axis = static_cast<char>(node->name[0]);
    double value = 0;
    if (axis != 'x' && axis != 'y') return;
    good = good && xml_number(node, value);
    double& low = corners[axis == 'x' ? 0 : 1];
    double& high = corners[axis == 'x' ? 2 : 3];
    low = std::min(low, value);
    high = std::max(high, value);
    any = true;
  };
  corners[0] = corners[1] = 1e30;
  corners[2] = corners[3] = -1e30;
  for (const xmlNode* c = polygon ? polygon->children : nullptr; c != nullptr; c = c->next) {
    if (c->type != XML_ELEMENT_NODE) continue;
    if (!xml_is_called(c, "pt")) {
      take(c);
      continue;
    }
    for (const xmlNode* p = c->children; p != nullptr; p = p->next) {
      if (p->type == XML_ELEMENT_NODE) take(p);
    }
  }
  return good && any && corners[2] > -1e30 && corners[3] > -1e30;
}

void read_objects(const xmlNode* root, VocFile& file, SkipCounter& skips) {
  const std::string where = file.path.string();
  for (const xmlNode* object = root->children; object != nullptr; object = object->next) {
    if (!xml_is_called(object, "object")) continue;
    const std::string name = xml_text(xml_child(object, "name"));
    double corners[4] = {};
    if (name.empty()) {
      skips.add(skip::kBadAnnotation, where, "an object has no name");
    } else if (!bounds_of(object, corners) &&
               !bounds_of_polygon(xml_child(object, "polygon"), corners)) {
      skips.add(skip::kBadBox, where, "'" + name + "' has no bndbox of four numbers");
    } else {
      if (corners[0] > corners[2] || corners[1] > corners[3]) {
        std::tie(corners[0], corners[2]) = std::minmax({corners[0], corners[2]});
        std::tie(corners[1], corners[3]) = std::minmax({corners[1], corners[3]});
        skips.note("corners of a box in the wrong order", where, name);
      }
      // VOC counts pixels from 1, and its boxes hold the last pixel.
      const Box box{static_cast<float>(corners[0] - 1), static_cast<float>(corners[1] - 1),
                    static_cast<float>(corners[2]), static_cast<float>(corners[3])};
      file.regions.push_back(class_region(name, box));
      const std::string difficult = xml_text(xml_child(object, "difficult"));
      if (json_truth(Json(difficult))) file.regions.back().region.extra["difficult"] = true;
    }
  }
}

// What the XML says; false (and counted) when it says nothing.
bool read_voc(VocFile& file, SkipCounter& skips) {
  const std::string where = file.path.string();
  const std::string raw = read_file(file.path);
  const bool wide = decode_text(raw) != raw && !raw.starts_with("\xef\xbb\xbf");
  const std::string text = read_text(file.path);
  file.ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
  // No network, no entities from outside, no messages on stderr. What was UTF-16 is UTF-8 now,
  // whatever the file says of itself.
  const XmlDocument document(xmlReadMemory(
      text.data(), static_cast<int>(text.size()), where.c_str(), wide ? "UTF-8" : nullptr,
      XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  const xmlNode* root = document ? xmlDocGetRootElement(document.get()) : nullptr;
  if (root == nullptr) {
    const size_t bad = find_bad_utf8(text);
    const std::string place = bad == std::string::npos ? "" : place_in_text(text, bad);
    skips.add(bad == std::string::npos ? skip::kBadAnnotation : skip::kNotUtf8, where,
              bad == std::string::npos ? "not XML" : place + ", and no other encoding is declared");
    return false;
  }
  if (!xml_is_called(root, "annotation")) {
    skips.add(skip::kBadAnnotation, where, "not a VOC annotation");
    return false;
  }
  if (document->encoding != nullptr && !wide) {
    file.encoding = reinterpret_cast<const char*>(document->encoding);
  }
  file.folder = xml_text(xml_child(root, "folder"));
  file.filename = xml_text(xml_child(root, "filename"));
  const xmlNode* size = xml_child(root, "size");
  if (!xml_number(xml_child(size, "width"), file.width)) file.width = 0;
  if (!xml_number(xml_child(size, "height"), file.height)) file.height = 0;
  read_objects(root, file, skips);
  return true;
}

FoundPicture existing(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec) && is_picture_extension(lower_extension(path))
             ? FoundPicture{path, {}, {}}
             : FoundPicture{};
}

void find_pictures(VocFile& file, const PictureFinder& pictures) {
  const fs::path folder = file.below.parent_path();
  file.by_stem = pictures.find_stem(file.below);
  for (const char* extension : {".jpg", ".jpeg", ".png", ".JPG", ".PNG", ".bmp", ".webp"}) {
    if (!file.by_stem) file.by_stem = existing(fs::path(file.path).replace_extension(extension));
  }
  if (file.filename.empty()) return;
  const fs::path plain = fs::path(file.filename).filename();
  if (plain == file.filename) {
    file.by_place = existing(file.path.parent_path() / plain);
    if (!file.by_place) file.by_place = existing(pictures.folder() / folder / plain);
  }
  file.by_name = pictures.find(file.filename);
  if (!file.by_name && !file.folder.empty()) {
    FoundPicture in_folder = pictures.find(file.folder + "/" + file.filename);
    if (in_folder) file.by_name = std::move(in_folder);
  }
  if (!file.by_name && file.by_name.why.empty() && plain.extension().empty()) {
    file.by_name = pictures.find_stem(folder / plain);  // <filename>2007_000027</filename>
  }
}

bool same_picture(const FoundPicture& a, const FoundPicture& b) {
  return a && b && a.path.lexically_normal() == b.path.lexically_normal();
}

// The picture a file belongs to. `named`: how many files call each picture by its name alone.
FoundPicture choose(const VocFile& file, const std::unordered_map<std::string, int>& named,
                    SkipCounter& skips) {
  const auto others = [&](const FoundPicture& picture) {
    const auto it = named.find(picture.path.lexically_normal().string());
    return it == named.end() ? 0 : it->second - 1;
  };
  const FoundPicture& said = file.by_place ? file.by_place : file.by_name;
  if (said && (others(said) <= 0 || same_picture(said, file.by_stem))) return said;
  if (file.by_stem && (file.filename.empty() || said || file.by_name.why.empty())) {
    if (!file.filename.empty()) skips.note(kByStem, file.path.string(), file.filename);
    return file.by_stem;
  }
  if (!said) return said;
  return {{}, {}, "other XML files name that picture, too"};
}

void use_file(VocFile&& file, FoundPicture picture, ImportList& list, SkipCounter& skips) {
  const std::string name = file.filename.empty() ? file.below.filename().string() : file.filename;
  if (!picture) {
    skips.add(skip::kMissingImage, name,
              file.path.string() + (picture.why.empty() ? "" : ": " + picture.why));
    for (size_t i = 0; i < file.regions.size(); ++i) {
      skips.add(skip::kOfMissing, file.path.string(), "its picture is not there");
    }
    return;
  }
  // Two files that belong to one picture are two pictures, one of which is missing.
  if (!same_picture(picture, file.by_stem)) picture.claim = file.below.string();
  ImportItem* item = list.at(picture);
  if (item == nullptr) return;  // counted when the list is finished
  item->width = file.width;
  item->height = file.height;
  std::move(file.regions.begin(), file.regions.end(), std::back_inserter(item->regions));
}

// Where some files say that they are in gbk, one that says nothing may be, too: its letters could
// be read as UTF-8 and be wrong.
bool is_doubtful(const VocFile& file, const std::string& other_encoding) {
  return file.encoding.empty() && !file.ascii && !other_encoding.empty();
}

}  // namespace

void import_voc(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& given = options.annotations;
  require_annotations(given, "the folder of XML files");
  std::vector<fs::path> paths;
  if (fs::is_directory(given)) {
    for_each_file_below(given, [&](const fs::path& path) {
      if (lower_extension(path) == "xml") paths.push_back(path);
    });
    std::sort(paths.begin(), paths.end());
  } else {
    paths.push_back(given);
  }
  if (paths.empty()) {
    throw Error::input("no .xml file in the folder", given.string(),
                       "check the setting 'annotations'");
  }
  std::vector<VocFile> files;
  std::string other_encoding;
  for (const auto& path : paths) {
    VocFile file;
    file.path = path;
    file.below = fs::is_directory(given) ? path.lexically_relative(given) : path.filename();
    file.below.replace_extension();
    if (!read_voc(file, skips)) continue;
    const bool is_utf8 = file.encoding.empty() || file.encoding.starts_with("UTF-") ||
                         file.encoding.starts_with("utf-") || file.encoding == "ASCII" ||
                         file.encoding == "US-ASCII";
    if (!is_utf8) other_encoding = file.encoding;
    files.push_back(std::move(file));
  }
  std::unordered_map<std::string, int> named;
  for (auto& file : files) {
    find_pictures(file, list.pictures());
    const FoundPicture& said = file.by_place ? file.by_place : file.by_name;
    if (said) ++named[said.path.lexically_normal().string()];
  }
  for (auto& file : files) {
    if (is_doubtful(file, other_encoding)) {
      skips.add(skip::kNotUtf8, file.path.string(),
                "no encoding is declared, while other files say " + other_encoding);
      continue;
    }
    use_file(std::move(file), choose(file, named, skips), list, skips);
  }
}

}  // namespace opencloc
