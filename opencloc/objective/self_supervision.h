// Self-supervision beside language supervision: losses that are added to CLIP's or CLOC's. What
// masked autoencoders restore (He et al., 2022), the words of the text with it (M3AE, Geng et al.,
// 2022), and two views of a picture that must find one another (SLIP, Mu et al., 2022).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>

#include "opencloc/model/self_supervision/joint_encoder.h"
#include "opencloc/model/self_supervision/masked_decoder.h"
#include "opencloc/model/self_supervision/simclr_head.h"
#include "opencloc/objective/masks.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

// What the words of a masked text are restored from, beside those that are seen.
enum class WordContext { kImage, kText };

struct SelfSupervisionOptions {
  double mae_weight = 0;     // of the restored patches
  double mlm_weight = 0;     // of the restored words
  double simclr_weight = 0;  // of the two views
  double mae_mask = 0.75;    // share of the patches that are hidden
  double mlm_mask = 0.75;    // share of a text's words that are hidden; its end never is
  bool mae_normalize = true;
  WordContext mlm_sees = WordContext::kImage;
  MaskedDecoderConfig decoder;
  double simclr_temperature = 0.1;
  SimclrHeadConfig simclr;
  // M3AE: the masked losses are the objective itself, with one encoder for both (m3ae.h).
  bool joint = false;

  bool masks() const { return mae_weight > 0 || mlm_weight > 0; }
  bool on() const { return masks() || simclr_weight > 0; }
  bool masks_image() const {
    return masks() && (joint || mae_weight > 0 || mlm_sees == WordContext::kImage);
  }
};

// M3AE's weights as its authors ran it; its patches are not normalised.
inline constexpr double kM3aeImageWeight = 1.0, kM3aeTextWeight = 0.5;

// What these losses train beside the model. Parameters: joint_encoder.*, masked_decoder.*,
// simclr_head.*.
class SelfSupervisionHeadsImpl : public torch::nn::Module {
 public:
  // Drawn from torch's generator.
  SelfSupervisionHeadsImpl(const SelfSupervisionOptions& options, const ModelConfig& model);
  std::vector<std::pair<std::string, torch::Tensor>> weights() const;

  JointEncoder joint_encoder{nullptr};  // M3AE's, where words take part
  MaskedDecoder masked_decoder{nullptr};
  SimclrHead simclr_head{nullptr};
};
TORCH_MODULE(SelfSupervisionHeads);

// `base` and these losses. Batches need patch_order, word_order or views (SampleOptions), as the
// losses do. A masked pass has its own piece and its own loss, so that memory is one piece's; the
// embeddings of the views are gathered first, so that the head's batch norm and the negatives are
// of the whole batch and of all processes, whatever the pieces. Error (input) naming a setting:
// words of a text tower that is not causal, a model with a text decoder.
std::unique_ptr<Objective> with_self_supervision(std::unique_ptr<Objective> base, const Cloc& model,
                                                 const SelfSupervisionHeads& heads,
                                                 const SelfSupervisionOptions& options);
// The same error, before a run begins.
void check_self_supervision(const ModelConfig& model, const SelfSupervisionOptions& options);

// A picture as a masked pass restores it, for reports: what is seen and, in the hidden places, what
// the decoder says -> pixels [B, 3, H, W] as normalised for the model. With mae_normalize the mean
// and the deviation of each true patch are put back, as MAE's own pictures have it.
struct Reconstruction {
  torch::Tensor seen, restored;  // [B, 3, H, W]
};
Reconstruction reconstruct(const Cloc& model, const SelfSupervisionHeads& heads,
                           const SelfSupervisionOptions& options, const Batch& batch);

}  // namespace opencloc
