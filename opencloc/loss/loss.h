// The contrastive and grounding losses of spec/cloc.md section 3. A contrastive loss takes the rows
// of this process and finds its negatives among those of the whole group: embeddings and
// log-sum-exps are exchanged, and each process makes the complete gradient of its own rows
// (docs/decisions/contrastive_loss.md). The similarity matrix is never held whole,
// forward or backward: F32 in main memory goes by tiles of a few MiB (kernels/loss/similarity.h),
// the rest by strips of `chunk` rows. All arithmetic is F32 (F64 inputs stay F64), whatever the
// precision of the model's products.
#pragma once

#include <torch/types.h>

#include "opencloc/dist/group.h"

namespace opencloc {

struct ContrastiveOptions {
  int64_t chunk = 1024;  // rows of a strip
  // The loss is this process's share: over the group the losses, and the gradients of the
  // temperatures, add up to those of one process that holds the whole batch; the gradients of the
  // rows are those of that process, also when processes hold different numbers of rows. Backward
  // passes get the same upstream gradient everywhere.
  dist::Group* group = &dist::alone();
  // [B] int64 in main memory, of clip_loss and sigmoid_loss: pairs of equal numbers (equal texts)
  // are never negatives of each other, in the whole group. Undefined: all others are.
  torch::Tensor text_id = {};
  // [n] F32, above 0, of region_loss: how much each pair counts, beside the mean of the whole
  // group. It remains a full negative of all others. Undefined: all alike.
  torch::Tensor weight = {};
};

// L_CLIP: symmetric InfoNCE. image, text [B, E], L2-normalised, pair i = row i;
// logit_scale scalar, log of the inverse temperature (exp is capped at 100; the gradient passes the
// cap, and whoever steps lets a capped scale only come down: over several processes only the sum of
// their gradients says which way it goes). 0 with B = 0. -> scalar.
torch::Tensor clip_loss(const torch::Tensor& image, const torch::Tensor& text,
                        const torch::Tensor& logit_scale, const ContrastiveOptions& options = {});

// L_CLIP of SigLIP (Zhai et al., 2023): every pair of the batch is a question of its own,
//   -1/B sum_ij log sigmoid(z_ij (exp(logit_scale) image_i . text_j + logit_bias)),
// z_ij = 1 for pairs, -1 for all others. Inputs as clip_loss; logit_bias scalar. No cap. -> scalar.
torch::Tensor sigmoid_loss(const torch::Tensor& image, const torch::Tensor& text,
                           const torch::Tensor& logit_scale, const torch::Tensor& logit_bias,
                           const ContrastiveOptions& options = {});

// CoCa's captioning loss (Yu et al., 2022): the cross-entropy of each next id given the image and
// the ids before it,
//   1/n sum_i (log sum_v exp(hidden_i . projection_v) - hidden_i . projection_label(i)).
// hidden [n, D], projection [D, V], labels [n] int64 in [0, V). Memory grows with chunk x V: the
// logits are made in strips, forward and backward. 0 with n = 0. -> scalar.
torch::Tensor caption_loss(const torch::Tensor& hidden, const torch::Tensor& projection,
                           const torch::Tensor& labels, int64_t chunk = 1024);

struct TextFilter {
  bool similarity_test = false;  // the paper's cosine test is open
  double threshold = 0.9;        // pairs above it leave both denominators
  // Pairs of identical texts leave them, too. False: no filter at all, as in the paper's row
  // "- text filter"; the test must then be closed.
  bool identical = true;
};

struct RegionLoss {
  torch::Tensor loss;  // scalar
  // Scalars F64 where the regions lie, without a gradient: of the off-diagonal pairs, those removed
  // by identity or the cosine test; of the off-diagonal pairs of *distinct* texts, those above the
  // threshold (while the test is closed over at most kMeasuredRows of the regions).
  torch::Tensor removed_share, similar_share;
  // How many pairs the two are shares of: with them the shares of several processes are weighted.
  double pairs = 0;
  double distinct_pairs = 0;
};

// L_CLOC: as clip_loss over R regions and their texts; pairs of identical texts (equal text_id)
// are never negatives (but for filter.identical); with filter.similarity_test neither are pairs
// whose texts have cosine > threshold (no gradient through the test). regions, texts [R, E]
// L2-normalised; text_id [R] int64 in main memory (elsewhere it is read back, which waits). R >= 0
// (loss 0 with R = 0).
RegionLoss region_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                       const torch::Tensor& text_id, const torch::Tensor& logit_scale,
                       const TextFilter& filter, const ContrastiveOptions& options = {});

