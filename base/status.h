/* base/status.h - the result of anything that can fail, and the one text that says why.
 *
 * Values are gRPC's own codes, so that a status can be handed to a client unchanged.
 * Thread: plain values; a struct error belongs to whoever declared it. */
#ifndef GEMMAD_BASE_STATUS_H
#define GEMMAD_BASE_STATUS_H

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(template, first) __attribute__((format(printf, template, first)))

enum status {
    STATUS_OK = 0,
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_INVALID_ARGUMENT = 3,
    STATUS_DEADLINE_EXCEEDED = 4,
    STATUS_NOT_FOUND = 5,
    STATUS_ALREADY_EXISTS = 6,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_FAILED_PRECONDITION = 9,
    STATUS_ABORTED = 10,
    STATUS_OUT_OF_RANGE = 11,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_DATA_LOSS = 15,
    STATUS_UNAUTHENTICATED = 16,
};

/* The cause, worded once, where it is known. Zero-initialise: struct error err = {0}; */
struct error {
    enum status status;
    char message[512]; /* UTF-8, NUL-terminated; longer texts end in "..." */
};

/* "INVALID_ARGUMENT" and so on; "UNKNOWN" for a value outside the enum. */
const char *status_name(enum status status);

/* Words the cause and returns the status, so that `return error_set(err, ...)` is one line.
 * err may be NULL when nobody asks. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Puts "context: " before the message that a callee has set: where, then what. */
enum status error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Says that code is wrong, with a backtrace, and aborts. On in release builds too. */
#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__, __func__))
_Noreturn void check_failed(const char *condition, const char *file, int line, const char *func);

#endif
