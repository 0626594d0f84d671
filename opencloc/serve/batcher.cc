#include "opencloc/serve/batcher.h"

#include <algorithm>
#include <numeric>

#include "opencloc/base/log.h"

namespace opencloc::serve {
namespace {

using Clock = Call::Clock;
constexpr std::chrono::milliseconds kFirstAfter{500};

double since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

const char* name_of(WorkKind kind) {
  static constexpr const char* kNames[kWorkKinds] = {"prompt", "scan", "text", "image", "other"};
  return kNames[static_cast<size_t>(kind)];
}

Batcher::Batcher(Engine& engine, const BatcherOptions& options, Metrics& metrics)
    : engine_(engine), options_(options), metrics_(metrics), thread_([this] { run(); }) {}

void Batcher::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
  for (auto& items : items_) items.clear();
}

void Batcher::put(WorkKind kind, Item item) {
  item.since = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    items_[static_cast<size_t>(kind)].push_back(std::move(item));
  }
  changed_.notify_one();
}

void Batcher::texts(CallPtr call, std::vector<std::string> texts, OnTexts then) {
  Item item{.call = std::move(call), .since = {}};
  item.texts = std::move(texts);
  item.on_texts = std::move(then);
  put(WorkKind::kText, std::move(item));
}

void Batcher::image(CallPtr call, std::shared_ptr<Image> image, OnScene then, OnFault failed) {
  Item item{.call = std::move(call), .since = {}};
  item.image = std::move(image);
  item.on_scene = std::move(then);
  item.on_fault = std::move(failed);
  put(WorkKind::kImage, std::move(item));
}

void Batcher::search(CallPtr call, ServedIndex& index, std::vector<float> query,
                     SearchOptions options, OnResult then) {
  Item item{.call = std::move(call), .since = {}};
  item.index = &index;
  item.query = std::move(query);
  item.options = std::move(options);
  item.on_result = std::move(then);
  put(WorkKind::kScan, std::move(item));
}

bool Batcher::same_search(const Item& a, const Item& b) {
  const SearchOptions &x = a.options, &y = b.options;
  return a.index != nullptr && a.index == b.index && x.unit == y.unit && x.quality == y.quality &&
         x.k == y.k && x.min_score == y.min_score && x.cut.mode == y.cut.mode &&
         x.cut.z == y.cut.z && x.fold == y.fold && x.fold_at == y.fold_at &&
         x.more_regions == y.more_regions && x.more_iou == y.more_iou && x.only == y.only;
}

void Batcher::work(CallPtr call, WorkKind kind, std::function<void()> work) {
  Item item{.call = std::move(call), .since = {}};
  item.work = std::move(work);
  put(kind, std::move(item));
}

size_t Batcher::waiting() const {
  const std::lock_guard lock(mutex_);
  return std::accumulate(items_.begin(), items_.end(), size_t{0},
                         [](size_t sum, const auto& items) { return sum + items.size(); });
}

double Batcher::oldest_seconds() const {
  const std::lock_guard lock(mutex_);
  double oldest = busy_ ? since(busy_since_) : 0;
  for (const auto& items : items_) {
    if (!items.empty()) oldest = std::max(oldest, since(items.front().since));
  }
  return oldest;
}

Clock::time_point Batcher::last_success() const {
  const std::lock_guard lock(mutex_);
  return last_success_;
}

// Called with the lock held and something to do.
WorkKind Batcher::next_kind() const {
  size_t first = kWorkKinds;
  const Item* oldest = nullptr;
  size_t oldest_kind = 0;
  for (size_t kind = 0; kind < kWorkKinds; ++kind) {
    if (items_[kind].empty()) continue;
    if (first == kWorkKinds) first = kind;
    if (oldest == nullptr || items_[kind].front().since < oldest->since) {
      oldest = &items_[kind].front();
      oldest_kind = kind;
    }
  }
  const bool late = oldest != nullptr && Clock::now() - oldest->since > kFirstAfter;
  return static_cast<WorkKind>(late ? oldest_kind : first);
}

