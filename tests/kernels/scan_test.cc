#include "opencloc/kernels/scan/scan.h"

#include <algorithm>
#include <limits>

#include "numbers.h"
#include "opencloc/kernels/gemm/gemm_int8.h"
#include "opencloc/kernels/isa/kernel_table.h"

namespace opencloc::kernels {
namespace {

// Unit vectors and what is stored of them.
struct Stored {
  int64_t rows, width;
  std::vector<float> vectors;  // [rows, width]
  std::vector<int8_t> values;
  std::vector<float> scale;
  std::vector<int32_t> sums;
  std::vector<fp16> exact;

  ScanPart part(int64_t begin, int64_t end, const uint64_t* left_out = nullptr) const {
    return {.rows = end - begin,
            .values = values.data() + begin * scan_stride(width),
            .scale = scale.data() + begin,
            .sums = sums.data() + begin,
            .exact = exact.data() + begin * width,
            .left_out = left_out};
  }
  double exact_of(const float* query, int64_t row) const {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) {
      sum += static_cast<double>(query[i]) *
             static_cast<double>(float_of(exact[static_cast<size_t>(row * width + i)]));
    }
    return sum;
  }
};

std::vector<float> unit_vectors(int64_t rows, int64_t width, uint64_t seed) {
  auto x = numbers(rows * width, seed);
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) {
      const double v = x[static_cast<size_t>(r * width + i)];
      squares += v * v;
    }
    for (int64_t i = 0; i < width; ++i)
      x[static_cast<size_t>(r * width + i)] /= static_cast<float>(std::sqrt(squares));
  }
  return x;
}

Stored stored(int64_t rows, int64_t width, uint64_t seed) {
  Stored s{rows, width, unit_vectors(rows, width, seed), {}, {}, {}, {}};
  const int64_t stride = scan_stride(width);
  s.values.resize(static_cast<size_t>(rows * stride));
  s.scale.resize(static_cast<size_t>(rows));
  s.sums.resize(static_cast<size_t>(rows));
  for (int64_t r = 0; r < rows; ++r) {
    int8_t* row = s.values.data() + r * stride;
    quantize_weight(s.vectors.data() + r * width, 1, width, row, &s.scale[static_cast<size_t>(r)]);
    for (int64_t i = 0; i < width; ++i) s.sums[static_cast<size_t>(r)] += row[i];
  }
  for (const float x : s.vectors) s.exact.push_back(round_to_fp16(x));
  return s;
}

std::vector<std::tuple<int64_t, int64_t, float>> flat(const std::vector<ScanHit>& hits) {
  std::vector<std::tuple<int64_t, int64_t, float>> result;
  for (const ScanHit& hit : hits) result.emplace_back(hit.part, hit.row, hit.score);
  return result;
}

TEST(ScanRows, GivesTheSameBitsOnEveryInstructionSet) {
  for (const int64_t stride : {64, 128, 512, 832}) {
    for (const int64_t rows : {1, 3, 4, 9}) {
      for (const int64_t queries : {1, 2, 5, 8}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << stride << ", " << queries);
        std::vector<int8_t> values(static_cast<size_t>(rows * stride));
        std::vector<uint8_t> bytes(static_cast<size_t>(queries * stride));
        for (size_t i = 0; i < values.size(); ++i)
          values[i] = static_cast<int8_t>(static_cast<int>(i * 104729 % 256) - 128);
        for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7919 % 256);
        std::fill_n(values.begin(), 64, int8_t{-128});  // the largest sums there are
        std::fill_n(bytes.begin(), 64, uint8_t{255});
        const auto scale = numbers(rows, 1);
        std::vector<int32_t> sums;
        for (int64_t r = 0; r < rows; ++r) sums.push_back(static_cast<int32_t>(r * 77 - 300));
        std::vector<float> wanted(static_cast<size_t>(queries * rows));
        for (int64_t q = 0; q < queries; ++q) {
          for (int64_t r = 0; r < rows; ++r) {
            int64_t sum = -128 * int64_t{sums[static_cast<size_t>(r)]};
            for (int64_t i = 0; i < stride; ++i) {
              sum += bytes[static_cast<size_t>(q * stride + i)] *
                     values[static_cast<size_t>(r * stride + i)];
            }
            wanted[static_cast<size_t>(q * rows + r)] =
                static_cast<float>(sum) * scale[static_cast<size_t>(r)];
          }
        }
        const ScanTile tile{rows,         queries,     stride,       values.data(),
                            scale.data(), sums.data(), bytes.data(), rows};
        const auto check = [&](const KernelTable& table) {
          std::vector<float> scores(wanted.size() + 1, 77.0f);
          table.scan_rows(tile, scores.data());
          EXPECT_EQ(scores.back(), 77.0f);
          scores.pop_back();
          EXPECT_EQ(scores, wanted);
        };
        on_every_isa([&] { check(kernel_table()); });
#if defined(__x86_64__)
        if (isa_supported(Isa::kAvx512)) check(avx512_table());  // without VNNI
#endif
      }
    }
  }
}

