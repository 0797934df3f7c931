/* bench/serve/process_cpu.c - children are found by their parent's id in every /proc/PID/stat:
 * /proc/PID/task/TID/children is not in every kernel. Time of children that have ended and were
 * waited for stands in their parent's own line, so the sum never goes back. */
#include "bench/serve/process_cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/number.h"

struct stat_line {
    uint32_t parent;
    uint64_t own_ticks, ended_children_ticks;
};

static bool read_stat(uint32_t pid, struct stat_line *out)
{
    char path[32];
    char line[1024];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t n = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[n] = '\0';
    const char *behind_name = strrchr(line, ')'); // the name may hold blanks and brackets itself
    uint64_t user;
    uint64_t kernel;
    uint64_t children_user;
    uint64_t children_kernel;
    if (!behind_name || sscanf(behind_name,
                               ") %*c %" SCNu32 " %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                               " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                               &out->parent, &user, &kernel, &children_user, &children_kernel) != 5)
        return false;
    out->own_ticks = user + kernel;
    out->ended_children_ticks = children_user + children_kernel;
    return true;
}

static uint64_t children_ticks(uint32_t parent)
{
    uint64_t sum = 0;
    DIR *folder = opendir("/proc");
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        uint64_t pid;
        const char *end;
        struct stat_line child;
        if (number_read_digits(entry->d_name, &pid, &end) && !*end &&
            read_stat((uint32_t)pid, &child) && child.parent == parent)
            sum += child.own_ticks;
    }
    closedir(folder);
    return sum;
}

enum status process_cpu_read(uint32_t pid, struct process_cpu *out, struct error *err)
{
    struct stat_line line;
    if (!read_stat(pid, &line))
        return error_set(err, STATUS_NOT_FOUND, "there is no process %" PRIu32, pid);
    double ticks_per_second = (double)sysconf(_SC_CLK_TCK);
    out->own_seconds = (double)line.own_ticks / ticks_per_second;
    out->children_seconds = (double)(line.ended_children_ticks + children_ticks(pid)) /
                            ticks_per_second;
    return STATUS_OK;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double process_cpu_self_seconds(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}
