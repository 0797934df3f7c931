/* tests/gateway/test_event_queue.c - what waits for a slow client, and what it reads then. */
#include "tests/test.h"

#include "gateway/event_queue.h"
#include "gateway/message.h"
#include "gateway/response.h"
#include "proto/inference.pb-c.h"

static struct engine_event delta(uint32_t index, const char *text, const uint32_t *id)
{
    return (struct engine_event){.type = ENGINE_EVENT_DELTA,
                                 .index = index,
                                 .text = text,
                                 .text_length = strlen(text),
                                 .token_ids = id,
                                 .n_token_ids = id ? 1 : 0};
}

static struct engine_event finish(uint32_t index)
{
    return (struct engine_event){.type = ENGINE_EVENT_FINISH,
                                 .index = index,
                                 .reason = FINISH_LENGTH,
                                 .stop_string = -1,
                                 .prompt_tokens = 3,
                                 .completion_tokens = 2};
}

static void push(struct event_queue *queue, struct engine_event event)
{
    ASSERT(event_queue_push(queue, &event));
}

static void expect_delta(struct event_queue *queue, uint32_t index, const char *text, size_t n_ids)
{
    struct queued_event *event = event_queue_pop(queue);
    ASSERT(event && event->event.type == ENGINE_EVENT_DELTA);
    ASSERT_EQ(event->event.index, index);
    ASSERT_STR_EQ(event->text.data, text);
    ASSERT_EQ(event->event.n_token_ids, n_ids);
    queued_event_destroy(event);
}

static void expect_finish(struct event_queue *queue, uint32_t index)
{
    struct queued_event *event = event_queue_pop(queue);
    ASSERT(event && event->event.type == ENGINE_EVENT_FINISH);
    ASSERT_EQ(event->event.index, index);
    queued_event_destroy(event);
}

TEST(waiting_deltas_of_a_sequence_are_merged)
{
    struct event_queue queue;
    event_queue_init(&queue, 2, 10000);
    static const uint32_t ids[] = {7, 8, 9};
    push(&queue, delta(0, "a", &ids[0]));
    push(&queue, delta(1, "x", &ids[1]));
    push(&queue, delta(0, "b", &ids[2]));
    push(&queue, delta(1, "y", NULL));
    push(&queue, finish(0));
    push(&queue, delta(1, "z", &ids[1]));
    push(&queue, finish(1));
    expect_delta(&queue, 0, "ab", 2);
    expect_delta(&queue, 1, "xyz", 2);
    expect_finish(&queue, 0);
    expect_finish(&queue, 1);
    ASSERT(!event_queue_pop(&queue));
    ASSERT_EQ(queue.n_bytes, 0);
    event_queue_finish(&queue);
}

TEST(reasoning_and_content_are_not_merged)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 10000);
    struct engine_event thought = delta(0, "hm", NULL);
    thought.kind = TEXT_REASONING;
    push(&queue, thought);
    push(&queue, thought);
    push(&queue, delta(0, "so", NULL));
    expect_delta(&queue, 0, "hmhm", 0);
    expect_delta(&queue, 0, "so", 0);
    event_queue_finish(&queue);
}

TEST(a_delta_that_was_taken_is_not_merged_into)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 10000);
    push(&queue, delta(0, "a", NULL));
    expect_delta(&queue, 0, "a", 0);
    push(&queue, delta(0, "b", NULL));
    expect_delta(&queue, 0, "b", 0);
    event_queue_finish(&queue);
}

TEST(the_bound_is_on_bytes_and_one_event_always_fits)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 1000);
    static char text[2001];
    memset(text, 'x', 2000);
    push(&queue, delta(0, text, NULL)); // alone
    struct engine_event more = delta(0, "y", NULL);
    ASSERT(!event_queue_push(&queue, &more));
    expect_delta(&queue, 0, text, 0);
    for (int i = 0; i < 500; i++)
        push(&queue, delta(0, "y", NULL)); // merged: counted by its bytes
    size_t n = queue.n_bytes;
    ASSERT(n >= 500 && n <= 1000);
    text[1000] = '\0';
    struct engine_event large = delta(0, text, NULL);
    ASSERT(!event_queue_push(&queue, &large));
    ASSERT_EQ(queue.n_bytes, n); // refused, so not counted
    event_queue_finish(&queue);
}

TEST(a_large_prompt_event_leaves_the_room_to_the_deltas)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 1000);
    static uint32_t ids[1000];
    push(&queue,
         (struct engine_event){.type = ENGINE_EVENT_PROMPT, .token_ids = ids, .n_token_ids = 1000});
    static char text[501];
    memset(text, 'x', 500);
    push(&queue, delta(0, text, NULL));
    struct engine_event more = delta(0, text, NULL);
    ASSERT(!event_queue_push(&queue, &more)); // the deltas' own bound stands
    struct queued_event *prompt = event_queue_pop(&queue);
    ASSERT(prompt && prompt->event.type == ENGINE_EVENT_PROMPT);
    ASSERT_EQ(prompt->event.n_token_ids, 1000);
    queued_event_destroy(prompt);
    expect_delta(&queue, 0, text, 0);
    ASSERT_EQ(queue.n_bytes, 0);
    event_queue_finish(&queue);
}

