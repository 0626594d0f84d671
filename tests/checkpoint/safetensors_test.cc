#include "opencloc/checkpoint/file/safetensors.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "opencloc/base/error.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Safetensors : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("opencloc_safetensors_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path(const std::string& name = "t.safetensors") const { return folder_ / name; }

  // A file with this header and so many bytes of data.
  fs::path file(const std::string& header, size_t data_bytes, char fill = 0) const {
    std::string bytes(8, '\0');
    const uint64_t length = header.size();
    std::memcpy(bytes.data(), &length, 8);
    bytes += header + std::string(data_bytes, fill);
    std::ofstream(path(), std::ios::binary) << bytes;
    return path();
  }

  static std::string error_of(const fs::path& name) {
    try {
      const SafetensorsFile file(name);
      for (const auto& info : file.tensors()) file.tensor(info);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 2);
      return error.what();
    }
    return "no error";
  }

  static std::string bytes_of_file(const fs::path& name) { return read_file(name); }

 private:
  fs::path folder_;
};

NamedTensors one_of_each_type() {
  NamedTensors tensors;
  for (const auto type :
       {TensorType::kBool, TensorType::kU8, TensorType::kI8, TensorType::kI16, TensorType::kBF16,
        TensorType::kF16, TensorType::kI32, TensorType::kF32, TensorType::kI64, TensorType::kF64}) {
    tensors.emplace_back(to_string(type),
                         (torch::arange(15) % 2).reshape({3, 5}).to(scalar_type(type)));
  }
  tensors.emplace_back("scalar", torch::full({}, 2.5));
  tensors.emplace_back("empty", torch::zeros({0, 4}));
  return tensors;
}

TEST_F(Safetensors, EveryTypeComesBackBitForBit) {
  const auto tensors = one_of_each_type();
  write_safetensors(path(), tensors, {{"format", "pt"}, {"note", "grüße \"x\""}});
  const SafetensorsFile file(path());
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const auto back = file.tensor(name);
    EXPECT_EQ(back.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(back, tensor)) << name;
  }
  EXPECT_EQ(file.metadata("note"), "grüße \"x\"");
  EXPECT_EQ(file.metadata("absent"), "");
  EXPECT_EQ(file.find("absent"), nullptr);
  EXPECT_THROW(file.tensor("absent"), Error);
}

TEST_F(Safetensors, OrderAndStridesDoNotMatter) {
  auto tensors = one_of_each_type();
  tensors.emplace_back("strided", torch::arange(12.0).reshape({3, 4}).t());
  write_safetensors(path("a"), tensors);
  std::reverse(tensors.begin(), tensors.end());
  for (auto& [name, tensor] : tensors) tensor = tensor.contiguous();
  write_safetensors(path("b"), tensors);
  EXPECT_EQ(bytes_of_file(path("a")), bytes_of_file(path("b")));
  const SafetensorsFile file(path("a"));
  EXPECT_THAT(file.tensor("strided").sizes().vec(), ElementsAre(4, 3));
  EXPECT_EQ(file.tensor("strided")[1][2].item<float>(), 9);
}

TEST_F(Safetensors, TensorsAreTheMapAndKeepItAlive) {
  write_safetensors(path(), {{"x", torch::arange(6.0)}});
  torch::Tensor x, again;
  {
    const SafetensorsFile file(path());
    x = file.tensor("x");
    again = file.tensor("x");
  }
  EXPECT_EQ(x.data_ptr(), again.data_ptr());
  fs::remove(path());
  EXPECT_EQ(x.sum().item<float>(), 15);
}

TEST_F(Safetensors, UnalignedDataIsCopied) {
  // One byte of header padding less than the writer would give.
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const SafetensorsFile odd(file(header + std::string((9 - header.size() % 8) % 8, ' '), 4));
  EXPECT_EQ(odd.tensor("x").item<float>(), 0);
}

TEST_F(Safetensors, NoTensorsAtAll) {
  write_safetensors(path(), {});
  EXPECT_TRUE(SafetensorsFile(path()).tensors().empty());
  EXPECT_EQ(error_of(file("{}", 0)), "no error");
}

TEST_F(Safetensors, WhatCannotBeStoredIsRefusedAndLeavesNothing) {
  const auto x = torch::zeros({2});
  EXPECT_THROW(write_safetensors(path("dup"), {{"x", x}, {"x", x}}), Error);
  EXPECT_THROW(write_safetensors(path("complex"), {{"x", x.to(torch::kComplexFloat)}}), Error);
  EXPECT_THROW(write_safetensors(path("meta"), {{"__metadata__", x}}), Error);
  EXPECT_FALSE(fs::exists(path("dup")) || fs::exists(path("complex")) || fs::exists(path("meta")));
}

TEST_F(Safetensors, ACutFileIsAnErrorWhereverItIsCut) {
  write_safetensors(path(), one_of_each_type());
  const std::string whole = bytes_of_file(path());
  for (size_t length = 0; length < whole.size(); length += length < 16 ? 1 : 37) {
    std::ofstream(path("cut"), std::ios::binary) << whole.substr(0, length);
    EXPECT_NE(error_of(path("cut")), "no error") << length;
  }
  std::ofstream(path("long"), std::ios::binary) << whole << '\0';
  EXPECT_THAT(error_of(path("long")), HasSubstr("after the last tensor"));
}

