// Threads that compute one forward pass together.
//
// Between calls a worker spins for a moment, because the next token usually follows at once, and then sleeps. Inside a
// call work is handed out item by item: a thread that was interrupted, or sits on a slow core, does fewer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace edge_phi {

class Pool {
 public:
  Pool() = default;
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;
  ~Pool();  // ends and joins the workers

  // Call `work(worker)` on `threads` threads, this one being worker 0. Each must go through the same barriers. Fewer
  // take part if the system gives no more threads; returns how many did.
  template <class Work>
  int run(int threads, Work &work) {
    return run_task(threads, [](void *context, int worker) { (*static_cast<Work *>(context))(worker); }, &work);
  }

  // Inside a call: wait until all are here; then `next` counts from 0 again.
  void barrier();
  // Inside a call: the next item that nobody has taken since the last barrier; `count` or more when there is none.
  int next() { return ticket_.fetch_add(1, std::memory_order_relaxed); }

 private:
  using Task = void (*)(void *context, int worker);

  int run_task(int threads, Task task, void *context);
  void work(int worker, uint64_t seen);
  uint64_t wait_for_call(uint64_t seen);

  std::vector<std::thread> workers_;
  // Number of the call, and in the lowest byte how many take part in it; 0 take part in the last: it ends the workers.
  alignas(64) std::atomic<uint64_t> call_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
  alignas(64) std::atomic<int> ticket_{0};
  Task task_ = nullptr;
  void *context_ = nullptr;
  int active_ = 1;
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace edge_phi
