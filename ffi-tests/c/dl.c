/*
 * The shared library, loaded at run time: closed with live children, and loaded again. It stays in memory, since it has
 * threads, so that handles and children stay what they are. The argument is its path.
 */
#define NOT_LINKED
#include "check.h"

#include <dlfcn.h>

typedef struct functions {
    void *library;
    int32_t (*open)(mgr_config_t, mgr_t *);
    int32_t (*release)(mgr_t);
    int32_t (*request_new)(const char *, mgr_request_t *);
    int32_t (*request_free)(mgr_request_t);
    int32_t (*start)(mgr_t, mgr_request_t, mgr_id *, mgr_error *);
    int32_t (*inspect)(mgr_t, const char *, mgr_process *);
    int32_t (*read)(mgr_t, const char *, int32_t, uint64_t *, void *, size_t, size_t *, uint64_t *, int64_t);
    int32_t (*wait)(mgr_t, const char *, int64_t, mgr_process *);
    int32_t (*stop)(mgr_t, const char *, int64_t, mgr_process *);
    int32_t (*version_number)(void);
} functions;

static void find(void *library, const char *name, void *place)
{
    void *found = dlsym(library, name);

    CHECK(found != NULL);
    /* C has no conversion from the one kind of pointer to the other. */
    memcpy(place, &found, sizeof found);
}

static functions load(const char *path)
{
    functions all;

    all.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (all.library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(all.library != NULL);
    find(all.library, "mgr_open", &all.open);
    find(all.library, "mgr_release", &all.release);
    find(all.library, "mgr_request_new", &all.request_new);
    find(all.library, "mgr_request_free", &all.request_free);
    find(all.library, "mgr_start", &all.start);
    find(all.library, "mgr_inspect", &all.inspect);
    find(all.library, "mgr_read", &all.read);
    find(all.library, "mgr_wait", &all.wait);
    find(all.library, "mgr_stop", &all.stop);
    find(all.library, "mgr_version_number", &all.version_number);
    EQUAL(MGR_VERSION_NUMBER, all.version_number());
    return all;
}

static mgr_id begin(const functions *all, mgr_t manager, const char *command)
{
    mgr_request_t request;
    mgr_id id;

    OK(all->request_new(command, &request));
    OK(all->start(manager, request, &id, NULL));
    OK(all->request_free(request));
    return id;
}

int main(int argc, char **argv)
{
    mgr_process process = {.struct_size = sizeof process};
    functions all;
    uint64_t cursor;
    char byte;
    size_t length;
    mgr_t manager;
    mgr_id talker, sleeper, quick;
    int round;

    CHECK(argc == 2);
    for (round = 0; round < 2; round++) {
        all = load(argv[1]);
        OK(all.open(0, &manager));
        talker = begin(&all, manager, "while echo x; do sleep 0.01; done");
        sleeper = begin(&all, manager, "exec sleep 300");
        EQUAL(0, dlclose(all.library));

        /* The children go on, and so do their threads. */
        all = load(argv[1]);
        OK(all.inspect(manager, talker.text, &process));
        EQUAL(MGR_RUNNING, process.state);
        cursor = process.output_bytes + 10;
        OK(all.read(manager, talker.text, MGR_STDOUT, &cursor, &byte, 1, &length, NULL, PATIENCE_MS));
        quick = begin(&all, manager, "exit 4");
        OK(all.wait(manager, quick.text, PATIENCE_MS, &process));
        EQUAL(4, process.exit_code);
        OK(all.stop(manager, talker.text, 0, &process));
        EQUAL(MGR_SIGNALED, process.state);
        OK(all.release(manager));
        CODE(MGR_ERR_HANDLE, all.inspect(manager, sleeper.text, &process));
        EQUAL(0, dlclose(all.library));
        /* Nothing is left. */
        EQUAL(-1, waitpid(-1, NULL, WNOHANG));
        EQUAL(ECHILD, errno);
    }
    return 0;
}
