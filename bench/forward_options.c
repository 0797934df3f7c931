/* bench/forward_options.c - one row of a table is a flag, its check and its line in the help. */
#include "bench/forward_options.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"
#include "kernels/ops.h"

enum flag_type { FLAG_SWITCH, FLAG_COUNT, FLAG_LIST, FLAG_PATH, FLAG_COMPUTE, FLAG_WEIGHTS };

struct flag {
    const char *name;
    enum flag_type type;
    size_t offset; /* in struct forward_options */
    uint32_t min, max;
    const char *metavar, *help;
};

#define FIELD(name) offsetof(struct forward_options, name)

static const struct flag flags[] = {
    {"world-size", FLAG_COUNT, FIELD(world_size), 1, 8, "N", "ranks: 1, 2, 4 or 8 (1)"},
    {"threads", FLAG_COUNT, FIELD(threads), 0, 256, "N",
     "threads of each rank; 0: this machine's cores, shared out (0)"},
    {"compute", FLAG_COMPUTE, FIELD(compute), 0, 0, "TYPE",
     "auto, f32 or bf16: the type of activations (auto)"},
    {"weights", FLAG_WEIGHTS, FIELD(weights), 0, 0, "FORMAT",
     "auto, bf16, int8 or int4: the format of weights (auto)"},
    {"cache", FLAG_PATH, FIELD(cache), 0, 0, "DIR",
     "map packed weights from here; the first run packs them and waits until they are saved"},
    {"prompt", FLAG_LIST, FIELD(prompts), 0, 1 << 24, "N,...",
     "prefill one prompt of so many tokens; 0: none (512)"},
    {"batch", FLAG_LIST, FIELD(batches), 0, 4096, "N,...",
     "decode so many sequences at once; 0: none (1,8,16)"},
    {"context", FLAG_LIST, FIELD(contexts), 1, 1 << 24, "N,...",
     "tokens in front of the first decoded one, which are prefilled first (128)"},
    {"new", FLAG_COUNT, FIELD(n_new), 1, 65536, "N", "decode steps of one measurement (32)"},
    {"repeat", FLAG_COUNT, FIELD(repeat), 1, 64, "N", "measurements of each; medians count (3)"},
    {"chunk", FLAG_COUNT, FIELD(chunk), 1, 65536, "N",
     "prompt tokens in a step, as gemmad's max_step_tokens (512)"},
    {"page-tokens", FLAG_COUNT, FIELD(page_tokens), 8, 256, "N", "tokens in a KV page (32)"},
    {"json", FLAG_SWITCH, FIELD(json), 0, 0, "", "one JSON object instead of a table"},
};
enum { N_FLAGS = sizeof flags / sizeof flags[0] };

_Noreturn static void help(void)
{
    printf(
        "usage: bench_forward [FLAGS] MODEL_DIR\n\n"
        "Loads a checkpoint into ranks that are threads of this process, without a server, and\n"
        "measures the start, prefill and decode. A plain read of the weights by as many threads\n"
        "comes before each measurement of decode; \"roofline\" is the time in which a step's\n"
        "weights and cache could be read at that rate, or its products computed at the rate of\n"
        "the instruction alone, whichever is longer, over the time that the step took.\n\n");
    for (int i = 0; i < N_FLAGS; i++)
        printf("  --%-11s %-7s %s\n", flags[i].name, flags[i].metavar, flags[i].help);
    printf("  --%-11s %-7s %s\n", "help", "", "this text");
    printf("\nexamples:\n"
           "  bench_forward --weights int8 --batch 1,16 MODEL_DIR\n"
           "  bench_forward --prompt 0 --batch 1 --context 1024,32768 MODEL_DIR\n"
           "  bench_forward --world-size 2 --threads 1 --json MODEL_DIR\n");
    exit(0);
}

