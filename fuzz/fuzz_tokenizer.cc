// CLIP's tokenizer. The first byte says what the rest is: a text for a tokenizer that is sound, a
// vocab.json and a merges.txt with a zero byte between them, or a bpe_simple_vocab, gzipped or not,
// of which a tokenizer is made (slow: 512 symbols come with it).
#include "fuzz/fuzz_target.h"
#include "opencloc/text/clip_bpe.h"

namespace {

constexpr const char* kMerges = "title\nl o\nlo w</w>\ne r</w>\na n\nan d</w>\n' s</w>\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view input) {
    if (input.size() < 2) return;
    const std::string_view rest = input.substr(1);
    if (input[0] == 'v') {
      const size_t middle = std::min(rest.find('\0'), rest.size() - 1);
      opencloc::parse_bpe_vocabulary({"vocab", std::string(rest.substr(0, middle))},
                                     {"merges", std::string(rest.substr(middle + 1))});
    } else if (input[0] == 'b') {
      const opencloc::ClipBpe tokenizer(opencloc::parse_bpe_merges({"merges", std::string(rest)}),
                                        {}, "fuzz");
      opencloc::tokenize(tokenizer, rest, 16);
    } else {
      static const opencloc::ClipBpe tokenizer(opencloc::parse_bpe_merges({"merges", kMerges}), {},
                                               "fuzz");
      opencloc::tokenize(tokenizer, rest, 16);
    }
  });
}
