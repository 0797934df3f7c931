/* daemon/control.c - a packet is a message, so there is no framing to get wrong. Descriptors that
 * come where none belong are closed at once. */
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum status control_pair(int out[2], struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return error_set(err, STATUS_INTERNAL, "socketpair: %s", strerror(errno));
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        int cause = errno;
        close(ends[0]);
        close(ends[1]);
        return error_set(err, STATUS_INTERNAL, "fcntl: %s", strerror(cause));
    }
    out[0] = ends[0];
    out[1] = ends[1];
    return STATUS_OK;
}

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

enum status control_create_file(const char *name, size_t bytes, int *out, struct error *err)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return error_set(err, STATUS_INTERNAL, "memfd_create: %s", strerror(errno));
    if (ftruncate(fd, (off_t)bytes) != 0 || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
        int cause = errno;
        close(fd);
        return error_set(err, STATUS_RESOURCE_EXHAUSTED, "shared memory \"%s\" of %zu bytes: %s",
                         name, bytes, strerror(cause));
    }
    *out = fd;
    return STATUS_OK;
}

enum status control_check_file(int fd, size_t bytes, struct error *err)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return error_set(err, STATUS_INVALID_ARGUMENT, "fstat: %s", strerror(errno));
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a memory file that could change its size");
    if (stat.st_size != (off_t)bytes)
        return error_set(err, STATUS_INVALID_ARGUMENT, "a memory file of %lld bytes, not %zu",
                         (long long)stat.st_size, bytes);
    return STATUS_OK;
}

// Room for the descriptors of a Load, aligned as the kernel wants it.
union file_space {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CONTROL_N_FILES * sizeof(int))];
};

enum status control_send(int fd, const struct worker_message *message, const int *files,
                         struct error *err)
{
    CHECK((files != NULL) == (message->type == WORKER_LOAD));
    struct text_buffer packet = {0};
    worker_message_encode(message, &packet);
    struct iovec part = {packet.data, packet.length};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    union file_space space = {0};
    if (files) {
        header.msg_control = space.bytes;
        header.msg_controllen = sizeof space.bytes;
        struct cmsghdr *attached = CMSG_FIRSTHDR(&header);
        attached->cmsg_level = SOL_SOCKET;
        attached->cmsg_type = SCM_RIGHTS;
        attached->cmsg_len = CMSG_LEN(CONTROL_N_FILES * sizeof(int));
        memcpy(CMSG_DATA(attached), files, CONTROL_N_FILES * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    int cause = errno;
    text_buffer_finish(&packet);
    if (sent < 0)
        return error_set(err, STATUS_UNAVAILABLE, "control socket: %s", strerror(cause));
    return STATUS_OK;
}

// Takes all descriptors out of a received header: at most CONTROL_N_FILES fit into the space.
static size_t take_files(struct msghdr *header, int files[CONTROL_N_FILES])
{
    size_t n = 0;
    for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = at->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; i < bytes / sizeof(int) && n < CONTROL_N_FILES; i++)
            memcpy(&files[n++], CMSG_DATA(at) + i * sizeof(int), sizeof(int));
    }
    return n;
}

static enum status check_packet(const struct msghdr *header, const char *packet, size_t n,
                                size_t n_files, bool wants_files, struct worker_message *out,
                                struct error *err)
{
    if (header->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return error_set(err, STATUS_INVALID_ARGUMENT, "control message: too large");
    enum status st = worker_message_decode(packet, n, out, err);
    if (st != STATUS_OK)
        return st;
    size_t wanted = out->type == WORKER_LOAD ? CONTROL_N_FILES : 0;
    if (n_files != wanted || (wanted && !wants_files))
        return error_set(err, STATUS_INVALID_ARGUMENT, "control message: %zu files, expected %zu",
                         n_files, wants_files ? wanted : 0);
    return STATUS_OK;
}

enum status control_receive(int fd, struct worker_message *out, int *out_files, struct error *err)
{
    static _Thread_local char packet[WORKER_MESSAGE_MAX_BYTES];
    struct iovec part = {packet, sizeof packet};
    union file_space space;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = space.bytes,
                            .msg_controllen = sizeof space.bytes};
    ssize_t n;
    do {
        n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return STATUS_DEADLINE_EXCEEDED;
    if (n < 0)
        return error_set(err, STATUS_UNAVAILABLE, "control socket: %s", strerror(errno));
    int files[CONTROL_N_FILES];
    size_t n_files = take_files(&header, files);
    // an empty packet is no message of ours, so 0 bytes is always the end
    enum status st = n == 0 ? error_set(err, STATUS_UNAVAILABLE, "control socket: closed")
                            : check_packet(&header, packet, (size_t)n, n_files, out_files != NULL,
                                           out, err);
    for (size_t i = 0; st != STATUS_OK && i < n_files; i++)
        close(files[i]);
    if (st == STATUS_OK && out->type == WORKER_LOAD && out_files)
        memcpy(out_files, files, sizeof files);
    return st;
}
