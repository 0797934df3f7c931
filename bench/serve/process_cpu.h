/* bench/serve/process_cpu.h - the CPU time that a process and its children have used, from /proc.
 * Thread: any. */
#ifndef GEMMAD_BENCH_SERVE_PROCESS_CPU_H
#define GEMMAD_BENCH_SERVE_PROCESS_CPU_H

#include <stdint.h>

#include "base/status.h"

struct process_cpu { /* since each was started; user and system time of all its threads */
    double own_seconds;
    double children_seconds; /* direct children, also those that have ended */
};

/* Steps of 1/100 s on most machines. NOT_FOUND: there is no such process. */
NODISCARD enum status process_cpu_read(uint32_t pid, struct process_cpu *out, struct error *err);
/* The calling process, to the microsecond. */
double process_cpu_self_seconds(void);

#endif
