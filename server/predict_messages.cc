#include "server/predict_messages.h"

#include <memory>
#include <vector>

namespace perfvec::server {
namespace {

constexpr size_t kMaxKept = 64;        // per thread
constexpr size_t kMaxTextBytes = 512;  // of a request that is kept

class Pair;
using Kept = std::vector<std::unique_ptr<Pair>>;
Kept& KeptHere();

class Pair final : public PredictMessages::Holder {
 public:
  Pair() {
    set_request(&request_);
    set_response(&response_);
  }
  void Release() override {
    std::unique_ptr<Pair> self(this);
    const size_t text_bytes = request_.program().size() +
                              request_.architecture().size() +
                              request_.model().size();
    Kept& kept = KeptHere();
    if (text_bytes > kMaxTextBytes || kept.size() >= kMaxKept) return;
    request_.Clear();
    response_.Clear();
    kept.push_back(std::move(self));
  }

 private:
  v1::PredictRequest request_;
  v1::PredictResponse response_;
};

Kept& KeptHere() {
  thread_local Kept kept;
  return kept;
}

}  // namespace

PredictMessages::Holder* PredictMessages::AllocateMessages() {
  Kept& kept = KeptHere();
  if (kept.empty()) return new Pair;
  Pair* pair = kept.back().release();
  kept.pop_back();
  return pair;
}

}  // namespace perfvec::server
