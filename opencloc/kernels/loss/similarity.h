// Symmetric InfoNCE (van den Oord et al., 2018; CLIP's loss) over pairs of embeddings, in tiles of
// the similarity matrix: neither it nor its gradient is ever held. All F32. Threaded; the tiles are
// cut the same way for any number of threads.
#pragma once

#include <cstdint>

namespace opencloc::kernels {

// s_ij = scale rows_i . columns_j, without the pairs that are no negatives of each other: equal
// text ids, and texts with a cosine above the threshold. A row's own pair always counts.
struct PairMatrix {
  struct Side {
    int64_t count = 0;
    const float* embeddings = nullptr;  // [count, width]
    const int32_t* text_ids = nullptr;  // [count]; null: nothing is excluded
    const float* texts = nullptr;       // [count, width]; null: no test of cosines
  };
  Side rows, columns;
  int64_t width = 0;
  int64_t first = 0;  // row i's own pair is column first + i
  float scale = 1;
  float threshold = 0;
};

struct PairSums {
  float* rows = nullptr;      // [rows] log sum_j exp s_ij
  float* own = nullptr;       // [rows] s of each row's own pair
  float* columns = nullptr;   // [columns] log sum_i exp s_ij; null: not wanted
  int64_t similar_pairs = 0;  // of distinct texts, with a cosine above the threshold
};
// Fills what `sums` points to.
void pair_sums(const PairMatrix& matrix, PairSums& sums);

// The gradient of weight * sum_i ((rows_i - own_i) + (columns_i - own_i)) of the sums above;
// without `column_sums` of the first half alone.
struct PairGradient {
  const float* row_sums = nullptr;     // [rows]
  const float* column_sums = nullptr;  // [columns] or null
  float weight = 1;
  float* rows = nullptr;     // [rows, width], added to
  float* columns = nullptr;  // [columns, width], added to; null: not wanted
  double log_scale = 0;      // of log(scale); added to
};
void pair_gradient(const PairMatrix& matrix, PairGradient& gradient);

// A tile of the matrix as the loops of one thread see it. `cosines` has whole vectors in memory: a
// row may be read and written up to the next multiple of 16 columns, and so may `column_ids` and
// the arrays of the columns below.
struct SimilarityTile {
  int64_t rows = 0, columns = 0, stride = 0;
  float* cosines = nullptr;             // [rows, columns]
  const float* text_cosines = nullptr;  // the same layout, or null
  const int32_t* row_ids = nullptr;
  const int32_t* column_ids = nullptr;
  int64_t own = 0;  // the column of row 0's own pair, perhaps outside the tile
  float scale = 1, threshold = 0;
};
// Running sums: a sum stands for sum * exp(largest).
struct RunningSums {
  float *row_largest = nullptr, *row_sum = nullptr, *own = nullptr;  // [rows]
  float *column_largest = nullptr, *column_sum = nullptr;            // [columns]; null: not wanted
};
struct TileGradient {
  const float* row_sums = nullptr;
  const float* column_sums = nullptr;  // may be null
  float weight = 1;
};

}  // namespace opencloc::kernels
