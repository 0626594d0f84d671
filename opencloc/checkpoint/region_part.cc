#include "opencloc/checkpoint/region_part.h"

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/layout/weights.h"
#include "opencloc/model/config/config_keys.h"
#include "opencloc/model/quantized.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

// 4: only of models with 8-bit weights; all others are written as 3.
// 2: prompts encode places by other frequencies and read the image alone
// (docs/decisions/prompter_start.md); heads of version 1 would compute something else.
constexpr int64_t kFormatVersion = 4;
constexpr int64_t kPlainVersion = 3;
constexpr const char* kInt8 = "int8";
constexpr const char* kConfigFile = "cloc_config.json";

}  // namespace

RegionPart read_region_part(const fs::path& directory) {
  RegionPart part;
  const fs::path path = directory / kConfigFile;
  if (!fs::exists(path)) return part;
  const Json json = read_json(path);
  const std::string where = path.string();
  KeyReader keys(json, where);
  const int64_t version = keys.integer("format_version", kPlainVersion);
  if (version > kFormatVersion) {
    throw Error::input("format_version " + std::to_string(version) + " is newer than this program",
                       where, "update OpenCLOC");
  }
  keys.text("opencloc_version", "");
  part.name = keys.text("name", "");
  part.config = cloc_config_from_json(keys.at("cloc"), where + ": cloc");
  part.has_heads = keys.boolean("region_heads", false);
  if (version < kPlainVersion && part.has_heads) {
    throw Error::input(
        "region heads of format_version " + std::to_string(version) +
            ", which this program cannot run",
        where, "train them anew; without the two cloc_* files the directory is a plain CLIP");
  }
  const std::string quantization = keys.text("quantization", "");
  part.quantized = quantization == kInt8;
  if (!quantization.empty() && !part.quantized) {
    throw Error::input("unknown quantization \"" + quantization + '"', where,
                       "use the program that wrote it");
  }
  if (const Json* about = keys.find("about")) part.about = *about;
  keys.finish({});
  if (part.has_heads && !fs::exists(directory / kRegionHeadsFile)) {
    throw Error::input(std::string("no ") + kRegionHeadsFile, directory.string(),
                       "copy the whole model directory");
  }
  return part;
}

void load_region_heads(const fs::path& directory, Cloc& model) {
  load_weights(open_weights(directory / kRegionHeadsFile), model->region_weights(), stored_plainly,
               ignore_none);
}

void write_region_part(const fs::path& directory, const Cloc& model, const SaveOptions& options) {
  const bool heads = options.region_heads && model->config().region_part;
  Json json;
  json["format_version"] = is_quantized(model) ? kFormatVersion : kPlainVersion;
  json["opencloc_version"] = OPENCLOC_VERSION;
  json["name"] = model->config().name;
  json["region_heads"] = heads;
  if (is_quantized(model)) json["quantization"] = kInt8;
  json["cloc"] = cloc_config_json(model->config().cloc);
  json["about"] = options.about;
  write_file(directory / kConfigFile, dump_json(json, 2) + '\n');
  if (heads) {
    write_safetensors(directory / kRegionHeadsFile,
                      stored_weights(model->region_weights(), stored_plainly), {{"format", "pt"}});
  }
}

}  // namespace opencloc
