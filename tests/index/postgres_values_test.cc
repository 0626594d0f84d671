// What needs no server: addresses, and values as PostgreSQL takes them.
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/index/postgres/address.h"
#include "opencloc/index/postgres/values.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

using fixtures::error_of;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(PostgresAddressText, IsForLibpqButTheIndex) {
  const auto plain = parse_postgres_address("postgres://me@db.example:5433/photos?index=shop_1");
  EXPECT_EQ(plain.connection, "postgres://me@db.example:5433/photos");
  EXPECT_EQ(plain.index, "shop_1");
  EXPECT_EQ(plain.shown, "postgres://me@db.example:5433/photos?index=shop_1");
  const auto more = parse_postgres_address("postgresql:///d?host=/tmp/s&index=a&sslmode=require");
  EXPECT_EQ(more.connection, "postgresql:///d?host=/tmp/s&sslmode=require");
  EXPECT_EQ(more.shown, "postgresql:///d?host=/tmp/s&index=a&sslmode=require");
  EXPECT_TRUE(is_postgres("postgresql:///d"));
  EXPECT_FALSE(is_postgres("photos.idx"));
}

TEST(PostgresAddressText, NeverShowsAPassword) {
  for (const char* text :
       {"postgres://me:s3cret@host/db?index=a", "postgres://me:s3cret@/db?index=a",
        "postgres://me@host/db?password=s3cret&index=a", "postgres://me:s3cret@host/db",
        "postgres://me:s3cret@host/db?index=No", "postgres://host/db?index=a&sslpassword=s3cret",
        "postgres://me:s3c@s3cret@host?index=a"}) {
    std::string shown;
    shown = error_of([&] { shown = parse_postgres_address(text).shown; }) + shown;
    EXPECT_THAT(shown, Not(HasSubstr("s3cret"))) << text;
    EXPECT_THAT(shown, HasSubstr("postgres://"));
  }
}

TEST(PostgresAddressText, NamesOfIndexesAreSimple) {
  for (const char* name : {"a\"b", "1a", "A", "a b", "a;drop", "a%22", "\xc3\xa9", "a-b",
                           "abcdefghijklmnopqrstuvwxyz_abcdefghijklmno"}) {
    EXPECT_THAT(
        error_of([&] { parse_postgres_address(std::string("postgres://h/d?index=") + name); }),
        HasSubstr("no name of an index"))
        << name;
  }
  EXPECT_THAT(error_of([] { parse_postgres_address("postgres://h/d"); }),
              HasSubstr("names no index"));
}

TEST(PostgresText, IsAlwaysUtf8WithoutZeros) {
  EXPECT_EQ(postgres_text("plain '\\\" \xc3\xa9"), "plain '\\\" \xc3\xa9");
  EXPECT_EQ(postgres_text(std::string("a\0b\xff\xfe"
                                      "c",
                                      6)),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd"
            "c");
  EXPECT_EQ(postgres_text(""), "");
  EXPECT_EQ(postgres_text("\xe9"), "\xef\xbf\xbd");
}

TEST(PostgresNumbers, AreBigEndian) {
  const auto values = PostgresValues().number(-2).text("x").numbers(std::vector<int64_t>{1}).all();
  EXPECT_EQ(values[0], std::string("\xff\xff\xff\xff\xff\xff\xff\xfe", 8));
  EXPECT_EQ(read_number(values[0]), -2);
  EXPECT_EQ(values[2].size(), 5u * 4 + 4 + 8);
  EXPECT_EQ(read_number(std::string_view("\xff\xff\xff\xfd", 4)), -3);
  const std::vector<float> vector = {0.5f, -0.25f};
  EXPECT_EQ(read_half_vector(PostgresValues().half_vector(vector).all()[0]), vector);
  EXPECT_EQ(PostgresCopy().take(), std::string("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0\xff\xff", 21));
}

}  // namespace
}  // namespace opencloc
