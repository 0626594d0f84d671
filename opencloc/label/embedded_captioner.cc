#include "opencloc/label/embedded_captioner.h"

#include <utility>

#include <torch/types.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/model_directory.h"
#include "opencloc/model/clip/preprocess.h"
#include "opencloc/model/coca/generate.h"

namespace opencloc {
namespace {

class CocaCaptioner : public EmbeddedCaptioner {
 public:
  CocaCaptioner(LoadedModel loaded, std::string name, torch::Device device,
                const GenerateOptions& generate)
      : loaded_(std::move(loaded)), name_(std::move(name)), device_(device), generate_(generate) {}

  std::string model() const override { return name_; }
  int64_t cut() const override { return cut_; }
  Json config() const override {
    return {{"captioner", name_},
            {"resolution", loaded_.model->config().vision.image_size},
            {"beams", generate_.beams},
            {"max_tokens", generate_.max_tokens}};
  }

  std::vector<CaptionAnswer> caption(std::span<const Image* const> pictures) override {
    if (pictures.empty()) return {};
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> pixels;
    for (const Image* picture : pictures)
      pixels.push_back(preprocess(*picture, loaded_.model->config()).pixels);
    const auto features = loaded_.model->encode_image(torch::stack(pixels).to(device_));
    std::vector<CaptionAnswer> answers;
    for (const auto& text : generate(loaded_.model, features.captioning, generate_)) {
      cut_ += text.ended ? 0 : 1;
      CaptionAnswer answer;
      answer.text = clean_caption(loaded_.tokenizer->decode(text.ids), answer.failure);
      answers.push_back(std::move(answer));
    }
    return answers;
  }

 private:
  LoadedModel loaded_;
  const std::string name_;
  const torch::Device device_;
  const GenerateOptions generate_;
  int64_t cut_ = 0;
};

}  // namespace

std::unique_ptr<EmbeddedCaptioner> embedded_captioner(const std::filesystem::path& directory,
                                                      const EmbeddedCaptionerOptions& options) {
  LoadedModel loaded = load_model(directory);
  loaded.model->to(torch::Device(options.device));
  loaded.model->set_precision(options.precision);
  loaded.model->set_backend(options.backend);
  const auto& config = loaded.model->config();
  const std::string where = directory.string();
  if (!config.multimodal) {
    throw Error::input("the model has no text decoder", where,
                       "name a model trained with the setting 'objective=coca'");
  }
  if (!loaded.tokenizer || !loaded.tokenizer->start_id()) {
    throw Error::input("the captioner has no tokenizer with a start token", where,
                       "put the tokenizer files it was trained with into the folder");
  }
  const int64_t longest = longest_caption(config);
  if (options.max_tokens > longest) {
    throw Error::input("the captioner's texts have at most " + std::to_string(longest) + " tokens",
                       "setting 'captioner_max_tokens=" + std::to_string(options.max_tokens) + "'",
                       "give at most that, or leave it out");
  }
  GenerateOptions generate;
  generate.start_id = *loaded.tokenizer->start_id();
  generate.end_id = loaded.tokenizer->end_id();
  generate.vocab_size = loaded.tokenizer->vocab_size();
  generate.max_tokens = options.max_tokens > 0 ? options.max_tokens : longest;
  generate.beams = options.beams;
  return std::make_unique<CocaCaptioner>(std::move(loaded), where, torch::Device(options.device),
                                         generate);
}

}  // namespace opencloc
