/* NULL for each pointer of each function: refused where the function would be without sense, fine elsewhere. */
#include "check.h"

static void configs(void)
{
    mgr_config_t config;

    CODE(MGR_ERR_INVALID, mgr_config_new(NULL));
    OK(mgr_config_new(&config));
    CODE(MGR_ERR_INVALID, mgr_config_shell(config, NULL));
    CODE(MGR_ERR_INVALID, mgr_config_directory(config, NULL));
    CODE(MGR_ERR_INVALID, mgr_config_variable(config, NULL, "x"));
    CODE(MGR_ERR_INVALID, mgr_config_variable(config, "A", NULL));
    CODE(MGR_ERR_INVALID, mgr_config_variable(config, NULL, NULL));
    CODE(MGR_ERR_INVALID, mgr_config_owner_variable(config, NULL));
    CODE(MGR_ERR_INVALID, mgr_open(0, NULL));
    CODE(MGR_ERR_INVALID, mgr_open(config, NULL));
    OK(mgr_config_free(config));
}

static void requests(void)
{
    mgr_request_t request = 42;

    CODE(MGR_ERR_INVALID, mgr_request_new(NULL, &request));
    CODE(MGR_ERR_INVALID, mgr_request_new(":", NULL));
    CODE(MGR_ERR_INVALID, mgr_request_new(NULL, NULL));
    CODE(MGR_ERR_INVALID, mgr_request_new_program(NULL, &request));
    CODE(MGR_ERR_INVALID, mgr_request_new_program(":", NULL));
    CODE(MGR_ERR_INVALID, mgr_request_new_program(NULL, NULL));
    EQUAL(42, request);
    request = new_request(":");
    CODE(MGR_ERR_INVALID, mgr_request_argument(request, NULL));
    CODE(MGR_ERR_INVALID, mgr_request_directory(request, NULL));
    CODE(MGR_ERR_INVALID, mgr_request_variable(request, NULL, "x"));
    CODE(MGR_ERR_INVALID, mgr_request_variable(request, "A", NULL));
    CODE(MGR_ERR_INVALID, mgr_request_variable(request, NULL, NULL));
    CODE(MGR_ERR_INVALID, mgr_request_owner(request, NULL));
    OK(mgr_request_free(request));
}

static void processes(void)
{
    mgr_t manager = open_manager(), scope = 42;
    mgr_process process = {.struct_size = sizeof process};
    mgr_error error = {.struct_size = sizeof error};
    mgr_request_t request = new_request("exec sleep 300");
    mgr_request_t empty = new_request("");
    uint64_t cursor = 0, lost;
    char text[64];
    size_t length = 42;
    mgr_id id;

    CODE(MGR_ERR_INVALID, mgr_scope(manager, NULL, &scope));
    CODE(MGR_ERR_INVALID, mgr_scope(manager, "me", NULL));
    EQUAL(42, scope);

    OK(mgr_start(manager, request, NULL, NULL));
    OK(mgr_start(manager, request, NULL, &error));
    OK(mgr_start(manager, request, &id, NULL));
    CODE(MGR_ERR_INVALID, mgr_start(manager, empty, NULL, NULL));
    CODE(MGR_ERR_INVALID, mgr_start(manager, empty, &id, NULL));
    CODE(MGR_ERR_INVALID, mgr_start(manager, empty, NULL, &error));
    OK(mgr_request_free(request));
    OK(mgr_request_free(empty));

    OK(mgr_list(manager, NULL, 0, NULL));
    OK(mgr_list(manager, NULL, 0, &length));
    EQUAL(3, length);
    CODE(MGR_ERR_INVALID, mgr_list(manager, NULL, 1, &length));
    CODE(MGR_ERR_INVALID, mgr_list(manager, NULL, SIZE_MAX, NULL));
    OK(mgr_list(manager, &process, 1, NULL));

    CODE(MGR_ERR_INVALID, mgr_inspect(manager, NULL, &process));
    CODE(MGR_ERR_INVALID, mgr_inspect(manager, id.text, NULL));
    CODE(MGR_ERR_INVALID, mgr_inspect(manager, NULL, NULL));
    CODE(MGR_ERR_INVALID, mgr_wait(manager, NULL, -1, &process));
    CODE(MGR_TIMEOUT, mgr_wait(manager, id.text, 0, NULL));

    CODE(MGR_ERR_INVALID, mgr_read(manager, NULL, 0, &cursor, text, sizeof text, &length, &lost, -1));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, 0, NULL, text, sizeof text, &length, &lost, -1));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, 0, &cursor, NULL, 1, &length, &lost, -1));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, 0, &cursor, NULL, SIZE_MAX, &length, &lost, -1));
    CODE(MGR_ERR_INVALID, mgr_read(manager, id.text, 0, &cursor, text, sizeof text, NULL, &lost, -1));
    CODE(MGR_TIMEOUT, mgr_read(manager, id.text, 0, &cursor, text, sizeof text, &length, NULL, 0));
    CODE(MGR_TIMEOUT, mgr_read(manager, id.text, 0, &cursor, NULL, 0, &length, &lost, 0));

    CODE(MGR_ERR_INVALID, mgr_output(manager, NULL, 0, text, sizeof text, &length, NULL));
    CODE(MGR_ERR_INVALID, mgr_output(manager, id.text, 0, NULL, 1, &length, NULL));
    CODE(MGR_ERR_INVALID, mgr_output(manager, id.text, 0, NULL, SIZE_MAX, NULL, NULL));
    OK(mgr_output(manager, id.text, 0, NULL, 0, NULL, NULL));
    OK(mgr_output(manager, id.text, 0, NULL, 0, &length, NULL));
    OK(mgr_output(manager, id.text, 0, text, sizeof text, NULL, NULL));
    TEXT("", text);

