// What both kernel families of ARM need beside the instructions: how to ask whether they are there.
#pragma once

#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace edge_phi {

// Whether this processor has a feature: a bit of Linux's HWCAP (word 1) or HWCAP2 (word 2), or a name of
// Apple's, null if all of theirs have it.
inline bool arm_has(int word, int bit, const char *name) {
#if defined(__linux__)
  (void)name;
  return getauxval(word == 1 ? AT_HWCAP : AT_HWCAP2) >> bit & 1;
#elif defined(__APPLE__)
  (void)word, (void)bit;
  int there = 0;
  size_t size = sizeof there;
  return !name || (!sysctlbyname(name, &there, &size, nullptr, 0) && there);
#else
  (void)word, (void)bit, (void)name;
  return false;
#endif
}

}  // namespace edge_phi
