/* client/answer.c - text of sequence 0 is printed as it comes; of others it is held back until
 * those before are finished, so that answers stand one below the other.
 * Only a terminal gets decoration: a newline at the end, and headings when there are several. */
#include "client/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/message_json.h"

struct sequence {
    struct text_buffer text; // all of it for sequence 0, else what is not printed yet
    bool finished;
};

struct answer {
    bool json, terminal;
    uint32_t n;
    struct sequence *sequences; // [n]
    uint32_t front;             // the one that is printed as it comes
    char last;                  // byte printed
    bool aborted;
    const char *broken; // what the server did wrong, or NULL
};

static void print(struct answer *answer, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    fwrite(bytes, 1, n, stdout);
    answer->last = ((const char *)bytes)[n - 1];
}

static void end_line(struct answer *answer)
{
    if (answer->last != '\n')
        print(answer, "\n", 1);
}

static void begin_sequence(struct answer *answer)
{
    if (answer->n == 1)
        return;
    if (answer->front > 0)
        end_line(answer);
    if (answer->terminal)
        printf("--- %u of %u\n", answer->front + 1, answer->n);
    answer->last = '\n';
}

static void on_delta(struct answer *answer, const Gemmad__V1__Delta *delta)
{
    text_buffer_append(&answer->sequences[delta->index].text, delta->text.data, delta->text.len);
    if (delta->index == answer->front)
        print(answer, delta->text.data, delta->text.len);
}

static void on_finish(struct answer *answer, const Gemmad__V1__Finish *finish)
{
    answer->sequences[finish->index].finished = true;
    answer->aborted |= finish->reason == GEMMAD__V1__FINISH_REASON__ABORT;
    while (answer->front < answer->n && answer->sequences[answer->front].finished) {
        if (++answer->front == answer->n)
            return;
        begin_sequence(answer);
        const struct text_buffer *text = &answer->sequences[answer->front].text;
        print(answer, text->data, text->length);
    }
}

static bool on_event(void *context, ProtobufCMessage *message)
{
    struct answer *answer = context;
    const Gemmad__V1__GenerateResponse *response = (const Gemmad__V1__GenerateResponse *)message;
    bool delta = response->event_case == GEMMAD__V1__GENERATE_RESPONSE__EVENT_DELTA;
    bool finish = response->event_case == GEMMAD__V1__GENERATE_RESPONSE__EVENT_FINISH;
    uint32_t index = delta ? response->delta->index : finish ? response->finish->index : 0;
    if (index >= answer->n) {
        answer->broken = "the server sent a sequence that was not asked for";
    } else if (answer->json) {
        message_print(message);
        if (delta)
            text_buffer_append(&answer->sequences[index].text, response->delta->text.data,
                               response->delta->text.len);
        answer->aborted |= finish && response->finish->reason == GEMMAD__V1__FINISH_REASON__ABORT;
    } else if (delta) {
        on_delta(answer, response->delta);
    } else if (finish) {
        on_finish(answer, response->finish);
    }
    fflush(stdout);
    client_free_message(message);
    return !answer->broken && !ferror(stdout);
}

enum status answer_print(const struct invocation *invocation, struct text_buffer *out_text,
                         struct error *err)
{
    const struct settings *settings = invocation->settings;
    uint32_t n = settings->sampling.n > 0 ? settings->sampling.n : 1;
    struct answer answer = {.json = settings->json,
                            .terminal = isatty(STDOUT_FILENO),
                            .n = n,
                            .sequences = mem_zeroed(n, sizeof(struct sequence)),
                            .last = '\n'};
    if (!answer.json)
        begin_sequence(&answer);
    struct client_method generate = {&gemmad__v1__inference__descriptor, "Generate"};
    enum status st = client_stream(invocation->client, generate, &settings->request.base,
                                   settings->timeout_ns, on_event, &answer, err);
    if (answer.terminal && !answer.json)
        end_line(&answer);
    if (st == STATUS_OK && answer.broken)
        st = error_set(err, STATUS_INTERNAL, "%s", answer.broken);
    if (st == STATUS_OK && answer.aborted)
        st = error_set(err, STATUS_ABORTED, "the request was aborted");
    if (out_text)
        text_buffer_append(out_text, answer.sequences[0].text.data,
                           answer.sequences[0].text.length);
    for (uint32_t i = 0; i < n; i++)
        text_buffer_finish(&answer.sequences[i].text);
    free(answer.sequences);
    return st;
}