TEST(Scan, GivesTheBestRowsWithTheirExactScores) {
  for (const int64_t width : {1, 24, 64, 130, 512}) {
    const Stored s = stored(3000, width, 2);
    const auto queries = unit_vectors(35, width, 3);  // more than one group
    const ScanPart parts[] = {s.part(0, 7), s.part(7, 7), s.part(7, 2000), s.part(2000, 3000)};
    on_every_isa([&] {
      const auto answers = scan(parts, width, queries.data(), 35, 40);
      ASSERT_EQ(answers.size(), 35u);
      int64_t kept = 0;
      for (size_t q = 0; q < answers.size(); ++q) {
        const float* query = queries.data() + static_cast<int64_t>(q) * width;
        std::vector<double> exact;
        for (int64_t r = 0; r < s.rows; ++r) exact.push_back(s.exact_of(query, r));
        const auto& hits = answers[q].hits;
        ASSERT_EQ(hits.size(), 40u);
        EXPECT_EQ(answers[q].scores.count(), 3000);
        const int64_t starts[] = {0, 7, 7, 2000};
        for (size_t i = 0; i < hits.size(); ++i) {
          const auto row = static_cast<size_t>(starts[hits[i].part] + hits[i].row);
          EXPECT_EQ(hits[i].score, static_cast<float>(exact[row]));
          if (i > 0) {
            EXPECT_GE(hits[i - 1].score, hits[i].score);
          }
        }
        std::sort(exact.rbegin(), exact.rend());
        for (size_t i = 0; i < 10; ++i)
          kept += static_cast<double>(hits[i].score) >= exact[9] - 1e-6;
      }
      if (width >= 64) {
        EXPECT_GE(kept, 349);  // of 350: recall at 10 of four times as many
      }
    });
  }
}

