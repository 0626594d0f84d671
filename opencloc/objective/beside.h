// What an objective becomes that has losses of its own beside another one's: its pieces come after
// the other's, and all else is the other's.
#pragma once

#include <memory>
#include <utility>

#include "opencloc/objective/objective.h"

namespace opencloc {

class WorkBeside : public BatchWork {
 public:
  explicit WorkBeside(std::unique_ptr<BatchWork> base) : base_(std::move(base)) {}

  int64_t pieces() const override { return base_pieces() + own_pieces(); }
  bool learns(int64_t piece) const override {
    return piece >= base_pieces() || base_->learns(piece);
  }
  Encoded encode(int64_t piece, const NamedRows& before, bool own_loss) override {
    return piece < base_pieces() ? base_->encode(piece, before, own_loss)
                                 : encode_own(piece - base_pieces(), own_loss);
  }
  Loss loss(const NamedRows& rows) override { return base_->empty() ? Loss() : base_->loss(rows); }
  Figures counts() const override { return base_->counts(); }

 protected:
  virtual int64_t own_pieces() const = 0;
  virtual Encoded encode_own(int64_t piece, bool own_loss) = 0;  // from 0

 private:
  int64_t base_pieces() const { return base_->empty() ? 0 : base_->pieces(); }
  const std::unique_ptr<BatchWork> base_;
};

class ObjectiveBeside : public Objective {
 public:
  explicit ObjectiveBeside(std::unique_ptr<Objective> base) : base_(std::move(base)) {}

  void after_step(const Figures& figures, int64_t step, bool warm) override {
    base_->after_step(figures, step, warm);
  }
  Json state() const override { return base_->state(); }
  void load_state(const Json& state, std::string_view where) override {
    base_->load_state(state, where);
  }
  Json log() const override { return base_->log(); }

 protected:
  const std::unique_ptr<Objective> base_;
};

}  // namespace opencloc
