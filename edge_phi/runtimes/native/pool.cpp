// Spinning, sleeping and waking. The argument for "nobody sleeps through a call": a worker counts itself as a sleeper
// before it looks at the call's number for the last time, the caller sets the number before it looks at the sleepers;
// both in sequentially consistent order, so one of them sees the other.
#include "pool.h"

#include <chrono>
#include <system_error>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace edge_phi {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kSpin = std::chrono::microseconds(100);   // between calls, before a worker sleeps
constexpr auto kPatience = std::chrono::microseconds(50);  // at a barrier, before a thread offers its core to others

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ __volatile__("yield");
#endif
}

// Spin until `ready()` or for `limit`; says which.
template <class Ready>
bool spin(Ready ready, std::chrono::microseconds limit) {
  for (int i = 0; i < 64; i++) {  // a few microseconds without asking for the time
    if (ready()) return true;
    relax();
  }
  for (auto end = Clock::now() + limit; Clock::now() < end;)
    for (int i = 0; i < 16; i++) {
      if (ready()) return true;
      relax();
    }
  return false;
}

}  // namespace

Pool::~Pool() {
  call_.store((call_.load() | 255) + 1);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  for (std::thread &worker : workers_) worker.join();
}

void Pool::barrier() {
  if (active_ == 1) {
    ticket_.store(0, std::memory_order_relaxed);
    return;
  }
  unsigned phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == active_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    ticket_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  auto passed = [&] { return phase_.load(std::memory_order_acquire) != phase; };
  if (!spin(passed, kPatience))
    while (!passed()) std::this_thread::yield();
}

int Pool::run_task(int threads, Task task, void *context) {
  uint64_t call = call_.load(std::memory_order_relaxed);
  try {
    while (int(workers_.size()) < threads - 1) {
      int worker = int(workers_.size()) + 1;
      workers_.emplace_back([this, worker, call] { work(worker, call); });
    }
  } catch (const std::system_error &) {
    threads = int(workers_.size()) + 1;
  }
  task_ = task;
  context_ = context;
  active_ = threads;
  ticket_.store(0, std::memory_order_relaxed);
  if (threads > 1) {
    call_.store((call | 255) + 1 + uint64_t(threads));
    if (sleepers_.load()) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
  }
  task(context, 0);
  barrier();
  return threads;
}

void Pool::work(int worker, uint64_t seen) {
  for (;;) {
    seen = wait_for_call(seen);
    int threads = int(seen & 255);
    if (threads == 0) return;
    if (worker >= threads) continue;
    task_(context_, worker);
    barrier();
  }
}

uint64_t Pool::wait_for_call(uint64_t seen) {
  uint64_t call = seen;
  auto called = [&] { return (call = call_.load(std::memory_order_acquire)) != seen; };
  if (spin(called, kSpin)) return call;
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1);
  wake_.wait(lock, [&] { return (call = call_.load()) != seen; });
  sleepers_.fetch_sub(1);
  return call;
}

}  // namespace edge_phi
