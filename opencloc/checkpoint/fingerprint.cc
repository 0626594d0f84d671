#include "opencloc/checkpoint/fingerprint.h"

#include "opencloc/base/crc32c.h"
#include "opencloc/base/json.h"
#include "opencloc/base/sha256.h"
#include "opencloc/model/config/config.h"

namespace opencloc {
namespace {

constexpr size_t kFingerprintDigits = 16;
constexpr const char* kProbes[] = {"a red car", "Two dogs, 3 cats & a tree", "\xc3\xa9t\xc3\xa9"};

}  // namespace

std::string model_fingerprint(const Cloc& model, const Tokenizer* tokenizer) {
  const ModelConfig& config = model->config();
  Sha256 sha;
  sha.add(dump_json(open_clip_config_json(config)));
  if (config.region_part) sha.add(dump_json(cloc_config_json(config.cloc)));
  const auto add_weights = [&](const auto& weights) {
    for (const auto& [name, tensor] : weights) {
      const auto plain = tensor.detach().to(torch::kCPU).contiguous();
      const auto crc =
          crc32c({static_cast<const char*>(plain.data_ptr()), static_cast<size_t>(plain.nbytes())});
      sha.add(name + ' ' + std::to_string(plain.numel()) + ' ' + std::to_string(crc) + '\n');
    }
  };
  add_weights(model->clip_weights());
  add_weights(model->region_weights());
  for (const char* probe : kProbes) {
    if (tokenizer == nullptr) break;
    for (const int32_t id : tokenizer->encode(probe)) sha.add(std::to_string(id) + ' ');
  }
  return sha.hex().substr(0, kFingerprintDigits);
}

}  // namespace opencloc
