#include "opencloc/kernels/loss/similarity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "opencloc/kernels/aligned_buffer.h"
#include "opencloc/kernels/gemm/gemm_fp32.h"
#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/parallel.h"

namespace opencloc::kernels {
namespace {

// A tile stays in the caches between its product and its sums; a strip of it is one thread's work.
constexpr int64_t kTileRows = 512, kTileColumns = 1024, kStrip = 128;
constexpr int64_t kStrips = kTileColumns / kStrip;
constexpr int64_t kPadding = 16;  // elements past the end that loops may touch
constexpr float kNone = -std::numeric_limits<float>::infinity();

struct Range {
  int64_t begin, count;
};

template <class Body>
void for_each_tile(int64_t count, int64_t size, const Body& body) {
  for (int64_t begin = 0; begin < count; begin += size) {
    body(Range{begin, std::min(size, count - begin)});
  }
}

// Cosines of the tiles of a matrix, each in the place of the one before.
class Tiles {
 public:
  explicit Tiles(const PairMatrix& matrix) : matrix_(matrix) {
    const int64_t rows = std::min(kTileRows, matrix.rows.count);
    stride_ = std::min(kTileColumns, (matrix.columns.count + kPadding - 1) / kPadding * kPadding);
    cosines_.ensure(rows * stride_);
    if (matrix.rows.texts != nullptr) text_cosines_.ensure(rows * stride_);
    if (matrix.columns.text_ids != nullptr) {
      column_ids_.assign(matrix.columns.text_ids, matrix.columns.text_ids + matrix.columns.count);
      column_ids_.resize(column_ids_.size() + kPadding);
    }
  }

  void multiply(const Range& rows, const Range& columns) {
    rows_ = rows;
    columns_ = columns;
    multiply(matrix_.rows.embeddings, matrix_.columns.embeddings, cosines_.data());
    if (text_cosines_.data() != nullptr) {
      multiply(matrix_.rows.texts, matrix_.columns.texts, text_cosines_.data());
    }
  }

  // body(strip, tile, column): the tile cut into strips, each from `column` of the matrix on.
  template <class Body>
  void for_each_strip(const Body& body) {
    parallel_items((columns_.count + kStrip - 1) / kStrip, [&](int64_t strip) {
      const int64_t at = strip * kStrip, column = columns_.begin + at;
      SimilarityTile tile{.rows = rows_.count,
                          .columns = std::min(kStrip, columns_.count - at),
                          .stride = stride_,
                          .cosines = cosines_.data() + at,
                          .own = matrix_.first + rows_.begin - column,
                          .scale = matrix_.scale,
                          .threshold = matrix_.threshold};
      if (text_cosines_.data() != nullptr) tile.text_cosines = text_cosines_.data() + at;
      if (!column_ids_.empty()) {
        tile.row_ids = matrix_.rows.text_ids + rows_.begin;
        tile.column_ids = column_ids_.data() + column;
      }
      body(strip, tile, column);
    });
  }

  // What the last tile was turned into, times the other side: added to the gradients.
  void add_products(float* row_gradient, float* column_gradient) const {
    const int64_t width = matrix_.width;
    const float* rows = matrix_.rows.embeddings + rows_.begin * width;
    const float* columns = matrix_.columns.embeddings + columns_.begin * width;
    GemmFp32 gemm{.m = rows_.count,
                  .n = width,
                  .k = columns_.count,
                  .lda = stride_,
                  .ldb = width,
                  .ldc = width,
                  .beta = 1};
    gemm_fp32(gemm, cosines_.data(), columns, row_gradient + rows_.begin * width);
    if (column_gradient == nullptr) return;
    gemm.transpose_a = Transpose::kYes;
    gemm.m = columns_.count;
    gemm.k = rows_.count;
    gemm_fp32(gemm, cosines_.data(), rows, column_gradient + columns_.begin * width);
  }

 private:
  void multiply(const float* rows, const float* columns, float* result) const {
    const int64_t width = matrix_.width;
    gemm_fp32({.transpose_b = Transpose::kYes,
               .m = rows_.count,
               .n = columns_.count,
               .k = width,
               .lda = width,
               .ldb = width,
               .ldc = stride_},
              rows + rows_.begin * width, columns + columns_.begin * width, result);
  }

