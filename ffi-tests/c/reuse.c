/*
 * One request for many starts, by several threads and managers, while another thread changes it; then it is freed
 * meanwhile. Each process is started with the request as it was at some moment.
 */
#include "check.h"

#define THREADS 4

typedef struct shared {
    mgr_t manager;
    mgr_request_t request;
    pthread_barrier_t many;
    int starts;
} shared;

static void *start_many(void *argument)
{
    shared *all = argument;
    char text[64];
    mgr_id id;
    int number, from, to;

    pthread_barrier_wait(&all->many);
    for (number = 0; number < all->starts; number++) {
        OK(mgr_start(all->manager, all->request, &id, NULL));
        EQUAL(0, wait_for(all->manager, id).exit_code);
        OK(mgr_output(all->manager, id.text, MGR_STDOUT, text, sizeof text, NULL, NULL));
        /* The two are set one after the other. */
        EQUAL(2, sscanf(text, "%d %d\n", &from, &to));
        CHECK(from == to || from == to + 1);
    }
    return NULL;
}

static void *change_many(void *argument)
{
    shared *all = argument;
    char number[16];
    int value;

    pthread_barrier_wait(&all->many);
    for (value = 1; value <= all->starts * 20; value++) {
        snprintf(number, sizeof number, "%d", value);
        OK(mgr_request_variable(all->request, "FROM", number));
        OK(mgr_request_variable(all->request, "TO", number));
        OK(mgr_request_background(all->request, value % 2));
    }
    return NULL;
}

static void *start_until_freed(void *argument)
{
    shared *all = argument;
    int32_t code;
    mgr_id id;

    pthread_barrier_wait(&all->many);
    while ((code = mgr_start(all->manager, all->request, &id, NULL)) == MGR_OK) {
        code = mgr_request_argument(all->request, "x");
        if (code != MGR_OK)
            break;
        EQUAL(0, wait_for(all->manager, id).exit_code);
    }
    EQUAL(MGR_ERR_HANDLE, code);
    return NULL;
}

int main(int argc, char **argv)
{
    shared all = {.starts = rounds(argc, argv, 25)};
    pthread_t threads[THREADS + 1];
    mgr_t other = open_manager();
    size_t before, after;
    mgr_id id;
    int number;

    all.manager = open_manager();
    all.request = new_request("echo $FROM $TO");
    OK(mgr_request_variable(all.request, "FROM", "0"));
    OK(mgr_request_variable(all.request, "TO", "0"));
    EQUAL(0, pthread_barrier_init(&all.many, NULL, THREADS + 1));
    for (number = 0; number < THREADS; number++)
        threads[number] = run_thread(start_many, &all);
    threads[THREADS] = run_thread(change_many, &all);
    for (number = 0; number <= THREADS; number++)
        join_thread(threads[number]);
    OK(mgr_list(all.manager, NULL, 0, &after));
    EQUAL(THREADS * all.starts, after);

    /* Another manager takes it too, and what was started keeps its own when the request changes and goes. */
    OK(mgr_start(other, all.request, &id, NULL));
    OK(mgr_request_owner(all.request, "an owner"));
    {
        char owner[32];

        OK(mgr_owner(other, id.text, owner, sizeof owner, NULL));
        TEXT("", owner);
    }

    EQUAL(0, pthread_barrier_destroy(&all.many));
    EQUAL(0, pthread_barrier_init(&all.many, NULL, THREADS + 1));
    before = after;
    for (number = 0; number < THREADS; number++)
        threads[number] = run_thread(start_until_freed, &all);
    pthread_barrier_wait(&all.many);
    do
        OK(mgr_list(all.manager, NULL, 0, &after));
    while (after < before + THREADS);
    OK(mgr_request_free(all.request));
    for (number = 0; number < THREADS; number++)
        join_thread(threads[number]);
    EQUAL(0, pthread_barrier_destroy(&all.many));
    OK(mgr_release(all.manager));
    OK(mgr_release(other));
    return 0;
}
