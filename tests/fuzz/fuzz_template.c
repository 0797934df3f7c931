/* tests/fuzz/fuzz_template.c - the template engine from both sides: any template with fixed
 * variables (first byte even), or the official template with any JSON as the request (odd). What
 * renders must be well-formed text whose spans cover it. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/builtin_templates.h"
#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct template_limits limits = {.max_steps = 200000, .max_output_bytes = 1 << 20};

static void check_output(struct template_output *output)
{
    size_t covered = 0;
    for (size_t i = 0; i < output->n_spans; i++) {
        CHECK(output->spans[i].length > 0);
        CHECK(i == 0 || output->spans[i].from_client != output->spans[i - 1].from_client);
        covered += output->spans[i].length;
    }
    CHECK(covered == output->length);
    CHECK(output->text[output->length] == 0);
    CHECK(utf8_valid(output->text, output->length, NULL));
    template_output_finish(output);
}

static struct json_document *parse(const char *text, size_t n)
{
    struct json_document *document = NULL;
    struct error err = {0};
    return json_parse(text, n, NULL, &document, &err) == STATUS_OK ? document : NULL;
}

static void run_template(const char *source, size_t n)
{
    static const char variables[] =
        "{\"s\":\" H\xC3\xA9llo <b>\",\"n\":3,\"f\":2.5,\"big\":12345678901234567890123,"
        "\"l\":[3,1,2],\"d\":{\"b\":1,\"B2\":[1,null,true],\"_z\":\"q\"},\"z\":null,\"yes\":true,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\"}]}";
    struct template *template = NULL;
    struct template_output output;
    struct error err = {0};
    if (template_compile(source, n, "fuzz", &template, &err) != STATUS_OK) {
        CHECK(!template && err.message[0]);
        return;
    }
    struct json_document *document = parse(variables, sizeof variables - 1);
    CHECK(document);
    if (template_render(template, json_root(document), NULL, &limits, &output, &err) == STATUS_OK)
        check_output(&output);
    else
        CHECK(err.message[0]);
    json_document_destroy(document);
    template_destroy(template);
}

static void run_request(const char *json, size_t n, bool as_transformers)
{
    static struct template *template;
    struct error err = {0};
    if (!template)
        CHECK(template_compile(builtin_template_gemma4, builtin_template_gemma4_length, "gemma4",
                               &template, &err) == STATUS_OK);
    struct json_document *document = parse(json, n);
    if (!document)
        return;
    const struct chat_options options = {.as_transformers = as_transformers, .limits = limits};
    struct template_output output;
    if (chat_render(template, json_root(document), &options, &output, &err) == STATUS_OK)
        check_output(&output);
    else
        CHECK(err.message[0]);
    json_document_destroy(document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    if (data[0] & 1)
        run_request((const char *)data + 1, n - 1, data[0] & 2);
    else
        run_template((const char *)data + 1, n - 1);
    return 0;
}
