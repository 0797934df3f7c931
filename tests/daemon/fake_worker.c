/* tests/daemon/fake_worker.c - a worker without a model, which goes wrong on demand.
 * FAKE_WORKER is what rank 1 does ("good": nothing wrong); rank 0 is always good.
 *     bad_build, garbage, silent, exit_in_load, fault_in_load, ready_too_early, die_on_report */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/control.h"
#include "daemon/worker_process.h"

static struct worker_message message;

static void say(const struct worker_message *what)
{
    if (control_send(WORKER_CONTROL_FD, what, NULL, NULL) != STATUS_OK)
        _exit(WORKER_EXIT_ORPHAN);
}

static void say_ready(void)
{
    message = (struct worker_message){.type = WORKER_READY};
    message.ready.weight_bytes = 1000;
    strcpy(message.ready.kernels, "none");
    say(&message);
}

static void take_load(size_t file_bytes)
{
    int files[CONTROL_N_FILES];
    if (control_receive(WORKER_CONTROL_FD, &message, files, NULL) != STATUS_OK ||
        message.type != WORKER_LOAD || message.load.cpus[0] != (int)message.load.rank + 40)
        _exit(WORKER_EXIT_PROTOCOL);
    for (int i = 0; i < CONTROL_N_FILES; i++) {
        if (control_check_file(files[i], file_bytes, NULL) != STATUS_OK ||
            control_check_file(files[i], file_bytes + 1, NULL) == STATUS_OK ||
            ftruncate(files[i], 0) == 0)
            _exit(WORKER_EXIT_PROTOCOL);
    }
}

static void go_wrong_in_load(const char *behaviour)
{
    if (strcmp(behaviour, "garbage") == 0) {
        send(WORKER_CONTROL_FD, "\xff\xff\xff", 3, 0);
        pause();
    }
    if (strcmp(behaviour, "silent") == 0)
        pause();
    if (strcmp(behaviour, "exit_in_load") == 0)
        _exit(WORKER_EXIT_LOAD);
    if (strcmp(behaviour, "fault_in_load") == 0) {
        message = (struct worker_message){.type = WORKER_FAULT};
        error_set(&message.fault, STATUS_NOT_FOUND, "no such tensor");
        say(&message);
        _exit(WORKER_EXIT_LOAD);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return WORKER_EXIT_USAGE;
    uint32_t rank = (uint32_t)atoi(argv[4]);
    const char *behaviour = rank == 1 ? getenv("FAKE_WORKER") : "good";
    message = (struct worker_message){.type = WORKER_HELLO};
    message.hello.rank = rank;
    strcpy(message.hello.build_id, strcmp(behaviour, "bad_build") == 0 ? "build 2" : "build 1");
    if (strcmp(behaviour, "ready_too_early") == 0)
        say_ready();
    say(&message);
    take_load(4096);
    go_wrong_in_load(behaviour);
    message = (struct worker_message){.type = WORKER_PROGRESS, .progress = {50, 100}};
    say(&message);
    say_ready();
    for (;;) {
        enum status st = control_receive(WORKER_CONTROL_FD, &message, NULL, NULL);
        if (st != STATUS_OK)
            return WORKER_EXIT_ORPHAN;
        if (message.type == WORKER_REPORT && strcmp(behaviour, "die_on_report") == 0)
            raise(SIGKILL);
        if (message.type == WORKER_STOP)
            return WORKER_EXIT_STOPPED;
    }
}
