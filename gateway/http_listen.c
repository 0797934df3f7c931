/* gateway/http_listen.c - the socket is made here and not by the HTTP library, so that an address
 * is understood, and a failure worded, as gRPC's are. */
#include "gateway/http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/text_buffer.h"

#define BACKLOG 512

// Cuts the address into host (without brackets) and port, which stay in text.
static bool split(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':');
    uint64_t number;
    const char *end;
    if (!colon || !number_read_digits(colon + 1, &number, &end) || *end || number > 65535)
        return false;
    *colon = '\0';
    *port = colon + 1;
    *host = text;
    size_t n = strlen(text);
    if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
        text[n - 1] = '\0';
        *host = text + 1;
        return true;
    }
    return n > 0 && !strpbrk(text, ":[]");
}

static int bind_one(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static unsigned bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {0}};
    socklen_t n = sizeof bound;
    CHECK(getsockname(fd, &bound.any, &n) == 0);
    return ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
}

static enum status bind_first(const char *address, const char *host, const char *port, int *out,
                              struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed)
        return error_set(err, STATUS_UNAVAILABLE, "HTTP address %s: %s", address,
                         gai_strerror(failed));
    int fd = -1;
    for (struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
        fd = bind_one(info);
    int cause = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(err, STATUS_UNAVAILABLE, "HTTP address %s: %s", address, strerror(cause));
    *out = fd;
    return STATUS_OK;
}

enum status http_listen(const char *address, int *out_socket, char **out_address, struct error *err)
{
    char *text = mem_strdup(address);
    char *host;
    char *port;
    enum status st;
    if (split(text, &host, &port))
        st = bind_first(address, host, port, out_socket, err);
    else
        st = error_set(err, STATUS_INVALID_ARGUMENT,
                       "HTTP address \"%s\": must be HOST:PORT or [IPV6]:PORT", address);
    if (st == STATUS_OK) {
        struct text_buffer bound = {0};
        text_buffer_append(&bound, address, (size_t)(strrchr(address, ':') - address));
        text_buffer_append_format(&bound, ":%u", bound_port(*out_socket));
        *out_address = text_buffer_release(&bound);
    }
    free(text);
    return st;
}
