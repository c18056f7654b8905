// Threads that compute one call together, step by step and item by item.
//
// A step is over when its items are done, not when all threads are there: one that is interrupted, or was never woken
// because others have the cores, holds up nobody unless it holds an item. It finds the step's number passed and goes on
// to where the others are, or, after the call, to the next. So it works on a copy of what the call is about.
//
// Between calls a worker spins for a moment, because the next token usually follows at once, and then sleeps. Nobody
// sleeps through a call: a worker counts itself a sleeper before it looks at the call's number for the last time, and
// the caller sets the number before it looks at the sleepers, both in sequentially consistent order.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace edge_phi {

// `Call` is copied, and called with the number of its first step and that of the worker; it takes every step, in order.
template <class Call>
class Pool {
 public:
  Pool() = default;
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      active_ = 0;
      number_.fetch_add(1);
      wake_.notify_all();
    }
    for (std::thread &worker : workers_) worker.join();
  }

  // Call on `threads` threads, this one being worker 0; on fewer if the system gives no more. Every step is over when
  // it returns.
  void run(int threads, const Call &call) {
    try {
      for (int worker = int(workers_.size()) + 1; worker < threads; worker++)
        workers_.emplace_back([this, worker, seen = number_.load()] { work(worker, seen); });
    } catch (const std::system_error &) {
    }
    uint32_t first_step = uint32_t(ticket_.load(std::memory_order_relaxed) >> 32);
    if (threads > 1) {
      std::lock_guard<std::mutex> lock(mutex_);
      call_ = call;
      first_step_ = first_step;
      active_ = threads;
      number_.fetch_add(1);
      if (sleepers_.load()) wake_.notify_all();
    }
    call(first_step, 0);
  }

  // Do items of step `step`, 0..count - 1 with count > 0, as long as there are any, then wait for those of others.
  template <class Item>
  void step(uint32_t step, int count, Item item) {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);  // the step's number, and its next item
    while (uint32_t(ticket >> 32) == step && int(uint32_t(ticket)) < count) {
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      item(int(uint32_t(ticket)));
      if (done_.fetch_add(1, std::memory_order_acq_rel) == count - 1) {
        done_.store(0, std::memory_order_relaxed);
        ticket_.store(uint64_t(step + 1) << 32, std::memory_order_release);
        return;
      }
      ticket = ticket_.load(std::memory_order_acquire);
    }
    auto over = [&] { return uint32_t(ticket_.load(std::memory_order_acquire) >> 32) != step; };
    if (!spin(over, kPatience))
      while (!over()) std::this_thread::yield();
  }

 private:
  static constexpr auto kSpin = std::chrono::microseconds(100);     // between calls, before a worker sleeps
  static constexpr auto kPatience = std::chrono::microseconds(50);  // in a call, before a thread offers its core

  // Spin until `ready()` or for `limit`; says which.
  template <class Ready>
  static bool spin(Ready ready, std::chrono::microseconds limit) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point end{};
    for (int i = 0;; i++) {
      if (ready()) return true;
#if defined(__x86_64__) || defined(_M_X64)
      _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
      __asm__ __volatile__("yield");
#endif
      if (i % 16) continue;  // the time is asked for now and then
      if (i == 64) end = Clock::now() + limit;
      if (i > 64 && Clock::now() >= end) return false;
    }
  }

  void work(int worker, uint64_t seen) {
    for (;;) {
      auto called = [&] { return number_.load() != seen; };
      if (!spin(called, kSpin)) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, called);
        sleepers_.fetch_sub(1);
      }
      std::unique_lock<std::mutex> lock(mutex_);
      seen = number_.load();
      if (active_ == 0) return;
      if (worker >= active_) continue;
      const Call call = call_;
      uint32_t first_step = first_step_;
      lock.unlock();
      call(first_step, worker);
    }
  }

  std::vector<std::thread> workers_;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int> done_{0};  // items of the step
  alignas(64) std::atomic<uint64_t> number_{0};  // of the call
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;  // of what follows, which is what the call is about
  std::condition_variable wake_;
  Call call_{};
  uint32_t first_step_ = 0;
  int active_ = 1;  // threads that take part; 0: the end
};

}  // namespace edge_phi
