// CLIP (Radford et al., 2021), and SigLIP (Zhai et al., 2023) for models with a logit_bias:
// pictures and their texts. Objectives that add to it (cloc.cc) build on its work.
#pragma once

#include <memory>
#include <vector>

#include "opencloc/objective/batch_parts.h"
#include "opencloc/objective/batch_texts.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

// Encodes the distinct texts of a batch, captions and region texts together, then its pictures:
// "text" [U, E], "image" [B, E], and with two captioned views, whose pieces come last, "second
// image" [B, E]. Pictures without a text stay out of L_CLIP, not even as negatives.
class ClipWork : public BatchWork {
 public:
  ClipWork(const Cloc& model, const Batch& batch, const ObjectiveOptions& objective,
           const WorkOptions& options, bool with_regions);

  int64_t pieces() const override;
  bool empty() const override { return all_.captioned + all_.regions + all_.crops == 0; }
  Encoded encode(int64_t piece, const NamedRows& before, bool own_loss) override;
  bool learns(int64_t piece) const override;
  Loss loss(const NamedRows& rows) override;
  // "captioned", the pictures with a text.
  Figures counts() const override;

 protected:
  // Over all processes.
  struct Counts {
    int64_t images = 0, captioned = 0, with_regions = 0, regions = 0, grounded = 0, rated = 0;
    int64_t with_negatives = 0;  // regions
    int64_t crops = 0;           // of crop distillation
  };
  const Counts& all() const { return all_; }
  const Counts& local() const { return local_; }
  const Batch& batch() const { return batch_; }  // its regions, boxes on the model's device
  const TextBatch& texts() const { return texts_; }
  const ObjectiveOptions& objective() const { return objective_; }
  Cloc& model() { return model_; }
  // Rows of that name; none [0, width] where this process has no such thing.
  torch::Tensor rows_or_none(const NamedRows& rows, std::string_view name, int64_t width) const;

  // What the regions of a part become, with the features of its images.
  virtual void encode_regions(ImageFeatures& /*features*/, const BatchPart& /*part*/,
                              const NamedRows& /*before*/, NamedRows& /*rows*/) {}

 private:
  bool two_views() const { return objective_.captioned_views == 2 && objective_.clip; }
  torch::Tensor loss_of(const NamedRows& rows, std::string_view images);

  Cloc model_;
  const ObjectiveOptions objective_;
  Batch batch_;
  TextBatch texts_;
  torch::Tensor caption_id_;  // [C] int64, in main memory; equal texts have equal numbers
  std::vector<BatchPart> parts_;
  Counts local_, all_;
  bool texts_learn_;
};

}  // namespace opencloc