  const PairMatrix& matrix_;
  int64_t stride_ = 0;
  Range rows_{}, columns_{};
  AlignedBuffer<float> cosines_, text_cosines_;
  std::vector<int32_t> column_ids_;  // padded
};

// Running sums of the rows of a tile, those of each strip apart: threads share none.
class RowSums {
 public:
  RowSums() : largest_(kStrips * kTileRows), sum_(kStrips * kTileRows) {}
  void clear() {
    std::fill(largest_.begin(), largest_.end(), kNone);
    std::fill(sum_.begin(), sum_.end(), 0.0f);
  }
  float* largest(int64_t strip) { return largest_.data() + strip * kTileRows; }
  float* sum(int64_t strip) { return sum_.data() + strip * kTileRows; }

  float log_of_sum(int64_t row) const {
    float most = kNone;
    for (int64_t s = 0; s < kStrips; ++s) most = std::max(most, largest_[index(s, row)]);
    float total = 0;
    for (int64_t s = 0; s < kStrips; ++s) {
      const float sum = sum_[index(s, row)];  // NaN counts, whatever the largest
      if (sum != 0) total += sum * std::exp(largest_[index(s, row)] - most);
    }
    return most + std::log(total);
  }

 private:
  static size_t index(int64_t strip, int64_t row) {
    return static_cast<size_t>(strip * kTileRows + row);
  }
  std::vector<float> largest_, sum_;
};

}  // namespace

void pair_sums(const PairMatrix& matrix, PairSums& sums) {
  const KernelTable& table = kernel_table();
  Tiles tiles(matrix);
  RowSums of_rows;
  std::vector<float> column_largest, column_sum;
  if (sums.columns != nullptr) {
    const auto padded = static_cast<size_t>(matrix.columns.count + kPadding);
    column_largest.assign(padded, kNone);
    column_sum.assign(padded, 0.0f);
  }
  std::array<int64_t, kStrips> similar{};
  for_each_tile(matrix.rows.count, kTileRows, [&](const Range& rows) {
    of_rows.clear();
    for_each_tile(matrix.columns.count, kTileColumns, [&](const Range& columns) {
      tiles.multiply(rows, columns);
      tiles.for_each_strip([&](int64_t strip, const SimilarityTile& tile, int64_t column) {
        RunningSums running{.row_largest = of_rows.largest(strip),
                            .row_sum = of_rows.sum(strip),
                            .own = sums.own + rows.begin};
        if (sums.columns != nullptr) {
          running.column_largest = column_largest.data() + column;
          running.column_sum = column_sum.data() + column;
        }
        similar[static_cast<size_t>(strip)] += table.similarity_sums(tile, running);
      });
    });
    for (int64_t i = 0; i < rows.count; ++i) sums.rows[rows.begin + i] = of_rows.log_of_sum(i);
  });
  if (sums.columns != nullptr) {
    for (int64_t i = 0; i < matrix.columns.count; ++i) {
      const auto at = static_cast<size_t>(i);
      sums.columns[i] = column_largest[at] + std::log(column_sum[at]);
    }
  }
  sums.similar_pairs = std::accumulate(similar.begin(), similar.end(), int64_t{0});
}

void pair_gradient(const PairMatrix& matrix, PairGradient& gradient) {
  const KernelTable& table = kernel_table();
  Tiles tiles(matrix);
  std::vector<float> column_sums;
  if (gradient.column_sums != nullptr) {
    column_sums.assign(gradient.column_sums, gradient.column_sums + matrix.columns.count);
    column_sums.resize(column_sums.size() + kPadding);
  }
  std::array<double, kStrips> log_scale{};
  for_each_tile(matrix.rows.count, kTileRows, [&](const Range& rows) {
    for_each_tile(matrix.columns.count, kTileColumns, [&](const Range& columns) {
      tiles.multiply(rows, columns);
      tiles.for_each_strip([&](int64_t strip, const SimilarityTile& tile, int64_t column) {
        TileGradient of_tile{.row_sums = gradient.row_sums + rows.begin, .weight = gradient.weight};
        if (!column_sums.empty()) of_tile.column_sums = column_sums.data() + column;
        log_scale[static_cast<size_t>(strip)] += table.similarity_gradient(tile, of_tile);
      });
      tiles.add_products(gradient.rows, gradient.columns);
    });
  });
  gradient.log_scale += std::accumulate(log_scale.begin(), log_scale.end(), 0.0);
}

}  // namespace opencloc::kernels
