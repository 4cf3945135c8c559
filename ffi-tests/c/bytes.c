/* Text that is not UTF-8: the command, its directory, a variable, the owner, the output. */
#include "check.h"

#include <sys/stat.h>

#define BYTES "\x80\xff\xfe\xc3("

static void same(mgr_t manager, mgr_id id, const char *expected,
                 int32_t (*function)(mgr_t, const char *, char *, size_t, size_t *))
{
    char text[512];
    size_t length;

    OK(function(manager, id.text, text, sizeof text, &length));
    EQUAL(strlen(expected), length);
    TEXT(expected, text);
}

/* The raw output of a process that has ended. */
static void raw(mgr_t manager, mgr_id id, const char *expected)
{
    uint64_t cursor = 0;
    char text[512];
    size_t length = 0, total = 0;

    while (mgr_read(manager, id.text, MGR_STDOUT, &cursor, text + total, sizeof text - total, &length, NULL, -1) == MGR_OK)
        total += length;
    EQUAL(strlen(expected), total);
    EQUAL(0, memcmp(expected, text, total));
}

int main(void)
{
    char directory[] = "/tmp/procmgr-XXXXXX", inner[64], here[4096];
    mgr_t manager, scope, other;
    mgr_config_t config;
    mgr_request_t request;
    mgr_events_t events;
    mgr_event event = {.struct_size = sizeof event};
    mgr_process process = {.struct_size = sizeof process};
    mgr_error error = {.struct_size = sizeof error};
    char text[64];
    size_t length;
    mgr_id id;

    CHECK(mkdtemp(directory) != NULL);
    CHECK(realpath(directory, here) != NULL && strlen(here) < 4000);
    snprintf(inner, sizeof inner, "%s/" BYTES, directory);
    EQUAL(0, mkdir(inner, 0700));
    strcat(here, "/" BYTES);

    OK(mgr_config_new(&config));
    OK(mgr_config_owner_variable(config, "O" "\xff"));
    OK(mgr_config_variable(config, "C" BYTES, BYTES));
    OK(mgr_config_directory(config, inner));
    OK(mgr_open(config, &manager));
    OK(mgr_config_free(config));
    OK(mgr_events_open(manager, &events));

    /* The command and its output. The shell's own printf passes bytes on. */
    id = start(manager, "printf '%s' '" BYTES "'");
    wait_for(manager, id);
    raw(manager, id, BYTES);
    same(manager, id, "printf '%s' '" BYTES "'", mgr_command);
    same(manager, id, inner, mgr_directory);
    /* As text the bytes that are none become U+FFFD; "(" is one of its own. */
    OK(mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, &length, NULL));
    TEXT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd(", text);
    EQUAL(13, length);
    /* The output may hold NULs. */
    id = start(manager, "printf 'a\\0b'");
    wait_for(manager, id);
    OK(mgr_output(manager, id.text, MGR_STDOUT, text, sizeof text, &length, NULL));
    EQUAL(3, length);
    EQUAL(0, memcmp("a\0b", text, 4));

    /* Arguments and directory. */
    OK(mgr_request_new_program("sh", &request));
    OK(mgr_request_argument(request, "-c"));
    OK(mgr_request_argument(request, "pwd; printf '%s\n' \"$1\""));
    OK(mgr_request_argument(request, "sh"));
    OK(mgr_request_argument(request, BYTES));
    OK(mgr_request_directory(request, inner));
    OK(mgr_start(manager, request, &id, NULL));
    OK(mgr_request_free(request));
    EQUAL(0, wait_for(manager, id).exit_code);
    strcat(here, "\n" BYTES "\n");
    raw(manager, id, here);

    /* Variables and their names, which a shell would not pass on. */
    OK(mgr_request_new_program("env", &request));
    OK(mgr_request_variable(request, "V" BYTES, BYTES));
    OK(mgr_request_owner(request, BYTES));
    OK(mgr_start(manager, request, &id, NULL));
    EQUAL(0, wait_for(manager, id).exit_code);
    {
        static char found[16384];
        uint64_t cursor = 0;

        OK(mgr_read(manager, id.text, MGR_STDOUT, &cursor, found, sizeof found - 1, &length, NULL, -1));
        CHECK(strstr(found, "C" BYTES "=" BYTES "\n") != NULL);
        CHECK(strstr(found, "O\xff=" BYTES "\n") != NULL);
        CHECK(strstr(found, "V" BYTES "=" BYTES "\n") != NULL);
    }
    same(manager, id, inner, mgr_directory);
    same(manager, id, BYTES, mgr_owner);

    /* Owners are compared as bytes. */
    OK(mgr_scope(manager, BYTES, &scope));
    OK(mgr_inspect(scope, id.text, &process));
    OK(mgr_start(scope, request, NULL, NULL));
    OK(mgr_scope(manager, "\x80\xff\xff\xc3(", &other));
    CODE(MGR_ERR_NOT_FOUND, mgr_inspect(other, id.text, &process));
    CODE(MGR_ERR_INVALID, mgr_start(other, request, NULL, &error));
    CHECK(error.message[0] != 0);

    /* What is no id is no process. */
    CODE(MGR_ERR_NOT_FOUND, mgr_inspect(manager, BYTES, &process));
    CODE(MGR_ERR_NOT_FOUND, mgr_events_watch(events, manager, BYTES, MGR_STDOUT, 0));

    /* A reason holds what cannot be shown, cut to its size, as a text that ends. */
    {
        static char name[4096];

        memset(name, '\xff', sizeof name - 1);
        OK(mgr_request_directory(request, name));
        CODE(MGR_ERR_SPAWN, mgr_start(manager, request, NULL, &error));
        CHECK(memchr(error.message, 0, sizeof error.message) != NULL);
    }
    OK(mgr_events_next(events, -1, &event));
    OK(mgr_request_free(request));
    OK(mgr_events_release(events));
    OK(mgr_release(scope));
    OK(mgr_release(other));
    OK(mgr_release(manager));
    EQUAL(0, rmdir(inner));
    EQUAL(0, rmdir(directory));
    return 0;
}