struct TextContrast {
  torch::Tensor loss;  // scalar
  // Scalar F64 where the texts lie, without a gradient: of the ordered pairs of own distinct texts
  // with all others, those above the threshold; and how many pairs that is a share of.
  torch::Tensor left_out_share;
  double pairs = 0;
};

// Text-text contrast (FG-CLIP 2's "textual intra-modal contrastive" loss: Xie et al., 2025, arXiv
// 2510.10921): the U distinct texts of the batch repel each other, each one counted once,
//   1/U sum_i log sum_(j != i, t_i . t_j <= threshold) exp(scale t_i . t_j).
// A text without such a j adds 0. texts [R, E] L2-normalised; text_id [R] int64, equal = identical
// texts; scale = exp(logit_scale), capped, without a gradient: the loss falls with the scale, and
// would only ever lower it. Over a group as clip_loss: a text belongs to the first process that has
// it, whose row gets the gradient. R >= 0. Throws nothing; memory: strips of [chunk, U].
TextContrast text_contrast_loss(const torch::Tensor& texts, const torch::Tensor& text_id,
                                const torch::Tensor& logit_scale, double threshold,
                                const ContrastiveOptions& options = {});

enum class GroundingKind { kL2, kL1Giou };
struct GroundingLoss {
  torch::Tensor loss;  // scalar
  // Scalars without a gradient; undefined with R = 0.
  torch::Tensor mean_iou;
  torch::Tensor inverted_share;    // predicted boxes with x1 <= x0 or y1 <= y0
  torch::Tensor predicted_spread;  // mean over coordinates of the standard deviation over the batch
};
// predicted, target [R, 4], x0 y0 x1 y1 in [0, 1]; target boxes are ordered and have an area.
// kL2: mean squared error over regions and coordinates. kL1Giou: mean over regions of
// 5 sum |difference| + 2 (1 - GIoU); an inverted prediction counts as empty in GIoU, and L1 brings
// its corners back. The loss is 0 with R = 0.
// `weight` [R]: by which each region's loss is multiplied before the mean; undefined: 1.
GroundingLoss grounding_loss(const torch::Tensor& predicted, const torch::Tensor& target,
                             GroundingKind kind, const torch::Tensor& weight = {});

// weight [n] of this process's regions over their mean in the whole group. A call of all processes.
torch::Tensor over_mean(const torch::Tensor& weight, dist::Group& group);

struct HardNegativeLoss {
  torch::Tensor loss;  // scalar; the mean over the regions that have hard negatives, 0 without any
  // Scalar F64 without a gradient: how many of them are nearer to their own text than to all their
  // negatives.
  torch::Tensor accuracy;
  int64_t regions = 0;
};
// Hard negatives (FG-CLIP: Xie et al., 2025, arXiv 2505.05071): of each region its own text against
// wrong texts of its own,
//   -log exp(s z_i . t_i) / (exp(s z_i . t_i) + sum_k exp(s z_i . n_ik)),  s = exp(logit_scale).
// regions, texts [R, E] and negatives [H, E] L2-normalised; negative_region [H] int64 in main
// memory, ascending: whose negative each is. The gradient goes into all four.
HardNegativeLoss hard_negative_loss(const torch::Tensor& regions, const torch::Tensor& texts,
                                    const torch::Tensor& negatives,
                                    const torch::Tensor& negative_region,
                                    const torch::Tensor& logit_scale);

