#include "opencloc/index/store.h"

#include "opencloc/index/index_reader.h"
#include "opencloc/index/index_writer.h"
#include "opencloc/index/postgres/address.h"
#include "opencloc/index/postgres/postgres.h"

namespace opencloc {

double dot_product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return static_cast<double>(static_cast<float>(sum));
}

bool store_exists(const std::string& place) {
  return is_postgres(place) ? postgres_index_exists(place) : index_exists(place);
}

void create_store(const std::string& place, const IndexInfo& info) {
  is_postgres(place) ? create_postgres_index(place, info) : create_index(place, info);
}

IndexInfo read_store_info(const std::string& place) {
  return is_postgres(place) ? open_postgres(place)->info() : read_index_info(place);
}

std::unique_ptr<IndexStore> open_store(const std::string& place) {
  if (is_postgres(place)) return open_postgres(place);
  return std::make_unique<IndexReader>(place);
}

std::unique_ptr<IndexStoreWriter> open_store_writer(const std::string& place) {
  if (is_postgres(place)) return open_postgres_writer(place);
  return std::make_unique<IndexWriter>(place);
}

std::string shown_place(const std::string& place) {
  return is_postgres(place) ? parse_postgres_address(place).shown : place;
}

}  // namespace opencloc
