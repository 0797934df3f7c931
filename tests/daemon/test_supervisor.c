/* tests/daemon/test_supervisor.c - the group of workers, with fake ones that go wrong
 * (tests/daemon/fake_worker.c, found through GEMMAD_FAKE_WORKER). Real processes and sockets. */
#include "daemon/supervisor.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "tests/test.h"

struct watcher {
    struct supervisor *supervisor;
    uint32_t n_up, n_lost, n_failed;
    uint64_t max_done;
    struct error cause;
};

static void on_up(void *context, const int *files, const struct worker_ready *ready, uint32_t n)
{
    struct watcher *w = context;
    for (int i = 0; i < CONTROL_N_FILES; i++)
        ASSERT(files[i] >= 0);
    ASSERT_EQ(ready[n - 1].weight_bytes, 1000);
    w->n_up++;
}

static void on_lost(void *context, const struct error *cause)
{
    struct watcher *w = context;
    ASSERT_EQ(supervisor_n_alive(w->supervisor), 0);
    w->cause = *cause;
    w->n_lost++;
}

static void on_failed(void *context, const struct error *cause)
{
    struct watcher *w = context;
    w->cause = *cause;
    w->n_failed++;
}

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct watcher *w = context;
    ASSERT(done <= total);
    w->max_done = done > w->max_done ? done : w->max_done;
}

static struct worker_load load_of(uint32_t rank)
{
    struct worker_load load = {
        .model_dir = "/m",
        .rank = rank,
        .world_size = 2,
        .n_threads = 1,
        .pinned = true,
        .cpus = {(int)rank + 40},
        .limits = {.max_slots = 4, .max_rows = 8, .max_positions = 64, .vocab_size = 100},
        .kv = {.page_tokens = 16, .element_bytes = 2, .n_groups = 1},
        .max_logits_rows = 4,
        .n_ring_slots = 4,
        .collective_bytes = 4096,
        .collective_timeout_ns = NS_PER_S,
    };
    load.kv.groups[0] = (struct kv_group_params){1, 2, 8, 8, 0, false};
    load.kv.n_pages[0] = 9;
    return load;
}

static void create(struct watcher *w, const char *behaviour, uint32_t max_restarts)
{
    const char *path = getenv("GEMMAD_FAKE_WORKER");
    if (!path)
        test_skip("GEMMAD_FAKE_WORKER does not name the fake worker");
    setenv("FAKE_WORKER", behaviour, 1);
    struct worker_load loads[] = {load_of(0), load_of(1)};
    struct supervisor_config config = {
        .worker_path = path,
        .build_id = "build 1",
        .loads = loads,
        .world_size = 2,
        .file_bytes = {4096, 4096, 4096, 4096},
        .load_timeout_ns = strcmp(behaviour, "silent") == 0 ? NS_PER_S / 5 : 30 * NS_PER_S,
        .max_restarts = max_restarts,
        .restart_window_ns = 600 * NS_PER_S,
        .events = {on_up, on_lost, on_failed, on_progress},
        .context = w,
    };
    *w = (struct watcher){0};
    ASSERT_OK(supervisor_create(&config, &w->supervisor, NULL));
    supervisor_start(w->supervisor, clock_now_ns());
}

// Handles what comes until *counter is wanted (or, without a counter, until nobody is alive).
static void run_until(struct watcher *w, const uint32_t *counter, uint32_t wanted)
{
    uint64_t give_up = clock_now_ns() + 20 * NS_PER_S;
    while (counter ? *counter < wanted : supervisor_n_alive(w->supervisor) > 0) {
        uint64_t now = clock_now_ns();
        ASSERT(now < give_up);
        uint64_t deadline = supervisor_deadline_ns(w->supervisor);
        deadline = deadline < give_up ? deadline : give_up;
        struct pollfd ready = {.fd = supervisor_fd(w->supervisor), .events = POLLIN};
        poll(&ready, 1, deadline > now ? (int)((deadline - now) / NS_PER_MS) + 1 : 0);
        supervisor_handle(w->supervisor, clock_now_ns());
    }
}

