#include "opencloc/kernels/loss/similarity.h"
#include "opencloc/loss/pair_block.h"

namespace opencloc {
namespace {

using torch::Tensor;

// A block as the kernels read it, with what that takes kept alive.
class KernelMatrix {
 public:
  explicit KernelMatrix(const PairBlock& block)
      : rows_(block.rows.contiguous()),
        columns_(block.columns.contiguous()),
        texts_(block.filter.texts) {
    const int64_t begin = block.local.begin, width = rows_.size(1);
    matrix_ = {.rows = {.count = block.local.end - begin,
                        .embeddings = rows_.data_ptr<float>() + begin * width},
               .columns = {.count = columns_.size(0), .embeddings = columns_.data_ptr<float>()},
               .width = width,
               .first = begin,
               .scale = static_cast<float>(block.scale.item<double>()),
               .threshold = static_cast<float>(block.filter.threshold)};
    if (block.filter.text_id.defined()) {
      ids_ = dense_ids(block.filter.text_id).ids;
      matrix_.columns.text_ids = ids_.data_ptr<int32_t>();
      matrix_.rows.text_ids = matrix_.columns.text_ids + begin;
    }
    if (texts_.defined()) {
      texts_ = texts_.contiguous();
      matrix_.columns.texts = texts_.data_ptr<float>();
      matrix_.rows.texts = matrix_.columns.texts + begin * width;
    }
  }
  const kernels::PairMatrix& operator*() const { return matrix_; }

 private:
  Tensor rows_, columns_, texts_, ids_;
  kernels::PairMatrix matrix_;
};

const float* data_or_null(const Tensor& t) { return t.defined() ? t.data_ptr<float>() : nullptr; }

}  // namespace

BlockSums sums_in_tiles(const PairBlock& block) {
  const KernelMatrix matrix(block);
  const int64_t count = block.local.end - block.local.begin;
  BlockSums sums{.row_lse = torch::empty({count}, block.rows.options()),
                 .own = torch::empty({count}, block.rows.options()),
                 .column_lse = {},
                 .similar_pairs = {}};
  kernels::PairSums into{.rows = sums.row_lse.data_ptr<float>(), .own = sums.own.data_ptr<float>()};
  if (block.directions == Directions::kRowsAndColumns) {
    sums.column_lse = torch::empty({block.columns.size(0)}, block.rows.options());
    into.columns = sums.column_lse.data_ptr<float>();
  }
  kernels::pair_sums(*matrix, into);
  sums.similar_pairs =
      torch::scalar_tensor(static_cast<double>(into.similar_pairs), torch::kDouble);
  return sums;
}

void add_gradient_in_tiles(const PairBlock& block, const BlockSums& sums, const Tensor& weight,
                           BlockGradient& gradient) {
  const KernelMatrix matrix(block);
  kernels::PairGradient into{
      .row_sums = sums.row_lse.data_ptr<float>(),
      .column_sums = data_or_null(sums.column_lse),
      .weight = static_cast<float>(weight.item<double>()),
      .rows = gradient.rows.data_ptr<float>(),
      .columns = gradient.columns.defined() ? gradient.columns.data_ptr<float>() : nullptr};
  kernels::pair_gradient(*matrix, into);
  gradient.log_scale += into.log_scale;
}

}  // namespace opencloc