// Called with the lock held. Calls that are over are left out.
std::vector<Batcher::Item> Batcher::take(WorkKind kind) {
  auto& waiting = items_[static_cast<size_t>(kind)];
  std::vector<Item> taken;
  size_t weight = 0;
  int64_t pixels = 0;
  const size_t limit = kind == WorkKind::kText    ? options_.max_texts
                       : kind == WorkKind::kImage ? options_.max_images
                       : kind == WorkKind::kScan  ? options_.max_searches
                                                  : 1;
  while (!waiting.empty()) {
    if (!waiting.front().call->over()) {
      const size_t more = kind == WorkKind::kText ? waiting.front().texts.size() : 1;
      if (!taken.empty() && weight + more > limit) break;
      if (kind == WorkKind::kImage) {
        const Image& image = *waiting.front().image;
        pixels += int64_t{image.width} * image.height;
        if (!taken.empty() && pixels > options_.max_pixels) break;
      }
      if (kind == WorkKind::kScan && !taken.empty() && !same_search(taken.front(), waiting.front()))
        break;
      weight += more;
      taken.push_back(std::move(waiting.front()));
    }
    waiting.pop_front();
  }
  return taken;
}

void Batcher::run() {
  while (true) {
    std::vector<Item> items;
    WorkKind kind{};
    {
      std::unique_lock lock(mutex_);
      busy_ = false;
      const auto something = [this] {
        return ending_ ||
               std::any_of(items_.begin(), items_.end(), [](const auto& i) { return !i.empty(); });
      };
      while (!changed_.wait_for(lock, engine_.idle_time(), something)) {
        lock.unlock();
        engine_.idle();
        lock.lock();
      }
      if (ending_) return;
      kind = next_kind();
      items = take(kind);
      busy_ = true;
      busy_since_ = Clock::now();
    }
    if (items.empty()) continue;
    for (const Item& item : items) metrics_.waited(name_of(kind), since(item.since));
    const bool well = compute(kind, items);
    metrics_.computed(name_of(kind), items.size(), since(busy_since_));
    items.clear();
    if (well) {
      const std::lock_guard lock(mutex_);
      last_success_ = Clock::now();
    }
  }
}

bool Batcher::compute(WorkKind kind, std::vector<Item>& items) {
  if (kind == WorkKind::kText) return compute_texts(items);
  if (kind == WorkKind::kImage) return compute_images(items);
  if (items.front().index != nullptr) return compute_searches(items);
  for (Item& item : items) item.call->guard(item.work);
  return true;
}

bool Batcher::compute_texts(std::vector<Item>& items) {
  std::vector<std::string> all;
  for (Item& item : items) {
    all.insert(all.end(), std::make_move_iterator(item.texts.begin()),
               std::make_move_iterator(item.texts.end()));
  }
  std::vector<Embedding> embeddings;
  try {
    embeddings = engine_.encode_texts(all);
  } catch (const std::exception& error) {
    for (Item& item : items) item.call->fail_inside(error);
    return false;
  }
  auto next = embeddings.begin();
  for (Item& item : items) {
    const auto end = next + static_cast<std::ptrdiff_t>(item.texts.size());
    std::vector<Embedding> own(std::make_move_iterator(next), std::make_move_iterator(end));
    next = end;
    item.call->guard([&] { item.on_texts(std::move(own)); });
  }
  return true;
}

bool Batcher::compute_images(std::vector<Item>& items) {
  if (items.size() == 1) return compute_image(items.front());
  std::vector<Image> images;  // side by side, as the model wants them
  for (Item& item : items) images.push_back(std::move(*item.image));
  std::vector<Scene> scenes;
  try {
    scenes = engine_.encode_images(images);
  } catch (const std::exception&) {
    // One of them: each by itself says which.
    bool any = false;
    for (size_t i = 0; i < items.size(); ++i) {
      *items[i].image = std::move(images[i]);
      any |= compute_image(items[i]);
    }
    return any;
  }
  images.clear();
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].image.reset();
    items[i].call->guard([&] { items[i].on_scene(std::move(scenes[i])); });
  }
  return true;
}

bool Batcher::compute_image(Item& item) {
  std::vector<Scene> scene;
  try {
    scene = engine_.encode_images({item.image.get(), 1});
  } catch (const Error& error) {
    item.call->guard([&] { item.on_fault(error); });
    return false;
  } catch (const std::exception& error) {
    item.call->fail_inside(error);
    return false;
  }
  item.image.reset();
  item.call->guard([&] { item.on_scene(std::move(scene.front())); });
  return true;
}

bool Batcher::compute_searches(std::vector<Item>& items) {
  std::vector<std::vector<float>> queries;
  for (Item& item : items) queries.push_back(std::move(item.query));
  std::vector<SearchResult> results;
  try {
    results = opencloc::search(items.front().index->reader(), queries, items.front().options);
  } catch (const std::exception& error) {
    for (Item& item : items) item.call->fail_inside(error);
    return false;
  }
  for (size_t i = 0; i < items.size(); ++i)
    items[i].call->guard([&] { items[i].on_result(std::move(results[i])); });
  return true;
}

}  // namespace opencloc::serve