struct QualityLoss {
  torch::Tensor loss;  // scalar
  // Scalars without a gradient; undefined with Q = 0. Mean |predicted - true IoU|, and what always
  // answering the mean IoU would get.
  torch::Tensor error, constant_error;
};
// L_quality: binary cross-entropy of the predicted IoU, sigmoid(logits), with the true one (Wu et
// al., 2019, arXiv 1912.05992). logits, iou [Q], iou in [0, 1]. The loss is 0 with Q = 0.
QualityLoss quality_loss(const torch::Tensor& logits, const torch::Tensor& iou);

// The restoring of masked autoencoders (He et al., 2022): over the patches that `scored` [B, N]
// bool marks, the sum of the mean squared error over a patch's values. predicted, patches [B, N,
// Q]; `normalize`: each true patch first gets mean 0 and variance 1 (norm_pix_loss, epsilon 1e-6).
// In F32 -> scalar, 0 where none is scored.
struct MaskedPatches {
  torch::Tensor predicted, patches, scored;
  bool normalize = true;
};
torch::Tensor masked_patch_loss(const MaskedPatches& input);
// What the loss compares with: [B, N, Q] with each patch's own mean and deviation taken out.
torch::Tensor normalized_patches(const torch::Tensor& patches);

// SimCLR's NT-Xent as SLIP has it (Chen et al., 2020; Mu et al., 2022): the cross-entropy of each
// view among all others of the batch but itself, mean over both views. first, second [B, O], not
// normalised; row i of both is the same picture. -> scalar; 0 with B = 0.
torch::Tensor simclr_loss(const torch::Tensor& first, const torch::Tensor& second,
                          double temperature);

// What a teacher says of tokens, centred and sharpened (Caron et al., "DINO", 2021):
//   softmax((logits - centre) / temperature).
// logits [n, K] F32, centre [K] -> [n, K]. No gradient passes.
torch::Tensor teacher_distribution(const torch::Tensor& logits, const torch::Tensor& centre,
                                   double temperature);
// Self-distillation (DINO; Zhou et al., "iBOT", 2022): the cross-entropy of the teacher's
// distributions [n, K] and the student's, softmax(logits / temperature), summed over the n rows.
// Memory grows with n x K. -> scalar, 0 with n = 0.
torch::Tensor distillation_loss(const torch::Tensor& logits, const torch::Tensor& teacher,
                                double temperature);
// Entropies in nats of distributions [..., K] -> [...].
torch::Tensor entropy(const torch::Tensor& distributions);

// What pictures are labelled with, as columns of the classes that they are compared with. In main
// memory.
struct EntityTargets {
  torch::Tensor positive;  // [B] int64 in [-1, S); -1: none, the picture has no loss
  // What else of picture i is true, and so no negative: the columns other[other_begin[i]] ...
  // other[other_begin[i + 1] - 1], positive[i] not among them. [B + 1] and [n] int64.
  torch::Tensor other_begin, other;
};
struct EntityLossOptions {
  double margin = 0.15;  // the positive's cosine must be so much higher
  double scale = 32;     // of cosines: alpha
  int64_t chunk = 0;     // pictures of a strip; 0: as many as make 2^23 similarities
};
struct EntityLoss {
  torch::Tensor loss;  // scalar; the mean over the pictures with an entity, 0 without any
  // Scalar F64 without a gradient: how many of them are nearest to their own class (no margin).
  torch::Tensor accuracy;
  int64_t pictures = 0;
};
// L_entity (MOFI: Wu et al., 2023, arXiv 2306.07952; PartialFC: An et al., 2022): large-margin
// softmax over a sample of the classes,
//   -log softmax_s(scale (image_i . class_s - margin [s = positive_i])) at s = positive_i.
// image [B, E], L2-normalised; classes [S, E], normalised inside. Memory: strips of [chunk, S],
// forward and backward.
EntityLoss entity_loss(const torch::Tensor& image, const torch::Tensor& classes,
                       const EntityTargets& targets, const EntityLossOptions& options = {});

// lambda of L = L_CLIP + lambda (L_CLOC + L_grounding): share of images with at least one region.
double region_weight(int64_t images_with_regions, int64_t batch_size);

}  // namespace opencloc
