/* tests/bench/test_process_cpu.c - CPU time of this process and of a child of its own. */
#include "bench/serve/process_cpu.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

static struct process_cpu read_self(void)
{
    struct process_cpu cpu;
    struct error err = {0};
    ASSERT_OK_ERR(process_cpu_read((uint32_t)getpid(), &cpu, &err), err);
    return cpu;
}

TEST(work_shows_in_the_process_that_does_it)
{
    struct process_cpu before = read_self();
    double fine_before = process_cpu_self_seconds();
    struct process_cpu after = before;
    while (after.own_seconds <= before.own_seconds)
        after = read_self();
    ASSERT(process_cpu_self_seconds() > fine_before);
    ASSERT_NEAR(after.children_seconds, before.children_seconds, 0);
}

TEST(a_childs_time_is_counted_while_it_runs_and_stays_when_it_has_ended)
{
    struct process_cpu before = read_self();
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        for (volatile uint64_t i = 0;; i++)
            continue;
    }
    struct process_cpu running = before;
    while (running.children_seconds <= before.children_seconds)
        running = read_self();
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, NULL, 0), child);
    struct process_cpu ended = read_self();
    ASSERT(ended.children_seconds >= running.children_seconds);
}

TEST(a_process_that_is_not_there_is_not_found)
{
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0)
        _exit(0);
    ASSERT_EQ(waitpid(child, NULL, 0), child);
    struct process_cpu cpu;
    struct error err = {0};
    ASSERT_EQ(process_cpu_read((uint32_t)child, &cpu, &err), STATUS_NOT_FOUND);
}
