/* Handles: 0, stale ones, those of another kind, random numbers, released twice. None does harm, and none is valid. */
#include "check.h"

static const char *const TEXT_ARGUMENT = "x";

static void not_a_manager(mgr_t bad, mgr_request_t request)
{
    mgr_process process = {.struct_size = sizeof process};
    mgr_error error = {.struct_size = sizeof error};
    uint64_t cursor = 0;
    mgr_t scope = 42;
    mgr_events_t events = 42;
    char text[8];
    size_t length;
    mgr_id id;

    CODE(MGR_ERR_HANDLE, mgr_scope(bad, "me", &scope));
    EQUAL(42, scope);
    CODE(MGR_ERR_HANDLE, mgr_close(bad));
    CODE(MGR_ERR_HANDLE, mgr_release(bad));
    CODE(MGR_ERR_HANDLE, mgr_start(bad, request, &id, &error));
    EQUAL(MGR_ERR_HANDLE, error.code);
    CODE(MGR_ERR_HANDLE, mgr_list(bad, &process, 1, &length));
    CODE(MGR_ERR_HANDLE, mgr_inspect(bad, UNKNOWN_ID, &process));
    CODE(MGR_ERR_HANDLE, mgr_wait(bad, UNKNOWN_ID, -1, &process));
    CODE(MGR_ERR_HANDLE, mgr_read(bad, UNKNOWN_ID, MGR_STDOUT, &cursor, text, sizeof text, &length, NULL, -1));
    CODE(MGR_ERR_HANDLE, mgr_output(bad, UNKNOWN_ID, MGR_STDOUT, text, sizeof text, &length, NULL));
    CODE(MGR_ERR_HANDLE, mgr_command(bad, UNKNOWN_ID, text, sizeof text, &length));
    CODE(MGR_ERR_HANDLE, mgr_directory(bad, UNKNOWN_ID, text, sizeof text, &length));
    CODE(MGR_ERR_HANDLE, mgr_owner(bad, UNKNOWN_ID, text, sizeof text, &length));
    CODE(MGR_ERR_HANDLE, mgr_signal(bad, UNKNOWN_ID, SIGTERM));
    CODE(MGR_ERR_HANDLE, mgr_stop(bad, UNKNOWN_ID, -1, &process));
    CODE(MGR_ERR_HANDLE, mgr_stop_begin(bad, UNKNOWN_ID, -1));
    CODE(MGR_ERR_HANDLE, mgr_cancel(bad, "k", 1, -1, &process));
    CODE(MGR_ERR_HANDLE, mgr_find(bad, "k", 1, &id));
    CODE(MGR_ERR_HANDLE, mgr_forget(bad, UNKNOWN_ID));
    CODE(MGR_ERR_HANDLE, mgr_forget_key(bad, "k", 1));
    CODE(MGR_ERR_HANDLE, mgr_instance(bad, &id));
    CODE(MGR_ERR_HANDLE, mgr_sweep_orphans(bad, &length));
    CODE(MGR_ERR_HANDLE, mgr_events_open(bad, &events));
    EQUAL(42, events);
    EQUAL(0, errno);
}

