// PyTorch's files: made by libtorch itself, and by Python's own pickler.
#include "opencloc/checkpoint/file/torch_checkpoint.h"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <torch/script.h>
#include <torch/serialize.h>
#include <torch/utils.h>

#include "opencloc/base/error.h"
#include "opencloc/checkpoint/file/safetensors.h"
#include "opencloc/checkpoint/file/torch_pickle.h"
#include "opencloc/checkpoint/model_directory.h"
#include "tests/base/temp_folder.h"
#include "tests/error_of.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::error_of;
using fixtures::TestFolder;
using ::testing::HasSubstr;

void write_bytes(const fs::path& path, const std::vector<char>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(TorchCheckpoint, LibtorchsOwnDictionary) {
  const TestFolder folder;
  c10::Dict<std::string, at::Tensor> dict;
  torch::manual_seed(1);
  const auto base = torch::randn({6, 4});
  dict.insert("whole", base);
  dict.insert("view", base.slice(0, 2, 5).t());  // [4, 3], shares the storage
  dict.insert("half", torch::randn({3}).to(torch::kFloat16));
  dict.insert("whole_numbers", torch::arange(5));
  dict.insert("flags", torch::tensor({true, false, true}));
  dict.insert("scalar", torch::tensor(2.5));
  dict.insert("empty", torch::empty({0, 3}));
  write_bytes(folder / "d.pt", torch::pickle_save(dict));
  const auto found = open_torch_checkpoint(folder / "d.pt");
  ASSERT_EQ(found.tensors().size(), dict.size());
  for (const auto& item : dict) {
    const StoredTensor* stored = found.find(item.key());
    ASSERT_NE(stored, nullptr) << item.key();
    const auto tensor = stored->read();
    EXPECT_EQ(tensor.dtype(), item.value().dtype()) << item.key();
    EXPECT_TRUE(torch::equal(tensor, item.value())) << item.key();
  }
}

// As OpenAI's archives: modules in modules, parameters and buffers, code that must not run.
TEST(TorchCheckpoint, TorchScriptIsReadByPath) {
  const TestFolder folder;
  torch::manual_seed(2);
  torch::jit::Module inner("Inner"), outer("Outer");
  inner.register_parameter("weight", torch::randn({2, 3}), /*is_buffer=*/false);
  inner.register_attribute("count", c10::IntType::get(), 7);
  inner.define("def forward(self, x):\n    return x * self.weight + self.count\n");
  outer.register_buffer("mask", torch::ones({2}));
  outer.register_module("block", inner);
  outer.define("def forward(self, x):\n    return x + self.mask\n" +
               [] {  // long enough to be compressed, as PyTorch does with code
                 std::string code;
                 for (int i = 0; i < 20; ++i)
                   code += "def f" + std::to_string(i) + "(self, x):\n    return x + x + x + x\n";
                 return code;
               }());
  outer.save((folder / "m.pt").string());
  const auto found = open_torch_checkpoint(folder / "m.pt");
  ASSERT_NE(found.find("block.weight"), nullptr);
  EXPECT_TRUE(torch::equal(found.find("block.weight")->read(), inner.attr("weight").toTensor()));
  EXPECT_TRUE(torch::equal(found.find("mask")->read(), torch::ones({2})));
  EXPECT_EQ(found.tensors().size(), 2u);
}

class FromPython : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import pickle' >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "no python3 on this machine";
    ModelConfig config;
    config.embed_dim = 16;
    config.quick_gelu = true;
    config.vision = {.image_size = 16, .patch_size = 8, .width = 64, .layers = 2};
    config.text = {.context_length = 5, .vocab_size = 20, .width = 64, .heads = 1, .layers = 1};
    model_ = Cloc(config);
    SaveOptions options;
    options.layout = Layout::kOpenAi;
    save_model(folder_ / "m.safetensors", model_, options);
  }
  fs::path saved(const std::string& flags) const {
    const fs::path out = folder_ / "ViT-Small.pt";
    const std::string command = std::string("python3 ") + OPENCLOC_SOURCE_DIR +
                                "/tests/checkpoint/torch_save.py " +
                                (folder_ / "m.safetensors").string() + " " + out.string() + flags;
    EXPECT_EQ(std::system(command.c_str()), 0);
    return out;
  }
  TestFolder folder_;
  Cloc model_{nullptr};
};