_Noreturn static void refuse(const char *what, const char *value, const char *why)
{
    fprintf(stderr, "bench_forward: %s%s%s: %s (--help explains)\n", what, *value ? " " : "", value,
            why);
    exit(2);
}

// Index of value in names (which end in NULL).
static int choose(const struct flag *flag, const char *const *names, const char *value)
{
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], value) == 0)
            return i;
    refuse(flag->name, value, flag->help);
}

static uint32_t read_count(const struct flag *flag, const char *text, const char **end)
{
    uint64_t number;
    char range[64];
    snprintf(range, sizeof range, "not a number from %u to %u", flag->min, flag->max);
    if (!number_read_digits(text, &number, end) || number < flag->min || number > flag->max)
        refuse(flag->name, text, range);
    return (uint32_t)number;
}

static void read_list(const struct flag *flag, const char *text, struct forward_list *out)
{
    out->n = 0;
    for (const char *at = text;; at++) {
        if (out->n == FORWARD_MAX_LIST)
            refuse(flag->name, text, "too many numbers");
        uint32_t number = read_count(flag, at, &at);
        if (number > 0)
            out->values[out->n++] = number;
        if (*at == '\0')
            return;
        if (*at != ',')
            refuse(flag->name, text, "not numbers with commas between them");
    }
}

static void set(const struct flag *flag, const char *value, struct forward_options *out)
{
    static const char *const computes[] = {"f32", "bf16", "auto", NULL};
    static const char *const formats[] = {"auto", "bf16", "int8", "int4", NULL};
    void *field = (char *)out + flag->offset;
    const char *end = "";
    switch (flag->type) {
    case FLAG_SWITCH:
        *(bool *)field = true;
        break;
    case FLAG_COUNT:
        *(uint32_t *)field = read_count(flag, value, &end);
        if (*end)
            refuse(flag->name, value, "not a number");
        break;
    case FLAG_LIST:
        read_list(flag, value, field);
        break;
    case FLAG_PATH:
        *(const char **)field = value;
        break;
    case FLAG_COMPUTE: {
        int choice = choose(flag, computes, value);
        out->compute = choice == 2 ? kernels_auto_compute() : (enum compute)choice;
        break;
    }
    case FLAG_WEIGHTS:
        out->weights = (enum weights_format)choose(flag, formats, value);
        out->weights_name = value;
        break;
    }
}

static const struct flag *find(const char *argument, const char **out_value)
{
    for (int i = 0; i < N_FLAGS; i++) {
        size_t n = strlen(flags[i].name);
        if (strncmp(argument, flags[i].name, n) != 0 || (argument[n] && argument[n] != '='))
            continue;
        *out_value = argument[n] ? argument + n + 1 : NULL;
        return &flags[i];
    }
    return NULL;
}

struct forward_options forward_options_parse(int argc, char **argv)
{
    struct forward_options o = {
        .world_size = 1,
        .compute = kernels_auto_compute(),
        .weights_name = "auto",
        .prompts = {1, {512}},
        .batches = {3, {1, 8, 16}},
        .contexts = {1, {128}},
        .n_new = 32,
        .repeat = 3,
        .chunk = 512,
        .page_tokens = 32,
    };
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *value = NULL;
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            help();
        if (strncmp(argument, "--", 2) != 0) {
            if (o.model_dir)
                refuse(argument, "", "one MODEL_DIR is enough");
            o.model_dir = argument;
            continue;
        }
        const struct flag *flag = find(argument + 2, &value);
        if (!flag)
            refuse(argument, "", "no such flag");
        if (flag->type == FLAG_SWITCH && value)
            refuse(argument, "", "takes no value");
        if (flag->type != FLAG_SWITCH && !value && i + 1 == argc)
            refuse(argument, "", "needs a value");
        if (flag->type != FLAG_SWITCH && !value)
            value = argv[++i];
        set(flag, value, &o);
    }
    if (!o.model_dir)
        refuse("MODEL_DIR", "", "missing");
    return o;
}
