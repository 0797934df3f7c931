/* tests/gateway/test_vllm_request.c - what each field of the engine protocol becomes. How answers
 * look is tested with a real client (test_vllm.py). */
#include "tests/test.h"

#include "gateway/vllm_request.h"

#define CONSTRAINT(name) VLLM__GRPC__ENGINE__SAMPLING_PARAMS__CONSTRAINT_##name
#define KIND(name) GEMMAD__V1__STRUCTURED_OUTPUT__KIND_##name

static uint32_t ids[] = {5, 6, 7, 8};
static Vllm__Grpc__Engine__TokenizedInput tokenized;
static Vllm__Grpc__Engine__SamplingParams params;
static Vllm__Grpc__Engine__GenerateRequest request;
static struct vllm_request made;
static struct error err;

static ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static void open_request(void)
{
    vllm__grpc__engine__tokenized_input__init(&tokenized);
    vllm__grpc__engine__sampling_params__init(&params);
    vllm__grpc__engine__generate_request__init(&request);
    tokenized.input_ids = ids;
    tokenized.n_input_ids = 4;
    request.input_case = VLLM__GRPC__ENGINE__GENERATE_REQUEST__INPUT_TOKENIZED;
    request.tokenized = &tokenized;
    request.sampling_params = &params;
    err = (struct error){0};
}

static const Gemmad__V1__GenerateRequest *make(void)
{
    ASSERT_OK_ERR(vllm_request_init(&made, &request, 100, &err), err);
    return &made.message;
}

static void refuse(const char *field)
{
    ASSERT_EQ(vllm_request_init(&made, &request, 100, &err), STATUS_INVALID_ARGUMENT);
    ASSERT_CONTAINS(err.message, field);
}

TEST(what_is_not_set_is_neutral)
{
    open_request();
    for (int i = 0; i < 2; i++) {
        const Gemmad__V1__GenerateRequest *m = make();
        const Gemmad__V1__Sampling *s = m->sampling;
        ASSERT(s->has_temperature && s->temperature == 1);
        ASSERT(s->has_top_p && s->top_p == 1 && s->has_top_k && s->top_k == 0);
        ASSERT(s->has_repetition_penalty && s->repetition_penalty == 1);
        ASSERT(s->has_min_p && s->min_p == 0 && !s->has_seed && !s->has_n);
        ASSERT(!m->stopping->has_max_tokens && !m->structured_output);
        ASSERT(!m->response->has_logprobs && !m->response->prompt_token_ids);
        vllm_request_finish(&made);
        request.sampling_params = NULL; // and so are no params at all
    }
}

TEST(ids_come_without_text_and_with_their_stop_token)
{
    open_request();
    const Gemmad__V1__GenerateRequest *m = make();
    ASSERT(m->response->has_text && !m->response->text && m->response->token_ids);
    ASSERT(m->stopping->include_stop);
    ASSERT_EQ(m->prompt_case, GEMMAD__V1__GENERATE_REQUEST__PROMPT_TOKEN_IDS);
    ASSERT_EQ(m->token_ids->n_ids, 4);
    vllm_request_finish(&made);
}

TEST(what_is_set_goes_on)
{
    open_request();
    ProtobufCBinaryData stops[] = {bytes("a"), bytes("b")};
    Vllm__Grpc__Engine__SamplingParams__LogitBiasEntry bias =
        VLLM__GRPC__ENGINE__SAMPLING_PARAMS__LOGIT_BIAS_ENTRY__INIT;
    Vllm__Grpc__Engine__SamplingParams__LogitBiasEntry *biases[] = {&bias};
    bias.key = 9;
    bias.value = -3;
    request.request_id = bytes("name");
    params.has_temperature = true; // 0
    params.top_p = 0.5F;
    params.top_k = UINT32_MAX; // as some spell "off"
    params.has_seed = true;
    params.seed = -1;
    params.n = 3;
    params.n_stop = 2;
    params.stop = stops;
    params.n_logit_bias = 1;
    params.logit_bias = biases;
    params.has_logprobs = params.has_prompt_logprobs = true;
    params.logprobs = 4;
    const Gemmad__V1__GenerateRequest *m = make();
    ASSERT_EQ(m->request_id.len, 4);
    ASSERT(m->sampling->temperature == 0 && m->sampling->top_p == 0.5F);
    ASSERT_EQ(m->sampling->top_k, INT32_MAX);
    ASSERT(m->sampling->seed == UINT64_MAX && m->sampling->n == 3);
    ASSERT_EQ(m->stopping->n_stop, 2);
    ASSERT_EQ(m->sampling->n_logit_bias, 1);
    ASSERT(m->sampling->logit_bias[0]->key == 9 && m->sampling->logit_bias[0]->value == -3);
    ASSERT(m->response->logprobs == 4 && m->response->prompt_logprobs == 0);
    ASSERT(m->response->prompt_token_ids);
    vllm_request_finish(&made);
}