TEST_F(FromPython, StateDictsAndTrainingCheckpoints) {
  for (const char* flags : {"", " --wrap"}) {
    const auto loaded = load_model(saved(flags));
    EXPECT_EQ(loaded.layout, Layout::kOpenAi);
    EXPECT_TRUE(loaded.model->config().quick_gelu);
    const auto wanted = model_->clip_weights(), found = loaded.model->clip_weights();
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_TRUE(torch::equal(found[i].second, wanted[i].second)) << wanted[i].first;
  }
}

TEST_F(FromPython, CodeIsRefusedAndNeverRun) {
  fs::remove("/tmp/opencloc_was_here");
  const fs::path path = saved(" --evil");
  EXPECT_THAT(error_of([&] { load_model(path); }), HasSubstr("system"));
  EXPECT_FALSE(fs::exists("/tmp/opencloc_was_here"));
}

TEST_F(FromPython, WeightsOfADirectoryMayBePyTorchs) {
  SaveOptions options;
  save_model(folder_ / "dir", model_, options);
  fs::remove(folder_ / "dir/open_clip_model.safetensors");
  fs::rename(saved(" --wrap"), folder_ / "dir/open_clip_pytorch_model.bin");
  const auto found = load_model(folder_ / "dir").model->clip_weights();
  const auto wanted = model_->clip_weights();
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_TRUE(torch::equal(found[i].second, wanted[i].second)) << wanted[i].first;
}

// Pickles by hand.
std::string pickle_error(const std::string& codes) {
  return error_of(
      [&] { const Pickle pickle(std::as_bytes(std::span(codes.data(), codes.size())), "p"); });
}

TEST(TorchPickle, BrokenAndHostileOnesAreErrors) {
  const std::string memo_bomb = [] {  // one list of 1000 pairs, copied by 5000 OrderedDicts
    std::string codes =
        "\x80\x02"
        "ccollections\nOrderedDict\nq\x01(]q\x02(";
    for (int i = 0; i < 1000; ++i) codes += "K\x01K\x02\x86";
    codes +=
        "e\x85"
        "q\x03";
    for (int i = 0; i < 5000; ++i) codes += "h\x01h\x03R";
    return codes + "t.";
  }();
  EXPECT_THAT(pickle_error(""), HasSubstr("stops in the middle"));
  EXPECT_THAT(pickle_error("."), HasSubstr("a value is missing"));
  EXPECT_THAT(pickle_error("\x80\x09."), HasSubstr("newer than 5"));
  EXPECT_THAT(pickle_error("t."), HasSubstr("mark is missing"));
  EXPECT_THAT(pickle_error("K\x01"
                           "a."),
              HasSubstr("value is missing"));
  EXPECT_THAT(pickle_error("K\x01K\x01"
                           "a."),
              HasSubstr("holds none"));
  EXPECT_THAT(pickle_error("}(K\x01u."), HasSubstr("key without a value"));
  EXPECT_THAT(pickle_error("h\x05."), HasSubstr("never stored"));
  EXPECT_THAT(pickle_error("I12\n."), HasSubstr("code 73"));
  EXPECT_THAT(pickle_error("cos\nsystem\n."), HasSubstr("asks for os.system"));
  EXPECT_THAT(pickle_error("cbuiltins\neval\n."), HasSubstr("builtins.eval"));
  EXPECT_THAT(pickle_error("X\xff\xff\xff\x7f."), HasSubstr("stops in the middle"));
  EXPECT_THAT(pickle_error("NQ."), HasSubstr("no tensor's storage"));
  EXPECT_THAT(pickle_error(memo_bomb), HasSubstr("300,000"));
  EXPECT_THAT(pickle_error(std::string(3'000'000, '}') + "."), HasSubstr("300,000"));
  EXPECT_THAT(pickle_error(std::string(3'000'000, '(') + "."), HasSubstr("300,000"));
}

TEST(TorchPickle, NumbersAreReadAsPythonWritesThem) {
  constexpr char kCodes[] =
      "\x80\x02(\x8a\x02\x18\xfcJ\xff\xff\xff\xffM\x01\x01G?\xf8\0\0\0\0\0\0t.";
  const Pickle pickle(std::as_bytes(std::span(kCodes, sizeof kCodes - 1)), "p");
  const auto& values = pickle.root().values;
  ASSERT_EQ(values.size(), 4u);
  EXPECT_EQ(values[0]->integer, -1000);
  EXPECT_EQ(values[1]->integer, -1);
  EXPECT_EQ(values[2]->integer, 257);
  EXPECT_EQ(values[3]->number, 1.5);
}

}  // namespace
}  // namespace opencloc
