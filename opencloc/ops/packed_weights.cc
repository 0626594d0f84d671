#include "opencloc/ops/packed_weights.h"

#include <compare>
#include <map>
#include <mutex>
#include <shared_mutex>

#include <torch/autograd.h>

#include "opencloc/ops/quantized.h"

namespace opencloc::ops {
namespace {

// Where a matrix lies.
struct Place {
  const void* data = nullptr;
  int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 0;
  auto operator<=>(const Place&) const = default;
};
Place place_of(const torch::Tensor& m) {
  if (m.dim() == 1) return {m.data_ptr(), m.size(0), 1, m.stride(0), 1};
  return {m.data_ptr(), m.size(0), m.size(1), m.stride(0), m.stride(1)};
}

template <class Packed>
class Cache {
 public:
  // make() -> Packed, outside the lock: threads that miss together each make one.
  template <class Make>
  std::shared_ptr<const Packed> get(const torch::Tensor& weight, const Make& make) {
    if (weight.is_inference()) return std::make_shared<const Packed>(make());
    const Place place = place_of(weight);
    {
      const std::shared_lock lock(mutex_);
      const auto found = entries_.find(place);
      if (found != entries_.end() && found->second.is_of(weight)) return found->second.packed;
    }
    // Before reading: a write meanwhile makes the form stale, not wrong.
    Entry entry(weight);
    entry.packed = std::make_shared<const Packed>(make());
    const auto packed = entry.packed;
    const std::unique_lock lock(mutex_);
    drop_stale();
    entries_.insert_or_assign(place, std::move(entry));
    return packed;
  }

  void clean() {
    const std::unique_lock lock(mutex_);
    drop_stale();
  }
  int64_t size() {
    const std::shared_lock lock(mutex_);
    return static_cast<int64_t>(entries_.size());
  }

 private:
  struct Entry {
    explicit Entry(const torch::Tensor& weight)
        : storage(weight.storage().getWeakStorageImpl()),
          counter(torch::autograd::impl::version_counter(weight)),
          version(counter.current_version()) {}
    bool stale() const { return storage.expired() || counter.current_version() != version; }
    // The storage's own place is not given to another while a weak pointer to it lives.
    bool is_of(const torch::Tensor& weight) const {
      return !stale() && storage._unsafe_get_target() == weight.storage().unsafeGetStorageImpl();
    }
    c10::weak_intrusive_ptr<c10::StorageImpl> storage;
    c10::VariableVersion counter;
    uint32_t version;
    std::shared_ptr<const Packed> packed;
  };

  void drop_stale() {
    std::erase_if(entries_, [](const auto& entry) { return entry.second.stale(); });
  }

  std::shared_mutex mutex_;
  std::map<Place, Entry> entries_;
};

// Never destroyed: tensors of static lifetime may outlive anything.
template <class Packed>
Cache<Packed>& cache_of() {
  static auto* cache = new Cache<Packed>;
  return *cache;
}

}  // namespace

std::shared_ptr<const kernels::PackedWeight> packed_bf16(const torch::Tensor& weight) {
  return cache_of<kernels::PackedWeight>().get(weight, [&] {
    const auto dense = weight.contiguous();
    return kernels::PackedWeight::for_forward(dense.data_ptr<float>(), dense.size(0),
                                              dense.size(1));
  });
}

std::shared_ptr<const kernels::PackedWeight> packed_bf16(const torch::Tensor& weight,
                                                         WeightUse use) {
  if (use == WeightUse::kAgain) return packed_bf16(weight);
  return std::make_shared<const kernels::PackedWeight>(
      kernels::PackedWeight::for_forward(weight.data_ptr<float>(), weight.size(0), weight.size(1)));
}

std::shared_ptr<const kernels::PackedFp32> packed_fp32(const torch::Tensor& weight, WeightUse use) {
  const auto make = [&] {
    const auto dense = weight.contiguous();
    return kernels::PackedFp32(dense.data_ptr<float>(), dense.size(0), dense.size(1));
  };
  if (use == WeightUse::kOnce) return std::make_shared<const kernels::PackedFp32>(make());
  return cache_of<kernels::PackedFp32>().get(weight, make);
}

torch::Tensor rounded_bf16(const torch::Tensor& weight) {
  if (weight.dim() > 2) return weight.detach().to(torch::kBFloat16);
  return *cache_of<torch::Tensor>().get(weight,
                                        [&] { return weight.detach().to(torch::kBFloat16); });
}

std::shared_ptr<const kernels::PackedInt8> packed_int8(const torch::Tensor& weight) {
  return cache_of<kernels::PackedInt8>().get(weight, [&] {
    const auto scale = quantized_scale(weight);  // [O]
    return kernels::PackedInt8(reinterpret_cast<const int8_t*>(weight.data_ptr<c10::qint8>()),
                               scale.data_ptr<float>(), weight.size(0), weight.size(1));
  });
}

void drop_stale_packed_weights() {
  cache_of<kernels::PackedWeight>().clean();
  cache_of<kernels::PackedFp32>().clean();
  cache_of<kernels::PackedInt8>().clean();
  cache_of<torch::Tensor>().clean();
}

int64_t packed_weights_held() {
  return cache_of<kernels::PackedWeight>().size() + cache_of<kernels::PackedFp32>().size() +
         cache_of<kernels::PackedInt8>().size() + cache_of<torch::Tensor>().size();
}

}  // namespace opencloc::ops
