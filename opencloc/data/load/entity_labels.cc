#include "opencloc/data/load/entity_labels.h"

#include <utility>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/base/sha256.h"
#include "opencloc/data/entities/classes.h"

namespace opencloc {
namespace {

constexpr double kDescribed = 0.5;  // share of the texts with a description

std::string with_description(const std::string& name, std::string_view description) {
  return name + ": " + std::string(description);
}

}  // namespace

EntityLabels::EntityLabels(const std::filesystem::path& classes,
                           const std::filesystem::path& base) {
  if (!classes.empty()) read(classes);
  if (!base.empty()) base_ = std::make_unique<EntityBase>(base);
}

void EntityLabels::read(const std::filesystem::path& table) {
  Sha256 hash;
  for_each_table_line(table, {"class", "id", "name", "images"}, 2,
                      [&](const std::vector<std::string>& fields, const std::string& where) {
                        const auto next = std::to_string(names_.size());
                        if (fields[0] != next) {
                          throw Error::input(
                              "class '" + fields[0] + "' where class " + next + " should come",
                              where, "number the classes from 0, or make the table again");
                        }
                        if (fields[1].empty()) throw Error::input("a class has no id", where);
                        if (!class_of_.emplace(fields[1], classes()).second) {
                          throw Error::input("id '" + fields[1] + "' is there twice", where,
                                             "remove one of the lines, or make the table again");
                        }
                        names_.push_back(fields[2]);
                        hash.add(fields[1] + "\n");
                      });
  if (names_.empty()) {
    throw Error::input("the table has no class", table.string(),
                       "make it with 'opencloc data classes'");
  }
  fingerprint_ = hash.hex();
}

EntitiesOfRecord EntityLabels::of(const Record& record, const std::string& where) const {
  EntitiesOfRecord found;
  for (auto& [id, name] : labelled_entities(record, where)) {
    LabelledEntity entity{std::move(id), std::move(name)};
    if (!names_.empty()) {
      const auto known = class_of_.find(entity.id);
      if (known == class_of_.end()) {
        ++found.unknown;
        continue;
      }
      entity.class_index = known->second;
      if (entity.name.empty()) entity.name = names_[static_cast<size_t>(known->second)];
    }
    found.known.push_back(std::move(entity));
  }
  return found;
}

std::string_view EntityLabels::description(const LabelledEntity& entity) const {
  if (!base_) return {};
  const auto row = base_->row_of(entity.id);
  return row ? (*base_)[*row].description : std::string_view();
}

std::string EntityLabels::text(const LabelledEntity& entity, Rng& rng) const {
  const bool wanted = rng.chance(kDescribed);
  const auto more = description(entity);
  return wanted && !more.empty() ? with_description(entity.name, more) : entity.name;
}

std::vector<std::string> EntityLabels::texts(const LabelledEntity& entity) const {
  std::vector<std::string> all{entity.name};
  const auto more = description(entity);
  if (!more.empty()) all.push_back(with_description(entity.name, more));
  return all;
}

void EntityCounter::add(bool labelled, int64_t unknown) {
  ++pictures_;
  labelled_ += labelled ? 1 : 0;
  unknown_ += unknown;
}

std::string EntityCounter::summary() const {
  return fmt::format(
      "{} of {} pictures had an entity that is a class; {} labels are no classes and were left out",
      labelled(), pictures(), unknown());
}

}  // namespace opencloc