TEST(a_prompt_is_cut_at_its_front)
{
    static const struct {
        int32_t wanted;
        size_t n;
    } cases[] = {{1, 1}, {3, 3}, {4, 4}, {9, 4}, {-1, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_request();
        params.has_truncate_prompt_tokens = true;
        params.truncate_prompt_tokens = cases[i].wanted;
        ASSERT_OK_ERR(vllm_request_init(&made, &request, 2, &err), err);
        ASSERT_EQ(made.message.token_ids->n_ids, cases[i].n);
        ASSERT_EQ(made.message.token_ids->ids[cases[i].n - 1], 8);
        vllm_request_finish(&made);
    }
}

TEST(each_constraint_is_a_kind_of_structured_output)
{
    static const struct {
        int constraint, kind;
    } cases[] = {
        {CONSTRAINT(JSON_SCHEMA), KIND(JSON_SCHEMA)},
        {CONSTRAINT(REGEX), KIND(REGEX)},
        {CONSTRAINT(GRAMMAR), KIND(GRAMMAR)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_request();
        params.constraint_case = cases[i].constraint;
        params.regex = bytes("text"); // they share the place
        const Gemmad__V1__StructuredOutput *s = make()->structured_output;
        ASSERT(s);
        ASSERT_EQ(s->kind_case, cases[i].kind);
        ASSERT_EQ(s->regex.len, 4);
        vllm_request_finish(&made);
    }
}

TEST(choices_and_any_object_are_constraints_too)
{
    open_request();
    ProtobufCBinaryData words[] = {bytes("yes"), bytes("no")};
    Vllm__Grpc__Engine__ChoiceConstraint choice = VLLM__GRPC__ENGINE__CHOICE_CONSTRAINT__INIT;
    choice.n_choices = 2;
    choice.choices = words;
    params.constraint_case = CONSTRAINT(CHOICE);
    params.choice = &choice;
    const Gemmad__V1__StructuredOutput *s = make()->structured_output;
    ASSERT_EQ(s->kind_case, KIND(CHOICE));
    ASSERT_EQ(s->choice->n_choices, 2);
    vllm_request_finish(&made);

    params.constraint_case = CONSTRAINT(JSON_OBJECT);
    params.json_object = true;
    s = make()->structured_output;
    ASSERT_EQ(s->kind_case, KIND(JSON_SCHEMA));
    ASSERT(memcmp(s->json_schema.data, "{\"type\":\"object\"}", s->json_schema.len) == 0);
    vllm_request_finish(&made);
    params.json_object = false; // says nothing
    ASSERT(!make()->structured_output);
    vllm_request_finish(&made);
}

TEST(what_is_not_supported_is_refused_by_name)
{
    open_request();
    params.constraint_case = CONSTRAINT(STRUCTURAL_TAG);
    refuse("structural_tag");
    params.constraint_case = CONSTRAINT(REGEX);
    params.regex = bytes("a");
    params.grammar_from_first_token = true;
    refuse("grammar_from_first_token");
    open_request();
    request.has_kv_transfer_params_json = true;
    request.kv_transfer_params_json = bytes("{}");
    refuse("kv_transfer_params_json");
    open_request();
    request.input_case = VLLM__GRPC__ENGINE__GENERATE_REQUEST__INPUT__NOT_SET;
    refuse("input");
}
