#include "opencloc/kernels/loss/similarity.h"

#include <cmath>
#include <vector>

#include "tests/kernels/numbers.h"

namespace opencloc::kernels {
namespace {

using Row = std::vector<double>;

struct Case {
  int64_t rows, columns, first, width;
  bool filtered, both_ways;
};
// Odd sizes; rows that are a part of the pairs; more than one tile either way.
constexpr Case kCases[] = {
    {1, 1, 0, 3, true, true},        {5, 5, 0, 4, true, true},      {17, 40, 20, 7, true, false},
    {0, 9, 3, 4, true, true},        {130, 130, 0, 8, false, true}, {3, 1030, 1027, 5, true, false},
    {530, 1050, 300, 6, true, true}, {40, 129, 64, 0, false, true},
};

// The definition, in F64, on the F32 numbers the kernel reads.
struct Definition {
  Case shape;
  std::vector<float> rows, columns, texts;  // texts of the columns; a row's is its own pair's
  std::vector<int32_t> ids;
  PairMatrix matrix;

  explicit Definition(const Case& c) : shape(c) {
    rows = numbers(c.rows * c.width, 1);
    columns = numbers(c.columns * c.width, 2);
    texts = numbers(c.columns * c.width, 3);
    for (int64_t i = 0; i < c.columns; ++i) ids.push_back(static_cast<int32_t>(i * 7 % 11));
    matrix = {.rows = {.count = c.rows, .embeddings = rows.data()},
              .columns = {.count = c.columns, .embeddings = columns.data()},
              .width = c.width,
              .first = c.first,
              .scale = 3.0f,
              .threshold = 0.8f};
    if (!c.filtered) return;
    matrix.columns.text_ids = ids.data();
    matrix.columns.texts = texts.data();
    matrix.rows.text_ids = ids.data() + c.first;
    matrix.rows.texts = texts.data() + c.first * c.width;
  }

  double dot(const float* a, const float* b) const {
    double sum = 0;
    for (int64_t k = 0; k < shape.width; ++k) sum += static_cast<double>(a[k]) * b[k];
    return sum;
  }
  double cosine(int64_t i, int64_t j) const {
    return dot(rows.data() + i * shape.width, columns.data() + j * shape.width);
  }
  bool same_text(int64_t i, int64_t j) const {
    return ids[static_cast<size_t>(shape.first + i)] == ids[static_cast<size_t>(j)];
  }
  bool similar(int64_t i, int64_t j) const {
    return shape.filtered && !same_text(i, j) &&
           dot(texts.data() + (shape.first + i) * shape.width, texts.data() + j * shape.width) >
               matrix.threshold;
  }
  bool counts(int64_t i, int64_t j) const {
    return j == shape.first + i || !shape.filtered || (!same_text(i, j) && !similar(i, j));
  }
  double s(int64_t i, int64_t j) const { return matrix.scale * cosine(i, j); }
  Row row_sums() const {
    Row sums(static_cast<size_t>(shape.rows));
    for (int64_t i = 0; i < shape.rows; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < shape.columns; ++j) sum += counts(i, j) ? std::exp(s(i, j)) : 0;
      sums[static_cast<size_t>(i)] = std::log(sum);
    }
    return sums;
  }
  Row column_sums() const {
    Row sums(static_cast<size_t>(shape.columns));
    for (int64_t j = 0; j < shape.columns; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < shape.rows; ++i) sum += counts(i, j) ? std::exp(s(i, j)) : 0;
      sums[static_cast<size_t>(j)] = std::log(sum);
    }
    return sums;
  }
};

void expect_near(const std::vector<float>& got, const Row& want, double tolerance,
                 const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(want[i])) {
      ASSERT_EQ(got[i], want[i]) << what << ' ' << i;
    } else {
      ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << ' ' << i;
    }
  }
}

TEST(PairSums, AgreeWithTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.rows) + " x " + std::to_string(c.columns));
    const Definition definition(c);
    const Row row_sums = definition.row_sums(), column_sums = definition.column_sums();
    int64_t similar = 0;
    Row own;
    for (int64_t i = 0; i < c.rows; ++i) {
      own.push_back(definition.s(i, c.first + i));
      for (int64_t j = 0; j < c.columns; ++j) similar += definition.similar(i, j) ? 1 : 0;
    }
    on_every_isa([&] {
      std::vector<float> rows(static_cast<size_t>(c.rows)), of_own(rows.size()),
          columns(static_cast<size_t>(c.both_ways ? c.columns : 0));
      PairSums sums{.rows = rows.data(), .own = of_own.data()};
      if (c.both_ways) sums.columns = columns.data();
      pair_sums(definition.matrix, sums);
      expect_near(rows, row_sums, 2e-6, "row");
      expect_near(of_own, own, 2e-6, "own");
      if (c.both_ways) expect_near(columns, column_sums, 2e-6, "column");
      EXPECT_EQ(sums.similar_pairs, similar);
    });
  }
}

