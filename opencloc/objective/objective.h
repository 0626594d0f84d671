// An objective: what a training step encodes, and the loss of it. Each is one file (clip.cc,
// cloc.cc, coca.cc) and one line of the table (table.cc); train/step.h runs it:
//
//   work = objective.work(batch)          the pieces that the batch is encoded in
//   rows += work.encode(piece, rows)      named embeddings: "text" [U, E], "image" [B, E], ...
//   loss = work.loss(rows)                of all of them together
//
// with the whole batch in one graph, or piece by piece with all negatives (cached embeddings).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "opencloc/base/json.h"
#include "opencloc/data/load/batch.h"
#include "opencloc/dist/group.h"
#include "opencloc/loss/loss.h"
#include "opencloc/model/cloc/cloc.h"
#include "opencloc/objective/figures.h"
#include "opencloc/objective/filter_schedule.h"

namespace opencloc {

// Rows of a batch by name, none of them L2-normalised, all of one name in order of the pieces.
class NamedRows {
 public:
  // Undefined where there are none.
  torch::Tensor operator[](std::string_view name) const;
  // Behind the rows of that name that are there.
  void append(const std::string& name, const torch::Tensor& rows);
  std::vector<std::string> names() const;

 private:
  struct Rows {
    std::string name;
    std::vector<torch::Tensor> parts;
  };
  mutable std::vector<Rows> rows_;  // reading joins the parts
};

// A loss, weighted, with its graph, and the figures that are logged of it.
struct Loss {
  torch::Tensor value;  // scalar; undefined: there is none
  Figures figures;
};

// What one piece of a batch becomes.
struct Encoded {
  NamedRows rows;
  // The loss that needs no other piece (a caption's words): its share of the whole batch's.
  Loss own;
};

// One batch on its way through one step. Pieces are encoded in order; a piece may read the rows of
// earlier ones, through which its gradients pass.
class BatchWork {
 public:
  virtual ~BatchWork() = default;
  virtual int64_t pieces() const = 0;
  // There is nothing to learn from, in no process of the group.
  virtual bool empty() const { return pieces() == 0; }
  // With `own_loss` false, only the rows are wanted.
  virtual Encoded encode(int64_t piece, const NamedRows& before, bool own_loss) = 0;
  // False: no gradient goes into the piece (all of its weights are frozen).
  virtual bool learns(int64_t /*piece*/) const { return true; }
  // Of the rows of all pieces.
  virtual Loss loss(const NamedRows& rows) = 0;
  // Figures that batches with nothing to learn from have, too.
  virtual Figures counts() const { return {}; }
};

struct WorkOptions {
  // A piece is at most ceil(B / parts) images, or as many texts.
  int64_t parts = 1;
  dist::Group* group = &dist::alone();
  int64_t step = 0;  // of the run, from 0
};

class Objective {
 public:
  virtual ~Objective() = default;
  // `batch` may lie on the CPU and outlives the work. Calls of all processes of the group.
  virtual std::unique_ptr<BatchWork> work(const Batch& batch, const WorkOptions& options) = 0;
  // After each step, or, where its figures come from a device, while the next one is computed;
  // their values are in main memory. `warm`: warm-up is over. `step` from 1.
  virtual void after_step(const Figures& /*figures*/, int64_t /*step*/, bool /*warm*/) {}
  // What an exact resume needs beside weights and moments.
  virtual Json state() const { return Json::object(); }
  // Throws Error (input) naming `where`.
  virtual void load_state(const Json& /*state*/, std::string_view /*where*/) {}
  // More for a line of metrics.jsonl, e.g. temperatures.
  virtual Json log() const { return Json::object(); }
};

// How far the gradient of L_quality goes back: into the quality head alone, also into the part that
// reads a region's embedding (Prompter or RoIAlign's projection), or into the image tower, too.
enum class QualityReach { kHead, kPrompter, kAll };

class CropTeacherImpl;
class SelfSupervisionHeadsImpl;
struct SelfSupervisionOptions;

struct ObjectiveOptions {
  // L_CLIP. Without it captions are not encoded: both towers are frozen, and it has nothing to
  // train.
  bool clip = true;
  bool grounding = true;
  // The BoxHead must also read a region's own box back from its embedding. Without it nothing in
  // the embedding speaks of places at first, and text prompts have nothing to learn to point at
  // (docs/decisions/box_recovery.md).
  bool box_recovery = true;
  GroundingKind grounding_kind = GroundingKind::kL1Giou;
  // Pairs of equal texts are never negatives of each other in L_CLIP, over all processes; batches
  // need text_id.
  bool mask_equal_texts = false;
  double grounding_weight = 0.1;  // of L_grounding (and of box recovery) beside L_CLOC
  // Of L_quality beside L_CLOC; 0: the quality head is not trained
  // (docs/decisions/quality_head.md).
  double quality_weight = 0;
  QualityReach quality_reach = QualityReach::kAll;
  FilterOptions filter;  // of L_CLOC's negatives
  // Of the repulsion of distinct region texts beside L_CLOC; 0 = none. Pairs with a higher cosine
  // are left out: 1 leaves out none.
  double text_contrast_weight = 0;
  double text_contrast_threshold = 0.95;
  // Of L_hard beside L_CLOC: regions against wrong texts of their own (Batch::negative_ids); 0 =
  // none. The model needs a temperature for it.
  double hard_negative_weight = 0;
  // Of -log of the attention of text prompts inside their boxes, beside L_CLOC; 0 = none.
  double attention_weight = 0;
  // Of 1 - cos(region, crop) beside all other losses, over the boxes of Batch::crop_boxes; 0 =
  // none, else with the teacher that reads the crops (crop_teacher.h).
  double crop_weight = 0;
  std::shared_ptr<CropTeacherImpl> crop_teacher;
  // Share of the patches that CLIP's pass over a picture leaves out, drawn anew for every picture
  // (Li et al., "Scaling Language-Image Pre-training via Masking", 2023). Without regions.
  double patch_dropout = 0;
  // 2: another crop of each picture takes part in L_CLIP with the same text, in its own matrix, so
  // that no picture is a negative of its other crop: the mean of both (Batch::captioned_view).
  int64_t captioned_views = 1;
  // Captioners: L = contrastive_weight L_CLIP + caption_weight L_caption.
  double contrastive_weight = 1.0;
  double caption_weight = 2.0;
  ContrastiveOptions contrastive;
  // M3AE's (self_supervision.h, which m3ae.h says more of); null for others.
  std::shared_ptr<SelfSupervisionHeadsImpl> heads;
  std::shared_ptr<const SelfSupervisionOptions> self_supervision;

  // The same with the negatives of a group.
  ObjectiveOptions over(dist::Group& group) const {
    ObjectiveOptions options = *this;
    options.contrastive.group = &group;
    return options;
  }
};

// One line of the table.
struct ObjectiveRow {
  const char* name = nullptr;   // what users type
  const char* title = nullptr;  // what reports say
  bool regions = false;         // trains the region part, from the regions of the data
  bool captions = false;        // needs a captioner's text decoder, and a text for every picture
  // Trains the image tower and no other by what is hidden of pictures and texts; needs
  // ObjectiveOptions::heads and self_supervision.
  bool masked = false;
  // Has no loss of its own: that of entities (entities.h) is all.
  bool entities_only = false;
  std::unique_ptr<Objective> (*make)(const Cloc& model, const ObjectiveOptions& options) = nullptr;
};
const std::vector<ObjectiveRow>& objectives();
// Null where there is none of that name.
const ObjectiveRow* find_objective(std::string_view name);

}  // namespace opencloc
