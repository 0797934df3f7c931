/* base/clock.h - time as nanoseconds. Code that decides by time takes a `now_ns` from its caller,
 * so that simulators can run it on a clock of their own; only the edges read these. */
#ifndef GEMMAD_BASE_CLOCK_H
#define GEMMAD_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

uint64_t clock_now_ns(void);  /* monotonic, from an arbitrary start */
uint64_t clock_unix_ns(void); /* since 1970, may jump */

#endif