TEST(PairGradient, AgreesWithTheDefinition) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(std::to_string(c.rows) + " x " + std::to_string(c.columns));
    const Definition definition(c);
    const Row row_sums = definition.row_sums(), column_sums = definition.column_sums();
    constexpr double kWeight = 0.5;
    Row d_rows(static_cast<size_t>(c.rows * c.width), 1.0),  // added to ones
        d_columns(static_cast<size_t>(c.columns * c.width), 1.0);
    double d_log_scale = 0;
    for (int64_t i = 0; i < c.rows; ++i) {
      for (int64_t j = 0; j < c.columns; ++j) {
        if (!definition.counts(i, j)) continue;
        const double s = definition.s(i, j), own = j == c.first + i ? 1 : 0;
        double slope = std::exp(s - row_sums[static_cast<size_t>(i)]) - own;
        if (c.both_ways) slope += std::exp(s - column_sums[static_cast<size_t>(j)]) - own;
        d_log_scale += kWeight * slope * s;
        for (int64_t k = 0; k < c.width; ++k) {
          const auto a = static_cast<size_t>(i * c.width + k),
                     b = static_cast<size_t>(j * c.width + k);
          d_rows[a] += kWeight * slope * definition.matrix.scale * definition.columns[b];
          d_columns[b] += kWeight * slope * definition.matrix.scale * definition.rows[a];
        }
      }
    }
    const std::vector<float> row_lse(row_sums.begin(), row_sums.end()),
        column_lse(column_sums.begin(), column_sums.end());
    on_every_isa([&] {
      std::vector<float> rows(d_rows.size(), 1.0f), columns(d_columns.size(), 1.0f);
      PairGradient gradient{.row_sums = row_lse.data(),
                            .column_sums = c.both_ways ? column_lse.data() : nullptr,
                            .weight = static_cast<float>(kWeight),
                            .rows = rows.data(),
                            .columns = columns.data()};
      pair_gradient(definition.matrix, gradient);
      expect_near(rows, d_rows, 2e-5, "row");
      expect_near(columns, d_columns, 2e-5, "column");
      EXPECT_NEAR(gradient.log_scale, d_log_scale, 1e-5 * (1 + std::abs(d_log_scale)));
    });
  }
}

// Similarities of both signs near CLIP's cap: no exponential may overflow or vanish.
TEST(PairSums, FarApartSimilaritiesNeitherOverflowNorVanish) {
  constexpr int64_t kCount = 40;
  std::vector<float> ones(kCount, 1.0f), signs(kCount);
  for (int64_t i = 0; i < kCount; ++i) signs[static_cast<size_t>(i)] = i == 7 ? 1.0f : -1.0f;
  const PairMatrix matrix{.rows = {.count = kCount, .embeddings = ones.data()},
                          .columns = {.count = kCount, .embeddings = signs.data()},
                          .width = 1,
                          .scale = 100.0f};
  on_every_isa([&] {
    std::vector<float> rows(kCount), own(kCount), columns(kCount);
    PairSums sums{.rows = rows.data(), .own = own.data(), .columns = columns.data()};
    pair_sums(matrix, sums);
    for (size_t i = 0; i < kCount; ++i) {
      EXPECT_NEAR(rows[i], 100.0f, 1e-4);
      EXPECT_NEAR(columns[i], (i == 7 ? 100.0f : -100.0f) + std::log(40.0f), 1e-4);
    }
  });
}

TEST(PairSums, ANumberThatIsNoneStays) {
  std::vector<float> rows(20, 0.5f), columns(20, 0.5f);
  rows[3] = std::nanf("");
  const PairMatrix matrix{.rows = {.count = 20, .embeddings = rows.data()},
                          .columns = {.count = 20, .embeddings = columns.data()},
                          .width = 1};
  on_every_isa([&] {
    std::vector<float> of_rows(20), own(20);
    PairSums sums{.rows = of_rows.data(), .own = own.data()};
    pair_sums(matrix, sums);
    EXPECT_TRUE(std::isnan(of_rows[3]));
    EXPECT_FALSE(std::isnan(of_rows[4]));
  });
}

}  // namespace
}  // namespace opencloc::kernels
