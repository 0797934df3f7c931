/* tests/gateway/test_http_server.c - the HTTP transport alone, with routes of its own: what a
 * client with a raw socket can do to it. What clients see of the real routes is in test_http.py. */
#include "tests/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http_server.h"

static void echo(struct http_call *call, const char *body, size_t n)
{
    struct text_buffer answer = {0};
    text_buffer_append_format(&answer, "%s:", http_call_rest(call));
    text_buffer_append(&answer, body, n);
    http_call_answer(call, 200, "text/plain", &answer);
}

static const struct http_route routes[] = {
    {.method = "POST", .path = "/echo", .heavy = true, .on_request = echo},
    {.method = "POST", .path = "/below/", .below = true, .on_request = echo},
};

static struct http_server *start_server(void)
{
    log_set_level(LOG_ERROR);
    const struct http_server_config config = {.listen = "127.0.0.1:0",
                                              .n_threads = 1,
                                              .body_ns = NS_PER_S / 10,
                                              .routes = routes,
                                              .n_routes = 2};
    struct http_server *server = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(http_server_create(&config, &server, &err), err);
    return server;
}

static int send_text(const struct http_server *server, const char *text)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(strchr(http_server_address(server), ':') + 1));
    ASSERT_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ASSERT_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

// Until the other side closes, or patience ends.
static char *read_all(int fd)
{
    struct text_buffer out = {0};
    char bytes[1024];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        text_buffer_append(&out, bytes, (size_t)n);
    close(fd);
    return text_buffer_release(&out);
}

static char *ask(const struct http_server *server, const char *text)
{
    return read_all(send_text(server, text));
}

#define HEAD(path, n) \
    "POST " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " #n "\r\n\r\n"

TEST(a_body_comes_to_its_route)
{
    struct http_server *server = start_server();
    char *answer = ask(server, HEAD("/echo", 3) "abc");
    ASSERT_CONTAINS(answer, "HTTP/1.1 200");
    ASSERT_CONTAINS(answer, "\r\n\r\n:abc");
    free(answer);
    answer = ask(server, HEAD("/below/a%20b", 1) "x");
    ASSERT_CONTAINS(answer, "\r\n\r\na b:x");
    free(answer);
    http_server_destroy(server);
}

TEST(a_body_that_does_not_end_is_cut_off)
{
    struct http_server *server = start_server();
    uint64_t began_ns = clock_now_ns();
    char *answer = ask(server, HEAD("/echo", 9) "abc");
    ASSERT_STR_EQ(answer, "");
    ASSERT(clock_now_ns() - began_ns < 30 * NS_PER_S);
    free(answer);
    http_server_destroy(server);
}

TEST(what_is_no_http_is_refused_and_nothing_else_suffers)
{
    static const char *const texts[] = {
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "POST /echo HTTP/9.9\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    };
    struct http_server *server = start_server();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        // The library keeps some of them until they have been idle for long.
        const struct timeval patience = {.tv_usec = 200000};
        int fd = send_text(server, texts[i]);
        ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
        char *answer = read_all(fd);
        ASSERT(!strstr(answer, "200 OK"));
        free(answer);
    }
    char *answer = ask(server, HEAD("/echo", 1) "x");
    ASSERT_CONTAINS(answer, "HTTP/1.1 200");
    free(answer);
    http_server_destroy(server);
}

TEST(a_server_ends_while_requests_are_half_said)
{
    struct http_server *server = start_server();
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = send_text(server, i == 0 ? "POST /ec" : HEAD("/echo", 9) "a");
    http_server_shutdown(server, 0);
    http_server_shutdown(server, 0);
    http_server_destroy(server);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}