TEST(Scan, TheSameAnswerForAnyThreadsAndParts) {
  const Stored s = stored(40'000, 40, 4);
  const auto queries = unit_vectors(3, 40, 5);
  std::vector<std::tuple<int64_t, int64_t, float>> first;
  double median = 0;
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    for (const int64_t cut : {40'000, 1, 17'001}) {
      const ScanPart parts[] = {s.part(0, cut), s.part(cut, 40'000)};
      auto answers = scan(parts, 40, queries.data(), 3, 300);
      for (auto& hit : answers[2].hits) {
        if (hit.part == 1) hit.row += cut;
        hit.part = 0;
      }
      if (first.empty()) {
        first = flat(answers[2].hits);
        median = answers[2].scores.median();
      }
      EXPECT_EQ(flat(answers[2].hits), first);
      EXPECT_EQ(answers[2].scores.median(), median);
    }
  }
  set_thread_count(1);
}

TEST(Scan, OffsetsAreAddedToTheScores) {
  const Stored s = stored(3000, 96, 21);
  std::vector<float> offset;
  for (int64_t r = 0; r < s.rows; ++r) offset.push_back(-static_cast<float>(r * 7 % 100) / 200);
  ScanPart front = s.part(0, 1000), rest = s.part(1000, 3000);
  rest.offset = offset.data() + 1000;  // the first part has none
  const ScanPart parts[] = {front, rest};
  const auto queries = unit_vectors(5, 96, 22);
  std::vector<double> medians;  // of the first instruction set
  on_every_isa([&] {
    const auto answers = scan(parts, 96, queries.data(), 5, 500);
    for (size_t q = 0; q < answers.size(); ++q) {
      const auto& answer = answers[q];
      const float* query = queries.data() + 96 * q;
      std::vector<std::pair<float, int64_t>> all;  // -score, row
      for (int64_t r = 0; r < s.rows; ++r) {
        const auto plain = static_cast<float>(s.exact_of(query, r));
        all.emplace_back(-(r < 1000 ? plain : plain + offset[static_cast<size_t>(r)]), r);
      }
      std::sort(all.begin(), all.end());
      for (size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(answer.hits[i].part * 1000 + answer.hits[i].row, all[i].second) << i;
        EXPECT_EQ(answer.hits[i].score, -all[i].first) << i;
      }
      // The spread is that of the scores with their offsets, a quarter lower on average.
      const auto without = scan({&parts[0], 1}, 96, query, 1, 10)[0];
      EXPECT_EQ(answer.scores.count(), 3000);
      EXPECT_LT(answer.scores.median(), without.scores.median() - 0.05);
      if (medians.size() <= q) medians.push_back(answer.scores.median());
      EXPECT_EQ(answer.scores.median(), medians[q]);
    }
  });
}

TEST(Scan, RowsLeftOutAreNeitherFoundNorCounted) {
  const Stored s = stored(500, 64, 6);
  for (const int64_t period : {2, 15, 500}) {
    std::vector<uint64_t> left_out(8, ~uint64_t{0});
    std::vector<int64_t> searched;
    for (int64_t r = 3; r < 500; r += period) {
      left_out[static_cast<size_t>(r / 64)] &= ~(uint64_t{1} << (r % 64));
      searched.push_back(r);
    }
    const ScanPart part = s.part(0, 500, left_out.data());
    const auto answer = scan({&part, 1}, 64, s.vectors.data(), 1, 1000).front();
    std::vector<int64_t> found;
    for (const ScanHit& hit : answer.hits) found.push_back(hit.row);
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, searched);
    EXPECT_EQ(answer.scores.count(), static_cast<int64_t>(searched.size()));
  }
}

TEST(Scan, EqualScoresStandInOrderOfTheirRows) {
  Stored s = stored(1, 64, 7);
  const Stored one = s;
  for (int i = 1; i < 1000; ++i) {
    s.values.insert(s.values.end(), one.values.begin(), one.values.end());
    s.exact.insert(s.exact.end(), one.exact.begin(), one.exact.end());
    s.scale.push_back(one.scale[0]);
    s.sums.push_back(one.sums[0]);
  }
  const ScanPart part = s.part(0, 1000);
  const auto answer = scan({&part, 1}, 64, one.vectors.data(), 1, 5).front();
  ASSERT_EQ(answer.hits.size(), 5u);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(answer.hits[static_cast<size_t>(i)].row, i);
  EXPECT_NEAR(answer.hits[0].score, 1.0, 0.001);
}

TEST(Scan, RowsOfBothKindsAreScoredAsTheyAreStored) {
  Stored s = stored(200, 96, 11);
  std::vector<float> units(200, 0.0f);  // even rows stay half precision
  for (int64_t r = 1; r < 200; r += 2) {
    const float* vector = s.vectors.data() + r * 96;
    units[static_cast<size_t>(r)] = unit16_of(vector, 96);
    round_to_16(vector, 96, units[static_cast<size_t>(r)], s.exact.data() + r * 96);
  }
  ScanPart part = s.part(0, 200);
  part.unit = units.data();
  const auto query = unit_vectors(1, 96, 12);
  const auto answer = scan({&part, 1}, 96, query.data(), 1, 200).front();
  ASSERT_EQ(answer.hits.size(), 200u);
  for (const ScanHit& hit : answer.hits) {
    double sum = 0, exact = 0;
    for (int64_t i = 0; i < 96; ++i) {
      const auto at = static_cast<size_t>(hit.row * 96 + i);
      const double q = query[static_cast<size_t>(i)];
      sum += q * static_cast<double>(float_of_16(s.exact[at], units[static_cast<size_t>(hit.row)]));
      exact += q * static_cast<double>(s.vectors[at]);
    }
    EXPECT_EQ(hit.score, static_cast<float>(sum));
    EXPECT_NEAR(hit.score, exact, hit.row % 2 == 0 ? 1e-4 : 2e-5);
  }
}

TEST(Row16, ComesBackAndIsStoredAgainWithTheSameBits) {
  for (const float largest : {1.0f, 0.99998f, 0.5f, 0.50001f, 0.3f, 1e-3f, 1e-30f, 32767.4f}) {
    auto row = numbers(300, 5);
    for (float& x : row) x = std::clamp(x, -1.0f, 1.0f) * largest;
    row[17] = -largest;
    const float unit = unit16_of(row.data(), 300);
    int exponent;
    EXPECT_EQ(std::frexp(unit, &exponent), 0.5f) << "a power of two";
    std::vector<uint16_t> bits(300), again(300);
    round_to_16(row.data(), 300, unit, bits.data());
    std::vector<float> back;
    for (const uint16_t x : bits) back.push_back(float_of_16(x, unit));
    for (size_t i = 0; i < 300; ++i) EXPECT_NEAR(back[i], row[i], unit / 2) << largest;
    EXPECT_LE(unit, largest / 16383) << "no bit is wasted";
    EXPECT_EQ(unit16_of(back.data(), 300), unit) << largest;
    round_to_16(back.data(), 300, unit, again.data());
    EXPECT_EQ(again, bits);
  }
  const std::vector<float> zeros(5, 0.0f);
  EXPECT_EQ(unit16_of(zeros.data(), 5), 1.0f);
}

TEST(Scan, NothingToSearch) {
  const auto query = unit_vectors(1, 64, 8);
  EXPECT_TRUE(scan({}, 64, query.data(), 1, 10).front().hits.empty());
  EXPECT_TRUE(scan({}, 64, query.data(), 0, 10).empty());
  EXPECT_EQ(scan({}, 64, query.data(), 1, 10).front().scores.median(), 0);
}

TEST(Scan, AnyBytesGiveSomeAnswer) {
  Stored s = stored(40, 64, 9);
  for (size_t i = 0; i < s.values.size(); ++i)
    s.values[i] = static_cast<int8_t>(i * 31 % 256 - 128);
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(), -1e38f, 0};
  for (size_t i = 0; i < 20; ++i) {
    s.scale[i] = bad[i % 4];
    s.sums[i] = std::numeric_limits<int32_t>::min() + static_cast<int32_t>(i % 3);
  }
  std::fill(s.exact.begin() + 5 * 64, s.exact.begin() + 6 * 64, fp16{0x7e00});
  const ScanPart part = s.part(0, 40);
  on_every_isa([&] {
    const auto answer = scan({&part, 1}, 64, s.vectors.data(), 1, 40).front();
    EXPECT_EQ(answer.scores.count(), 40);
    EXPECT_LT(answer.hits.size(), 40u);
    for (const ScanHit& hit : answer.hits) EXPECT_FALSE(std::isnan(hit.score));
  });
}

