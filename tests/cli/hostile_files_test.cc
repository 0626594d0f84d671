// Hand-made hostile files, through the binary: each ends in one clear line, exit code 2 (a shard's
// bad members: a counted skip), and in little memory.
#include <cstring>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/checkpoint/model_directory.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::raw_header;
using fixtures::TempFolder;
using ::testing::HasSubstr;

template <typename T>
std::string bytes_of_number(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string u64(uint64_t value) { return bytes_of_number(value); }
std::string u32(uint32_t value) { return bytes_of_number(value); }
std::string u16(uint16_t value) { return bytes_of_number(value); }
std::string with_length(const std::string& text) { return u64(text.size()) + text; }

std::string safetensors(const std::string& json, const std::string& data = "") {
  return u64(json.size()) + json + data;
}
std::string f32_tensor(const std::string& name, const std::string& shape, uint64_t begin,
                       uint64_t end) {
  return "\"" + name + R"(":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string gguf(uint64_t tensors, uint64_t keys, const std::string& rest) {
  return "GGUF" + u32(3) + u64(tensors) + u64(keys) + rest + std::string(256, '\0');
}
std::string gguf_tensor(const std::string& name, const std::vector<uint64_t>& sides,
                        uint64_t offset, uint32_t type = 0) {
  std::string bytes = with_length(name) + u32(static_cast<uint32_t>(sides.size()));
  for (const auto side : sides) bytes += u64(side);
  return bytes + u32(type) + u64(offset);
}

struct ZipEntry {
  std::string name;
  std::string bytes;
  bool deflated = false;
  int64_t at = -1;  // the local header of another entry is used instead of an own
};

std::string deflated(const std::string& bytes) {
  std::string out(compressBound(bytes.size()), '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zip(const std::vector<ZipEntry>& entries, uint16_t claimed = 0) {
  std::string out, directory;
  for (const auto& entry : entries) {
    const std::string packed = entry.deflated ? deflated(entry.bytes) : entry.bytes;
    const std::string sizes =
        u32(static_cast<uint32_t>(packed.size())) + u32(static_cast<uint32_t>(entry.bytes.size()));
    const std::string common = u16(20) + u16(0) + u16(entry.deflated ? 8 : 0) + u32(0) + u32(0) +
                               sizes + u16(static_cast<uint16_t>(entry.name.size())) + u16(0);
    const auto at = entry.at >= 0 ? static_cast<size_t>(entry.at) : out.size();
    directory += "PK\1\2" + u16(20) + common + u16(0) + u16(0) + u16(0) + u32(0) +
                 u32(static_cast<uint32_t>(at)) + entry.name;
    if (entry.at < 0) out += "PK\3\4" + common + entry.name + packed;
  }
  const auto count = claimed != 0 ? claimed : static_cast<uint16_t>(entries.size());
  return out + directory + "PK\5\6" + u16(0) + u16(0) + u16(count) + u16(count) +
         u32(static_cast<uint32_t>(directory.size())) + u32(static_cast<uint32_t>(out.size())) +
         u16(0);
}
std::string text_code(const std::string& text) {
  return "X" + u32(static_cast<uint32_t>(text.size())) + text;
}
std::string int_code(int32_t value) { return "J" + bytes_of_number(value); }

// {"w": a tensor of `shape` and `stride` over one of `numel` elements}
std::string tensor_pickle(const std::vector<int32_t>& shape, const std::vector<int32_t>& strides,
                          int32_t numel) {
  std::string codes = "\x80\x02}" + text_code("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" +
                      text_code("storage") + "ctorch\nFloatStorage\n" + text_code("0") +
                      text_code("cpu") + int_code(numel) + "tQ" + int_code(0) + "(";
  for (const auto side : shape) codes += int_code(side);
  codes += "t(";
  for (const auto step : strides) codes += int_code(step);
  return codes + "ttRs.";
}
std::string torch_file(const std::string& pickle, const std::string& data = "1234567890123456") {
  return zip({{"a/data.pkl", pickle}, {"a/data/0", data}});
}

std::string nested_json(int depth) {
  return R"({"model_cfg": )" + std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']') + "}";
}

std::string gzip_bomb() {  // 300 MB of zeros in 300 kB
  std::string out(1 << 20, '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  const std::string block(1 << 20, '0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (int i = 0; i < 300; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
    stream.avail_in = static_cast<uInt>(block.size());
    deflate(&stream, i == 299 ? Z_FINISH : Z_NO_FLUSH);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Outcome {
  int exit_code = -1;
  std::string out, err;
  int64_t peak_kib = 0;
};

// `opencloc inspect --json PATH`, and what it took at its worst.
Outcome inspect(const fs::path& path, const TempFolder& folder) {
  const std::string out = (folder / "out").string(), err = (folder / "err").string();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
    ::execl(OPENCLOC_BINARY, "opencloc", "inspect", "--json", path.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  rusage usage{};
  ::wait4(child, &status, 0, &usage);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out),
          read_file(err), usage.ru_maxrss};
}

struct Case {
  const char* name;  // of the file
  std::string bytes;
  const char* says;
};

class HostileFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(folder_ / "good.safetensors", safetensors("{}"));
    const auto good = inspect(folder_ / "good.safetensors", folder_);
    ASSERT_EQ(good.exit_code, 0) << good.err;
    base_kib_ = good.peak_kib;
  }
  void expect_refused(const fs::path& path, const std::string& says, int64_t allowed_mib = 64) {
    SCOPED_TRACE(path.string());
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    allowed_mib *= 8;  // a sanitizer keeps freed memory, or a shadow of it
#endif
    const Outcome outcome = inspect(path, folder_);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    const size_t at = outcome.err.find("opencloc: error: ");
    ASSERT_NE(at, std::string::npos) << outcome.err;
    const std::string line = outcome.err.substr(at);
    EXPECT_THAT(line, HasSubstr(says));
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "more than one line: " << line;
    EXPECT_LT(line.size(), 1500u);
    EXPECT_LT(outcome.peak_kib, base_kib_ + allowed_mib * 1024);
    EXPECT_EQ(outcome.out, "");
  }
  void expect_all_refused(const std::vector<Case>& cases) {
    for (const auto& hostile : cases) {
      write_file(folder_ / hostile.name, hostile.bytes);
      expect_refused(folder_ / hostile.name, hostile.says);
    }
  }
  // A sound model directory without a tokenizer.
  fs::path model() const {
    ModelConfig config = load_model_config("ViT-Test");
    SaveOptions options;
    options.region_heads = false;
    save_model(folder_ / "model", Cloc(config), options);
    return folder_ / "model";
  }

  TempFolder folder_;
  int64_t base_kib_ = 0;
};

TEST_F(HostileFiles, Safetensors) {
  expect_all_refused({
      {"length.safetensors", u64(uint64_t{1} << 63) + "{}", "too short for its header"},
      {"beyond.safetensors", u64(1000) + "{}", "too short for its header"},
      {"overlap.safetensors",
       safetensors("{" + f32_tensor("a", "[2]", 0, 8) + "," + f32_tensor("b", "[2]", 4, 12) + "}",
                   std::string(12, 'x')),
       "overlaps"},
      {"shape.safetensors",
       safetensors("{" + f32_tensor("a", "[4611686018427387904,8]", 0, 8) + "}", "12345678"),
       "overflows"},
      {"reversed.safetensors", safetensors("{" + f32_tensor("a", "[2]", 8, 0) + "}", "12345678"),
       "before it begins"},
      {"nested.safetensors", safetensors(std::string(100'000, '[')), "bad safetensors header"},
      {"twice.safetensors",
       safetensors("{" + f32_tensor("a", "[1]", 0, 4) + "," + f32_tensor("a", "[1]", 4, 8) + "}",
                   "12345678"),
       "occurs twice"},
      {"dims.safetensors",
       safetensors("{" + f32_tensor("a", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4) + "}",
                   "1234"),
       "dimensions"},
  });
}

TEST_F(HostileFiles, Gguf) {
  const std::string key = with_length("k");
  expect_all_refused({
      {"tensors.gguf", gguf(uint64_t{1} << 62, 0, ""), "more keys or tensors than the file"},
      {"keys.gguf", gguf(0, uint64_t{1} << 63, ""), "more keys or tensors than the file"},
      {"string.gguf", gguf(0, 1, key + u32(8) + u64(uint64_t{1} << 63)), "stops in the middle"},
      {"array.gguf", gguf(0, 1, key + u32(9) + u32(8) + u64(uint64_t{1} << 60)), "does not fit"},
      {"arrays.gguf", gguf(0, 1, key + u32(9) + u32(9) + u64(1)), "arrays of arrays"},
      {"name.gguf", gguf(0, 1, u64(uint64_t{1} << 40)), "a key's name has"},
      {"sides.gguf", gguf(1, 0, gguf_tensor("t", {uint64_t{1} << 40, uint64_t{1} << 40}, 0)),
       "overflows"},
      {"dims.gguf", gguf(1, 0, with_length("t") + u32(0x80000000)), "dimensions"},
      {"offset.gguf", gguf(1, 0, gguf_tensor("t", {4}, uint64_t{1} << 62)), "beyond the end"},
      {"overlap.gguf", gguf(2, 0, gguf_tensor("a", {16}, 0) + gguf_tensor("b", {16}, 32)),
       "overlaps"},
      {"type.gguf", gguf(1, 0, gguf_tensor("t", {4}, 0, 99)), "ggml's type number 99"},
      {"alignment.gguf", gguf(0, 1, with_length("general.alignment") + u32(4) + u32(0)),
       "no power of two"},
      {"cut.gguf", gguf(1, 0, gguf_tensor("t", {4}, 0)).substr(0, 40), "more keys or tensors"},
  });
}

TEST_F(HostileFiles, PyTorch) {
  const std::string good = tensor_pickle({2, 2}, {2, 1}, 4);
  write_file(folder_ / "good.pt", torch_file(good));
  EXPECT_EQ(inspect(folder_ / "good.pt", folder_).exit_code, 0);
  // Two entries that share their bytes: 100 of them would claim 100 times the file.
  const std::string shared = zip({{"a/data.pkl", good}, {"a/data/0", "x", false, 0}});
  std::string deep =
      "\x80\x02"
      "c__torch__.M\nM\n)\x81q\x01}" +
      text_code("m") + "h\x01sb.";
  expect_all_refused({
      {"system.pt",
       torch_file("\x80\x02"
                  "cposix\nsystem\n" +
                  text_code("true") + "\x85R."),
       "asks for posix.system"},
      {"overlap.pt", shared, "overlaps another"},
      {"bomb.pt", zip({{"a/data.pkl", std::string(50'000'000, '}') + ".", true}}), "compressed"},
      {"entries.pt", zip({{"a/data.pkl", good}}, 65535), "more entries than its directory"},
      {"short.pt", torch_file(good, "1234"), "more values than its storage"},
      {"expanded.pt", torch_file(tensor_pickle({2000000000, 2000000000}, {0, 0}, 4)),
       "more values than its storage"},
      {"strides.pt", torch_file(tensor_pickle({2, 2}, {2000000000, 2000000000}, 4)),
       "beyond its storage"},
      {"circle.pt", torch_file(deep), "without end"},
      {"million.pt", torch_file(std::string(3'000'000, '}') + "."), "300,000 values"},
      {"old.pt", std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15),
       "before 1.6"},
  });
}

TEST_F(HostileFiles, ModelDirectories) {
  const fs::path directory = model();
  const std::string config = read_file(directory / "open_clip_config.json");
  write_file(directory / "open_clip_config.json", nested_json(100'000));
  expect_refused(directory, "nested deeper");
  Json huge = parse_json(config, "config");
  huge["model_cfg"]["vision_cfg"]["layers"] = 1'000'000'000'000;
  write_file(directory / "open_clip_config.json", dump_json(huge));
  expect_refused(directory, "layers");
  write_file(directory / "open_clip_config.json", config);

  write_file(directory / "tokenizer.model", std::string(100'000, '\xff'));
  expect_refused(directory, "tokenizer.model");
  fs::remove(directory / "tokenizer.model");
  write_file(directory / "bpe_simple_vocab.txt.gz", gzip_bomb());
  expect_refused(directory, "bpe_simple_vocab.txt.gz", 700);  // its limit is 256 MiB unpacked
  fs::remove(directory / "bpe_simple_vocab.txt.gz");
  write_file(directory / "vocab.json", std::string(100'000, '{'));
  write_file(directory / "merges.txt", "title\na b\n");
  expect_refused(directory, "vocab.json");
  write_file(directory / "vocab.json", R"({"a": -5})");
  expect_refused(directory, "vocab.json");
  write_file(directory / "vocab.json", "{}");
  write_file(directory / "merges.txt", "title\na b c d\n");
  expect_refused(directory, "merges.txt");
  fs::remove(directory / "vocab.json");

  fs::remove(directory / "open_clip_model.safetensors");
  write_file(directory / "open_clip_model.safetensors.index.json",
             R"({"weight_map": {"logit_scale": "../../../../etc/passwd"}})");
  expect_refused(directory, "beside the index");
}

TEST_F(HostileFiles, Shards) {
  const std::string end(1024, '\0');
  const std::string picture = fixtures::tiny_ppm(2, 2);
  const auto member = [&](const std::string& name, char type = '0') {
    std::string data = type == '0' ? picture : "";
    std::string bytes = raw_header(name, data.size(), type) + data;
    return bytes + std::string((512 - bytes.size() % 512) % 512, '\0');
  };
  write_file(folder_ / "names.tar", member("/etc/cron.d/evil.ppm") +
                                        member("../../../../tmp/opencloc_evil.ppm") +
                                        member("link.ppm", '2') + member("hard.ppm", '1') +
                                        member("device.ppm", '3') + end);
  const auto outcome = inspect(folder_ / "names.tar", folder_);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json found = parse_json(outcome.out, "out");
  EXPECT_EQ(found["samples"], 2);  // names are keys, never paths
  int64_t skipped = 0;
  for (const auto& [reason, count] : found["skipped"].items()) skipped += count.get<int64_t>();
  EXPECT_EQ(skipped, 3);
  EXPECT_FALSE(fs::exists("/tmp/opencloc_evil.ppm"));
  EXPECT_FALSE(fs::exists("/etc/cron.d/evil.ppm"));

  // Nothing but such members: a count for who looks, an error for who wants to use it.
  write_file(folder_ / "links.tar", member("link.ppm", '2') + member("hard.ppm", '1') + end);
  EXPECT_EQ(inspect(folder_ / "links.tar", folder_).exit_code, 0);
  const auto used = fixtures::run_binary("data mosaic --grid 2 --count 1 --data " +
                                         (folder_ / "links.tar").string() + " --out " +
                                         (folder_ / "mosaic").string());
  EXPECT_EQ(used.exit_code, 2) << used.err;
  EXPECT_THAT(fixtures::error_line(used), ::testing::HasSubstr("no usable sample"));
  EXPECT_FALSE(fs::exists(folder_ / "mosaic"));

  write_file(folder_ / "noise.tar", std::string(5000, '\x7f'));
  expect_refused(folder_ / "noise.tar", "cannot open shard");
  write_file(folder_ / "noise.tar.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\3", 10) + "noise");
  expect_refused(folder_ / "noise.tar.gz", "noise.tar.gz");
  write_file(folder_ / "large.tar", raw_header("a.ppm", uint64_t{8'000'000'000}) + picture);
  const auto large = inspect(folder_ / "large.tar", folder_);
  EXPECT_LT(large.peak_kib, base_kib_ + 64 * 1024);
  EXPECT_EQ(large.exit_code, 0) << large.err;
  EXPECT_EQ(parse_json(large.out, "large").at("skipped").at("member cut short"), 1);
}

}  // namespace
}  // namespace opencloc
