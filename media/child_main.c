/* media/child_main.c - gemmad-media: prepares, gives everything up (media/sandbox.h), says hello
 * and does jobs until its socket closes or something kills it.
 *
 * Started by media/child.c alone: gemmad-media --parent PID --max-bytes N, the socket at
 * PROTOCOL_CHILD_FD. */
#include <libavutil/cpu.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"
#include "media/protocol.h"
#include "media/sandbox.h"
#include "media/work.h"

#define LARGE_BLOCK_BYTES (32 << 20) /* the largest that malloc can be told */

struct arguments {
    uint64_t parent, max_bytes;
};

static bool parse_number(const char *text, uint64_t *out)
{
    const char *end;
    return number_read_digits(text, out, &end) && *end == '\0';
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    return argc == 5 && strcmp(argv[1], "--parent") == 0 && strcmp(argv[3], "--max-bytes") == 0 &&
           parse_number(argv[2], &out->parent) && parse_number(argv[4], &out->max_bytes);
}

// Frame after frame takes and frees the same large blocks: they stay until the job is done.
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
}

// What would be read from files when it is first used.
static void warm_up(void)
{
    tzset();
    av_cpu_count();
    av_get_cpu_flags();
    (void)sysconf(_SC_NPROCESSORS_ONLN);
}

// The memory is unmapped before the answer: the coordinator then makes it unchangeable.
static enum status do_job(const struct protocol_job *job, int memory_fd,
                          struct protocol_answer *answer, struct error *err)
{
    size_t n_bytes = job->result_offset + job->result_bytes;
    void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    close(memory_fd);
    if (memory == MAP_FAILED)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a file and its result");
    work_run(job, memory, (unsigned char *)memory + job->result_offset, answer);
    munmap(memory, n_bytes);
    return STATUS_OK;
}

static enum status serve(struct error *err)
{
    struct protocol_hello hello = protocol_hello();
    enum status st = protocol_send(PROTOCOL_CHILD_FD, &hello, sizeof hello, -1, err);
    while (st == STATUS_OK) {
        struct protocol_job job;
        struct protocol_answer answer;
        int memory_fd;
        st = protocol_receive(PROTOCOL_CHILD_FD, &job, sizeof job, &memory_fd, err);
        if (st == STATUS_OK)
            st = do_job(&job, memory_fd, &answer, err);
        if (st == STATUS_OK)
            st = protocol_send(PROTOCOL_CHILD_FD, &answer, sizeof answer, -1, err);
        malloc_trim(0); // idle children are small
    }
    return st;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (!parse(argc, argv, &arguments))
        _exit(64);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if ((uint64_t)getppid() != arguments.parent)
        _exit(68);
    keep_memory();
    warm_up();
    struct sandbox_config config = {.socket_fd = PROTOCOL_CHILD_FD,
                                    .max_more_bytes = arguments.max_bytes};
    struct error err = {0};
    if (sandbox_enter(&config, &err) != STATUS_OK)
        _exit(65);
    enum status st = serve(&err);
    _exit(st == STATUS_UNAVAILABLE ? 0 : 66);
}