TEST(ScoreHistogram, MedianAndDeviationIgnoreTheUpperTail) {
  ScoreHistogram histogram;
  for (int i = -1000; i <= 1000; ++i) histogram.add(ScoreHistogram::kBins / 2 + i / 4);
  EXPECT_NEAR(histogram.median(), 0, 0.001);
  const double deviation = histogram.deviation();
  EXPECT_NEAR(deviation, 125.0 / 2048 / 0.6745, 0.001);
  for (int i = 0; i < 20; ++i) histogram.add(ScoreHistogram::kBins - 1);
  EXPECT_NEAR(histogram.deviation(), deviation, 0.001);
  ScoreHistogram one;
  one.add(5);
  EXPECT_GT(one.deviation(), 0);
}

TEST(Fp16, EveryOneComesBackAndBetweenTwoTheNearerEvenOneIsTaken) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto low = static_cast<fp16>(bits), high = static_cast<fp16>(bits + 1);
    const float x = float_of(low);
    ASSERT_EQ(round_to_fp16(x), low);
    ASSERT_EQ(round_to_fp16(-x), low | 0x8000);
    const float next = high == 0x7c00 ? 65536.0f : float_of(high), middle = (x + next) / 2;
    ASSERT_LT(x, next);
    ASSERT_EQ(round_to_fp16(middle), bits % 2 == 0 ? low : high) << bits;
    ASSERT_EQ(round_to_fp16(std::nextafter(middle, 0.0f)), low) << bits;
    ASSERT_EQ(round_to_fp16(std::nextafter(middle, 1e9f)), high) << bits;
  }
  EXPECT_EQ(float_of(0x3c00), 1);
  EXPECT_EQ(float_of(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(round_to_fp16(1e9f), 0x7c00);
  EXPECT_EQ(float_of(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(float_of(round_to_fp16(std::nanf("")))));
}

}  // namespace
}  // namespace opencloc::kernels
