// f(0) ... f(count - 1) on `threads` threads, the caller's among them; returns
// when all are done. f must not throw.
//
//   Parallel(folds, 2, [&](size_t fold) { errors[fold] = Try(fold); });
#ifndef PERFVEC_WORKER_EXPLORE_PARALLEL_H_
#define PERFVEC_WORKER_EXPLORE_PARALLEL_H_

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace perfvec::explore {

template <typename F>
void Parallel(size_t count, int threads, const F& f) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < count;) f(i);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (std::thread& t : others) t.join();
}

}  // namespace perfvec::explore

#endif  // PERFVEC_WORKER_EXPLORE_PARALLEL_H_
