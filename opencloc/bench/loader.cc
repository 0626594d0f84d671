#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <functional>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/rng.h"
#include "opencloc/bench/subjects.h"
#include "opencloc/image/canvas.h"
#include "opencloc/image/encode.h"
#include "opencloc/image/normalize.h"

namespace opencloc::bench {
namespace {

// Calls work(i) for every i of [0, count), over and over for options.seconds.
Figure measure(const BenchOptions& options, const std::string& name, int64_t count,
               const std::function<void(int64_t)>& work) {
  using Clock = std::chrono::steady_clock;
  const int threads = options.threads;
  parallel_for(std::min<int64_t>(count, 8), threads, work);  // warm up
  const auto began = Clock::now();
  const std::clock_t cpu_began = std::clock();
  int64_t done = 0;
  std::chrono::duration<double> took{};
  do {
    parallel_for(count, threads, work);
    done += count;
    took = Clock::now() - began;
  } while (took.count() < options.seconds);
  const double cpu = static_cast<double>(std::clock() - cpu_began) / CLOCKS_PER_SEC;
  return figure_of(name, static_cast<double>(done), {.wall = took.count(), .cpu = cpu});
}

// Noise with as much power in every octave, much like a photograph's.
std::string photo_like_jpeg(int width, int height, Rng& rng) {
  std::vector<float> sum(static_cast<size_t>(width) * height * 3, 128.0f);
  for (int cells = 2; cells <= width; cells *= 2) {
    Image octave(cells, std::max(1, cells * height / width));
    for (uint8_t& value : octave.pixels) value = static_cast<uint8_t>(rng.next());
    const Image smooth = resize(octave, {width, height});
    const float strength = 0.9f / static_cast<float>(std::max(1, cells / 8));
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += strength * (static_cast<float>(smooth.pixels[i]) - 128.0f);
    }
  }
  Image image(width, height);
  std::transform(sum.begin(), sum.end(), image.pixels.begin(),
                 [](float v) { return static_cast<uint8_t>(std::clamp(v, 0.0f, 255.0f)); });
  return encode_jpeg(image, 90);
}

struct Photos {
  std::string name;
  std::vector<std::string> files;  // encoded
};

Photos load_photos(const BenchOptions& options) {
  Photos photos;
  if (options.images.empty()) {
    photos.name = "jpeg-640x480";
    Rng rng(options.seed);
    for (int i = 0; i < 32; ++i) photos.files.push_back(photo_like_jpeg(640, 480, rng));
    return photos;
  }
  photos.name = std::filesystem::path(options.images).filename().string();
  if (!std::filesystem::is_directory(options.images)) {
    throw Error::input("not a folder", options.images, "name a folder of pictures");
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options.images)) {
    if (!entry.is_regular_file()) continue;
    std::string bytes = read_file(entry.path());
    if (probe_image(bytes).ok) photos.files.push_back(std::move(bytes));
  }
  if (photos.files.empty())
    throw Error::input("no picture that decodes", options.images, "name a folder of pictures");
  return photos;
}

}  // namespace

void loader(const BenchOptions& options) {
  const Photos photos = load_photos(options);
  const auto count = static_cast<int64_t>(photos.files.size());
  const std::string prefix = "loader/" + photos.name + "/";
  const std::string suffix = "/t" + std::to_string(options.threads);
  std::atomic<uint64_t> used{0};  // results count, so that no work is optimised away

  const auto run = [&](const std::string& name, const DecodeOptions& decode,
                       const CanvasOptions* canvas) {
    const auto work = [&](int64_t i) {
      const Image image = Image::decode(photos.files[static_cast<size_t>(i)], photos.name, decode);
      if (canvas == nullptr) {
        used += image.pixels.back();
        return;
      }
      thread_local std::vector<float> pixels;
      pixels.resize(static_cast<size_t>(3) * canvas->width * canvas->height);
      constexpr std::array<float, 3> kMean{0.48145466f, 0.4578275f, 0.40821073f};
      constexpr std::array<float, 3> kStd{0.26862954f, 0.26130258f, 0.27577711f};
      normalize_chw(to_canvas(image, *canvas).image, kMean, kStd, pixels.data());
      used += pixels.back() > 0 ? 1 : 0;
    };
    report(options, measure(options, prefix + name + suffix, count, work));
  };

  CanvasOptions shortest;
  CanvasOptions longest;
  longest.rule = CanvasRule::kLongest;
  DecodeOptions exact;
  DecodeOptions draft;
  draft.shrink_to = shortest.width;
  run("decode", exact, nullptr);
  run("shortest-224", exact, &shortest);
  run("longest-224", exact, &longest);
  run("shortest-224-draft", draft, &shortest);
}

}  // namespace opencloc::bench