TEST_F(Safetensors, AFlippedByteInTheHeaderNeverCrashes) {
  write_safetensors(path(), one_of_each_type());
  const std::string whole = bytes_of_file(path());
  uint64_t length = 0;
  std::memcpy(&length, whole.data(), 8);
  int refused = 0;
  for (size_t at = 0; at < 8 + length; ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ "\x01\x80\x10"[at % 3]);
    std::ofstream(path("flipped"), std::ios::binary) << bytes;
    refused += error_of(path("flipped")) != "no error";
  }
  EXPECT_GT(refused, 500);  // the rest changed a name or swapped types of one width
}

struct Hostile {
  const char* what;
  const char* header;
  size_t data_bytes;
  const char* message;
};

const Hostile kHostile[] = {
    {"no JSON", "xyz", 0, "not valid JSON"},
    {"empty header", "", 0, "not valid JSON"},
    {"an array", "[]", 0, "array"},
    {"a number", "3", 0, "number"},
    {"cut JSON", R"({"x":{"dtype":"F32")", 0, "not valid JSON"},
    {"two documents", "{}{}", 0, "not valid JSON"},
    {"invalid UTF-8", "{\"\xff\":{}}", 0, "not valid JSON"},
    {"tensor is no object", R"({"x":3})", 0, "number"},
    {"no dtype", R"({"x":{"shape":[1],"data_offsets":[0,4]}})", 4, "missing"},
    {"empty tensor", R"({"x":{}})", 0, "missing"},
    {"unknown dtype", R"({"x":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, "F31"},
    {"dtype is a number", R"({"x":{"dtype":3,"shape":[1],"data_offsets":[0,4]}})", 4, "number"},
    {"dtype is an array", R"({"x":{"dtype":[],"shape":[1],"data_offsets":[0,4]}})", 4, "array"},
    {"unknown key", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"y":[]}})", 1, "'y'"},
    {"name twice",
     R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
         "x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
     2, "twice"},
    {"key twice", R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
     "twice"},
    {"negative shape", R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "negative"},
    {"fractional shape", R"({"x":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4,
     "fractional"},
    {"nested shape", R"({"x":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "array"},
    {"shape of text", R"({"x":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "string"},
    {"shape is a number", R"({"x":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "number"},
    {"17 dimensions",
     R"({"x":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
     "16 dimensions"},
    {"product overflows to 0",
     R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
     "overflows"},
    {"product overflows beside a 0",
     R"({"x":{"dtype":"F32","shape":[0,9007199254740992,9007199254740992],"data_offsets":[0,0]}})",
     0, "overflows"},
    {"a side of 2^64 - 1",
     R"({"x":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1, "too large"},
    {"a side of 10^30", R"({"x":{"dtype":"U8","shape":[1000000000000000000000000000000],
                           "data_offsets":[0,1]}})",
     1, "fractional"},
    {"offsets beyond the file", R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4,
     "beyond"},
    {"offsets near 2^63",
     R"({"x":{"dtype":"U8","shape":[1],
         "data_offsets":[9223372036854775806,9223372036854775807]}})",
     1, "beyond"},
    {"offsets backwards", R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "ends"},
    {"one offset", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[1]}})", 1, "two numbers"},
    {"three offsets", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 2,
     "two numbers"},
    {"size and shape differ", R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
     "differ in size"},
    {"overlap",
     R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
         "y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     3, "overlaps"},
    {"the same place twice",
     R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
         "y":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
     2, "overlaps"},
    {"gap",
     R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
         "y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
     3, "gap"},
    {"data nobody owns", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 9,
     "after the last"},
    {"metadata is text", R"({"__metadata__":"x"})", 0, "string"},
    {"metadata with a number", R"({"__metadata__":{"x":1}})", 0, "number"},
    {"metadata with an object", R"({"__metadata__":{"x":{}}})", 0, "object"},
    {"null", R"({"x":null})", 0, "null"},
};

TEST_F(Safetensors, HostileHeadersAreNamed) {
  for (const auto& hostile : kHostile) {
    const auto message = error_of(file(hostile.header, hostile.data_bytes));
    EXPECT_THAT(message, HasSubstr(hostile.message)) << hostile.what;
    EXPECT_THAT(message, HasSubstr("t.safetensors")) << hostile.what;
  }
}

TEST_F(Safetensors, DeepNestingIsRefusedAtOnce) {
  EXPECT_NE(error_of(file(std::string(1 << 20, '['), 0)), "no error");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_NE(error_of(file(objects, 0)), "no error");
}

TEST_F(Safetensors, HeaderLengthIsBounded) {
  std::string bytes(16, '{');
  for (const uint64_t length :
       {uint64_t{9}, kMaxHeaderBytes + 1, ~uint64_t{0}, uint64_t{1} << 63}) {
    std::memcpy(bytes.data(), &length, 8);
    std::ofstream(path(), std::ios::binary) << bytes;
    EXPECT_THAT(error_of(path()), HasSubstr("too short"));
  }
  // A sparse file that is long enough for the header it claims.
  const uint64_t length = kMaxHeaderBytes + 1;
  std::memcpy(bytes.data(), &length, 8);
  std::ofstream(path(), std::ios::binary) << bytes;
  fs::resize_file(path(), 8 + length);
  EXPECT_THAT(error_of(path()), HasSubstr("limit"));
}

TEST_F(Safetensors, BoolsAreZeroOrOne) {
  const std::string header = R"({"x":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  EXPECT_EQ(error_of(file(header, 2, 1)), "no error");
  EXPECT_THAT(error_of(file(header, 2, 2)), HasSubstr("0 and 1"));
}

TEST_F(Safetensors, NoFile) {
  EXPECT_THAT(error_of(path("absent")), HasSubstr("absent"));
  EXPECT_NE(error_of(path("").parent_path()), "no error");
}

}  // namespace
}  // namespace opencloc
