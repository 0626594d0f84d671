#include <string>

#include <gtest/gtest.h>

#include "opencloc/base/crc32c.h"
#include "opencloc/base/sha256.h"

namespace opencloc {
namespace {

TEST(Crc32c, IsTheStandardsAndGoesOnFromBefore) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("56789", crc32c("1234")), crc32c("123456789"));
}

TEST(Sha256, IsTheStandards) {  // FIPS 180-4's examples; lengths around a block against one-by-one
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  for (const size_t size : {54, 55, 56, 63, 64, 65, 119, 120, 128}) {
    const std::string text(size, 'x');
    Sha256 sha;
    for (const char c : text) sha.add({&c, 1});
    EXPECT_EQ(sha.hex(), sha256_hex(text)) << size;
  }
}

}  // namespace
}  // namespace opencloc