#define ABOUT(function)                                                                                                \
    do {                                                                                                               \
        CODE(MGR_ERR_INVALID, function(manager, NULL, text, sizeof text, &length));                                    \
        CODE(MGR_ERR_INVALID, function(manager, id.text, NULL, 1, &length));                                           \
        CODE(MGR_ERR_INVALID, function(manager, id.text, NULL, SIZE_MAX, NULL));                                       \
        OK(function(manager, id.text, text, sizeof text, NULL));                                                       \
    } while (0)
    ABOUT(mgr_command);
    ABOUT(mgr_owner);
    CODE(MGR_ERR_BUFFER, mgr_command(manager, id.text, NULL, 0, NULL));
    OK(mgr_owner(manager, id.text, NULL, 0, NULL));
    CODE(MGR_ERR_INVALID, mgr_directory(manager, NULL, text, sizeof text, &length));
    CODE(MGR_ERR_INVALID, mgr_directory(manager, id.text, NULL, 1, &length));
    CODE(MGR_ERR_BUFFER, mgr_directory(manager, id.text, NULL, 0, NULL));

    CODE(MGR_ERR_INVALID, mgr_signal(manager, NULL, SIGTERM));
    CODE(MGR_ERR_INVALID, mgr_stop(manager, NULL, 0, &process));
    CODE(MGR_ERR_INVALID, mgr_stop(manager, NULL, 0, NULL));
    CODE(MGR_ERR_INVALID, mgr_stop_begin(manager, NULL, 0));
    /* None of this did anything to it. */
    EQUAL(MGR_RUNNING, inspect(manager, id).state);
    OK(mgr_stop(manager, id.text, 0, NULL));
    OK(mgr_release(manager));
}

static void event_functions(void)
{
    mgr_t manager = open_manager();
    mgr_id id = start(manager, "exec sleep 300");
    mgr_events_t events;

    CODE(MGR_ERR_INVALID, mgr_events_open(manager, NULL));
    OK(mgr_events_open(manager, &events));
    CODE(MGR_ERR_INVALID, mgr_events_next(events, -1, NULL));
    CODE(MGR_ERR_INVALID, mgr_events_descriptor(events, NULL));
    CODE(MGR_ERR_INVALID, mgr_events_watch(events, manager, NULL, MGR_STDOUT, 0));
    OK(mgr_events_watch(events, manager, id.text, MGR_STDOUT, 0));
    OK(mgr_events_release(events));
    OK(mgr_release(manager));
}

int main(void)
{
    configs();
    requests();
    processes();
    event_functions();
    return 0;
}
