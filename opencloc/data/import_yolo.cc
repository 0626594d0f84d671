// YOLO (darknet, ultralytics): a text file of boxes beside each picture, class names in data.yaml
// or a list.
//
// --annotations: data.yaml, a list of names (classes.txt, obj.names) or the folder of label files;
// without it data.yaml or classes.txt is looked for in and above --images.
#include <charconv>
#include <sstream>

#include <yaml.h>

#include "opencloc/base/files.h"
#include "opencloc/data/import.h"
#include "opencloc/data/import_annotations.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

// A YAML file, parsed. Throws Error (input).
class Yaml {
 public:
  explicit Yaml(const fs::path& path) {
    const std::string text = read_file(path);
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) throw Error::failed("no memory to read YAML");
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
    const bool ok = yaml_parser_load(&parser, &document_) != 0;
    const std::string problem = ok || parser.problem == nullptr ? "" : parser.problem;
    const size_t line = parser.problem_mark.line + 1;
    yaml_parser_delete(&parser);
    if (!ok) {
      throw Error::input("invalid YAML (" + problem + ")",
                         path.string() + ":" + std::to_string(line), "correct the file");
    }
  }
  ~Yaml() { yaml_document_delete(&document_); }
  Yaml(const Yaml&) = delete;
  Yaml& operator=(const Yaml&) = delete;

  yaml_node_t* root() { return yaml_document_get_root_node(&document_); }
  yaml_node_t* node(int index) { return yaml_document_get_node(&document_, index); }
  static std::string text(const yaml_node_t* node) {
    if (node == nullptr || node->type != YAML_SCALAR_NODE) return {};
    return {reinterpret_cast<const char*>(node->data.scalar.value), node->data.scalar.length};
  }

 private:
  yaml_document_t document_{};
};

// `names:` as a list ([a, b]) or as a map ({0: a, 1: b}).
std::vector<std::string> names_of(Yaml& yaml, const yaml_node_t* node, const fs::path& path) {
  std::vector<std::string> names;
  if (node->type == YAML_SEQUENCE_NODE) {
    for (auto* i = node->data.sequence.items.start; i < node->data.sequence.items.top; ++i) {
      names.push_back(Yaml::text(yaml.node(*i)));
    }
  } else if (node->type == YAML_MAPPING_NODE) {
    for (auto* p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; ++p) {
      const std::string key = Yaml::text(yaml.node(p->key));
      size_t index = 0;
      const auto read = std::from_chars(key.data(), key.data() + key.size(), index);
      if (read.ec != std::errc() || index > 1'000'000) {
        throw Error::input("'names' has the key '" + key + "', not a class number", path.string(),
                           "correct the file");
      }
      if (names.size() <= index) names.resize(index + 1);
      names[index] = Yaml::text(yaml.node(p->value));
    }
  }
  return names;
}

std::vector<std::string> names_from_yaml(const fs::path& path) {
  Yaml yaml(path);
  const yaml_node_t* root = yaml.root();
  if (root != nullptr && root->type == YAML_MAPPING_NODE) {
    for (auto* p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; ++p) {
      if (Yaml::text(yaml.node(p->key)) != "names") continue;
      auto names = names_of(yaml, yaml.node(p->value), path);
      if (!names.empty()) return names;
    }
  }
  throw Error::input("no class names in the file", path.string(), "give it names: [a, b, ...]");
}

std::vector<std::string> read_names(const fs::path& path) {
  if (path.extension() == ".yaml" || path.extension() == ".yml") return names_from_yaml(path);
  std::vector<std::string> names;
  for_each_line(path, [&](std::string_view line, const std::string&) {
    const size_t last = line.find_last_not_of(" \t");
    names.emplace_back(line.substr(0, last + 1));
  });
  return names;
}

fs::path find_names(const std::vector<fs::path>& folders) {
  for (const auto& folder : folders) {
    for (const char* name : {"data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names"}) {
      if (fs::is_regular_file(folder / name)) return folder / name;
    }
  }
  throw Error::input("no class names found", folders.front().string(),
                     "name data.yaml or classes.txt with --annotations");
}

// The label file of a picture: in `labels`, beside it, or where "images" in its path is "labels".
std::optional<fs::path> label_file(const fs::path& image, const ImportOptions& options,
                                   const fs::path& labels) {
  std::vector<fs::path> tried;
  if (!labels.empty()) {
    tried.push_back(labels / image.lexically_relative(options.images));
    tried.push_back(labels / image.filename());
  }
  tried.push_back(image);
  std::string replaced = fs::absolute(image).string();
  if (const size_t at = replaced.rfind("/images/"); at != std::string::npos) {
    tried.emplace_back(replaced.replace(at, 8, "/labels/"));
  }
  for (auto& path : tried) {
    path.replace_extension(".txt");
    if (fs::is_regular_file(path)) return path;
  }
  return std::nullopt;
}

// "class cx cy w h [score]" or a polygon "class x1 y1 x2 y2 x3 y3 ...".
bool parse_line(std::string_view line, size_t& class_number, Box& box, float& score) {
  std::istringstream in{std::string(line)};
  std::vector<float> values;
  if (!(in >> class_number)) return false;
  for (float value = 0; in >> value;) values.push_back(value);
  if (!in.eof()) return false;
  if (values.size() == 4 || values.size() == 5) {
    box = {values[0] - values[2] / 2, values[1] - values[3] / 2, values[0] + values[2] / 2,
           values[1] + values[3] / 2};
    if (values.size() == 5) score = values[4];
    return box.finite();
  }
  if (values.size() < 6 || values.size() % 2 != 0) return false;
  box = {values[0], values[1], values[0], values[1]};
  for (size_t i = 2; i < values.size(); i += 2) {
    box = {std::min(box.x0, values[i]), std::min(box.y0, values[i + 1]),
           std::max(box.x1, values[i]), std::max(box.y1, values[i + 1])};
  }
  return box.finite();
}

}  // namespace

void import_yolo(const ImportOptions& options, ImportList& list, SkipCounter& skips) {
  const fs::path& given = options.annotations;
  if (!given.empty()) require_annotations(given, "data.yaml, classes.txt or the labels folder");
  const fs::path labels = fs::is_directory(given) ? given : fs::path();
  const fs::path above = fs::absolute(options.images / "").parent_path().parent_path();
  const fs::path names_file =
      fs::is_regular_file(given) ? given
      : labels.empty()           ? find_names({options.images, above, above.parent_path()})
                       : find_names({labels, fs::absolute(labels / "").parent_path().parent_path(),
                                     options.images, above});
  const auto names = read_names(names_file);
  for (const auto& image : list.pictures().all()) {
    ImportItem& item = list.at(image);
    const auto path = label_file(image, options, labels);
    if (!path) continue;  // YOLO's way to say: nothing in this picture
    for_each_line(*path, [&](std::string_view line, const std::string& where) {
      size_t class_number = 0;
      Box box;
      float score = 1;
      if (!parse_line(line, class_number, box, score)) {
        skips.add(skip::kBadAnnotation, where, "not 'class cx cy w h'");
      } else if (class_number >= names.size() || names[class_number].empty()) {
        skips.add(
            skip::kBadAnnotation, where,
            "class " + std::to_string(class_number) + " has no name in " + names_file.string());
      } else {
        ImportRegion region = class_region(names[class_number], box);
        region.in_unit = true;
        region.region.score = score;
        item.regions.push_back(std::move(region));
      }
    });
  }
}

}  // namespace opencloc