TEST(a_merged_message_stays_below_what_clients_take)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 64 << 20);
    static char text[100001];
    memset(text, 'x', 100000);
    for (int i = 0; i < 40; i++)
        push(&queue, delta(0, text, NULL));
    size_t n_all = 0;
    struct queued_event *event;
    while ((event = event_queue_pop(&queue))) {
        ASSERT(event->text.length < 2 << 20);
        n_all += event->text.length;
        queued_event_destroy(event);
    }
    ASSERT_EQ(n_all, 4000000);
    event_queue_finish(&queue);
}

static Gemmad__V1__GenerateResponse *over_the_wire(struct event_queue *queue,
                                                   const struct stop_string *stop_strings)
{
    struct queued_event *event = event_queue_pop(queue);
    ASSERT(event);
    struct text_buffer bytes = {0};
    response_pack(event, stop_strings, &bytes);
    queued_event_destroy(event);
    ProtobufCMessage *message = NULL;
    struct error err = {0};
    ASSERT_OK_ERR(message_unpack(&gemmad__v1__generate_response__descriptor,
                                 (const uint8_t *)bytes.data, bytes.length, &message, &err),
                  err);
    text_buffer_finish(&bytes);
    return (Gemmad__V1__GenerateResponse *)message;
}

TEST(logprobs_go_with_their_tokens)
{
    struct event_queue queue;
    event_queue_init(&queue, 1, 10000);
    static const uint32_t ids[] = {7, 8};
    static const struct token_logprob entries[] = {{7, -1}, {5, -0.5F}, {7, -1}, {8, 0}};
    const struct token_logprobs first = {entries, 3};
    const struct token_logprobs second = {entries + 3, 1};
    struct engine_event event = delta(0, "a\0b", &ids[0]);
    event.text_length = 3;
    event.logprobs = &first;
    event.n_logprobs = 1;
    push(&queue, event);
    event = delta(0, "", &ids[1]);
    event.logprobs = &second;
    event.n_logprobs = 1;
    push(&queue, event);
    Gemmad__V1__GenerateResponse *response = over_the_wire(&queue, NULL);
    ASSERT_EQ(response->event_case, GEMMAD__V1__GENERATE_RESPONSE__EVENT_DELTA);
    const Gemmad__V1__Delta *d = response->delta;
    ASSERT_EQ(d->text.len, 3);
    ASSERT_EQ(d->text.data[2], 'b');
    ASSERT_EQ(d->n_token_ids, 2);
    ASSERT_EQ(d->n_logprobs, 2);
    ASSERT_EQ(d->logprobs[0]->token_id, 7);
    ASSERT_EQ(d->logprobs[0]->n_top, 2);
    ASSERT_EQ(d->logprobs[0]->top[0]->token_id, 5);
    ASSERT_NEAR(d->logprobs[0]->top[0]->logprob, -0.5, 0);
    ASSERT_EQ(d->logprobs[1]->token_id, 8);
    ASSERT_EQ(d->logprobs[1]->n_top, 0);
    message_free(&response->base);
    event_queue_finish(&queue);
}

TEST(a_finish_names_what_matched)
{
    struct event_queue queue;
    event_queue_init(&queue, 2, 10000);
    static const struct stop_string stops[] = {{"no", 2}, {"a\0b", 3}};
    struct engine_event event = finish(1);
    event.reason = FINISH_STOP;
    event.stop_string = 1;
    push(&queue, event);
    event = finish(0);
    event.reason = FINISH_STOP;
    event.matched_id = true;
    event.stop_token_id = 0;
    push(&queue, event);
    Gemmad__V1__GenerateResponse *response = over_the_wire(&queue, stops);
    const Gemmad__V1__Finish *f = response->finish;
    ASSERT_EQ(f->index, 1);
    ASSERT_EQ(f->reason, GEMMAD__V1__FINISH_REASON__STOP);
    ASSERT_EQ(f->matched_case, GEMMAD__V1__FINISH__MATCHED_STOP_STRING);
    ASSERT_EQ(f->stop_string.len, 3);
    ASSERT_EQ(f->usage->prompt_tokens, 3);
    ASSERT_EQ(f->usage->completion_tokens, 2);
    message_free(&response->base);
    response = over_the_wire(&queue, stops);
    ASSERT_EQ(response->finish->matched_case, GEMMAD__V1__FINISH__MATCHED_STOP_TOKEN_ID);
    ASSERT_EQ(response->finish->stop_token_id, 0);
    message_free(&response->base);
    event_queue_finish(&queue);
}
