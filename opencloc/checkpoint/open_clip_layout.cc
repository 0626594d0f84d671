#include "opencloc/checkpoint/open_clip_layout.h"

#include <string>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/checkpoint/weights.h"

namespace opencloc::open_clip_layout {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigFile = "open_clip_config.json";
constexpr const char* kWeightsFile = "open_clip_model.safetensors";

// A buffer, and the scalars of OpenAI's checkpoints.
bool no_parameter(const std::string& name) {
  return name == "attn_mask" || name == "input_resolution" || name == "context_length" ||
         name == "vocab_size";
}

}  // namespace

bool found(const fs::path& directory) { return fs::exists(directory / kConfigFile); }

ModelConfig read_config(const fs::path& directory) {
  const fs::path path = directory / kConfigFile;
  return model_config_from_json(read_json(path), path.string());
}

void load_towers(const fs::path& directory, Cloc& model) {
  const fs::path path = directory / kWeightsFile;
  if (!fs::exists(path)) {
    throw Error::input(std::string("no ") + kWeightsFile, directory.string(),
                       "save the weights as safetensors under that name");
  }
  load_weights(SafetensorsFile(path), model->clip_weights(), stored_plainly, no_parameter);
}

void write(const fs::path& directory, const Cloc& model) {
  write_file(directory / kConfigFile, dump_json(open_clip_config_json(model->config()), 2) + '\n');
  write_safetensors(directory / kWeightsFile, stored_weights(model->clip_weights(), stored_plainly),
                    {{"format", "pt"}});
}

}  // namespace opencloc::open_clip_layout
