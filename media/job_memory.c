#include "media/job_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum status write_all(int fd, const unsigned char *bytes, size_t n, struct error *err)
{
    for (size_t at = 0; at < n;) {
        ssize_t now = pwrite(fd, bytes + at, n - at, (off_t)at);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a media file: %s",
                             strerror(errno));
        at += (size_t)now;
    }
    return STATUS_OK;
}

enum status job_memory_create(struct protocol_job *job, const unsigned char *bytes, int *out_fd,
                              struct error *err)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    job->result_offset = (job->n_bytes + page_bytes - 1) / page_bytes * page_bytes;
    int fd = memfd_create("gemmad-media", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory file: %s", strerror(errno));
    enum status st = write_all(fd, bytes, job->n_bytes, err);
    if (st == STATUS_OK && ftruncate(fd, (off_t)(job->result_offset + job->result_bytes)) != 0)
        st = error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a result: %s",
                       strerror(errno));
    if (st != STATUS_OK) {
        close(fd);
        return st;
    }
    *out_fd = fd;
    return STATUS_OK;
}

enum status job_memory_keep(int fd, const struct protocol_job *job,
                            const struct protocol_answer *answer, unsigned char **out_data,
                            size_t *out_n_bytes, struct error *err)
{
    const struct protocol_part *last = &answer->parts[answer->n_parts - 1];
    size_t n_bytes = last->offset + last->n_bytes;
    off_t result = (off_t)job->result_offset;
    if (ftruncate(fd, result + (off_t)n_bytes) != 0 ||
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, result) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return error_set(err, STATUS_INTERNAL, "a decoder's result cannot be sealed: %s",
                         strerror(errno));
    void *data = mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, fd, result);
    if (data == MAP_FAILED)
        return error_set(err, STATUS_INTERNAL, "a decoder's result cannot be mapped: %s",
                         strerror(errno));
    *out_data = data;
    *out_n_bytes = n_bytes;
    return STATUS_OK;
}
