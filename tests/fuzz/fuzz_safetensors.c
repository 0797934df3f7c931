/* tests/fuzz/fuzz_safetensors.c - any bytes as a safetensors file; in what is accepted every tensor
 * lies in the file, all of them together are its data, and each is found by its name. */
#include <string.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safetensors *file = NULL;
    struct error err = {0};
    if (safetensors_parse(data, n, "fuzz", &file, &err) != STATUS_OK) {
        CHECK(!file && err.status == STATUS_INVALID_ARGUMENT &&
              strncmp(err.message, "fuzz: ", 6) == 0);
        return 0;
    }
    size_t n_bytes = 0;
    unsigned char sum = 0;
    for (uint32_t i = 0; i < safetensors_n_tensors(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_at(file, i);
        CHECK(tensor->data >= data + 8 && tensor->data + tensor->n_bytes <= data + n);
        CHECK(safetensors_find(file, tensor->name) == tensor);
        CHECK(tensor->n_dims <= SAFETENSORS_MAX_DIMS);
        for (size_t at = 0; at < tensor->n_bytes; at++)
            sum ^= tensor->data[at]; // under ASan: may be read
        n_bytes += tensor->n_bytes;
    }
    CHECK(n_bytes <= n - 8 && (sum == 0 || n_bytes > 0));
    safetensors_destroy(file);
    return 0;
}