static void not_options(mgr_config_t bad)
{
    mgr_t manager = 42;

    CODE(MGR_ERR_HANDLE, mgr_config_free(bad));
    CODE(MGR_ERR_HANDLE, mgr_config_shell(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_config_directory(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_config_clear_environment(bad));
    CODE(MGR_ERR_HANDLE, mgr_config_variable(bad, TEXT_ARGUMENT, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_config_owner_variable(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_config_start_method(bad, MGR_START_STD));
    CODE(MGR_ERR_HANDLE, mgr_config_head_bytes(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_tail_bytes(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_line_bytes(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_processes(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_max_ended(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_keep_ended_ms(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_keep_keyed_ms(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_stop_grace_ms(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_config_close_grace_ms(bad, 1));
    if (bad != 0)
        CODE(MGR_ERR_HANDLE, mgr_open(bad, &manager));
    EQUAL(42, manager);
}

static void not_a_request(mgr_request_t bad, mgr_t manager)
{
    mgr_id id = {"untouched"};

    CODE(MGR_ERR_HANDLE, mgr_request_free(bad));
    CODE(MGR_ERR_HANDLE, mgr_request_argument(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_request_directory(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_request_variable(bad, TEXT_ARGUMENT, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_request_owner(bad, TEXT_ARGUMENT));
    CODE(MGR_ERR_HANDLE, mgr_request_background(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_time_limit_ms(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_separate_streams(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_lossless(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_request_key(bad, "k", 1));
    CODE(MGR_ERR_HANDLE, mgr_request_id(bad, UNKNOWN_ID));
    CODE(MGR_ERR_HANDLE, mgr_request_start_timeout_ms(bad, 1));
    CODE(MGR_ERR_HANDLE, mgr_start(manager, bad, &id, NULL));
    TEXT("untouched", id.text);
}

static void not_events(mgr_events_t bad, mgr_t manager, mgr_id id)
{
    mgr_event event = {.struct_size = sizeof event};
    int32_t descriptor = -5;

    CODE(MGR_ERR_HANDLE, mgr_events_next(bad, -1, &event));
    CODE(MGR_ERR_HANDLE, mgr_events_descriptor(bad, &descriptor));
    EQUAL(-5, descriptor);
    CODE(MGR_ERR_HANDLE, mgr_events_watch(bad, manager, id.text, MGR_STDOUT, 0));
    CODE(MGR_ERR_HANDLE, mgr_events_release(bad));
}

static uint64_t random_number(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

int main(void)
{
    mgr_t manager = open_manager(), scope, stale_manager = open_manager(), stale_scope;
    mgr_request_t request = new_request(":"), stale_request = new_request(":");
    mgr_config_t config, stale_config;
    mgr_events_t events, stale_events;
    uint64_t last, bad[1024];
    size_t count = 0, index;
    mgr_id id = start(manager, ":");

    OK(mgr_config_new(&config));
    OK(mgr_config_new(&stale_config));
    OK(mgr_scope(manager, "me", &scope));
    OK(mgr_scope(manager, "me", &stale_scope));
    OK(mgr_events_open(manager, &events));
    OK(mgr_events_open(manager, &stale_events));
    OK(mgr_release(stale_manager));
    OK(mgr_release(stale_scope));
    OK(mgr_request_free(stale_request));
    OK(mgr_config_free(stale_config));
    OK(mgr_events_release(stale_events));

    bad[count++] = 0;
    bad[count++] = UINT64_MAX;
    bad[count++] = (uint64_t)1 << 63;
    bad[count++] = (uint64_t)manager << 32;
    bad[count++] = stale_manager;
    bad[count++] = stale_scope;
    bad[count++] = stale_request;
    bad[count++] = stale_config;
    bad[count++] = stale_events;
    while (count < 200)
        bad[count++] = random_number();
    for (index = 0; index < count; index++) {
        not_a_manager(bad[index], request);
        not_options(bad[index]);
        not_a_request(bad[index], manager);
        not_events(bad[index], manager, id);
    }

    /* Of another kind. None is given back by the wrong function. */
    not_a_manager(request, request);
    not_a_manager(config, request);
    not_a_manager(events, request);
    not_options(manager);
    not_options(scope);
    not_options(request);
    not_options(events);
    not_a_request(manager, manager);
    not_a_request(config, manager);
    not_a_request(events, manager);
    not_events(manager, manager, id);
    not_events(request, manager, id);
    not_events(config, manager, id);
    check_works(manager);
    check_works(scope);
    OK(mgr_start(scope, request, NULL, NULL));

    /* No number is used twice, by no kind. */
    for (last = 0, index = 0; index < 1000; index++) {
        mgr_request_t next = new_request(":");

        CHECK(next > last);
        last = next;
        OK(mgr_request_free(next));
        CODE(MGR_ERR_HANDLE, mgr_request_free(next));
    }

    OK(mgr_events_release(events));
    CODE(MGR_ERR_HANDLE, mgr_events_release(events));
    OK(mgr_config_free(config));
    CODE(MGR_ERR_HANDLE, mgr_config_free(config));
    OK(mgr_request_free(request));
    OK(mgr_release(manager));
    CODE(MGR_ERR_HANDLE, mgr_release(manager));
    /* A scope of a manager that was released is a handle still, of something closed. */
    CODE(MGR_ERR_NOT_FOUND, mgr_signal(scope, UNKNOWN_ID, SIGTERM));
    CODE(MGR_ERR_CLOSED, mgr_scope(scope, "me", &stale_scope));
    OK(mgr_release(scope));
    CODE(MGR_ERR_HANDLE, mgr_release(scope));
    return 0;
}
