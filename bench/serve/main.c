/* bench/serve/main.c - bench_serve: connects, runs the load, writes what it measured. Ctrl-C just
 * ends it; the server notices that its clients are gone. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "bench/serve/options.h"
#include "bench/serve/report.h"

#define CONNECT_TIMEOUT_NS (5 * NS_PER_S)

enum exit_code {
    EXIT_OK = 0,
    EXIT_REQUESTS_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CANNOT_CONNECT = 3,
};

static bool write_file(const char *path, const struct text_buffer *text)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (!file) {
        fprintf(stderr, "bench_serve: %s: cannot be written\n", path);
        return false;
    }
    bool written = fwrite(text->data, 1, text->length, file) == text->length && fflush(file) == 0;
    if (file != stdout)
        written = fclose(file) == 0 && written;
    if (!written)
        fprintf(stderr, "bench_serve: %s: cannot be written\n", path);
    return written;
}

typedef void report_fn(const struct serve_options *options, struct load_result *result,
                       struct text_buffer *out);

// path NULL: nothing to do.
static bool write_report(report_fn *report, const char *path, const struct serve_options *options,
                         struct load_result *result)
{
    if (!path)
        return true;
    struct text_buffer text = {0};
    report(options, result, &text);
    bool written = write_file(path, &text);
    text_buffer_finish(&text);
    return written;
}

static enum exit_code report(const struct serve_options *options, struct load_result *result)
{
    bool json_to_stdout = options->json_path && strcmp(options->json_path, "-") == 0;
    bool written = write_report(report_table, json_to_stdout ? NULL : "-", options, result);
    written = write_report(report_json, options->json_path, options, result) && written;
    written = write_report(report_plot, options->plot_path, options, result) && written;
    if (load_failed(result) > 0)
        fprintf(stderr, "bench_serve: %" PRIu64 " requests failed; the first: %s: %s\n",
                load_failed(result), status_name(result->first_error.status),
                result->first_error.message);
    return written && load_failed(result) == 0 ? EXIT_OK : EXIT_REQUESTS_FAILED;
}

static enum exit_code run(const struct serve_options *options, const struct load_config *load)
{
    struct client *client;
    struct error err = {0};
    if (client_create(options->address, env_get(ENV_API_KEY), &client, &err) != STATUS_OK) {
        fprintf(stderr, "bench_serve: %s\n", err.message);
        return EXIT_USAGE;
    }
    struct load_result result = {0};
    enum exit_code code;
    if (client_connect(client, CONNECT_TIMEOUT_NS, &err) != STATUS_OK) {
        fprintf(stderr, "bench_serve: %s\n", err.message);
        code = EXIT_CANNOT_CONNECT;
    } else if (load_run(load, client, &result, &err) != STATUS_OK) {
        fprintf(stderr, "bench_serve: %s: %s\n", status_name(err.status), err.message);
        code = EXIT_REQUESTS_FAILED;
    } else {
        code = report(options, &result);
    }
    load_result_finish(&result);
    client_destroy(client);
    return code;
}

int main(int argc, char **argv)
{
    struct serve_options options;
    struct load_config load;
    struct error err = {0};
    if (serve_options_parse(argc - 1, argv + 1, &options, &load, &err) != STATUS_OK) {
        fprintf(stderr, "bench_serve: %s\nsee bench_serve --help\n", err.message);
        return EXIT_USAGE;
    }
    if (options.help) {
        struct text_buffer help = {0};
        serve_options_describe(&help);
        fputs(help.data, stdout);
        text_buffer_finish(&help);
        return EXIT_OK;
    }
    return (int)run(&options, &load);
}
