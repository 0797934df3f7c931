/* daemon/worker_main.c - gemmad-worker: one rank. Started by gemmad, never by hand; how it ended is
 * in its exit code (daemon/worker_process.h) and in its last message. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/build_id.h"
#include "daemon/rank.h"
#include "daemon/worker_link.h"
#include "daemon/worker_process.h"

static atomic_bool serving; // once it is ready for steps

static void on_report(void)
{
    log_info("worker_state", "state=%s", atomic_load(&serving) ? "serving" : "loading");
}

struct progress_state {
    struct worker_link *link;
    uint64_t told_ns;
};

// Ten times a second is enough for everyone who looks.
static void tell_progress(void *context, size_t done_bytes, size_t total_bytes)
{
    struct progress_state *state = context;
    uint64_t now = clock_now_ns();
    if (now - state->told_ns < NS_PER_S / 10 && done_bytes < total_bytes)
        return;
    state->told_ns = now;
    worker_link_progress(state->link, done_bytes, total_bytes);
}

static int fail(struct worker_link *link, int exit_code, struct error *err)
{
    log_error("fault", "status=%s error=\"%s\"", status_name(err->status), err->message);
    worker_link_fault(link, err);
    return exit_code;
}

static int serve(struct worker_link *link)
{
    static struct worker_load load;
    int files[CONTROL_N_FILES];
    struct error err = {0};
    enum status st = worker_link_wait_load(link, &load, files, &err);
    if (st == STATUS_UNAVAILABLE)
        return WORKER_EXIT_ORPHAN;
    if (st != STATUS_OK)
        return fail(link, WORKER_EXIT_PROTOCOL, &err);
    log_set_level(load.log_level);
    worker_link_watch(link, on_report);

    uint64_t started = clock_now_ns();
    struct progress_state state = {.link = link};
    struct rank_progress progress = {tell_progress, &state};
    struct rank *rank;
    st = rank_load(&load, files, &progress, &rank, &err);
    for (int i = 0; i < CONTROL_N_FILES; i++)
        close(files[i]);
    if (st != STATUS_OK)
        return fail(link, WORKER_EXIT_LOAD, &err);
    struct worker_ready ready;
    rank_describe(rank, &ready);
    ready.load_ns = clock_now_ns() - started;
    atomic_store(&serving, true);
    worker_link_ready(link, &ready);
    rank_run(rank, &err); // ends with an error only: Stop ends the process
    rank_destroy(rank);
    return fail(link, WORKER_EXIT_STEP, &err);
}

static bool read_number(const char *text, long max, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out <= max;
}

int main(int argc, char **argv)
{
    long control_fd;
    long rank;
    long parent;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("gemmad-worker %s\n", build_id);
        return 0;
    }
    if (argc != 7 || strcmp(argv[1], "--control-fd") != 0 || strcmp(argv[3], "--rank") != 0 ||
        strcmp(argv[5], "--parent") != 0 || !read_number(argv[2], 1 << 20, &control_fd) ||
        !read_number(argv[4], WORKER_MAX_RANKS - 1, &rank) ||
        !read_number(argv[6], INT32_MAX, &parent)) {
        fprintf(stderr, "gemmad-worker is one rank of a gemmad, which starts it; see gemmad "
                        "--help\n");
        return WORKER_EXIT_USAGE;
    }
    if (!worker_link_guard((pid_t)parent))
        return WORKER_EXIT_ORPHAN;
    signal(SIGPIPE, SIG_IGN); // standard error may be gone before the process is
    log_set_rank((int)rank);
    return serve(worker_link_create((int)control_fd, (uint32_t)rank));
}
