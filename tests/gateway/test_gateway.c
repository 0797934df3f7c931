/* tests/gateway/test_gateway.c - the gateway's own life, without clients: addresses, states, ends.
 * What clients see is in test_grpc.py. */
#include "tests/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/gateway.h"

static enum status listen_on(const char *address, struct gateway **out, struct error *err)
{
    log_set_level(LOG_ERROR);
    const char *listen[] = {"127.0.0.1:0", address};
    struct gateway_config config = {.listen = listen, .n_listen = address ? 2 : 1};
    return gateway_create(&config, out, err);
}

TEST(port_zero_becomes_a_port)
{
    struct gateway *gateway = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(listen_on("localhost:0", &gateway, &err), err);
    ASSERT_EQ(gateway_n_addresses(gateway), 2);
    ASSERT_CONTAINS(gateway_address(gateway, 0), "127.0.0.1:");
    ASSERT_CONTAINS(gateway_address(gateway, 1), "localhost:");
    ASSERT(atoi(gateway_address(gateway, 0) + 10) > 0);
    gateway_destroy(gateway);
}

TEST(an_address_in_use_is_unavailable)
{
    struct gateway *gateway = NULL;
    struct gateway *second = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(listen_on(NULL, &gateway, &err), err);
    ASSERT_EQ(listen_on(gateway_address(gateway, 0), &second, &err), STATUS_UNAVAILABLE);
    ASSERT_CONTAINS(err.message, gateway_address(gateway, 0));
    ASSERT(!second);
    gateway_destroy(gateway);
}

TEST(nonsense_is_no_address)
{
    static const char *const addresses[] = {"", "localhost", ":1", "localhost:", "unix:"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct gateway *gateway = NULL;
        struct error err = {0};
        ASSERT_EQ(listen_on(addresses[i], &gateway, &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "listen address");
        ASSERT(!gateway);
    }
}

static enum status listen_on_http(const char *address, struct gateway **out, struct error *err)
{
    log_set_level(LOG_ERROR);
    const char *listen[] = {"127.0.0.1:0"};
    struct gateway_config config = {.listen = listen, .n_listen = 1, .http_listen = address};
    return gateway_create(&config, out, err);
}

TEST(http_has_an_address_of_its_own_or_none)
{
    struct gateway *gateway = NULL;
    struct gateway *second = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(listen_on_http(NULL, &gateway, &err), err);
    ASSERT(!gateway_http_address(gateway));
    gateway_destroy(gateway);
    ASSERT_OK_ERR(listen_on_http("localhost:0", &gateway, &err), err);
    ASSERT_CONTAINS(gateway_http_address(gateway), "localhost:");
    ASSERT(atoi(gateway_http_address(gateway) + 10) > 0);
    ASSERT_EQ(listen_on_http(gateway_http_address(gateway), &second, &err), STATUS_UNAVAILABLE);
    ASSERT_CONTAINS(err.message, gateway_http_address(gateway));
    ASSERT(!second);
    gateway_destroy(gateway);
}

TEST(nonsense_is_no_http_address)
{
    static const char *const addresses[] = {
        "", "localhost", ":1", "localhost:", "a:b", "::1:80", "a:1x", "a:65536", "[]:1", "[::1]"};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct gateway *gateway = NULL;
        struct error err = {0};
        ASSERT_EQ(listen_on_http(addresses[i], &gateway, &err), STATUS_INVALID_ARGUMENT);
        ASSERT_CONTAINS(err.message, "HTTP address");
        ASSERT(!gateway);
    }
}

TEST(a_socket_in_the_file_system_goes_with_the_gateway)
{
    char folder[] = "/tmp/gemmad-test-XXXXXX";
    ASSERT(mkdtemp(folder));
    char address[64];
    snprintf(address, sizeof address, "unix:%s/socket", folder);
    struct gateway *gateway = NULL;
    struct error err = {0};
    struct stat file;
    ASSERT_OK_ERR(listen_on(address, &gateway, &err), err);
    ASSERT_STR_EQ(gateway_address(gateway, 1), address);
    ASSERT(stat(address + 5, &file) == 0 && S_ISSOCK(file.st_mode));
    gateway_destroy(gateway);
    ASSERT(stat(address + 5, &file) != 0);
    ASSERT_EQ(rmdir(folder), 0);
}

static void count(void *context)
{
    ++*(int *)context;
}

TEST(nothing_runs_while_loading_so_a_drain_is_done_at_once)
{
    struct gateway *gateway = NULL;
    struct error err = {0};
    int n_drained = 0;
    ASSERT_OK_ERR(listen_on(NULL, &gateway, &err), err);
    gateway_drain(gateway, count, &n_drained);
    ASSERT_EQ(n_drained, 1);
    gateway_drain(gateway, count, &n_drained);
    ASSERT_EQ(n_drained, 2);
    gateway_shutdown(gateway, 0);
    gateway_shutdown(gateway, 0);
    gateway_destroy(gateway);
    gateway_destroy(NULL);
}

// The threads ask gRPC for their first calls while it shuts down.
TEST(a_gateway_that_ends_as_soon_as_it_began_ends)
{
    for (uint32_t i = 0; i < 300; i++) {
        struct gateway *gateway = NULL;
        struct error err = {0};
        ASSERT_OK_ERR(listen_on(NULL, &gateway, &err), err);
        gateway_destroy(gateway);
    }
}
