/*
 * Structs that receive results: too small, not set, of a later version of the header, and arrays of these. Nothing is
 * ever written past the size, nor past what this version knows.
 */
#include "check.h"

#define FILL 0xa5
#define LATER 72

/* Any of the structs, followed by what a later version may have added. */
typedef union memory {
    size_t size;
    mgr_process process;
    mgr_truncation truncation;
    mgr_error error;
    mgr_event event;
    unsigned char bytes[sizeof(mgr_error) + LATER];
} memory;

static void fill(memory *place, size_t size)
{
    memset(place, FILL, sizeof *place);
    place->size = size;
}

static void untouched(const memory *place, size_t from)
{
    for (; from < sizeof *place; from++)
        EQUAL(FILL, place->bytes[from]);
}

/* Calls a function with structs of sizes that are refused. */
#define REFUSES(type, place, call)                                                                                     \
    do {                                                                                                               \
        const size_t refused[] = {0, 1, sizeof(size_t), sizeof(type) / 2, sizeof(type) - 1};                               \
        size_t number;                                                                                                 \
                                                                                                                       \
        for (number = 0; number < sizeof refused / sizeof refused[0]; number++) {                                              \
            fill(&place, refused[number]);                                                                                 \
            CODE(MGR_ERR_INVALID, call);                                                                               \
            EQUAL(refused[number], place.size);                                                                            \
            untouched(&place, sizeof(size_t));                                                                         \
        }                                                                                                              \
    } while (0)

/* Calls a function with structs of sizes that are taken. */
#define TAKES(type, place, call)                                                                                       \
    do {                                                                                                               \
        const size_t taken[] = {sizeof(type), sizeof(type) + 1, sizeof(type) + LATER, SIZE_MAX};                        \
        size_t number;                                                                                                 \
                                                                                                                       \
        for (number = 0; number < sizeof taken / sizeof taken[0]; number++) {                                            \
            fill(&place, taken[number]);                                                                                \
            call;                                                                                                      \
            EQUAL(taken[number], place.size);                                                                           \
            untouched(&place, sizeof(type));                                                                           \
        }                                                                                                              \
    } while (0)

static void lists(mgr_t manager, const mgr_id *ids)
{
    struct later {
        mgr_process process;
        unsigned char more[LATER];
    } *all = malloc(3 * sizeof *all), *whole = malloc(2 * sizeof *whole);
    size_t count = 99, index, byte;

    CHECK(all != NULL && whole != NULL);
    memset(all, FILL, 3 * sizeof *all);
    all[0].process.struct_size = sizeof *all;
    OK(mgr_list(manager, &all[0].process, 2, &count));
    EQUAL(3, count);
    for (index = 0; index < 2; index++) {
        EQUAL(sizeof *all, all[index].process.struct_size);
        TEXT(ids[2 - index].text, all[index].process.id.text);
        for (byte = 0; byte < LATER; byte++)
            EQUAL(FILL, all[index].more[byte]);
    }
    /* Behind the capacity. */
    for (byte = 0; byte < sizeof *all; byte++)
        EQUAL(FILL, ((unsigned char *)&all[2])[byte]);

    /* A size that no alignment has: the second element begins where the first one ends. */
    memset(whole, FILL, 2 * sizeof *whole);
    whole[0].process.struct_size = sizeof(mgr_process) + 1;
    OK(mgr_list(manager, &whole[0].process, 2, &count));
    EQUAL(FILL, ((unsigned char *)whole)[sizeof(mgr_process)]);
    EQUAL(0, memcmp((char *)whole + sizeof(mgr_process) + 1, whole, sizeof(size_t)));

    /* Refused, with nothing written. */
    memset(all, FILL, 3 * sizeof *all);
    all[0].process.struct_size = sizeof(mgr_process) - 1;
    count = 99;
    CODE(MGR_ERR_INVALID, mgr_list(manager, &all[0].process, 2, &count));
    EQUAL(99, count);
    EQUAL(FILL, ((unsigned char *)all)[sizeof(size_t)]);
    /* Only counted: the size is not looked at. */
    all[0].process.struct_size = 0;
    OK(mgr_list(manager, &all[0].process, 0, &count));
    EQUAL(3, count);
    free(all);
    free(whole);
}

int main(void)
{
    mgr_t manager = open_manager();
    mgr_request_t bad = new_request(""), good = new_request(":");
    mgr_events_t events;
    memory place;
    mgr_id ids[3], id;

    OK(mgr_events_open(manager, &events));
    ids[0] = start(manager, "exec sleep 300");
    ids[1] = start(manager, "exec sleep 300");
    ids[2] = id = start(manager, "echo x; exec sleep 300");
    lists(manager, ids);

    REFUSES(mgr_process, place, mgr_inspect(manager, id.text, &place.process));
    REFUSES(mgr_process, place, mgr_wait(manager, id.text, -1, &place.process));
    REFUSES(mgr_process, place, mgr_stop(manager, id.text, -1, &place.process));
    REFUSES(mgr_process, place, mgr_cancel(manager, "k", 1, -1, &place.process));
    REFUSES(mgr_truncation, place, mgr_output(manager, id.text, MGR_STDOUT, NULL, 0, NULL, &place.truncation));
    REFUSES(mgr_error, place, mgr_start(manager, good, NULL, &place.error));
    REFUSES(mgr_event, place, mgr_events_next(events, -1, &place.event));
    /* A start that was refused for this started nothing, and the stop ended nothing. */
    fill(&place, sizeof place.process);
    OK(mgr_inspect(manager, id.text, &place.process));
    EQUAL(MGR_RUNNING, place.process.state);
    OK(mgr_list(manager, NULL, 0, &place.size));
    EQUAL(3, place.size);

    TAKES(mgr_process, place, OK(mgr_inspect(manager, id.text, &place.process)));
    TEXT(id.text, place.process.id.text);
    TAKES(mgr_process, place, CODE(MGR_TIMEOUT, mgr_wait(manager, id.text, 0, &place.process)));
    EQUAL(MGR_RUNNING, place.process.state);
    TAKES(mgr_process, place, OK(mgr_cancel(manager, "k", 1, -1, &place.process)));
    EQUAL(MGR_NEVER_STARTED, place.process.state);
    TAKES(mgr_process, place, OK(mgr_stop(manager, id.text, 0, &place.process)));
    EQUAL(MGR_SIGNALED, place.process.state);
    TAKES(mgr_process, place, OK(mgr_wait(manager, id.text, -1, &place.process)));
    TAKES(mgr_truncation, place, mgr_output(manager, id.text, MGR_STDOUT, NULL, 0, NULL, &place.truncation));
    TAKES(mgr_error, place, CODE(MGR_ERR_INVALID, mgr_start(manager, bad, NULL, &place.error)));
    EQUAL(MGR_ERR_INVALID, place.error.code);
    TAKES(mgr_error, place, OK(mgr_start(manager, good, NULL, &place.error)));
    EQUAL(MGR_OK, place.error.code);
    TEXT("", place.error.message);
    TAKES(mgr_event, place, OK(mgr_events_next(events, -1, &place.event)));

    OK(mgr_request_free(bad));
    OK(mgr_request_free(good));
    OK(mgr_events_release(events));
    OK(mgr_release(manager));
    return 0;
}
