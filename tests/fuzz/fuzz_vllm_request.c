/* tests/fuzz/fuzz_vllm_request.c - any bytes as a GenerateRequest of vllm.grpc.engine: what comes
 * out is a message of gemmad.v1 that can be packed and read again (fuzz_generate_request goes on
 * from there), or a complaint that is text. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "gateway/message.h"
#include "gateway/vllm_request.h"

#define MAX_PROMPT_TOKENS 299

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_message(const Gemmad__V1__GenerateRequest *message)
{
    struct text_buffer bytes = {0};
    struct error err = {0};
    ProtobufCMessage *again = NULL;
    message_pack(&message->base, &bytes);
    CHECK(message_unpack(&gemmad__v1__generate_request__descriptor, (uint8_t *)bytes.data,
                         bytes.length, &again, &err) == STATUS_OK);
    const Gemmad__V1__GenerateRequest *read = (Gemmad__V1__GenerateRequest *)again;
    CHECK(read->prompt_case == message->prompt_case);
    CHECK(read->stopping->include_stop && read->response->token_ids && !read->response->text);
    CHECK(read->sampling->has_temperature && read->sampling->has_top_p);
    message_free(again);
    text_buffer_finish(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct error err = {0};
    ProtobufCMessage *message = NULL;
    if (message_unpack(&vllm__grpc__engine__generate_request__descriptor, data, n, &message,
                       &err) != STATUS_OK)
        return 0;
    struct vllm_request request;
    enum status st = vllm_request_init(&request, (Vllm__Grpc__Engine__GenerateRequest *)message,
                                       MAX_PROMPT_TOKENS, &err);
    if (st == STATUS_OK) {
        check_message(&request.message);
        vllm_request_finish(&request);
    } else {
        CHECK(err.status == st && err.message[0]);
        CHECK(utf8_valid(err.message, strlen(err.message), NULL));
    }
    message_free(message);
    return 0;
}
