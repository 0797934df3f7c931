/* client/key.c - gemmactl key: makes an API key and the line by which a server knows it. */
#include "client/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/evp.h>

#define KEY_BYTES 24 /* of randomness */
#define HASH_BYTES 32
#define MAX_NAME_BYTES 64 /* gateway/auth.h's */

static void append_hex(struct text_buffer *out, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_buffer_append_format(out, "%02x", bytes[i]);
}

static enum status check(const struct invocation *invocation, struct error *err)
{
    const char *name = invocation->argument;
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == ':')
            n = 0;
    if (n == 0 || n > MAX_NAME_BYTES || name[0] == '#')
        return error_set(err, STATUS_INVALID_ARGUMENT,
                         "NAME: 1 to %d visible ASCII characters, no colon, not # first",
                         MAX_NAME_BYTES);
    return STATUS_OK;
}

static enum exit_code run(struct invocation *invocation)
{
    unsigned char random[KEY_BYTES];
    unsigned char hash[HASH_BYTES];
    CHECK(getrandom(random, sizeof random, 0) == sizeof random);
    struct text_buffer key = {0};
    struct text_buffer line = {0};
    text_buffer_append_text(&key, "gm-");
    append_hex(&key, random, sizeof random);
    CHECK(EVP_Digest(key.data, key.length, hash, NULL, EVP_sha256(), NULL) == 1);
    append_hex(&line, hash, sizeof hash);
    printf("%s\n%s:sha256:%s\n", key.data, invocation->argument, line.data);
    text_buffer_finish(&key);
    text_buffer_finish(&line);
    return EXIT_OK;
}

static const struct option_group *const groups[] = {NULL};

const struct command key_command = {
    .name = "key",
    .argument = "NAME",
    .argument_needed = true,
    .connects_itself = true,
    .summary = "makes an API key; no server is asked",
    .description =
        "Prints two lines: the key, for the client (--api-key, GEMMAD_API_KEY, or the header "
        "authorization: Bearer KEY), which is kept nowhere; and NAME:sha256:HEX, for the server's "
        "api_keys_file, where nobody can read the key from it. NAME says whose key it is.",
    .examples = "    gemmactl key alice\n"
                "    gemmactl key alice | tee alice.key | tail -n 1 >> /etc/gemmad/keys\n",
    .groups = groups,
    .check = check,
    .run = run,
};
