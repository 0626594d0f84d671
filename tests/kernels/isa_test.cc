#include "opencloc/kernels/isa/isa.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "opencloc/base/error.h"

namespace opencloc::kernels {
namespace {

TEST(Isa, ScalarIsAlwaysThere) {
  EXPECT_TRUE(isa_supported(Isa::kScalar));
  const auto isas = supported_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), Isa::kScalar);
}

TEST(Isa, EachOneIncludesThoseBefore) {
  bool missing = false;
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
    EXPECT_FALSE(missing && isa_supported(isa)) << to_string(isa);
    missing = missing || !isa_supported(isa);
  }
}

TEST(Isa, AmxIsUsedWhereItIs) {
  if (!isa_supported(Isa::kAmx)) {
    GTEST_SKIP() << "this processor or its system has no AMX: its kernels were not tested";
  }
  EXPECT_EQ(supported_isas().back(), Isa::kAmx);
}

TEST(Isa, OneDnnIsCappedOnlyWhereTilesAreHidden) {
  EXPECT_FALSE(amx_palette_hidden({.feature_bits = false, .highest_leaf = 0x10, .palettes = 0}));
  EXPECT_FALSE(amx_palette_hidden({.feature_bits = true, .highest_leaf = 0x20, .palettes = 1}));
  EXPECT_TRUE(amx_palette_hidden({.feature_bits = true, .highest_leaf = 0x20, .palettes = 0}));
  EXPECT_TRUE(amx_palette_hidden({.feature_bits = true, .highest_leaf = 0x16, .palettes = 0}));
  EXPECT_EQ(isa_supported(Isa::kAmx) && !read_amx_leaves().feature_bits, false);
}

// The choice is made once a process, so each of these runs in its own.
TEST(IsaDeathTest, EnvironmentOverrides) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto outcome_with = [](const char* value) {
    setenv("OPENCLOC_ISA", value, 1);
    try {
      std::exit(active_isa() == Isa::kScalar ? 10 : 11);
    } catch (const Error& error) {
      std::exit(error.exit_code());
    }
  };
  EXPECT_EXIT(outcome_with("scalar"), testing::ExitedWithCode(10), "");
  EXPECT_EXIT(outcome_with("sse9"), testing::ExitedWithCode(2), "");
}

}  // namespace
}  // namespace opencloc::kernels
