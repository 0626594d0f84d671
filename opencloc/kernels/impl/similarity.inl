// Tiles of a similarity matrix: sums of exponentials along rows and columns, and their gradient.
#pragma once

#include "opencloc/kernels/isa/kernel_table.h"
#include "opencloc/kernels/isa/vec.h"

namespace opencloc::kernels {
namespace {

constexpr float kExcluded = -__builtin_inff();

OPENCLOC_INLINE IntVec first_lanes(int64_t count) {
  IntVec lanes;
  for (int i = 0; i < kWidth; ++i) lanes[i] = i < count ? -1 : 0;
  return lanes;
}
OPENCLOC_INLINE IntVec load_ids(const int32_t* p) {
  IntVec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
OPENCLOC_INLINE float exp_of(float x) { return exp(splat(x))[0]; }

// What exponentials are taken relative to: the largest value, or 0 where all are excluded.
OPENCLOC_INLINE Vec base_of(Vec largest) { return select(largest == kExcluded, Vec{}, largest); }
OPENCLOC_INLINE float base_of(float largest) { return largest == kExcluded ? 0 : largest; }

struct TileVec {
  Vec similarity;  // -infinity where excluded and past the last column
  Vec cosine;      // 0 past the last column
  IntVec similar;  // distinct texts with a cosine above the threshold
};
// The vector at column c of a row. Does not know the row's own pair.
OPENCLOC_INLINE TileVec tile_vec(const SimilarityTile& tile, int64_t row, int64_t c) {
  const int64_t at = row * tile.stride + c;
  TileVec result{.similarity = {}, .cosine = load(tile.cosines + at), .similar = {}};
  IntVec excluded{};
  if (tile.row_ids != nullptr) excluded = load_ids(tile.column_ids + c) == tile.row_ids[row];
  if (tile.text_cosines != nullptr) {
    result.similar = (load(tile.text_cosines + at) > tile.threshold) & ~excluded;
    excluded |= result.similar;
  }
  if (c + kWidth > tile.columns) {
    const IntVec inside = first_lanes(tile.columns - c);
    excluded |= ~inside;
    result.similar &= inside;
    result.cosine = select(inside, result.cosine, Vec{});
  }
  result.similarity = select(excluded, splat(kExcluded), result.cosine * tile.scale);
  return result;
}

struct OwnPair {
  bool inside;
  int64_t at;  // in cosines
  float cosine;
};
OPENCLOC_INLINE OwnPair own_pair(const SimilarityTile& tile, int64_t row) {
  const int64_t column = tile.own + row, at = row * tile.stride + column;
  const bool inside = column >= 0 && column < tile.columns;
  return {.inside = inside, .at = at, .cosine = inside ? tile.cosines[at] : 0};
}

// Leaves the similarities in place of the cosines, for tile_column_sums().
OPENCLOC_INLINE int64_t tile_row_sums(const SimilarityTile& tile, const RunningSums& sums) {
  IntVec similar{};
  for (int64_t row = 0; row < tile.rows; ++row) {
    float* s = tile.cosines + row * tile.stride;
    const OwnPair own = own_pair(tile, row);
    Vec best = splat(kExcluded);
    for (int64_t c = 0; c < tile.columns; c += kWidth) {
      const TileVec v = tile_vec(tile, row, c);
      best = max(best, v.similarity);
      similar -= v.similar;
      store(s + c, v.similarity);
    }
    float most = largest(best);
    if (own.inside) {
      sums.own[row] = tile.cosines[own.at] = own.cosine * tile.scale;
      most = sums.own[row] > most ? sums.own[row] : most;
    }
    const float before = sums.row_largest[row];
    most = before > most ? before : most;
    const float base = base_of(most);
    Vec total{};
    for (int64_t c = 0; c < tile.columns; c += kWidth) total += exp(load(s + c) - base);
    float& running = sums.row_sum[row];
    running = (before == most ? running : running * exp_of(before - base)) + sum(total);
    sums.row_largest[row] = most;
  }
  int64_t count = 0;
  for (int i = 0; i < kWidth; ++i) count += similar[i];
  return count;
}

OPENCLOC_INLINE void tile_column_sums(const SimilarityTile& tile, const RunningSums& sums) {
  for (int64_t c = 0; c < tile.columns; c += kWidth) {
    const float* s = tile.cosines + c;
    const Vec before = load(sums.column_largest + c);
    Vec most = before;
    for (int64_t row = 0; row < tile.rows; ++row) most = max(most, load(s + row * tile.stride));
    const Vec base = base_of(most);
    Vec total = load(sums.column_sum + c) * exp(before - base);
    for (int64_t row = 0; row < tile.rows; ++row) total += exp(load(s + row * tile.stride) - base);
    store(sums.column_largest + c, most);
    store(sums.column_sum + c, total);
  }
}

int64_t similarity_sums(const SimilarityTile& tile, const RunningSums& sums) {
  const int64_t similar = tile_row_sums(tile, sums);
  if (sums.column_sum != nullptr) tile_column_sums(tile, sums);
  return similar;
}

double similarity_gradient(const SimilarityTile& tile, const TileGradient& gradient) {
  const float* column_sums = gradient.column_sums;
  double log_scale = 0;
  for (int64_t row = 0; row < tile.rows; ++row) {
    float* g = tile.cosines + row * tile.stride;
    const float row_sum = gradient.row_sums[row];
    const OwnPair own = own_pair(tile, row);
    Vec product{};
    for (int64_t c = 0; c < tile.columns; c += kWidth) {
      const TileVec v = tile_vec(tile, row, c);
      Vec slope = exp(v.similarity - row_sum);
      if (column_sums != nullptr) slope += exp(v.similarity - load(column_sums + c));
      slope *= gradient.weight * tile.scale;
      product += slope * v.cosine;
      store(g + c, slope);
    }
    float total = sum(product);
    if (own.inside) {
      const float s = own.cosine * tile.scale;
      float slope = exp_of(s - row_sum) - 1;
      if (column_sums != nullptr) slope += exp_of(s - column_sums[tile.own + row]) - 1;
      slope *= gradient.weight * tile.scale;
      total += (slope - tile.cosines[own.at]) * own.cosine;
      tile.cosines[own.at] = slope;
    }
    log_scale += total;
  }
  return log_scale;
}

}  // namespace
}  // namespace opencloc::kernels