static uint32_t n_open_files(void)
{
    uint32_t n = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static void destroy(struct watcher *w)
{
    supervisor_destroy(w->supervisor);
    ASSERT_EQ(waitpid(-1, NULL, WNOHANG), -1); // no child is left, not even a zombie
    ASSERT_EQ(errno, ECHILD);
}

TEST(a_group_comes_up_reports_progress_and_stops)
{
    uint32_t files_before = n_open_files();
    struct watcher w;
    create(&w, "good", 3);
    run_until(&w, &w.n_up, 1);
    ASSERT_EQ(supervisor_n_alive(w.supervisor), 2);
    ASSERT_EQ(w.max_done, 100);
    supervisor_stop(w.supervisor);
    run_until(&w, NULL, 0);
    ASSERT_EQ(w.n_lost + w.n_failed, 0);
    destroy(&w);
    ASSERT_EQ(n_open_files(), files_before);
}

TEST(destroying_a_group_leaves_no_process)
{
    struct watcher w;
    create(&w, "good", 3);
    run_until(&w, &w.n_up, 1);
    destroy(&w);
    create(&w, "silent", 3);
    destroy(&w);
}

// The message with which the first start fails.
static void fail_first_start(const char *behaviour, const char *message)
{
    struct watcher w;
    create(&w, behaviour, 3);
    run_until(&w, &w.n_failed, 1);
    ASSERT_CONTAINS(w.cause.message, message);
    ASSERT_EQ(w.n_up + w.n_lost, 0);
    ASSERT_EQ(supervisor_n_alive(w.supervisor), 0);
    destroy(&w);
}

TEST(a_worker_of_another_build_is_refused)
{
    fail_first_start("bad_build", "is of another build: build 2, this gemmad is build 1");
}

TEST(a_first_start_that_goes_wrong_ends_with_the_cause)
{
    fail_first_start("garbage", "control message: no protobuf of ours");
    fail_first_start("exit_in_load", "exited with code 66 (loading failed)");
    fail_first_start("fault_in_load", "worker 1: no such tensor");
    fail_first_start("ready_too_early", "worker 1 sent message 3 while it was started");
    fail_first_start("silent", "worker 1 made no progress for 0 s while it was loading");
}

TEST(a_program_that_cannot_be_started_is_named)
{
    struct watcher w = {0};
    struct worker_load loads[] = {load_of(0), load_of(1)};
    struct supervisor_config config = {
        .worker_path = "/nonexistent/gemmad-worker",
        .build_id = "build 1",
        .loads = loads,
        .world_size = 2,
        .file_bytes = {4096, 4096, 4096, 4096},
        .load_timeout_ns = NS_PER_S,
        .events = {on_up, on_lost, on_failed, on_progress},
        .context = &w,
    };
    ASSERT_OK(supervisor_create(&config, &w.supervisor, NULL));
    supervisor_start(w.supervisor, clock_now_ns());
    ASSERT_EQ(w.n_failed, 1);
    ASSERT_STR_EQ(w.cause.message,
                  "cannot start /nonexistent/gemmad-worker: No such file or directory");
    destroy(&w);
}

TEST(a_worker_that_dies_ends_the_group_which_starts_again)
{
    struct watcher w;
    create(&w, "die_on_report", 3);
    run_until(&w, &w.n_up, 1);
    supervisor_report(w.supervisor);
    run_until(&w, &w.n_lost, 1);
    ASSERT_CONTAINS(w.cause.message, "was killed by signal 9 (Killed)");
    run_until(&w, &w.n_up, 2);
    ASSERT_EQ(supervisor_n_alive(w.supervisor), 2);
    ASSERT_EQ(w.n_failed, 0);
    destroy(&w);
}

TEST(a_group_that_dies_too_often_is_given_up)
{
    struct watcher w;
    create(&w, "die_on_report", 2);
    for (uint32_t i = 1; i <= 3; i++) {
        run_until(&w, &w.n_up, i);
        ASSERT_EQ(w.n_failed, 0);
        supervisor_report(w.supervisor);
        run_until(&w, &w.n_lost, i);
    }
    ASSERT_EQ(w.n_failed, 1);
    ASSERT_CONTAINS(w.cause.message, "the workers died 3 times within 600 s, at last: worker 1");
    ASSERT_EQ(supervisor_n_alive(w.supervisor), 0);
    ASSERT(supervisor_deadline_ns(w.supervisor) == UINT64_MAX);
    destroy(&w);
}
