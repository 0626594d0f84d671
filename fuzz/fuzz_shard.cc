// A shard: tar (plain, gzip or zstd), its samples and their JSON. Members of over 1 MiB are passed
// over, as the reader's limit does with larger ones.
#include "fuzz/fuzz_target.h"
#include "opencloc/data/shard/sample_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return opencloc::fuzz(data, size, [](std::string_view text) {
    opencloc::TarStream tar = opencloc::TarStream::over(text, "fuzz");
    opencloc::SampleStream samples(tar, uint64_t{1} << 20);
    opencloc::RawSample sample;
    while (samples.next(sample, opencloc::SampleStream::Data::kRead)) {
      try {
        opencloc::make_record(std::move(sample), "fuzz", {});
      } catch (const opencloc::Error&) {  // a broken sample; the next one is read
      }
    }
  });
}
