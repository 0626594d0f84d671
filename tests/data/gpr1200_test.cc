#include <gmock/gmock.h>

#include "tests/data/import_fixture.h"

namespace opencloc {
namespace {

using ::testing::HasSubstr;

class Gpr1200Test : public fixtures::ImportTest {};

TEST_F(Gpr1200Test, TheNameSaysTheClassAndTheClassTheGroup) {
  for (const char* name : {"0_a.ppm", "199_b.ppm", "200_c_d.ppm", "599_e.ppm", "600_f.ppm",
                           "800_g.ppm", "1000_h.ppm", "1199_0.ppm"})
    picture(name);
  run("gpr1200", {});
  ASSERT_EQ(records_.size(), 8u);
  const auto expect_record = [&](const std::string& key, const std::string& label,
                                 const std::string& group) {
    ASSERT_TRUE(records_.contains(key)) << key;
    EXPECT_EQ(records_[key].label, label);
    EXPECT_EQ(records_[key].extra["group"], group);
    EXPECT_FALSE(records_[key].extra.contains("category"));
  };
  expect_record("0_a", "0", "landmarks");
  expect_record("199_b", "199", "landmarks");
  expect_record("200_c_d", "200", "iNat");
  expect_record("599_e", "599", "sketch");
  expect_record("600_f", "600", "instre");
  expect_record("800_g", "800", "products");
  expect_record("1000_h", "1000", "faces");
  expect_record("1199_0", "1199", "faces");
  EXPECT_EQ(report_.images_with_label, 8);
  EXPECT_EQ(skips_.notes().at("a class without its 10 pictures"), 8);
  EXPECT_EQ(skips_.notes().at("not all of GPR1200's 1,200 classes are there"), 1);
}

TEST_F(Gpr1200Test, OtherNamesAreCounted) {
  for (const char* name : {"7_good.ppm", "1200_a.ppm", "-1_b.ppm", "seven_c.ppm", "12.ppm",
                           "3d_e.ppm", "_f.ppm", "99999999999_g.ppm"})
    picture(name);
  run("gpr1200", {});
  EXPECT_EQ(keys(), std::vector<std::string>{"7_good"});
  EXPECT_EQ(skips_.count(skip::kBadAnnotation), 7);
}

TEST_F(Gpr1200Test, OnlyOtherNamesIsAnError) {
  picture("cat.ppm");
  EXPECT_THAT(error_of([&] { run("gpr1200", {}); }), HasSubstr("nothing to import"));
}

TEST_F(Gpr1200Test, NamesOfClassesAreKept) {
  picture("0_a.ppm");
  picture("1_a.ppm");
  run("gpr1200", {.annotations = file("names.json", R"({"0": "Eldorado National Forest"})")});
  EXPECT_EQ(records_["0_a"].extra["category"], "Eldorado National Forest");
  EXPECT_EQ(records_["0_a"].label, "0");
  EXPECT_FALSE(records_["1_a"].extra.contains("category"));
  EXPECT_THAT(error_of([&] { run("gpr1200", {.annotations = file("list.json", "[1]")}); }),
              HasSubstr("one JSON object"));
}

TEST_F(Gpr1200Test, TenPicturesOfAClassAreAsTheyShouldBe) {
  for (int i = 0; i < 10; ++i) picture("42_" + std::to_string(i) + ".ppm");
  run("gpr1200", {});
  EXPECT_FALSE(skips_.notes().contains("a class without its 10 pictures"));
}

}  // namespace
}  // namespace opencloc
