/* media/sandbox.c - the list is of what glibc's malloc, qsort, messages and leaving take.
 * Memory may never become executable, so that a mistake in a decoder cannot bring code of its own.
 */
#include "media/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static enum status cannot(const char *what, int cause, struct error *err)
{
    return error_set(err, STATUS_FAILED_PRECONDITION, "sandbox: %s: %s", what, strerror(cause));
}

static enum status address_space_bytes(uint64_t *out, struct error *err)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long n_pages = 0;
    if (!file || fscanf(file, "%lu", &n_pages) != 1) {
        if (file)
            fclose(file);
        return cannot("/proc/self/statm", errno, err);
    }
    fclose(file);
    *out = (uint64_t)n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return STATUS_OK;
}

static enum status limit(const struct sandbox_config *config, struct error *err)
{
    uint64_t now_bytes = 0;
    enum status st = address_space_bytes(&now_bytes, err);
    if (st != STATUS_OK)
        return st;
    const struct {
        __rlimit_resource_t resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_AS, now_bytes + config->max_more_bytes},
        {RLIMIT_CORE, 0},
        {RLIMIT_FSIZE, 0},
        {RLIMIT_NPROC, 0},
        {RLIMIT_NOFILE, (rlim_t)config->socket_fd + 2}, // the socket and what comes over it
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit both = {limits[i].value, limits[i].value};
        if (setrlimit(limits[i].resource, &both) != 0)
            return cannot("setrlimit", errno, err);
    }
    return STATUS_OK;
}

static const int plain_calls[] = {
    SCMP_SYS(brk),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(close),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(madvise),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),     // qsort asks how much memory there is
    SCMP_SYS(sigaltstack), // asked by gcc's and clang's sanitizers when a process leaves
};
static const int mapping_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
static const int socket_calls[] = {SCMP_SYS(recvmsg), SCMP_SYS(sendmsg)};

static int allow(scmp_filter_ctx filter, int socket_fd)
{
    int failed = 0;
    for (size_t i = 0; i < sizeof plain_calls / sizeof *plain_calls && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
    for (size_t i = 0; i < sizeof mapping_calls / sizeof *mapping_calls && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mapping_calls[i], 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    for (size_t i = 0; i < sizeof socket_calls / sizeof *socket_calls && !failed; i++)
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, socket_calls[i], 1,
                                  SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)socket_fd));
    return failed;
}

static enum status filter_calls(const struct sandbox_config *config, struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return cannot("seccomp_init", ENOMEM, err);
    int failed = allow(filter, config->socket_fd);
    if (!failed)
        failed = seccomp_load(filter);
    seccomp_release(filter);
    return failed ? cannot("seccomp", -failed, err) : STATUS_OK;
}

enum status sandbox_enter(const struct sandbox_config *config, struct error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return cannot("prctl", errno, err);
    enum status st = limit(config, err);
    return st == STATUS_OK ? filter_calls(config, err) : st;
}
